//! The session that a backup or another program's auth state is written into: all of it, or nothing.

use super::codec::{self, storable};
use super::creds;
use super::key_id::escape;
use super::sealing::{self, SealingError};
use super::snapshot::Key;
use super::vault::{SealError, SealPlace, Vault};
use serde_json::Value;
use sqlx::{PgConnection, Postgres, Transaction};
use wacore::store::Device;

/// Keys in one statement.
const BATCH: usize = 2000;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ImportTargetError {
    /// A worker holds the session, which may be connected.
    #[error("nothing was written: {0:?} is held by a worker; close it first: SELECT wa.close('{0}')")]
    Held(String),
    /// The session is linked and has been used.
    #[error(
        "nothing was written: {0:?} is linked and has been connected; its ratchets would be rolled back. Use \
         another name, or log it out first: SELECT wa.logout('{0}')"
    )]
    Linked(String),
    /// The auth state of the database is sealed, and the vault has no key for it.
    #[error("nothing was written: {0}")]
    Sealing(#[from] SealingError),
    /// A value cannot be encrypted.
    #[error("nothing was written: a value is {0}")]
    Seal(#[from] SealError),
    /// The database refused or could not be reached. A bad name of a session or tenant is refused here, too.
    #[error("nothing was written: {0}")]
    Sql(#[from] sqlx::Error),
}

/// A session whose auth state is replaced, and the transaction that does it.
pub(super) struct ImportTarget<'t> {
    transaction: Transaction<'t, Postgres>,
    session_id: i64,
    /// The generation of the replaced auth state; `None` when the session was not linked.
    pub(super) generation: Option<String>,
}

/// A key that could not be converted, for the quarantine.
pub(super) struct RefusedKey<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) value: &'a Value,
    pub(super) reason: &'a str,
}

impl<'t> ImportTarget<'t> {
    /// Adds the session if it does not exist, and clears its auth state. Refuses a session that is in use. `same` is a
    /// generation that may be replaced although it was used.
    pub(super) async fn clear(
        mut transaction: Transaction<'t, Postgres>,
        session: &str,
        tenant: Option<&str>,
        same: Option<&str>,
        replace: bool,
    ) -> Result<Self, ImportTargetError> {
        sqlx::query_file!("sql/auth/import_session.sql", session, tenant).fetch_all(&mut *transaction).await?;
        let found = sqlx::query_file!("sql/auth/import_target.sql", session).fetch_one(&mut *transaction).await?;
        if found.held {
            return Err(ImportTargetError::Held(session.into()));
        }
        let linked = found.creds.is_some_and(creds::is_linked);
        if linked && !found.unused && !replace && same != Some(&found.generation) {
            return Err(ImportTargetError::Linked(session.into()));
        }
        let generation = linked.then_some(found.generation);
        sqlx::query_file!("sql/auth/import_clear.sql", found.session_id).execute(&mut *transaction).await?;
        Ok(Self { transaction, session_id: found.session_id, generation })
    }

    /// Writes the credentials and the session's identity.
    pub(super) async fn put_creds(
        &mut self,
        vault: &Vault,
        device: &Device,
        creds: Value,
    ) -> Result<(), ImportTargetError> {
        sealing::check(vault, self.connection()).await?;
        let creds = vault.seal(SealPlace::creds(self.session_id), storable(creds::tidied(creds)))?;
        let phone = device.pn.as_ref().map(|pn| pn.user.to_string());
        let [jid, lid] = [&device.pn, &device.lid].map(|jid| jid.as_ref().map(ToString::to_string));
        let done = sqlx::query_file!("sql/auth/import_creds.sql", self.session_id, creds, phone, jid, lid);
        done.execute(self.connection()).await?;
        Ok(())
    }

    /// Writes keys.
    pub(super) async fn put_keys(
        &mut self,
        vault: &Vault,
        keys: impl Iterator<Item = Key>,
    ) -> Result<(), ImportTargetError> {
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let (mut kinds, mut ids, mut values, mut deadlines) = (vec![], vec![], vec![], vec![]);
            for Key { kind, id, value, expires_at } in keys.by_ref().take(BATCH) {
                let place = SealPlace { session_id: self.session_id, kind: &kind, key_id: &id };
                values.push(vault.seal(place, value)?);
                kinds.push(kind);
                ids.push(id);
                deadlines.push(expires_at);
            }
            let id = self.session_id;
            sqlx::query_file!("sql/auth/import_keys.sql", id, &kinds, &ids, &values, &deadlines as &[Option<_>])
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Quarantines keys unchanged. With a key in force their JSON text is sealed as a whole, because any part of it may
    /// be secret.
    pub(super) async fn quarantine(
        &mut self,
        vault: &Vault,
        refused: &[RefusedKey<'_>],
    ) -> Result<(), ImportTargetError> {
        for refused in refused.chunks(BATCH) {
            let kinds: Vec<_> = refused.iter().map(|it| escape(it.kind).into_owned()).collect();
            let ids: Vec<_> = refused.iter().map(|it| escape(it.id).into_owned()).collect();
            let reasons: Vec<_> = refused.iter().map(|it| escape(it.reason).into_owned()).collect();
            let value = |(kind, key_id): (&String, &String), value: &Value| {
                if vault.current().is_none() {
                    return Ok(storable(value.clone()));
                }
                let place = SealPlace { session_id: self.session_id, kind, key_id };
                vault.seal(place, codec::buffer(value.to_string().as_bytes()))
            };
            let values = kinds.iter().zip(&ids).zip(refused).map(|(at, it)| value(at, it.value));
            let values = values.collect::<Result<Vec<_>, SealError>>()?;
            let id = self.session_id;
            sqlx::query_file!("sql/auth/import_refused.sql", id, &kinds, &ids, &values, &reasons)
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Makes chats start new Signal sessions. Returns the number of deleted keys.
    pub(super) async fn reset_ratchets(&mut self, reason: &str) -> Result<i64, ImportTargetError> {
        let id = self.session_id;
        Ok(sqlx::query_file_scalar!("sql/auth/reset_ratchets.sql", id, reason).fetch_one(self.connection()).await?)
    }

    /// Commits; with `dry_run` rolls back.
    pub(super) async fn end(self, dry_run: bool) -> Result<(), ImportTargetError> {
        if dry_run {
            self.transaction.rollback().await?;
        } else {
            self.transaction.commit().await?;
        }
        Ok(())
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
