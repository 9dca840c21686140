//! Configuration: defaults, then `wagres.toml`, then the environment, then flags; the later wins.
//!
//! A key that nobody knows and a value of the wrong kind are refused by name and by where they stand. To add a setting:
//! a documented field, its default in [`Default`], a check in `Config::check` when not every value makes sense.

mod secret;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wacore::store::DevicePropsOverride;
use waproto::whatsapp::device_props::PlatformType;

pub use secret::Secret;

/// Where WhatsApp Web's socket is.
pub const WHATSAPP_URL: &str = "wss://web.whatsapp.com/ws/chat";

/// Everything that can be set. `wagres config` prints it with secrets masked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Postgres connection URL. Also read from `DATABASE_URL`. Without it `wagres up` runs a private server.
    pub database_url: Option<Secret>,
    /// `database_url` leads to a pooler that changes connections between transactions, as `PgBouncer`'s
    /// `pool_mode = transaction` does. Each statement is then a transaction, and workers look for work every `worker.poll_ms`, because LISTEN
    /// does not come through. `wagres migrate` needs the server itself.
    pub database_pooler: bool,
    /// WebSocket URL of the WhatsApp server. A build with the feature `sandbox` accepts loopback addresses only.
    pub whatsapp_url: String,
    /// Address of the HTTP face (`/health`, `/metrics`). Port 0 takes a free one.
    pub http: SocketAddr,
    /// Folder of the private Postgres of `wagres up`.
    pub data_dir: PathBuf,
    /// Filter of the log, as `RUST_LOG` has it: `info`, `wagres=debug,whatsapp_rust=warn` …
    pub log: String,
    /// What a line of the log is.
    pub log_format: LogFormat,
    /// What the worker does and how patiently.
    pub worker: WorkerConfig,
    /// What linked devices call themselves.
    pub device: DeviceConfig,
    /// Encryption of the auth state.
    pub encryption: EncryptionConfig,
    /// Files of messages.
    pub media: MediaConfig,
}

/// What a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// Files of messages (`[media]`, `WAGRES_MEDIA__…`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Where files are that Postgres is not to hold: `file:///folder` or `s3://bucket/folder`. What `content.file` names is
    /// there, and what is downloaded goes there; without it that goes to `wa.media`.
    pub store: Option<String>,
    /// For a bucket: `access_key_id`, `secret_access_key`, `region`, `endpoint`, `allow_http` and the like, as the crate
    /// `object_store` has them. The variables `AWS_…` count too.
    #[serde(deserialize_with = "texts_or_switches")]
    pub store_options: BTreeMap<String, Secret>,
    /// Largest file that is sent or downloaded. Bytes, 1 to 2147483648.
    pub max_bytes: u64,
    /// How long a file may take from its URL, and how long to WhatsApp's servers or from there. Seconds, 1 to 3600.
    pub timeout_seconds: u32,
    /// Whether `content.url` may lead to addresses of private networks and of this machine.
    pub private_networks: bool,
}

impl MediaConfig {
    /// See [`Self::timeout_seconds`].
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
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

/// What a device is called in the phone's list of linked devices (`[device]`, `WAGRES_DEVICE__…`). It counts when the device
/// is linked and stays until it is linked again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Its name; 1 to 50 characters.
    pub name: String,
    /// What it looks like.
    pub platform: Platform,
}

/// What a linked device looks like on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Platform {
    Chrome,
    Firefox,
    Safari,
    Edge,
    Opera,
    Desktop,
}

impl DeviceConfig {
    /// As the library takes it.
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

impl Default for DeviceConfig {
    fn default() -> Self {
        Self { name: "wagres".into(), platform: Platform::Chrome }
    }
}

/// Encryption of credentials and keys in the database (`[encryption]`, `WAGRES_ENCRYPTION__…`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncryptionConfig {
    /// Id of the key with which is written. Without it is written in the clear.
    pub key: Option<String>,
    /// All keys by their ids, also those with which is only read.
    pub keys: BTreeMap<String, KeySource>,
}

/// Where a key comes from: one of these. It is 32 bytes, as base64 or as 64 hexadecimal digits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeySource {
    /// A file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// An environment variable that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// A program and its arguments, which prints it within 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// The worker's settings (`[worker]`, `WAGRES_WORKER__…`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// A worker that has not been heard of for this long is dead and its sessions go to others. Seconds, 3 to 600.
    pub lease_seconds: u32,
    /// How often to look for work when nothing rings. Milliseconds, 50 to 60000; jittered by a quarter.
    pub poll_ms: u32,
    /// Messages on their way at once, over all sessions; of one session a quarter of these. 1 to 10000.
    pub outbound_concurrency: usize,
    /// Session jobs running at once. 1 to 1000.
    pub session_concurrency: usize,
    /// How long to wait for the server's ack of a message before it is sent again under the same id. Seconds, 1 to 600.
    pub ack_timeout_seconds: u32,
    /// How long a stop waits for messages that are on their way. Seconds, 0 to 600.
    pub drain_seconds: u32,
    /// Database connections of the pool. 2 to 1000. Heartbeat and listener have one each besides.
    pub connections: u32,
    /// Most sessions that this worker holds. 1 to 100000.
    pub max_sessions: u32,
    /// How often the log says what the process uses. Seconds, 1 to 86400.
    pub report_seconds: u32,
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
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            lease_seconds: 15,
            poll_ms: 1000,
            outbound_concurrency: 256,
            session_concurrency: 16,
            ack_timeout_seconds: 20,
            drain_seconds: 10,
            connections: 16,
            max_sessions: 1000,
            report_seconds: 60,
        }
    }
}

