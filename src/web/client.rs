//! Where a request comes from, and how many come from there.

use super::Web;
use super::error::WebError;
use axum::http::HeaderMap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

/// Counts requests by address.
#[derive(Debug)]
pub(super) struct Limits {
    requests: DefaultKeyedRateLimiter<IpAddr>,
    logins: DefaultKeyedRateLimiter<IpAddr>,
}

impl Limits {
    pub(super) fn new(requests: u32, logins: u32) -> Self {
        let a_minute = |count| RateLimiter::keyed(Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)));
        Self { requests: a_minute(requests), logins: a_minute(logins) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`WebError::TooMany`].
    pub(super) fn request(&self, client: Client) -> Result<(), WebError> {
        self.requests.check_key(&client.0).map_err(|_| WebError::TooMany)
    }

    /// Counts an attempt to guess a secret.
    ///
    /// # Errors
    /// [`WebError::TooMany`].
    pub(super) fn attempt(&self, client: Client) -> Result<(), WebError> {
        self.logins.check_key(&client.0).map_err(|_| WebError::TooMany)
    }

    /// Forgets addresses that have been quiet.
    pub(super) fn forget(&self) {
        self.requests.retain_recent();
        self.logins.retain_recent();
    }
}

/// The address that a request comes from, behind trusted proxies; of IPv6 the /64, which one subscriber has as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client(IpAddr);

/// Whether this address is that of a trusted proxy.
pub(super) fn is_trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&address.to_canonical()))
}

/// The address of an entry of `X-Forwarded-For`, which some proxies write with its port.
fn address_of(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().or_else(|_| entry.parse().map(|it: SocketAddr| it.ip()));
    address.ok().map(|address| address.to_canonical())
}

impl Client {
    /// Of a request without a connection.
    pub(super) fn unknown() -> Self {
        Self(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    pub(super) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let named = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
        let named: Vec<&str> = named.flat_map(|value| value.split(',')).collect();
        let mut named = named.into_iter().rev().map_while(address_of);
        // Each proxy appends whom it heard; what stands before the last trusted one is the client's own claim, and so is what stands
        // before an entry that names nobody.
        let mut address = peer;
        while is_trusted(proxies, address)
            && let Some(heard) = named.next()
        {
            address = heard;
        }
        Self(match address {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits((address.to_bits() >> 64) << 64)),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The user whom a trusted proxy has signed in.
pub(super) fn user_of(web: &Web, peer: IpAddr, headers: &HeaderMap) -> Option<String> {
    let name = web.user_header.as_ref()?;
    if !is_trusted(&web.proxies, peer) {
        return None;
    }
    // Of two, one may be the client's own.
    let mut named = headers.get_all(name).iter();
    let user = named.next().filter(|_| named.next().is_none())?;
    Some(user.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn h2_only_listed_proxies_name_the_client() {
        let proxies = ["10.0.0.0/8".parse().expect("a network")];
        let client = |peer: &str, forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_str(forwarded).expect("a value"));
            Client::of(peer.parse().expect("an address"), &headers, &proxies).0.to_string()
        };
        assert_eq!(client("203.0.113.5", "198.51.100.1"), "203.0.113.5");
        assert_eq!(client("10.1.1.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(client("10.1.1.1", "192.0.2.9, 198.51.100.1, 10.2.2.2"), "198.51.100.1");
        assert_eq!(client("10.1.1.1", "nonsense"), "10.1.1.1");
        assert_eq!(client("10.1.1.1", "2001:db8:1:2:3::4"), "2001:db8:1:2::");
        // With ports.
        for (entry, address) in [
            ("203.0.113.8:5000", "203.0.113.8"),
            ("[2001:db8:1:2::4]:443", "2001:db8:1:2::"),
            ("[2001:db8:1:2::4]", "2001:db8:1:2::"),
            ("[::ffff:203.0.113.8]:443", "203.0.113.8"),
        ] {
            for claim in ["192.0.2.9", "unknown", "192.0.2.9:1"] {
                assert_eq!(client("10.1.1.1", &format!("{claim}, {entry}")), address, "{entry}");
                assert_eq!(client("10.1.1.1", &format!("{claim}, {entry}, 10.2.2.2:80")), address, "{entry}");
            }
        }
        // Behind an entry that names nobody there is no more than what the client says.
        for nobody in ["unknown", "_hidden", "", "203.0.113.8:99999"] {
            assert_eq!(client("10.1.1.1", &format!("192.0.2.9, {nobody}, 10.2.2.2")), "10.2.2.2", "{nobody}");
            assert_eq!(client("10.1.1.1", &format!("192.0.2.9, {nobody}")), "10.1.1.1", "{nobody}");
        }
    }
}
