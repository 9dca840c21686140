//! Reading the configuration from its sources, and the errors of that.

use super::{Config, older};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key is unknown or a value has the wrong kind; the text names key and place.
    #[error("configuration: {0}")]
    Load(Box<figment::Error>),
    /// A value is outside its limits.
    #[error("configuration: {key}: {found} is not accepted; accepted is {accepted}")]
    Value {
        /// With its section: `worker.lease_seconds`; or the variable of the environment that has it.
        key: &'static str,
        /// The value given.
        found: String,
        /// The values that are accepted.
        accepted: String,
    },
    /// The file given with `--config` cannot be read.
    #[error("configuration: {path}: {source}")]
    File {
        /// The path given.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// Settings that flags override; `None` leaves the setting alone.
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
    /// See [`Config::web`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<WebOverrides>,
    /// See [`Config::data_dir`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// See [`Config::log`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// Settings of the pages that flags override.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WebOverrides {
    /// See [`WebConfig::listen`](super::WebConfig::listen).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

impl Config {
    /// Reads defaults, `file` (else `wagres.toml` in the working folder, if there is one), environment and `overrides`.
    ///
    /// # Errors
    /// Names the key and the accepted values; see [`ConfigError`].
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        if let Some(path) = file {
            std::fs::metadata(path).map_err(|source| ConfigError::File { path: path.into(), source })?;
        }
        let (older, wrong) = older::settings();
        let config: Self = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file(file.unwrap_or(Path::new("wagres.toml"))))
            .merge(Env::raw().only(&["DATABASE_URL"]))
            .merge(Serialized::defaults(older))
            .merge(Env::prefixed("WAGRES_").ignore(&["config"]).split("__"))
            .merge(Serialized::defaults(overrides))
            .extract()
            .map_err(|e| ConfigError::Load(Box::new(e)))?;
        config.check()?;
        // The older names are those of other programs, too.
        if config.marketplace.secrets().is_some()
            && let Some(wrong) = wrong.into_iter().find(|it| !it.is_overruled())
        {
            return Err(wrong.into());
        }
        Ok(config)
    }
}
