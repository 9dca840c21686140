//! Which browser requests this API accepts: any from the page that the sandbox serves, none from another page.
//!
//! The API has no authentication; its protection is that only this machine can reach it. But a browser on this machine
//! also runs pages of strangers. Such a page cannot read an answer, because no answer allows cross-origin reads (CORS).
//! It could still send requests, and with a host name of its own that resolves to 127.0.0.1 it could read answers, too.
//! So a request must name a loopback host, and a request whose headers name another origin is refused. Programs other
//! than browsers send none of these headers but `Host`.

use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::request::Failure;

/// For every answer without a policy of its own: a browser runs and loads nothing of it, whatever type it assumes.
/// Media has the content type that its sender chose, which may be `text/html`.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");

/// Refuses requests of pages from other origins, and keeps answers from being used as a page.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if let Err(reason) = check(request.method(), request.uri(), request.headers()) {
        return Failure(StatusCode::FORBIDDEN, reason).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    let host = header(HOST.as_str()).unwrap_or_default();
    if !is_loopback(host) {
        return Err(format!("host: {host:?} is not accepted; use 127.0.0.1, [::1] or localhost, with any port"));
    }
    if let Some(origin) = header(ORIGIN.as_str())
        && origin.strip_prefix("http://").is_none_or(|from| !from.eq_ignore_ascii_case(host))
    {
        return Err(format!("origin: {origin:?} is not accepted; only the page http://{host}/ may use this API"));
    }
    match header("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        // A followed link to the page is harmless: the page does nothing by itself and cannot be framed.
        Some(_) if method == Method::GET && uri.path() == "/" && header("sec-fetch-dest") == Some("document") => Ok(()),
        Some(site) => {
            Err(format!("sec-fetch-site: {site:?} is not accepted; only the page http://{host}/ may use this API"))
        }
    }
}

/// Whether a `Host` header can only mean this machine, whatever DNS answers.
fn is_loopback(host: &str) -> bool {
    let Ok(host) = host.parse::<axum::http::uri::Authority>() else { return false };
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, path: &'static str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        check(method, &Uri::from_static(path), &headers.collect()).is_ok()
    }

    #[test]
    fn x3_only_a_loopback_host_is_answered() {
        for host in ["127.0.0.1", "127.0.0.1:7071", "127.1.2.3:1", "[::1]:7071", "localhost", "LocalHost:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "a@127.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(!asked(&Method::GET, "/phones", &[]));
    }

    #[test]
    fn x3_pages_from_elsewhere_are_refused() {
        let host = ("host", "127.0.0.1:7071");
        let from = |name, value| asked(&Method::POST, "/phones", &[host, (name, value)]);
        assert!(asked(&Method::POST, "/phones", &[host]));
        assert!(from("origin", "http://127.0.0.1:7071"));
        assert!(from("sec-fetch-site", "same-origin"));
        assert!(from("sec-fetch-site", "none"));
        for origin in ["null", "http://evil.example", "http://127.0.0.1:8080", "https://127.0.0.1:7071"] {
            assert!(!from("origin", origin), "{origin}");
        }
        for site in ["cross-site", "same-site", "new"] {
            assert!(!from("sec-fetch-site", site), "{site}");
        }
        let linked = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")];
        assert!(asked(&Method::GET, "/", &linked));
        assert!(!asked(&Method::GET, "/phones", &linked));
        assert!(!asked(&Method::POST, "/", &linked));
    }
}
