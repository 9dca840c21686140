//! Why an operation on a session failed.

use super::proxy::ProxyError;
use crate::auth::AuthError;
use crate::jobs::JobError;

/// An operation on a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The hold is lost: another worker holds the session, or nobody.
    #[error("the session is no longer held here (epoch {0})")]
    Lost(i64),
    /// The session was never linked, or was logged out.
    #[error("the session is not linked; SELECT wa.link(…) shows a QR code")]
    NotLinked,
    /// The job needs a connection.
    #[error("the session is not connected")]
    NotConnected,
    /// The database refused, or did not answer.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The auth state cannot be read or written.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The client cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl From<SessionError> for JobError {
    fn from(error: SessionError) -> Self {
        let text = error.to_string();
        match error {
            SessionError::Sql(_) | SessionError::Auth(_) => Self::Retry(text),
            SessionError::Lost(_) => Self::Release(text),
            // Where building the client fails, the row of the next attempt is written.
            SessionError::NotLinked | SessionError::NotConnected | SessionError::Build(_) => Self::Permanent(text),
        }
    }
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The library's text, with every cause.
    #[error("building the client: {0}")]
    Library(String),
    /// The session's proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

impl BuildError {
    /// Includes every cause: the error of our own store is the last.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::Library(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}
