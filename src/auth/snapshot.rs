//! The whole auth state of a session at one moment, for a copy of it.

use super::error::AuthError;
use super::vault::{Place, Vault};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Nobody has that name.
    #[error("there is no session {0:?}")]
    NoSession(String),
    /// There is nothing to copy.
    #[error("the session {0:?} is not linked")]
    NotLinked(String),
    /// A value does not open.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The database said so.
    #[error("the database: {0}")]
    Sql(#[from] sqlx::Error),
}

/// One key, in the clear. Secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// `wa.auth_key.kind`.
    pub kind: String,
    /// `wa.auth_key.key_id`.
    pub id: String,
    /// `wa.auth_key.value`.
    pub value: Value,
    /// `wa.auth_key.expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Credentials and keys, in the clear. Secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// `wa.auth.creds`.
    pub creds: Value,
    /// Rows of `wa.auth_key`.
    pub keys: Vec<Key>,
}

/// A session's auth state.
pub struct Snapshot {
    /// The session.
    pub session_id: i64,
    /// Its phone number.
    pub phone: Option<String>,
    /// Whether a worker holds it, and may turn its ratchets on.
    pub held: bool,
    /// Which database, session and hold it is of. As long as the session has this generation, and nobody held it, its
    /// ratchets stand where they stood.
    pub generation: String,
    /// What there is.
    pub state: State,
}

/// Reads the session named `name`, in two statements. Run it in a transaction to keep workers from taking it meanwhile.
///
/// # Errors
/// See [`SnapshotError`].
pub async fn read(connection: &mut PgConnection, vault: &Vault, name: &str) -> Result<Snapshot, SnapshotError> {
    let found = sqlx::query_file!("sql/auth/snapshot_session.sql", name).fetch_optional(&mut *connection).await?;
    let found = found.ok_or_else(|| SnapshotError::NoSession(name.into()))?;
    let session_id = found.session_id;
    let state = state(connection, vault, session_id).await?;
    let state = state.ok_or_else(|| SnapshotError::NotLinked(name.into()))?;
    Ok(Snapshot { session_id, phone: found.phone, held: found.held, generation: found.generation, state })
}

/// Credentials and all keys of a session, in one statement; `None` when it has no credentials.
///
/// # Errors
/// When the database fails, or a value is sealed and does not open.
pub async fn state(
    connection: &mut PgConnection,
    vault: &Vault,
    session_id: i64,
) -> Result<Option<State>, SnapshotError> {
    // One by one, so that values are read while the server still writes the next ones.
    let mut rows = sqlx::query_file!("sql/auth/snapshot.sql", session_id).fetch(connection);
    let (mut creds, mut keys) = (None, vec![]);
    while let Some(row) = rows.try_next().await? {
        let place = Place { session_id, kind: &row.kind, key_id: &row.key_id };
        let value = vault.unseal(place, row.value).map_err(|source| AuthError::Sealed {
            session_id,
            kind: row.kind.clone(),
            key_id: row.key_id.clone(),
            source,
        })?;
        if row.kind == Place::CREDS {
            creds = Some(value);
        } else {
            keys.push(Key { kind: row.kind, id: row.key_id, value, expires_at: row.expires_at });
        }
    }
    Ok(creds.map(|creds| State { creds, keys }))
}
