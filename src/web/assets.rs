//! Stylesheets, scripts and pictures, compiled into the program. They stand below a folder named by a hash of all of them, so
//! browsers may keep them for ever.

use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Name, kind and content of each file.
const FILES: [(&str, &str, &str); 10] = [
    ("family.css", CSS, include_str!("../../ecosystem/style/family.css")),
    ("web.css", CSS, include_str!("assets/web.css")),
    ("web.js", JAVASCRIPT, include_str!("assets/web.js")),
    ("acts.js", JAVASCRIPT, include_str!("assets/acts.js")),
    ("events.js", JAVASCRIPT, include_str!("assets/events.js")),
    ("morph.js", JAVASCRIPT, include_str!("assets/morph.js")),
    ("plots.js", JAVASCRIPT, include_str!("assets/plots.js")),
    ("stream.js", JAVASCRIPT, include_str!("assets/stream.js")),
    ("times.js", JAVASCRIPT, include_str!("assets/times.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// Symbols that pages use by name: `#i-fleet`. Each page has them in its document.
pub(super) const ICONS: &str = include_str!("assets/icons.svg");

static HASH: LazyLock<String> = LazyLock::new(|| {
    let hash = FILES.iter().fold(Sha256::new(), |hash, (.., content)| hash.chain_update(content)).finalize();
    hex::encode(&hash[..8])
});

/// The URL of a file.
pub(super) fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *HASH)
}

/// A file. A page of another version asks under another hash and gets this version's; the hash is for browsers.
pub(super) async fn serve(Path((_, name)): Path<(String, String)>) -> Response {
    let Some((_, kind, content)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers: [(HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, *content).into_response()
}
