//! How a device appears in the phone's list of linked devices (`[device]`, `WAGRES_DEVICE__…`).

use super::ConfigError;
use serde::{Deserialize, Serialize};
use wacore::store::DevicePropsOverride;
use waproto::whatsapp::device_props::PlatformType;

/// How a device appears on the phone. A change takes effect when the device is linked the next time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// The name shown.
    pub name: String,
    /// The icon shown: that of this browser or of a desktop application.
    pub platform: Platform,
}

/// The icon of a linked device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Platform {
    Chrome,
    Firefox,
    Safari,
    Edge,
    Opera,
    Desktop,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self { name: "wagres".into(), platform: Platform::Chrome }
    }
}

impl DeviceConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        const LONGEST: usize = 50;
        if (1..=LONGEST).contains(&self.name.chars().count()) {
            return Ok(());
        }
        let (found, accepted) = (format!("{:?}", self.name), format!("1 to {LONGEST} characters"));
        Err(ConfigError::Value { key: "device.name", found, accepted })
    }

    /// In the client library's form.
    #[must_use]
    pub fn props(&self) -> DevicePropsOverride {
        let platform = match self.platform {
            Platform::Chrome => PlatformType::CHROME,
            Platform::Firefox => PlatformType::FIREFOX,
            Platform::Safari => PlatformType::SAFARI,
            Platform::Edge => PlatformType::EDGE,
            Platform::Opera => PlatformType::OPERA,
            Platform::Desktop => PlatformType::DESKTOP,
        };
        DevicePropsOverride::new().with_os(self.name.as_str()).with_platform_type(platform)
    }
}
