//! Uploads and downloads over HTTP.

use std::io::ErrorKind;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::LOG;
use super::super::faults::{Direction, Transfer, transfer};
use super::super::server::Server;
use super::store::{Hash, Progress};
use super::tls::Listener;
use super::{Missing, PICTURES, folder, range};

type Shared = State<Arc<Server>>;

/// Why a request stores or returns no file.
enum MediaRefusal {
    /// `{"error": "…"}` with its status.
    Answered(StatusCode, String),
    /// The connection breaks without an answer.
    Broken,
}

impl IntoResponse for MediaRefusal {
    fn into_response(self) -> Response {
        match self {
            Self::Answered(status, why) => (status, Json(json!({ "error": why }))).into_response(),
            Self::Broken => Body::from_stream(stream::once(async { broken() })).into_response(),
        }
    }
}

/// A body that breaks the connection after these bytes.
fn cut(passes: Bytes) -> Body {
    Body::from_stream(stream::once(async { Ok(passes) }).chain(stream::once(async {
        // By now the bytes before it are on the wire.
        tokio::task::yield_now().await;
        broken()
    })))
}

/// Makes a body break its connection. When it comes first, nothing of the answer is sent.
fn broken() -> std::io::Result<Bytes> {
    Err(ErrorKind::ConnectionAborted.into())
}

/// The refusal that a fault rule demands.
fn at_fault(status: u16) -> MediaRefusal {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    MediaRefusal::Answered(status, "a fault rule applies here; GET /faults lists the rules".into())
}

/// Serves media until the sandbox stops.
pub(in super::super) async fn serve(server: Arc<Server>, listener: TcpListener) {
    let stop = server.stop.clone();
    let listener = Listener::new(&server, listener);
    let serving = axum::serve(listener, router(server)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::warn!(target: LOG, %error, "the media server stopped");
    }
}

/// The routes of the media server.
pub(in super::super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/mms/{kind}/{hash}", post(upload))
        .route("/product/image/{hash}", post(upload))
        .route("/v/{folder}/{file}", get(download))
        .fallback(unknown)
        .method_not_allowed_fallback(another_method)
        .with_state(server)
}

async fn unknown(State(server): Shared, method: axum::http::Method, uri: Uri) -> MediaRefusal {
    server.stats.unknown(format!("media {method} {}", uri.path()));
    MediaRefusal::Answered(StatusCode::NOT_FOUND, "no such path on the media server".into())
}

async fn another_method() -> MediaRefusal {
    MediaRefusal::Answered(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not accept the method: use POST to upload, GET to download".into(),
    )
}

/// The query string of an upload.
#[derive(Debug, Deserialize)]
struct UploadQuery {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    token: String,
    /// Set when the client only asks how much of the file the server has.
    resume: Option<String>,
    /// The offset in bytes at which the client resumes.
    #[serde(default)]
    file_offset: usize,
}

/// The parsed query, or the error: a parameter given twice, an offset that is not a number.
type ParsedQuery = Result<Query<UploadQuery>, QueryRejection>;

async fn upload(State(server): Shared, uri: Uri, query: ParsedQuery, body: Body) -> Response {
    let mut body = body.into_data_stream();
    let outcome = accept(&server, &uri, query, &mut body).await;
    if let Err(refusal) = &outcome {
        server.stats.count(|counters| counters.media.uploads_refused += 1);
        if matches!(refusal, MediaRefusal::Answered(..)) {
            // A client that is still sending would see a broken connection instead of the reason.
            while let Some(Ok(_)) = body.next().await {}
        }
    }
    outcome.map(Json).into_response()
}

