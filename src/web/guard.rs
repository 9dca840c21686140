//! What every request passes before it reaches a page: limits by address, the origin of changes, and the headers of
//! each answer.

use super::Web;
use super::error::WebError;
use super::words::Words;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use url::Url;

/// Nothing but this server's own files, no frames, no inline scripts or styles.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

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
#[derive(Debug, Clone, Copy)]
pub(super) struct Client(IpAddr);

/// Whether this address is that of a trusted proxy.
fn is_trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&address.to_canonical()))
}

impl Client {
    /// Of a request without a connection.
    pub(super) fn unknown() -> Self {
        Self(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }

    fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let named = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let named: Vec<IpAddr> = named.flat_map(|value| value.split(',')).filter_map(|it| it.trim().parse().ok()).collect();
        // Each proxy appends whom it heard; what stands before the last trusted one is the client's own claim.
        let address = if is_trusted(proxies, peer) {
            named.iter().rev().copied().find(|it| !is_trusted(proxies, *it)).unwrap_or(peer)
        } else {
            peer
        };
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits((address.to_bits() >> 64) << 64)),
            address => address,
        })
    }
}

/// The user whom a trusted proxy has signed in.
pub(super) fn user_of(web: &Web, peer: IpAddr, headers: &HeaderMap) -> Option<String> {
    let name = web.user_header.as_ref()?;
    if !is_trusted(&web.proxies, peer) {
        return None;
    }
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Whether a browser sends this change from a page of this server. A program says who it is by `Authorization`, which no
/// other site can make a browser send.
fn is_from_here(web: &Web, headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = text(&header::ORIGIN) {
        return match &web.url {
            Some(url) => Url::parse(origin).is_ok_and(|it| it.origin() == url.origin()),
            None => origin.split_once("://").is_some_and(|(_, host)| text(&header::HOST) == Some(host)),
        };
    }
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => headers.contains_key(header::AUTHORIZATION),
    }
}

/// The middleware of all pages.
pub(super) async fn guard(
    State(web): State<Web>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = Client::of(peer.ip(), request.headers(), &web.proxies);
    request.extensions_mut().insert(client);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let refused = if web.limits.requests.check_key(&client.0).is_err() {
        Some(WebError::TooMany)
    } else if !is_read && !is_from_here(&web, request.headers()) {
        Some(WebError::Forbidden("a change must come from a page of this server"))
    } else {
        None
    };
    let mut response = match refused {
        Some(error) => error.answer(Words::of_request(request.headers()), request.headers(), "/"),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if web.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
