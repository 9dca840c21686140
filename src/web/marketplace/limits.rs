//! How many requests a caller may make, and what every request of the routes passes.

use super::super::client::Client;
use super::super::{Web, guard};
use super::error::ApiError;
use super::of;
use crate::config::MarketplaceConfig;
use crate::telemetry;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use sha2::{Digest as _, Sha256};
use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The header with a company's API key.
pub(super) const API_KEY: &str = "x-api-key";

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// Counts requests by address, by API key, and events by company.
pub(super) struct Limits {
    addresses: Limiter<Client>,
    keys: Limiter<[u8; 32]>,
    hooks: Limiter<i64>,
    by_address: u32,
    by_key: u32,
}

/// What is left to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    limit: u32,
    left: u32,
    /// Until a request is possible, or until all are again.
    wait: Duration,
    is_over: bool,
}

impl Limits {
    pub(super) fn new(settings: &MarketplaceConfig) -> Self {
        Self {
            addresses: a_minute(settings.requests_per_minute),
            keys: a_minute(settings.key_requests_per_minute),
            hooks: a_minute(settings.hooks_per_minute),
            by_address: settings.requests_per_minute,
            by_key: settings.key_requests_per_minute,
        }
    }

    /// Counts a request of an address.
    pub(super) fn address(&self, client: Client) -> Room {
        take(&self.addresses, &client, self.by_address)
    }

    /// Counts a request with an API key, which may be none's.
    fn key(&self, key: &[u8]) -> Room {
        take(&self.keys, &Sha256::digest(key).into(), self.by_key)
    }

    /// Counts an event of a company; whether there is room for it.
    pub(super) fn hook(&self, salon_id: i64) -> bool {
        self.hooks.check_key(&salon_id).is_ok()
    }

    pub(super) fn forget(&self) {
        self.addresses.retain_recent();
        self.keys.retain_recent();
        self.hooks.retain_recent();
    }
}

fn a_minute<K: Hash + Eq + Clone>(count: u32) -> Limiter<K> {
    RateLimiter::keyed(Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))).with_middleware()
}

fn take<K: Hash + Eq + Clone>(limiter: &Limiter<K>, key: &K, limit: u32) -> Room {
    match limiter.check_key(key) {
        Ok(state) => {
            let left = state.remaining_burst_capacity();
            let wait = Duration::from_mins(1) * limit.saturating_sub(left) / limit.max(1);
            Room { limit, left, wait, is_over: false }
        }
        Err(until) => {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Room { limit, left: 0, wait, is_over: true }
        }
    }
}

impl Room {
    /// # Errors
    /// [`ApiError::RateLimit`].
    pub(super) fn check(self) -> Result<(), ApiError> {
        if self.is_over { Err(ApiError::RateLimit) } else { Ok(()) }
    }

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
    let method = request.method().clone();
    let client = Client::of(peer.ip(), request.headers(), &web.proxies);
    request.extensions_mut().insert(client);
    // The partner tells of all companies from one address, and is limited by company.
    let is_partner = path.as_str().contains("/webhook/");
    let counted = of(&web).ok().filter(|_| !is_partner).map(|own| match request.headers().get(API_KEY) {
        Some(key) => own.limits.key(key.as_bytes()),
        None => own.limits.address(client),
    });
    let mut response = if web.limits.request(client).is_err() || counted.is_some_and(|room| room.is_over) {
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
    telemetry::marketplace_request(method.as_str(), path.as_str(), response.status().as_u16(), begun.elapsed());
    response
}
