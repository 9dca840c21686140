//! Media: the files of messages, and the certificate that a client needs to trust the media server.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::super::phone::Pointer;
use super::super::server::Server;
use super::Shared;
use super::request::{Failure, Outcome, phone};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/media-ca", get(certificate))
        .route("/phones/{number}/messages/{id}/media", get(file).delete(expire))
}

/// The root of the media server's certificate, as PEM.
async fn certificate(State(server): Shared) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], server.media.root_pem().to_owned())
}

/// The file of a message, decrypted.
async fn file(State(server): Shared, Path((number, id)): Path<(String, String)>) -> Result<impl IntoResponse, Failure> {
    let phone = phone(&server, &number)?;
    let (shown, _) = phone.content(&id).ok_or_else(|| no_file(&number, &id))?;
    let (pointer, sealed) = phone.file(&id).ok_or_else(|| no_file(&number, &id))?;
    let Some(sealed) = sealed else {
        let why =
            shown.media.and_then(|media| media.problem).unwrap_or_else(|| "the download has not finished".to_owned());
        return Err(Failure::conflict(format!("the phone does not have the file: {why}")));
    };
    let opened = pointer.open(&sealed).await.map_err(Failure::internal)?;
    let mime = shown.media.and_then(|media| media.mime);
    // A sender may claim any type; one that no header can carry is left out.
    let mime = mime.filter(|mime| mime.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    Ok(([(header::CONTENT_TYPE, mime.unwrap_or_else(|| "application/octet-stream".to_owned()))], opened))
}

/// Deletes a message's file from the media server, as the real one does after some time. The phone keeps the file.
async fn expire(State(server): Shared, Path((number, id)): Path<(String, String)>) -> Outcome {
    let (pointer, _): (Pointer, _) = phone(&server, &number)?.file(&id).ok_or_else(|| no_file(&number, &id))?;
    if server.media.remove(&pointer.direct_path) {
        return Ok(Json(json!({ "gone": pointer.direct_path })));
    }
    Err(Failure::conflict("the media server does not have the file of this message"))
}

fn no_file(number: &str, id: &str) -> Failure {
    Failure::missing(format!("id: {number} has no message {id} with a file"))
}
