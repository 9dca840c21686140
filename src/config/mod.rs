//! Configuration: defaults, then `wagres.toml`, then the environment, then flags; the later wins.
//!
//! A file is a section: its settings, their defaults and their limits. An unknown key and a value of the wrong kind are
//! refused by name and by the place where they stand. To add a setting: a documented field, its default in the
//! section's [`Default`], and its limits in the section's `check`, the only place that states them.

mod allowed;
mod device;
mod encryption;
mod limits;
mod load;
mod log;
mod marketplace;
mod media;
mod older;
mod origin;
mod secret;
mod web;
mod webhook;
mod worker;

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

pub use allowed::Allowed;
pub use device::{DeviceConfig, Platform};
pub use encryption::{EncryptionConfig, KeySource};
pub use load::{ConfigError, Overrides, WebOverrides};
pub use log::LogFormat;
pub use marketplace::{MarketplaceConfig, QrFormat, is_phone};
pub use media::MediaConfig;
pub use origin::OriginPattern;
pub use secret::Secret;
pub use web::WebConfig;
pub use webhook::WebhookConfig;
pub use worker::WorkerConfig;

/// WhatsApp Web's server.
pub const WHATSAPP_URL: &str = "wss://web.whatsapp.com/ws/chat";

/// All settings. `wagres config` prints them with secrets masked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Postgres connection URL. Also read from `DATABASE_URL`. Without it `wagres up` runs a private server,
    /// and other commands use that of a `wagres up` that runs in `data_dir`.
    pub database_url: Option<Secret>,
    /// Whether `database_url` leads to a pooler that changes connections between transactions, as `PgBouncer`'s
    /// `pool_mode = transaction` does. Then each statement is a transaction, and workers poll every `worker.poll_ms`,
    /// because such a pooler does not pass on notifications. `wagres migrate` needs the server itself.
    pub database_pooler: bool,
    /// WebSocket URL of the WhatsApp server. A build with the feature `sandbox` accepts loopback addresses only.
    pub whatsapp_url: String,
    /// Address of the HTTP server (`/livez`, `/health`, `/metrics`). Port 0 takes a free one.
    pub http: SocketAddr,
    /// Folder of the private Postgres of `wagres up`. Without a `database_url` other commands look here for a running one.
    pub data_dir: PathBuf,
    /// Filter of the log, in the syntax of `RUST_LOG`: `info`, `wagres=debug,whatsapp_rust=warn` …
    pub log: String,
    /// Format of a log line: `text` or `json`.
    pub log_format: LogFormat,
    /// How a worker claims, sends and stops.
    pub worker: WorkerConfig,
    /// How a linked device appears on the phone.
    pub device: DeviceConfig,
    /// Encryption of the auth state.
    pub encryption: EncryptionConfig,
    /// Files of messages.
    pub media: MediaConfig,
    /// The link page and the dashboard.
    pub web: WebConfig,
    /// How webhooks are delivered.
    pub webhook: WebhookConfig,
    /// Companies from the partner's marketplace.
    pub marketplace: MarketplaceConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: None,
            database_pooler: false,
            whatsapp_url: WHATSAPP_URL.into(),
            http: SocketAddr::from(([127, 0, 0, 1], 7460)),
            data_dir: PathBuf::from("wagres-data"),
            log: "info,whatsapp_rust=warn,wacore=warn,sqlx=warn,lofty=error".into(),
            log_format: LogFormat::Text,
            worker: WorkerConfig::default(),
            device: DeviceConfig::default(),
            encryption: EncryptionConfig::default(),
            media: MediaConfig::default(),
            web: WebConfig::default(),
            webhook: WebhookConfig::default(),
            marketplace: MarketplaceConfig::default(),
        }
    }
}

impl Config {
    /// Checks what the types cannot express.
    fn check(&self) -> Result<(), ConfigError> {
        self.worker.check()?;
        self.media.check()?;
        self.device.check()?;
        self.web.check()?;
        self.webhook.check()?;
        self.marketplace.check()?;
        let url = url::Url::parse(&self.whatsapp_url).ok().filter(|url| matches!(url.scheme(), "ws" | "wss"));
        if url.is_none_or(|url| url.host().is_none()) {
            return Err(ConfigError::Value {
                key: "whatsapp_url",
                found: format!("{:?}", self.whatsapp_url),
                accepted: "a URL that begins with ws:// or wss://".into(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h8_the_defaults_are_within_their_limits() {
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn h8_an_error_names_the_key_the_value_and_the_limits() {
        let mut config = Config::default();
        config.worker.lease_seconds = 601;
        let error = config.check().map_err(|error| error.to_string());
        let text = "configuration: worker.lease_seconds: 601 is not accepted; accepted is 3 to 600 seconds";
        assert_eq!(error, Err(text.to_owned()));
        config.worker.lease_seconds = 600;
        config.device.name = "x".repeat(51);
        let error = config.check().map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.ends_with("accepted is 1 to 50 characters")));
    }
}
