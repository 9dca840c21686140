//! Why an operation on a session failed.

use super::proxy::ProxyError;
use crate::auth::AuthError;
use crate::db::outage::is_busy;
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
    /// The database was restored or failed over, and no heartbeat has noticed it yet. What is stored may be older than what
    /// was used.
    #[error("the database has changed; the session connects once the worker has registered again")]
    Moved,
    /// The session could not be connected, and only a connection can unlink its device.
    #[error(
        "WhatsApp could not be told to unlink the device; the logout is tried again, and wa.logout(…, force => true) \
         deletes the auth state without telling WhatsApp"
    )]
    NotUnlinked,
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
            // An application has locked the session: nothing was tried.
            SessionError::Sql(error) if is_busy(&error) => Self::Release(text),
            SessionError::Sql(_) | SessionError::Auth(_) | SessionError::NotUnlinked => Self::Retry(text),
            SessionError::Lost(_) | SessionError::Moved => Self::Release(text),
            // Where building the client fails, the row of the next attempt is written.
            SessionError::NotLinked | SessionError::Build(_) => Self::Permanent(text),
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
    /// The address of the session's proxy cannot be read.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl BuildError {
    /// Includes every cause: the error of our own store is the last.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::Library(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}
