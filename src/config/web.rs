//! The pages (`[web]`, `WAGRES_WEB__…`).

use super::limits::within;
use super::{ConfigError, Secret};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use url::Url;

/// The public listener: link page and dashboard.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// Address of the pages; port 0 takes a free one. Without one there are no pages, except in `wagres web` and
    /// `wagres up`, which listen on 127.0.0.1:7461; `up` takes a free port when that one is taken.
    pub listen: Option<SocketAddr>,
    /// Address of `/livez` and `/metrics` of `wagres web`; a worker's `http` has those of its pages.
    pub metrics: Option<SocketAddr>,
    /// URL under which browsers reach the pages, `https://wa.example.org`: links begin with it, cookies are for https if
    /// it is https, and changes are accepted from its origin only. Default: `http://` and the address of the listener.
    pub url: Option<String>,
    /// Postgres URL of the pages, for a login with the role `wa_web` alone. Default: `database_url`, whose login must be
    /// a member of `wa_web` or a superuser.
    pub database_url: Option<Secret>,
    /// Database connections of the pages. The listener for live updates has one more.
    pub connections: u32,
    /// Networks of the proxies in front of the pages, such as `10.0.0.0/8`: their `X-Forwarded-For` and `user_header`
    /// count, nobody else's.
    pub trusted_proxies: Vec<IpNet>,
    /// Header in which such a proxy names the user that it has signed in. The name is that of a token that was added with
    /// `--proxy-user`.
    pub user_header: Option<String>,
    /// Requests a minute from one address (one /64 of IPv6).
    pub requests_per_minute: u32,
    /// Attempts to sign in a minute from one address.
    pub logins_per_minute: u32,
    /// Live pages that one address may have open at a time.
    pub streams_per_address: u32,
    /// Network connections that one address may have open at a time, unless it is that of a trusted proxy.
    pub clients_per_address: u32,
    /// Network connections in all. More are closed at once.
    pub clients: u32,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: None,
            metrics: None,
            url: None,
            database_url: None,
            connections: 8,
            trusted_proxies: vec![],
            user_header: None,
            requests_per_minute: 1200,
            logins_per_minute: 20,
            streams_per_address: 200,
            clients_per_address: 500,
            clients: 10_000,
        }
    }
}

impl WebConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("web.connections", &self.connections, &(1..=1000), "connections")?;
        within("web.requests_per_minute", &self.requests_per_minute, &(1..=1_000_000), "requests")?;
        within("web.logins_per_minute", &self.logins_per_minute, &(1..=1_000_000), "attempts")?;
        within("web.streams_per_address", &self.streams_per_address, &(1..=1_000_000), "streams")?;
        within("web.clients_per_address", &self.clients_per_address, &(1..=1_000_000), "connections")?;
        within("web.clients", &self.clients, &(1..=1_000_000), "connections")?;
        let refused = |key, found: &str, accepted: &str| {
            Err(ConfigError::Value { key, found: format!("{found:?}"), accepted: accepted.into() })
        };
        if let Some(text) = &self.url {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            if url.is_none_or(|url| url.path() != "/" || url.query().is_some() || url.fragment().is_some()) {
                return refused("web.url", text, "a URL with scheme and host alone: https://wa.example.org");
            }
        }
        if let Some(name) = &self.user_header {
            if http::HeaderName::try_from(name).is_err() {
                return refused("web.user_header", name, "the name of an HTTP header, such as X-Auth-Request-User");
            }
            if self.trusted_proxies.is_empty() {
                return refused("web.user_header", name, "only together with web.trusted_proxies");
            }
        }
        Ok(())
    }
}
