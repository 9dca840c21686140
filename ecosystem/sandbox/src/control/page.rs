//! `GET /`: a page that plays the phones, for people. Its files are in `src/page` and part of the binary; the stylesheet
//! that it shares with the other pages of the project is `ecosystem/style/family.css`. The page loads nothing from
//! elsewhere, and uses only this API.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::get;

use super::super::server::Server;

/// The page loads its own files only, and no inline script runs, so that injected text stays text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

macro_rules! files {
    ($($path:literal, $file:literal, $kind:literal;)+) => {
        &[$(($path, concat!($kind, "; charset=utf-8"), include_str!(concat!("../page/", $file)))),+]
    };
}

/// Path, content type and content of each file.
const FILES: &[(&str, &str, &str)] = files! {
    "/", "index.html", "text/html";
    "/page/family.css", "../../../style/family.css", "text/css";
    "/page/style.css", "style.css", "text/css";
    "/page/chat.css", "chat.css", "text/css";
    "/page/icon.svg", "icon.svg", "image/svg+xml";
    "/page/main.js", "main.js", "text/javascript";
    "/page/store.js", "store.js", "text/javascript";
    "/page/dom.js", "dom.js", "text/javascript";
    "/page/people.js", "people.js", "text/javascript";
    "/page/lists.js", "lists.js", "text/javascript";
    "/page/conversation.js", "conversation.js", "text/javascript";
    "/page/composer.js", "composer.js", "text/javascript";
    "/page/devices.js", "devices.js", "text/javascript";
    "/page/faults.js", "faults.js", "text/javascript";
    "/page/group.js", "group.js", "text/javascript";
};

pub(super) fn routes() -> Router<Arc<Server>> {
    FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        let headers = [(CONTENT_TYPE, *kind), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
        router.route(path, get(move || async move { (headers, *content) }))
    })
}
