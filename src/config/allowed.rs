//! Hosts and addresses that workers may dial although they are in a private network.

use super::ConfigError;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A host, an address or a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Allowed {
    /// Addresses.
    Network(IpNet),
    /// One address.
    Address(IpAddr),
    /// The name of a host, wherever it leads.
    Host(String),
}

/// Checks the list in the setting `key`.
pub(super) fn check(key: &'static str, list: &[Allowed]) -> Result<(), ConfigError> {
    for allowed in list {
        if let Allowed::Host(host) = allowed
            && (host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)))
        {
            return Err(ConfigError::Value {
                key,
                found: format!("{host:?}"),
                accepted: "hosts such as crm.internal, addresses, and networks such as 10.1.0.0/16".into(),
            });
        }
    }
    Ok(())
}
