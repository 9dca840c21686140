//! Uploads and downloads over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::LOG;
use super::super::server::Server;
use super::store::{Hash, Progress};
use super::tls::Listener;
use super::{Missing, PICTURES, folder, range};

type Shared = State<Arc<Server>>;

/// A refusal: `{"error": "…"}` with its status.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// Serves media until the sandbox stops.
pub(in super::super) async fn serve(server: Arc<Server>, listener: TcpListener) {
    let stop = server.stop.clone();
    let listener = Listener::new(&server, listener);
    let router = Router::new()
        .route("/mms/{kind}/{hash}", post(upload))
        .route("/product/image/{hash}", post(upload))
        .route("/v/{folder}/{file}", get(download))
        .fallback(unknown)
        .with_state(server);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::warn!(target: LOG, %error, "the media server ended");
    }
}

async fn unknown(State(server): Shared, method: axum::http::Method, uri: Uri) -> Refusal {
    server.stats.unknown(format!("media {method} {}", uri.path()));
    Refusal(StatusCode::NOT_FOUND, "no such path on the media server".into())
}

/// What stands behind the question mark of an upload.
#[derive(Debug, Deserialize)]
struct UploadQuery {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    token: String,
    /// Set when the client only asks how much of the file is here.
    resume: Option<String>,
    /// How many bytes are here already.
    #[serde(default)]
    file_offset: usize,
}

async fn upload(State(server): Shared, uri: Uri, Query(query): Query<UploadQuery>, body: Body) -> Response {
    let mut body = body.into_data_stream();
    let outcome = accept(&server, &uri, &query, &mut body).await;
    if outcome.is_err() {
        server.stats.count(|counters| counters.media.uploads_refused += 1);
        // A client that is still sending would see a broken connection instead of the reason.
        while let Some(Ok(_)) = body.next().await {}
    }
    outcome.map(Json).into_response()
}

async fn accept(
    server: &Server,
    uri: &Uri,
    query: &UploadQuery,
    body: &mut axum::body::BodyDataStream,
) -> Result<Value, Refusal> {
    let refuse = |status, why: String| Err(Refusal(status, why));
    let media = &server.media;
    if !media.accepts(&query.auth) {
        return refuse(StatusCode::UNAUTHORIZED, "auth: not a token of this server, or expired; ask media_conn".into());
    }
    let (path, token) = uri.path().rsplit_once('/').unwrap_or_default();
    let Some(folder) = folder(path) else {
        server.stats.unknown(format!("media upload {path}"));
        return refuse(StatusCode::NOT_FOUND, format!("{path}: no such kind of media"));
    };
    let named = BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| Hash::try_from(bytes).ok());
    let Some(named) = named.filter(|_| token == query.token) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "token: the SHA-256 of the encrypted file is accepted, in unpadded URL-safe base64, the same in path and query"
                .into(),
        );
    };
    if query.resume.is_some() {
        return Ok(match media.store.progress(&named) {
            Progress::Complete(path) => json!({ "resume": "complete", "url": media.url(&path), "direct_path": path }),
            Progress::Partial(bytes) => json!({ "resume": bytes.to_string() }),
        });
    }
    let Some(mut incoming) = media.store.begin(named, query.file_offset) else {
        return refuse(StatusCode::BAD_REQUEST, format!("file_offset: {} bytes are not here", query.file_offset));
    };
    while let Some(more) = body.next().await {
        let more = more.map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("the upload broke off: {error}")))?;
        incoming.add(&more).map_err(|full| Refusal(StatusCode::INSUFFICIENT_STORAGE, full.to_string()))?;
    }
    let direct_path = incoming.finish(folder).map_err(|found| {
        let found = BASE64_URL_SAFE_NO_PAD.encode(found);
        Refusal(StatusCode::BAD_REQUEST, format!("what came has the SHA-256 {found}, and {token} was announced"))
    })?;
    server.stats.count(|counters| counters.media.uploads += 1);
    Ok(json!({ "url": media.url(&direct_path), "direct_path": direct_path }))
}

async fn download(State(server): Shared, uri: Uri, headers: HeaderMap) -> Response {
    let outcome = find(&server, &uri, &headers);
    server.stats.count(|counters| match &outcome {
        Ok(_) => counters.media.downloads += 1,
        Err(_) => counters.media.downloads_refused += 1,
    });
    outcome.into_response()
}

fn find(server: &Server, uri: &Uri, headers: &HeaderMap) -> Result<Response, Refusal> {
    let file = server.media.get(uri.path()).map_err(|missing| {
        let status = match missing {
            Missing::Never => StatusCode::NOT_FOUND,
            Missing::Gone => StatusCode::GONE,
        };
        Refusal(status, missing.to_string())
    })?;
    let picture = uri.path().split('/').nth(2) == Some(PICTURES);
    let kind = if picture { "image/jpeg" } else { "application/octet-stream" };
    let head = [(header::CONTENT_TYPE, kind), (header::ACCEPT_RANGES, "bytes")];
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    Ok(match range::parse(asked, file.len()) {
        Ok(None) => (head, Body::from(file)).into_response(),
        Ok(Some(part)) => {
            let range = format!("bytes {}-{}/{}", part.start, part.end - 1, file.len());
            (StatusCode::PARTIAL_CONTENT, head, [(header::CONTENT_RANGE, range)], Body::from(file.slice(part)))
                .into_response()
        }
        Err(()) => {
            let range = format!("bytes */{}", file.len());
            let why = Refusal(StatusCode::RANGE_NOT_SATISFIABLE, "the file ends before this range".into());
            ([(header::CONTENT_RANGE, range)], why).into_response()
        }
    })
}
