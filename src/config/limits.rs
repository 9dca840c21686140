//! The check of a number against its limits.

use super::ConfigError;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Refuses a `value` of the setting `key` outside `limits`. `unit` ends the error: "accepted is 3 to 600 seconds".
pub(super) fn within<T: PartialOrd + Display>(
    key: &'static str,
    value: &T,
    limits: &RangeInclusive<T>,
    unit: &str,
) -> Result<(), ConfigError> {
    if limits.contains(value) {
        return Ok(());
    }
    let accepted = format!("{} to {} {unit}", limits.start(), limits.end());
    Err(ConfigError::Value { key, found: value.to_string(), accepted })
}