/// Some options are `true` or `false`, and the environment has no other way to say that they are texts.
fn texts_or_switches<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text, true or false")]
    enum Given {
        Text(Secret),
        Switch(bool),
    }
    let given = BTreeMap::<String, Given>::deserialize(from)?;
    let text = |given| match given {
        Given::Text(text) => text,
        Given::Switch(on) => Secret::new(on.to_string()),
    };
    Ok(given.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// Why the configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is unknown or a value has the wrong kind; the text names key and place.
    #[error("configuration: {0}")]
    Load(Box<figment::Error>),
    /// A value is of the right kind but makes no sense.
    #[error("configuration: {key}: {found} is not accepted; accepted is {accepted}")]
    Value {
        /// The setting's name.
        key: &'static str,
        /// The value given.
        found: String,
        /// What would be accepted.
        accepted: &'static str,
    },
    /// The file given with `--config` cannot be read.
    #[error("configuration: {path}: {source}")]
    File {
        /// The path given.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What flags may override; `None` leaves the setting alone.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Overrides {
    /// See [`Config::database_url`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
    /// See [`Config::whatsapp_url`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whatsapp_url: Option<String>,
    /// See [`Config::http`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// See [`Config::data_dir`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// See [`Config::log`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Config {
    /// Reads defaults, `file` (or `wagres.toml` in the working folder when there is one), environment and `overrides`.
    ///
    /// # Errors
    /// Names the key and what is accepted; see [`ConfigError`].
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        if let Some(path) = file {
            std::fs::metadata(path).map_err(|source| ConfigError::File { path: path.into(), source })?;
        }
        let config: Self = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file(file.unwrap_or(Path::new("wagres.toml"))))
            .merge(Env::raw().only(&["DATABASE_URL"]))
            .merge(Env::prefixed("WAGRES_").ignore(&["config"]).split("__"))
            .merge(Serialized::defaults(overrides))
            .extract()
            .map_err(|e| ConfigError::Load(Box::new(e)))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types cannot say.
    fn check(&self) -> Result<(), ConfigError> {
        let w = &self.worker;
        within("worker.lease_seconds", w.lease_seconds, 3, 600, "3 to 600 seconds")?;
        within("worker.poll_ms", w.poll_ms, 50, 60_000, "50 to 60000 milliseconds")?;
        within("worker.outbound_concurrency", w.outbound_concurrency, 1, 10_000, "1 to 10000")?;
        within("worker.session_concurrency", w.session_concurrency, 1, 1000, "1 to 1000")?;
        within("worker.ack_timeout_seconds", w.ack_timeout_seconds, 1, 600, "1 to 600 seconds")?;
        within("worker.drain_seconds", w.drain_seconds, 0, 600, "0 to 600 seconds")?;
        within("worker.connections", w.connections, 2, 1000, "2 to 1000")?;
        within("worker.max_sessions", w.max_sessions, 1, 100_000, "1 to 100000")?;
        within("worker.report_seconds", w.report_seconds, 1, 86_400, "1 to 86400")?;
        within("media.max_bytes", self.media.max_bytes, 1, 2 << 30, "1 to 2147483648 bytes")?;
        within("media.timeout_seconds", self.media.timeout_seconds, 1, 3600, "1 to 3600 seconds")?;
        if !(1..=50).contains(&self.device.name.chars().count()) {
            let found = format!("{:?}", self.device.name);
            return Err(ConfigError::Value { key: "device.name", found, accepted: "1 to 50 characters" });
        }
        let url = url::Url::parse(&self.whatsapp_url).ok().filter(|u| matches!(u.scheme(), "ws" | "wss"));
        if url.is_none_or(|u| u.host().is_none()) {
            return Err(ConfigError::Value {
                key: "whatsapp_url",
                found: format!("{:?}", self.whatsapp_url),
                accepted: "a URL that begins with ws:// or wss://",
            });
        }
        Ok(())
    }
}

fn within<T: PartialOrd + ToString + Copy>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
    accepted: &'static str,
) -> Result<(), ConfigError> {
    if value < least || value > most {
        return Err(ConfigError::Value { key, found: value.to_string(), accepted });
    }
    Ok(())
}
