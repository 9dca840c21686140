//! Files of messages, under the rights of whoever asks. Pictures, sound and films are shown in the page; anything else, which a
//! browser might take for a page of this server, is saved.

use super::Web;
use super::error::WebError;
use super::identity::{Claim, enter};
use super::page;
use super::request::Asked;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::PgPool;
use std::collections::HashMap;

/// Bytes that are read from Postgres at a time.
const PART: i32 = 1 << 20;

/// How a page shows a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Picture,
    Sound,
    Film,
    /// Not in a page: a link that saves it.
    File,
}

/// Types that no browser runs. A picture of the kind SVG may hold scripts, so it is none of them.
const SHOWN: [(&str, Shape); 16] = [
    ("image/jpeg", Shape::Picture),
    ("image/png", Shape::Picture),
    ("image/webp", Shape::Picture),
    ("image/gif", Shape::Picture),
    ("image/avif", Shape::Picture),
    ("audio/ogg", Shape::Sound),
    ("audio/mpeg", Shape::Sound),
    ("audio/mp4", Shape::Sound),
    ("audio/aac", Shape::Sound),
    ("audio/wav", Shape::Sound),
    ("audio/webm", Shape::Sound),
    ("audio/opus", Shape::Sound),
    ("video/mp4", Shape::Film),
    ("video/webm", Shape::Film),
    ("video/3gpp", Shape::Film),
    ("video/quicktime", Shape::Film),
];

/// The type as it is sent, and how a page shows it.
fn shape(mime: Option<&str>) -> (&'static str, Shape) {
    let plain = mime.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    SHOWN.into_iter().find(|(known, _)| *known == plain).unwrap_or(("application/octet-stream", Shape::File))
}

/// How a page shows a file of this type.
pub(super) fn shape_of(mime: Option<&str>) -> Shape {
    shape(mime).1
}

/// A file. `name` is what a browser saves it as.
pub(super) async fn serve(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    asked: Asked,
) -> Response {
    match open(&web, &id, &asked).await {
        Ok((mime, size, bytes)) => {
            let (mime, shape) = shape(mime.as_deref());
            let name = utf8_percent_encode(query.get("name").map_or("file", String::as_str), NON_ALPHANUMERIC);
            let kind = if shape == Shape::File { "attachment" } else { "inline" };
            let mut response = Body::from_stream(bytes).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
            if let Ok(disposition) = HeaderValue::try_from(format!("{kind}; filename*=UTF-8''{name}")) {
                headers.insert(header::CONTENT_DISPOSITION, disposition);
            }
            // A file never changes; whoever signs out leaves none of it to others.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
            headers.insert(header::VARY, HeaderValue::from_static("cookie, authorization"));
            response
        }
        Err(error) => page::answer(&error, asked.words, &asked.headers, &asked.wanted),
    }
}

type Bytestream = BoxStream<'static, Result<Bytes, WebError>>;

/// Media type, size and bytes.
async fn open(web: &Web, id: &str, asked: &Asked) -> Result<(Option<String>, i64, Bytestream), WebError> {
    let id: i64 = id.parse().map_err(|_| WebError::NotFound)?;
    let (mut tx, who) = asked.enter(&web.pool).await?;
    let found = sqlx::query_file!("sql/web/media.sql", id).fetch_optional(&mut tx).await?;
    tx.commit().await?;
    let file = found.ok_or(WebError::NotFound)?;
    let bytes = match &file.path {
        None => parts(web.pool.clone(), who.claim, id, file.size),
        Some(path) => {
            let store = web.store.as_ref().ok_or(WebError::NotFound)?;
            let bytes = store.get(path).await.map_err(|error| {
                tracing::warn!(%error, media = id, "file of the media store not read");
                WebError::NotFound
            })?;
            bytes.map(|part| part.map_err(|_| WebError::NotFound)).boxed()
        }
    };
    Ok((file.mime, file.size, bytes))
}

/// The bytes that Postgres holds, a part at a time, each in a transaction of its own.
fn parts(pool: PgPool, claim: Claim, id: i64, size: i64) -> Bytestream {
    stream::try_unfold(0_i64, move |at| {
        let (pool, claim) = (pool.clone(), claim.clone());
        async move {
            if at >= size {
                return Ok(None);
            }
            let from = i32::try_from(at + 1).map_err(|_| WebError::NotFound)?;
            let (mut tx, _) = enter(&pool, claim).await?;
            let part =
                sqlx::query_file_scalar!("sql/web/media_part.sql", id, from, PART).fetch_optional(&mut tx).await?;
            tx.commit().await?;
            let part = part.filter(|part| !part.is_empty()).ok_or(WebError::NotFound)?;
            let next = at + i64::try_from(part.len()).unwrap_or(i64::MAX);
            Ok(Some((Bytes::from(part), next)))
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_only_pictures_sound_and_films_are_shown_in_a_page() {
        assert_eq!(shape(Some("image/jpeg")), ("image/jpeg", Shape::Picture));
        assert_eq!(shape(Some("audio/ogg; codecs=opus")), ("audio/ogg", Shape::Sound));
        for other in ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "image/jpeg, text/html", ""] {
            assert_eq!(shape(Some(other)), ("application/octet-stream", Shape::File), "{other}");
        }
        assert_eq!(shape_of(None), Shape::File);
    }
}
