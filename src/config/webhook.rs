//! Delivery of webhooks (`[webhook]`, `WAGRES_WEBHOOK__…`).

use super::ConfigError;
use super::allowed::{self, Allowed};
use super::limits::within;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Delivery of webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookConfig {
    /// Whether receivers may be in private networks and on this machine.
    pub private_networks: bool,
    /// Receivers that may be there all the same: hosts such as `crm.internal`, addresses, and networks such as
    /// `10.1.0.0/16`.
    pub allow: Vec<Allowed>,
    /// Limit for one attempt, from the look-up of the name to the end of the answer, in seconds.
    pub timeout_seconds: u32,
    /// Most requests at once to one receiver.
    pub concurrency: u32,
    /// A webhook is disabled after so many days in which every attempt failed.
    pub disable_after_days: u32,
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
        allowed::check("webhook.allow", &self.allow)
    }

    /// See [`Self::timeout_seconds`].
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
}
