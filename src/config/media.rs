//! Files of messages (`[media]`, `WAGRES_MEDIA__…`).

use super::limits::within;
use super::{ConfigError, Secret};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Files of messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// The media store: `file:///folder` or `s3://bucket/folder`. Workers read `content.file` from there and write
    /// downloads to it. Without a store downloads go to `wa.media`.
    pub store: Option<String>,
    /// Options of a bucket: `access_key_id`, `secret_access_key`, `region`, `endpoint`, `allow_http` and the others of
    /// the crate `object_store`. The variables `AWS_…` count too.
    #[serde(deserialize_with = "texts_or_switches")]
    pub store_options: BTreeMap<String, Secret>,
    /// Largest file that is sent or downloaded, in bytes.
    pub max_bytes: u64,
    /// Limit for fetching a file from its URL, and for each transfer to or from WhatsApp's servers, in seconds.
    pub timeout_seconds: u32,
    /// Whether `content.url` may lead to addresses of private networks and of this machine.
    pub private_networks: bool,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            store: None,
            store_options: BTreeMap::new(),
            max_bytes: 100 << 20,
            timeout_seconds: 120,
            private_networks: false,
        }
    }
}

impl MediaConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("media.max_bytes", &self.max_bytes, &(1..=2 << 30), "bytes")?;
        within("media.timeout_seconds", &self.timeout_seconds, &(1..=3600), "seconds")
    }

    /// See [`Self::timeout_seconds`].
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
}

/// Reads `true` and `false` as texts too: some options are switches, and a value from the environment arrives as a
/// boolean without a way to mark it as text.
fn texts_or_switches<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text, true or false")]
    enum StoreOption {
        Text(Secret),
        Switch(bool),
    }
    let options = BTreeMap::<String, StoreOption>::deserialize(from)?;
    let text = |option| match option {
        StoreOption::Text(text) => text,
        StoreOption::Switch(on) => Secret::new(on.to_string()),
    };
    Ok(options.into_iter().map(|(name, option)| (name, text(option))).collect())
}
