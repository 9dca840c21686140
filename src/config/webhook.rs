//! Delivery of webhooks (`[webhook]`, `WAGRES_WEBHOOK__…`).

use super::ConfigError;
use super::limits::within;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// Delivery of webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Whether receivers may be in private networks and on this machine.
    pub private_networks: bool,
    /// Receivers that may be there all the same: hosts such as `crm.internal`, addresses, and networks such as
    /// `10.1.0.0/16`.
    pub allow: Vec<Receiver>,
    /// Limit for one attempt, from the look-up of the name to the end of the answer, in seconds.
    pub timeout_seconds: u32,
    /// Most requests at once to one receiver.
    pub concurrency: u32,
    /// A webhook is disabled after so many days in which every attempt failed.
    pub disable_after_days: u32,
}

/// A host, an address or a network that receivers may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Receiver {
    /// Addresses.
    Network(IpNet),
    /// One address.
    Address(IpAddr),
    /// The name of a host, wherever it leads.
    Host(String),
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { private_networks: false, allow: vec![], timeout_seconds: 20, concurrency: 32, disable_after_days: 5 }
    }
}

impl WebhookConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("webhook.timeout_seconds", &self.timeout_seconds, &(1..=120), "seconds")?;
        within("webhook.concurrency", &self.concurrency, &(1..=1000), "requests")?;
        within("webhook.disable_after_days", &self.disable_after_days, &(1..=365), "days")?;
        for receiver in &self.allow {
            if let Receiver::Host(host) = receiver
                && (host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)))
            {
                return Err(ConfigError::Value {
                    key: "webhook.allow",
                    found: format!("{host:?}"),
                    accepted: "hosts such as crm.internal, addresses, and networks such as 10.1.0.0/16".into(),
                });
            }
        }
        Ok(())
    }

    /// See [`Self::timeout_seconds`].
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
}
