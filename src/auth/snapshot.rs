//! The whole auth state of a session at one moment, for a backup or an export.

use super::error::AuthError;
use super::vault::{SealPlace, Vault};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// No session has that name.
    #[error("there is no session {0:?}")]
    NoSession(String),
    /// The session has no credentials.
    #[error("the session {0:?} is not linked")]
    NotLinked(String),
    /// A value does not open.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The database refused or could not be reached.
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
    /// `wa.session.session_id`.
    pub session_id: i64,
    /// `wa.session.phone`.
    pub phone: Option<String>,
    /// A worker holds the session, and may advance its ratchets.
    pub held: bool,
    /// Names the database, the session and its last hold. While the session still has this generation, and nobody held
    /// it, its ratchets have not advanced.
    pub generation: String,
    /// Credentials and keys.
    pub state: State,
}

/// Reads the session named `name`, in two statements. In a transaction it also keeps workers from
/// claiming the session until the end.
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
    // One by one, so that values are opened while the server still sends the next ones.
    let mut rows = sqlx::query_file!("sql/auth/snapshot.sql", session_id).fetch(connection);
    let (mut creds, mut keys) = (None, vec![]);
    while let Some(row) = rows.try_next().await? {
        let place = SealPlace { session_id, kind: &row.kind, key_id: &row.key_id };
        let value = vault.unseal(place, row.value).map_err(|source| AuthError::Sealed {
            session_id,
            kind: row.kind.clone(),
            key_id: row.key_id.clone(),
            source,
        })?;
        if row.kind == SealPlace::CREDS {
            creds = Some(value);
        } else {
            keys.push(Key { kind: row.kind, id: row.key_id, value, expires_at: row.expires_at });
        }
    }
    Ok(creds.map(|creds| State { creds, keys }))
}
