//! What can go wrong with auth state.

use wacore::store::error::StoreError;

use super::codec::DecodeError;
use super::vault::SealError;

/// An error of the auth state. Never holds or shows a value: it may be a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A write came under an epoch that is over: the session was given up or belongs to another worker now. Nothing was
    /// written, and nothing written by this holder will be.
    #[error("session {session_id} is no longer held under epoch {epoch}; nothing was written")]
    Stale {
        /// The session.
        session_id: i64,
        /// The epoch of the writer.
        epoch: i64,
    },
    /// A stored value is in no shape that is understood. It was left as it is.
    #[error("session {session_id}, {kind} {key_id:?}: {source}")]
    Unreadable {
        /// The session.
        session_id: i64,
        /// A kind of `wa.auth_key`, or `creds` for `wa.auth`.
        kind: &'static str,
        /// `wa.auth_key.key_id`, empty for `creds`.
        key_id: String,
        /// Which field, what was found and what is accepted.
        source: DecodeError,
    },
    /// A stored value is encrypted and does not open. It was left as it is.
    #[error("session {session_id}, {kind} {key_id:?}: {source}")]
    Sealed {
        /// The session.
        session_id: i64,
        /// A kind of `wa.auth_key`, or `creds` for `wa.auth`.
        kind: String,
        /// `wa.auth_key.key_id`, empty for `creds`.
        key_id: String,
        /// Which key it wants, and what is wrong.
        source: SealError,
    },
    /// A device of the client library could not be turned into JSON.
    #[error("session {session_id}: the device could not be written as JSON")]
    Encode {
        /// The session.
        session_id: i64,
        /// What the serialiser said.
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
    /// A message that was decrypted once and is nowhere. Whoever holds the session asks its sender for it again.
    #[error("session {session_id}: message {message_id} was read before and not kept")]
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
        /// What was being read or written.
        what: &'static str,
        /// What sqlx said.
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
