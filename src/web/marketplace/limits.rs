//! How many requests a caller may make, and what every request of the routes passes.

use super::super::client::Client;
use super::super::windows::{Room, Windows};
use super::super::{Web, guard};
use super::caller::API_KEY;
use super::error::ApiError;
use super::{hooks, of};
use crate::config::MarketplaceConfig;
use crate::telemetry;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A key that was right so long ago is looked up again before its requests count as its own.
const KNOWN: Duration = Duration::from_mins(10);

/// Counts requests by address, by API key, and events by company.
pub(super) struct Limits {
    addresses: Windows<Client>,
    keys: Windows<[u8; 32]>,
    hooks: Windows<i64>,
    /// Keys that have opened a company, and when they last did.
    known: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Limits {
    pub(super) fn new(settings: &MarketplaceConfig) -> Self {
        Self {
            addresses: Windows::new(settings.requests_per_minute),
            keys: Windows::new(settings.key_requests_per_minute),
            hooks: Windows::new(settings.hooks_per_minute),
            known: Mutex::default(),
        }
    }

    /// Counts a request for its API key if that is known to be one, else for the address: otherwise every guess would have
    /// a limit of its own.
    fn request(&self, client: Client, key: Option<&[u8]>) -> Room {
        match key.map(hash).filter(|key| self.known().contains_key(key)) {
            Some(key) => self.keys.take(key),
            None => self.addresses.take(client),
        }
    }

    /// An API key is a company's, or is none.
    pub(super) fn learn(&self, key: &[u8], is_right: bool) {
        let (key, mut known) = (hash(key), self.known());
        if is_right {
            known.insert(key, Instant::now());
        } else {
            known.remove(&key);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an event of a company; whether there is room for it.
    pub(super) fn hook(&self, salon_id: i64) -> bool {
        !self.hooks.take(salon_id).is_over
    }

    pub(super) fn forget(&self) {
        self.addresses.forget();
        self.keys.forget();
        self.hooks.forget();
        self.known().retain(|_, seen| seen.elapsed() < KNOWN);
    }
}

fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

impl Room {
    fn tell(self, response: &mut Response) {
        let seconds = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        let reset = telemetry::wall_clock().timestamp().saturating_add_unsigned(seconds);
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-ratelimit-limit", self.limit.to_string()),
            ("x-ratelimit-remaining", self.left.to_string()),
            ("x-ratelimit-reset", reset.to_string()),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if self.is_over {
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
    }
}

/// The middleware of the routes: limits, headers and the time taken. Their callers are programs that prove who they are in
/// each request, so it does not matter which site a request comes from.
pub(super) async fn admit(
    State(web): State<Web>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let method = method_label(request.method());
    // The guard of other origins has counted the request already.
    let known = request.extensions().get::<Client>().copied();
    let client = known.unwrap_or_else(|| Client::of(peer.ip(), request.headers(), &web.proxies));
    request.extensions_mut().insert(client);
    let is_over = known.is_none() && web.limits.request(client).is_err();
    // The partner reports all companies from one address, is limited by company, and always gets 200.
    let is_partner = path.as_str().contains("/webhook/");
    let key = request.headers().get(API_KEY).map(|key| key.as_bytes().to_owned());
    let counted = of(&web).ok().filter(|_| !is_partner).map(|own| own.limits.request(client, key.as_deref()));
    let mut response = if is_partner && is_over {
        hooks::limited("too many requests from this address; try again in a minute").into_response()
    } else if is_over || counted.is_some_and(|room| room.is_over) {
        ApiError::RateLimit.into_response()
    } else {
        next.run(request).await
    };
    if let Some(room) = counted {
        room.tell(&mut response);
    }
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("60"));
    }
    guard::protect(&web, &mut response);
    telemetry::marketplace_request(method, path.as_str(), response.status().as_u16(), begun.elapsed());
    response
}

/// The method as a metric's label: a client may send any word, and each label is a series that stays.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_a_method_that_nobody_knows_has_no_series_of_its_own() {
        for (method, label) in [("GET", "GET"), ("DELETE", "DELETE"), ("BREW", "OTHER"), ("get", "OTHER")] {
            assert_eq!(method_label(&Method::from_bytes(method.as_bytes()).expect("a method")), label);
        }
    }
}
