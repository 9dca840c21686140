//! What every request passes before it reaches a page: limits by address, the origin of changes, and the headers of
//! each answer.

use super::client::Client;
use super::error::WebError;
use super::words::Words;
use super::{Web, page};
use crate::config::OriginPattern;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use url::Url;

/// Nothing but this server's own files, no frames, no inline scripts or styles.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

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
    // Balancers ask often, and a process that they take for ill is ended.
    let is_health = matches!(request.uri().path(), "/livez" | "/health");
    let refused = if !is_health && web.limits.request(client).is_err() {
        Some(WebError::TooMany)
    } else if !is_read && !is_from_here(&web, request.headers()) {
        Some(WebError::Forbidden("web_error.origin"))
    } else {
        None
    };
    let mut response = match refused {
        Some(error) => page::answer(&error, Words::of_request(request.headers()), request.headers(), "/"),
        None => next.run(request).await,
    };
    protect(&web, &mut response);
    response
}

/// Sets the headers of every answer.
pub(super) fn protect(web: &Web, response: &mut Response) {
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
}

/// What pages of other sites may send and read, for [`cross_origin`].
const ALLOWED: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// The middleware of routes that pages of other sites use: those of the listed origins, and of this server. Programs that are
/// no browser send no origin.
pub(super) async fn cross_origin(
    State((web, origins)): State<(Web, Arc<[OriginPattern]>)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = Client::of(peer.ip(), request.headers(), &web.proxies);
    request.extensions_mut().insert(client);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_refused = origin.as_ref().is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        !origins.iter().any(|pattern| pattern.matches(origin)) && !is_from_here(&web, request.headers())
    });
    let words = Words::of_request(request.headers());
    let mut response = if web.limits.request(client).is_err() {
        WebError::TooMany.json(words)
    } else if is_refused {
        WebError::Forbidden("pages of this origin may not connect; marketplace.origins lists those that may")
            .json(words)
    } else if *request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.filter(|_| !is_refused) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        for (name, value) in ALLOWED {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
