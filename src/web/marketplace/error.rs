//! Why a program's request is not answered as it wishes: a status, a code and a sentence.

use crate::db::outage;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sqlx::error::DatabaseError;
use utoipa::ToSchema;

/// An error of the routes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// No token or key, or one that is not valid.
    #[error("the token is not valid, or has expired")]
    InvalidToken,
    /// The caller may not see this company.
    #[error("this is not the company of the token")]
    Forbidden,
    /// A field is missing or wrong; names it.
    #[error("{0}")]
    Invalid(String),
    /// Too many requests.
    #[error("too many requests; try again later")]
    RateLimit,
    /// No such company.
    #[error("no such company, or the partner has frozen or uninstalled it")]
    CompanyNotFound,
    /// No such route.
    #[error("there is no such page")]
    NotFound,
    /// No code came in time.
    #[error("no QR code yet; try again in a moment")]
    NoCode,
    /// The session cannot be linked; says why.
    #[error("{0}")]
    ConnectionFailed(String),
    /// An activation is under way.
    #[error("an activation of this company is under way")]
    ActivationInProgress,
    /// Somebody came from the partner too long ago.
    #[error("nobody has come from the partner for this company within 60 minutes; come from it again")]
    ActivationExpired,
    /// No phone is linked.
    #[error("no phone is linked to this company yet")]
    NotLinked,
    /// The partner did not accept the activation; says why.
    #[error("the partner did not accept the activation: {0}")]
    PartnerFailed(String),
    /// Other changes of this company have taken too long: somebody has locked its row.
    #[error("other changes of this company are under way; try again in a moment")]
    Busy,
    /// A statement failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always false.
    success: bool,
    /// In words.
    #[schema(example = "the token is not valid, or has expired")]
    error: String,
    /// For programs.
    #[schema(example = "INVALID_TOKEN")]
    code: &'static str,
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let plain = |status, code| (status, code, self.to_string());
        match self {
            Self::InvalidToken => plain(StatusCode::UNAUTHORIZED, "INVALID_TOKEN"),
            Self::Forbidden => plain(StatusCode::FORBIDDEN, "FORBIDDEN"),
            Self::Invalid(_) => plain(StatusCode::BAD_REQUEST, "VALIDATION_ERROR"),
            Self::RateLimit => plain(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT"),
            Self::CompanyNotFound => plain(StatusCode::NOT_FOUND, "COMPANY_NOT_FOUND"),
            Self::NotFound => plain(StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::NoCode => plain(StatusCode::GONE, "QR_EXPIRED"),
            Self::ConnectionFailed(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "CONNECTION_FAILED"),
            Self::ActivationInProgress => plain(StatusCode::CONFLICT, "ACTIVATION_IN_PROGRESS"),
            Self::ActivationExpired => plain(StatusCode::GONE, "ACTIVATION_EXPIRED"),
            Self::NotLinked => plain(StatusCode::BAD_REQUEST, "NOT_CONNECTED"),
            Self::PartnerFailed(_) => plain(StatusCode::BAD_GATEWAY, "PARTNER_FAILED"),
            Self::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, "DB_ERROR"),
            Self::Sql(error) => match error.as_database_error().and_then(DatabaseError::code).as_deref() {
                Some("WA060") => Self::CompanyNotFound.parts(),
                Some("WA061") => Self::Invalid("salon_id: accepted is a positive integer".into()).parts(),
                Some("WA028") => Self::RateLimit.parts(),
                _ if outage::is_outage(error) || outage::is_busy(error) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "DB_ERROR", "the database does not answer; try again".into())
                }
                _ => {
                    tracing::error!(%error, "statement of the marketplace failed");
                    let text = "the request failed; the log has the reason".to_owned();
                    (StatusCode::INTERNAL_SERVER_ERROR, "CONNECTION_FAILED", text)
                }
            },
        }
    }

    /// The sentence.
    pub(super) fn words(&self) -> String {
        self.parts().2
    }

    /// Whether the database does not answer.
    pub(super) fn is_outage(&self) -> bool {
        self.parts().1 == "DB_ERROR"
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, error) = self.parts();
        let mut response = (status, Json(Problem { success: false, error, code })).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}
