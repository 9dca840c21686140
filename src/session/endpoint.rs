//! The WhatsApp servers that this build may connect to (X4).
//!
//! The feature `sandbox` switches the client library's certificate check off at compile time, so such a build must
//! never meet the real network: it accepts only loopback addresses. A build without the feature checks the pinned
//! certificate, so a sandbox cannot fool it.

use url::{Host, Url};

/// The library's certificate check is off in this build.
pub const CERTIFICATE_CHECK_IS_OFF: bool = cfg!(feature = "sandbox");

/// A server that this build may talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a server is refused.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not a WebSocket URL.
    #[error("whatsapp_url: {0:?} is not accepted; accepted is a URL that begins with ws:// or wss://")]
    NotAUrl(String),
    /// A sandbox build and an address that is not loopback.
    #[error(
        "whatsapp_url: {0} is not a loopback address, and this build has the feature `sandbox`, which switches the check \
         of WhatsApp's certificate off; use a build without that feature, or ws://127.0.0.1:…"
    )]
    NotLoopback(String),
}

impl Endpoint {
    /// Checks `url` against what this build may do.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let parsed = Url::parse(url)
            .ok()
            .filter(|u| matches!(u.scheme(), "ws" | "wss") && u.host().is_some())
            .ok_or_else(|| EndpointError::NotAUrl(url.to_owned()))?;
        let endpoint = Self(parsed);
        if CERTIFICATE_CHECK_IS_OFF && !endpoint.is_loopback() {
            return Err(EndpointError::NotLoopback(url.to_owned()));
        }
        Ok(endpoint)
    }

    /// Whether the address is on this machine. The only name that counts is `localhost`: others resolve to whatever a
    /// name server says.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Whether a URL leads to this machine, see [`Endpoint::is_loopback`].
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_loopback_is_what_it_says() {
        for (url, loopback) in [
            ("ws://127.0.0.1:4000/ws/chat", true),
            ("ws://127.8.8.8/", true),
            ("ws://[::1]:1/", true),
            ("ws://localhost:1/", true),
            ("wss://web.whatsapp.com/ws/chat", false),
            ("ws://10.0.0.1/", false),
            ("ws://127.0.0.1.example.com/", false),
            ("ws://localhost.example.com/", false),
            ("ws://[::ffff:8.8.8.8]/", false),
            ("ws://0.0.0.0/", false),
        ] {
            let endpoint = Endpoint(Url::parse(url).expect("a URL"));
            assert_eq!(endpoint.is_loopback(), loopback, "{url}");
        }
    }

    #[test]
    fn x4_a_sandbox_build_refuses_what_is_not_loopback() {
        let refused = matches!(Endpoint::parse(crate::config::WHATSAPP_URL), Err(EndpointError::NotLoopback(_)));
        assert_eq!(refused, CERTIFICATE_CHECK_IS_OFF);
        assert!(matches!(Endpoint::parse("http://127.0.0.1/"), Err(EndpointError::NotAUrl(_))));
    }
}
