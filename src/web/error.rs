//! Why a page cannot be shown, as a status, words and a way on.

use super::words::Words;
use crate::db::outage;
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    /// No secret, or one that is not valid.
    #[error("sign in first")]
    SignedOut,
    /// The scope of the token is too low, or the change comes from another site: the name of the words that say so.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such page or row, or the token does not see it.
    #[error("there is no such page")]
    NotFound,
    /// There is no such row of a kind that has words of its own: their name.
    #[error("{0}")]
    Missing(&'static str),
    /// A field of the request is not accepted; names it.
    #[error("{0}")]
    Invalid(String),
    /// Too many requests or streams from one address, or too many views of one token.
    #[error("too many requests from this address, or too many open pages; try again in a minute")]
    TooMany,
    /// Somebody is changing the same, or other changes of the same tenant are under way.
    #[error("somebody is changing the same at the moment; try again in a moment")]
    Busy,
    /// Other pages of the same tenant or token take long.
    #[error("other pages of yours take long; this page tries again by itself")]
    Crowded,
    /// The program failed.
    #[error("the page failed")]
    Failed,
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] Error),
}

/// The SQLSTATE of a secret that is unknown, expired, revoked or spent.
const INVALID_TOKEN: &str = "WA050";

impl WebError {
    /// What the user is told.
    pub(super) fn told(&self, words: &Words) -> Told {
        let plain = |status, name| Told { status, message: words.t(name).to_owned(), hint: None, original: None };
        match self {
            Self::SignedOut => plain(StatusCode::UNAUTHORIZED, "web_error.signed_out"),
            Self::Forbidden(name) => plain(StatusCode::FORBIDDEN, name),
            Self::NotFound => plain(StatusCode::NOT_FOUND, "web_error.not_found"),
            Self::Missing(name) => plain(StatusCode::NOT_FOUND, name),
            Self::Invalid(text) => Told { message: text.clone(), ..plain(StatusCode::UNPROCESSABLE_ENTITY, "") },
            Self::TooMany => plain(StatusCode::TOO_MANY_REQUESTS, "web_error.too_many"),
            Self::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, "web_error.busy"),
            Self::Crowded => plain(StatusCode::SERVICE_UNAVAILABLE, "web_error.crowded"),
            Self::Failed => plain(StatusCode::INTERNAL_SERVER_ERROR, "web_error.failed"),
            Self::Sql(error) if outage::is_busy(error) => plain(StatusCode::SERVICE_UNAVAILABLE, "web_error.busy"),
            Self::Sql(error) if outage::is_outage(error) => plain(StatusCode::SERVICE_UNAVAILABLE, "web_error.away"),
            Self::Sql(Error::Database(error)) => Told::of(error.downcast_ref::<PgDatabaseError>(), words),
            Self::Sql(error) => {
                tracing::error!(%error, "statement of a page failed");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "web_error.failed")
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
    pub(super) fn json(&self, words: &Words) -> Response {
        let Told { status, message, hint, original } = self.told(words);
        let hint = hint.or(original);
        let body = Json(json!({ "ok": false, "message": message, "hint": hint }));
        if self.is_signed_out() {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (status, body).into_response()
    }
}

/// An error in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// What is accepted.
    pub(super) hint: Option<String>,
    /// What the database said in English, with its hint, when the message has the reader's words for it.
    pub(super) original: Option<String>,
}

impl Told {
    /// An error that the database raised. Its words are those of its SQLSTATE, or of its class, with the field.
    fn of(error: &PgDatabaseError, words: &Words) -> Self {
        let code = error.code();
        let status = match code {
            "42501" => StatusCode::FORBIDDEN,
            code if ["WA", "22", "23"].iter().any(|class| code.starts_with(class)) => StatusCode::UNPROCESSABLE_ENTITY,
            // Errors of other classes may quote the statement.
            code => {
                tracing::error!(code, "statement of a page failed");
                let message = words.with("web_error.refused", code);
                return Self { status: StatusCode::INTERNAL_SERVER_ERROR, message, hint: None, original: None };
            }
        };
        let (message, hint) = (error.message().to_owned(), error.hint().map(str::to_owned));
        let word =
            [Some(code), code.get(..2)].into_iter().flatten().find_map(|code| words.find(&format!("sql_error.{code}")));
        let Some(word) = word else { return Self { status, message, hint, original: None } };
        let field = error.column().map(|field| words.with("web_error.field", field) + " ").unwrap_or_default();
        let original = hint.map_or_else(|| message.clone(), |hint| format!("{message}. {hint}"));
        Self { status, message: format!("{field}{word}"), hint: None, original: Some(original) }
    }
}

/// Whether a program asks, and not a browser for a page.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") || accept.contains("text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_every_sqlstate_has_words_in_each_other_language() {
        let list = include_str!("../../sql/schema/05_errors.sql");
        let codes = list.lines().filter_map(|line| line.trim().strip_prefix("('")?.split('\'').next());
        let codes: Vec<&str> = codes.chain(["22", "23", "23505", "42501"]).collect();
        assert!(codes.len() > 40, "{codes:?}");
        for words in Words::all().iter().filter(|words| !words.is_english()) {
            let missing = codes.iter().filter(|code| words.find(&format!("sql_error.{code}")).is_none());
            assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "{}", words.code);
        }
    }

    #[test]
    fn h2_errors_of_pages_are_in_the_readers_language() {
        let told = |language| {
            let words = Words::of(language).expect("a language");
            [
                WebError::SignedOut,
                WebError::Forbidden("web_error.scope"),
                WebError::NotFound,
                WebError::Missing("web_error.no_campaign"),
                WebError::TooMany,
                WebError::Busy,
                WebError::Crowded,
                WebError::Failed,
                Error::PoolTimedOut.into(),
                Error::RowNotFound.into(),
            ]
            .map(|error| error.told(words).message)
        };
        for (english, other) in told("en").iter().zip(told("ru")) {
            assert!(!english.contains("web_error") && *english != other, "{english}");
        }
    }
}