async fn accept(
    server: &Server,
    uri: &Uri,
    query: ParsedQuery,
    body: &mut axum::body::BodyDataStream,
) -> Result<Value, MediaRefusal> {
    let refuse = |status, why: String| Err(MediaRefusal::Answered(status, why));
    let Query(query) = query.map_err(|error| MediaRefusal::Answered(error.status(), error.body_text()))?;
    let media = &server.media;
    let Some(device) = media.holder(&query.auth) else {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "auth: not a token of this server, or expired; request a new one with media_conn".into(),
        );
    };
    let (path, token) = uri.path().rsplit_once('/').unwrap_or_default();
    let Some(folder) = folder(path) else {
        server.stats.unknown(format!("media upload {path}"));
        return refuse(StatusCode::NOT_FOUND, format!("{path}: no such kind of media"));
    };
    let named = BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| Hash::try_from(bytes).ok());
    let Some(named) = named.filter(|_| token == query.token) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "token: must be the SHA-256 of the encrypted file, in unpadded URL-safe base64, the same in path and query"
                .into(),
        );
    };
    if query.resume.is_some() {
        return Ok(match media.store.progress(&named) {
            Progress::Complete(path) => json!({ "resume": "complete", "url": media.url(&path), "direct_path": path }),
            Progress::Partial(bytes) => json!({ "resume": bytes.to_string() }),
        });
    }
    // Faults strike file transfers, not the question how much of a file the server has.
    let most = match transfer(server, Direction::In, Some(&device)).await {
        Transfer::Whole => None,
        Transfer::Refused(status) => return Err(at_fault(status)),
        Transfer::Cut(bytes) => Some(bytes),
    };
    let mut came = 0;
    let Some(mut incoming) = media.store.begin(named, query.file_offset) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            format!("file_offset: the server has fewer than {} bytes", query.file_offset),
        );
    };
    while let Some(more) = body.next().await {
        let mut more = more.map_err(|error| {
            MediaRefusal::Answered(StatusCode::BAD_REQUEST, format!("the upload broke off: {error}"))
        })?;
        came += more.len();
        let beyond = most.map_or(0, |most| came.saturating_sub(most));
        more.truncate(more.len().saturating_sub(beyond));
        incoming
            .add(&more)
            .map_err(|full| MediaRefusal::Answered(StatusCode::INSUFFICIENT_STORAGE, full.to_string()))?;
        if beyond > 0 {
            return Err(MediaRefusal::Broken);
        }
    }
    let direct_path = incoming.finish(folder).map_err(|found| {
        let found = BASE64_URL_SAFE_NO_PAD.encode(found);
        MediaRefusal::Answered(
            StatusCode::BAD_REQUEST,
            format!("the uploaded file has the SHA-256 {found}, not {token} as announced"),
        )
    })?;
    server.stats.count(|counters| counters.media.uploads += 1);
    Ok(json!({ "url": media.url(&direct_path), "direct_path": direct_path }))
}

async fn download(State(server): Shared, uri: Uri, headers: HeaderMap) -> Response {
    let outcome = match transfer(&server, Direction::Out, None).await {
        Transfer::Whole => find(&server, &uri, &headers, None),
        Transfer::Refused(status) => Err(at_fault(status)),
        Transfer::Cut(bytes) => find(&server, &uri, &headers, Some(bytes)),
    };
    server.stats.count(|counters| match &outcome {
        Ok(_) => counters.media.downloads += 1,
        Err(_) => counters.media.downloads_refused += 1,
    });
    outcome.into_response()
}

/// The requested file or part; `most` breaks the answer off after that many bytes.
fn find(server: &Server, uri: &Uri, headers: &HeaderMap, most: Option<usize>) -> Result<Response, MediaRefusal> {
    let file = server.media.get(uri.path()).map_err(|missing| {
        let status = match missing {
            Missing::Never => StatusCode::NOT_FOUND,
            Missing::Gone => StatusCode::GONE,
        };
        MediaRefusal::Answered(status, missing.to_string())
    })?;
    let picture = uri.path().split('/').nth(2) == Some(PICTURES);
    let kind = if picture { "image/jpeg" } else { "application/octet-stream" };
    let head = [(header::CONTENT_TYPE, kind), (header::ACCEPT_RANGES, "bytes")];
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    let body = |bytes: Bytes| match most.filter(|most| *most < bytes.len()) {
        Some(most) => ([(header::CONTENT_LENGTH, bytes.len().to_string())], cut(bytes.slice(..most))).into_response(),
        None => Body::from(bytes).into_response(),
    };
    Ok(match range::parse(asked, file.len()) {
        Ok(None) => (head, body(file)).into_response(),
        Ok(Some(part)) => {
            let range = format!("bytes {}-{}/{}", part.start, part.end - 1, file.len());
            (StatusCode::PARTIAL_CONTENT, head, [(header::CONTENT_RANGE, range)], body(file.slice(part)))
                .into_response()
        }
        Err(()) => {
            let range = format!("bytes */{}", file.len());
            let why =
                MediaRefusal::Answered(StatusCode::RANGE_NOT_SATISFIABLE, "the file ends before this range".into());
            ([(header::CONTENT_RANGE, range)], why).into_response()
        }
    })
}
