//! Why a page cannot be shown, as a status, words and a way on.

use crate::db::outage;
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use sqlx::Error;

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    /// No secret, or one that is not valid.
    #[error("sign in first")]
    SignedOut,
    /// The scope of the token is too low, or the change comes from another site.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such page or row, or the token does not see it.
    #[error("there is no such page")]
    NotFound,
    /// A field of the request is not accepted; names it.
    #[error("{0}")]
    Invalid(String),
    /// Too many requests or streams from one address, or too many views of one token.
    #[error("too many requests from this address, or too many open pages; try again in a minute")]
    TooMany,
    /// Other changes of the same tenant or session are under way.
    #[error("other changes of yours wait for somebody who is changing the same; try again in a moment")]
    Busy,
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] Error),
}

/// The SQLSTATE of a secret that is unknown, expired, revoked or spent.
const INVALID_TOKEN: &str = "WA050";

impl WebError {
    /// Status, sentence for the user, and the hint of the database.
    pub(super) fn parts(&self) -> (StatusCode, String, Option<String>) {
        let plain = |status| (status, self.to_string(), None);
        match self {
            Self::SignedOut => plain(StatusCode::UNAUTHORIZED),
            Self::Forbidden(_) => plain(StatusCode::FORBIDDEN),
            Self::NotFound => plain(StatusCode::NOT_FOUND),
            Self::Invalid(_) => plain(StatusCode::UNPROCESSABLE_ENTITY),
            Self::TooMany => plain(StatusCode::TOO_MANY_REQUESTS),
            Self::Busy => plain(StatusCode::SERVICE_UNAVAILABLE),
            Self::Sql(error) if outage::is_outage(error) || outage::is_busy(error) => {
                let text = "the database does not answer; this page tries again by itself".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, text, None)
            }
            Self::Sql(Error::Database(error)) => {
                let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
                let status = match error.code() {
                    "42501" => StatusCode::FORBIDDEN,
                    code if ["WA", "22", "23"].iter().any(|class| code.starts_with(class)) => {
                        StatusCode::UNPROCESSABLE_ENTITY
                    }
                    // Errors of other classes may quote the statement.
                    code => {
                        tracing::error!(code, "statement of a page failed");
                        let text = format!("the database refused this with SQLSTATE {code}");
                        return (StatusCode::INTERNAL_SERVER_ERROR, text, None);
                    }
                };
                (status, error.message().to_owned(), error.hint().map(str::to_owned))
            }
            Self::Sql(error) => {
                tracing::error!(%error, "statement of a page failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "the page failed; the log has the reason".to_owned(), None)
            }
        }
    }

    /// Whether the request's secret is not valid.
    pub(super) fn is_signed_out(&self) -> bool {
        match self {
            Self::SignedOut => true,
            Self::Sql(error) => error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == INVALID_TOKEN),
            _ => false,
        }
    }

    /// The answer for a program.
    pub(super) fn json(&self) -> Response {
        let (status, message, hint) = self.parts();
        if self.is_signed_out() {
            let body = Json(json!({ "ok": false, "message": message, "hint": hint }));
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (status, Json(json!({ "ok": false, "message": message, "hint": hint }))).into_response()
    }
}

/// Whether a program asks, and not a browser for a page.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") || accept.contains("text/event-stream")
}
