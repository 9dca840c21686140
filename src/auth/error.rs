//! Errors of the auth state.

use wacore::store::error::StoreError;

use super::codec::DecodeError;
use super::vault::SealError;

/// An error of the auth state. Never holds or shows a value: it may be a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The epoch of a write is over: the session was released, or belongs to another worker now. Nothing was written,
    /// and no later write of this holder will be accepted.
    #[error("session {session_id} is no longer held under epoch {epoch}; nothing was written")]
    Stale {
        /// The session.
        session_id: i64,
        /// The epoch of the writer.
        epoch: i64,
    },
    /// A stored value is in no known shape. A key is quarantined with this reason; credentials stay in place.
    #[error("session {session_id}, {kind} {key_id:?}: {source}")]
    Unreadable {
        /// The session.
        session_id: i64,
        /// A kind of `wa.auth_key`, or `creds` for `wa.auth`.
        kind: &'static str,
        /// `wa.auth_key.key_id`, empty for `creds`.
        key_id: String,
        /// The field, the shape found and the shapes accepted.
        source: DecodeError,
    },
    /// A stored value is encrypted and does not open. It stays in place.
    #[error("session {session_id}, {kind} {key_id:?}: {source}")]
    Sealed {
        /// The session.
        session_id: i64,
        /// A kind of `wa.auth_key`, or `creds` for `wa.auth`.
        kind: String,
        /// `wa.auth_key.key_id`, empty for `creds`.
        key_id: String,
        /// The encryption key that it needs, and the problem.
        source: SealError,
    },
    /// A device of the client library could not be encoded.
    #[error("session {session_id}: the device could not be encoded as JSON")]
    Encode {
        /// The session.
        session_id: i64,
        /// The serialiser's error.
        source: serde_json::Error,
    },
    /// A number of the client library is out of the range of its column.
    #[error("session {session_id}, {kind}: a number is out of range")]
    OutOfRange {
        /// The session.
        session_id: i64,
        /// A kind of `wa.auth_key`.
        kind: &'static str,
    },
    /// A message was decrypted before and is stored nowhere. The session's holder asks the sender for it again.
    #[error("session {session_id}: message {message_id} was decrypted before and is not stored")]
    Missed {
        /// The session.
        session_id: i64,
        /// The message's id.
        message_id: String,
    },
    /// Postgres refused or could not be reached.
    #[error("session {session_id}, {what}: the database failed")]
    Database {
        /// The session.
        session_id: i64,
        /// The subject of the statement: a kind, or `creds`.
        what: &'static str,
        /// The driver's error.
        source: sqlx::Error,
    },
}

impl AuthError {
    /// Whether `error`, or anything that caused it, is [`AuthError::Stale`].
    #[must_use]
    pub fn is_stale(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if matches!(error.downcast_ref(), Some(Self::Stale { .. })) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl From<AuthError> for StoreError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unreadable { .. }
            | AuthError::Sealed { .. }
            | AuthError::Encode { .. }
            | AuthError::OutOfRange { .. } => Self::Serialization(Box::new(error)),
            AuthError::Database {
                source: sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed,
                ..
            } => Self::Connection(Box::new(error)),
            AuthError::Stale { .. } | AuthError::Missed { .. } | AuthError::Database { .. } => {
                Self::Database(Box::new(error))
            }
        }
    }
}
