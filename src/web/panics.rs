//! A panic ends what it happened in, and nothing else: one answer, one rendering, one reading.

use super::error::WebError;
use super::page;
use super::request::Asked;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt as _;
use std::panic::AssertUnwindSafe;

/// What is made.
///
/// # Errors
/// [`WebError::Failed`] after a panic. What is shared behind a lock is whole: nothing is left half changed at an await.
pub(super) async fn caught<T>(made: impl Future<Output = T>) -> Result<T, WebError> {
    AssertUnwindSafe(made).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        tracing::error!(panic = text, "page panicked");
        WebError::Failed
    })
}

/// The middleware of all routes: whoever asks gets an answer.
pub(super) async fn survive(asked: Asked, request: Request, next: Next) -> Response {
    match caught(next.run(request)).await {
        Ok(response) => response,
        Err(error) => page::answer(&error, asked.words, &asked.headers, &asked.wanted),
    }
}
