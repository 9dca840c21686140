//! Writing under the fence. Every write says by its type which keys it changes, so that the cache forgets them.

use super::AuthStore;
use crate::auth::codec;
use crate::auth::error::AuthError;
use crate::auth::key_id;
use crate::auth::kind::Kind;
use crate::auth::ratchets::Keys;
use crate::auth::vault::SealPlace;
use crate::db::fence::Fence;
use crate::db::storable::Storable;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a write changes: its subject in errors, and what the cache has to forget.
#[derive(Debug, Clone, Copy)]
pub(in crate::auth) enum Write<'a> {
    /// The credentials.
    Credentials,
    /// Keys of one kind, by id.
    Keys(Kind, &'a [String]),
    /// Any keys of one kind.
    AnyOf(Kind),
    /// The credentials and all keys.
    All,
}

impl Write<'_> {
    const fn label(self) -> &'static str {
        match self {
            Self::Credentials => SealPlace::CREDS,
            Self::Keys(kind, _) | Self::AnyOf(kind) => kind.name(),
            Self::All => "all keys and credentials",
        }
    }
}

/// The answer of a fenced statement.
pub(in crate::auth) trait Fenced {
    /// How many leases it found under the fence: 1, or 0 when the fence is stale and nothing was written.
    fn held(&self) -> i64;
}

/// The answer of a fenced write.
pub(in crate::auth) struct FencedWrite {
    pub(in crate::auth) held: i64,
    /// Rows written or deleted.
    pub(in crate::auth) affected: i64,
}

/// The answer of a fenced delete of one key.
struct FencedTake {
    held: i64,
    value: Option<Value>,
}

impl FencedWrite {
    /// The number of rows as the library counts them, in 32 bits.
    pub(in crate::auth) fn count(&self) -> u32 {
        u32::try_from(self.affected).unwrap_or(u32::MAX)
    }
}

impl Fenced for FencedWrite {
    fn held(&self) -> i64 {
        self.held
    }
}

impl Fenced for FencedTake {
    fn held(&self) -> i64 {
        self.held
    }
}

/// Keys to be written together. Sorted by id, which is the order in which every batch locks its rows. Of two values for
/// one id only the later is written, because a statement may not write a row twice.
pub(in crate::auth) type Batch = BTreeMap<String, Value>;

impl AuthStore {
    /// Runs a fenced statement that can be run twice: the only way to write. Tells a stale fence from a statement that
    /// had nothing to do.
    pub(in crate::auth) async fn write<T, F>(
        &self,
        write: Write<'_>,
        run: impl FnMut() -> F + Send,
    ) -> Result<T, AuthError>
    where
        T: Fenced,
        F: Future<Output = sqlx::Result<T>> + Send,
    {
        let writing = self.cache.writing(write);
        let answer = self.ask(write.label(), run).await?;
        writing.end();
        if answer.held() > 0 {
            return Ok(answer);
        }
        self.hold.lost.cancel();
        Err(AuthError::Stale { session_id: self.hold.fence.session_id, epoch: self.hold.fence.epoch })
    }

    /// Deletes the credentials and all keys of the session, for a logout. Returns the number of rows.
    pub async fn delete_all(&self) -> Result<u64, AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let run =
            || sqlx::query_file_as!(FencedWrite, "sql/auth/delete_all.sql", session_id, epoch).fetch_one(&self.hold.db);
        Ok(u64::try_from(self.write(Write::All, run).await?.affected).unwrap_or(0))
    }

    /// Moves the credentials and all keys of the session into the quarantine. Returns the number of rows.
    pub async fn quarantine_all(&self, reason: &str) -> Result<u64, AuthError> {
        let (Fence { session_id, epoch }, reason) = (self.hold.fence, Storable::error(reason));
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/quarantine_all.sql", session_id, epoch, reason.as_str())
                .fetch_one(&self.hold.db)
        };
        Ok(u64::try_from(self.write(Write::All, run).await?.affected).unwrap_or(0))
    }

    /// Writes one key.
    pub(in crate::auth) async fn put(&self, kind: Kind, key_id: String, value: Value) -> Result<(), AuthError> {
        self.put_many(kind, Batch::from([(key_id, value)])).await
    }

    /// Writes keys, in one statement.
    pub(in crate::auth) async fn put_many(&self, kind: Kind, batch: Batch) -> Result<(), AuthError> {
        if batch.is_empty() {
            return Ok(());
        }
        let _inbound_write = match kind {
            Kind::PendingInbound => Some(self.inbound_writes.read().await),
            Kind::Session | Kind::SenderKey => {
                self.wait_for_inbound().await;
                None
            }
            _ => None,
        };
        let sealed = batch.into_iter().map(|(key_id, value)| {
            let value = self.seal(kind, &key_id, value)?;
            Ok((key_id, value))
        });
        let (key_ids, values): (Vec<_>, Vec<_>) = sealed.collect::<Result<Vec<_>, AuthError>>()?.into_iter().unzip();
        let keys = Arc::new(Keys { kind, key_ids, values });
        let writing = self.cache.writing(Write::Keys(kind, &keys.key_ids));
        if !self.put_together(&keys).await {
            self.put_apart(&keys).await?;
        }
        writing.end();
        Ok(())
    }

    /// Writes ratchets together with those of other sessions. False for other kinds, and when it is not known whether
    /// they are written.
    async fn put_together(&self, keys: &Arc<Keys>) -> bool {
        let (Kind::Session | Kind::SenderKey, Some(ratchets)) = (keys.kind, &self.ratchets) else { return false };
        self.statements.fetch_add(1, Ordering::Relaxed);
        let written = self.hold.lost.run_until_cancelled(ratchets.put(self.hold.fence, keys.clone())).await;
        written.unwrap_or_default()
    }

    async fn put_apart(&self, keys: &Keys) -> Result<(), AuthError> {
        let (Fence { session_id, epoch }, Keys { kind, key_ids, values }) = (self.hold.fence, keys);
        let (name, ttl) = (kind.name(), kind.seconds_to_live());
        let run = || {
            let query =
                sqlx::query_file_as!(FencedWrite, "sql/auth/put.sql", session_id, epoch, name, key_ids, values, ttl);
            query.fetch_one(&self.hold.db)
        };
        self.write(Write::Keys(*kind, key_ids), run).await?;
        Ok(())
    }

    /// Deletes keys by id, in one statement.
    pub(in crate::auth) async fn remove(&self, kind: Kind, key_ids: &[String]) -> Result<(), AuthError> {
        if key_ids.is_empty() {
            return Ok(());
        }
        let Fence { session_id, epoch } = self.hold.fence;
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/remove.sql", session_id, epoch, kind.name(), key_ids)
                .fetch_one(&self.hold.db)
        };
        self.write(Write::Keys(kind, key_ids), run).await?;
        Ok(())
    }

    /// Deletes one key.
    pub(in crate::auth) async fn remove_one(&self, kind: Kind, key_id: String) -> Result<(), AuthError> {
        self.remove(kind, &[key_id]).await
    }

    /// Deletes all keys of a kind.
    pub(in crate::auth) async fn remove_kind(&self, kind: Kind) -> Result<(), AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/remove_kind.sql", session_id, epoch, kind.name())
                .fetch_one(&self.hold.db)
        };
        self.write(Write::AnyOf(kind), run).await?;
        Ok(())
    }

    /// Deletes the keys of a kind whose first part is `part`.
    pub(in crate::auth) async fn remove_under(&self, kind: Kind, part: &str) -> Result<(), AuthError> {
        let part = key_id::escape(part);
        let (from, until) = (format!("{part}|"), format!("{part}}}"));
        let (Fence { session_id, epoch }, name) = (self.hold.fence, kind.name());
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/remove_range.sql", session_id, epoch, name, &from, &until)
                .fetch_one(&self.hold.db)
        };
        self.write(Write::AnyOf(kind), run).await?;
        Ok(())
    }

    /// Deletes the keys of a kind last written before `cutoff`, in seconds since 1970. Returns how many.
    pub(in crate::auth) async fn remove_older(&self, kind: Kind, cutoff: i64) -> Result<u32, AuthError> {
        // The library calls this from time to time; memory that nobody asks for would otherwise stay.
        self.cache.drop_expired();
        let (Fence { session_id, epoch }, name) = (self.hold.fence, kind.name());
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/remove_older.sql", session_id, epoch, name, moment(cutoff))
                .fetch_one(&self.hold.db)
        };
        Ok(self.write(Write::AnyOf(kind), run).await?.count())
    }

    /// Deletes the keys of a kind whose deadline is at or before `cutoff`, in seconds since 1970. Returns how many.
    pub(in crate::auth) async fn remove_expired(&self, kind: Kind, cutoff: i64) -> Result<u32, AuthError> {
        let (Fence { session_id, epoch }, name) = (self.hold.fence, kind.name());
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/remove_expired.sql", session_id, epoch, name, moment(cutoff))
                .fetch_one(&self.hold.db)
        };
        Ok(self.write(Write::AnyOf(kind), run).await?.count())
    }

    /// Deletes one key and returns its bytes.
    pub(in crate::auth) async fn take_bytes(&self, kind: Kind, key_id: String) -> Result<Option<Vec<u8>>, AuthError> {
        let (Fence { session_id, epoch }, name) = (self.hold.fence, kind.name());
        let run = || {
            sqlx::query_file_as!(FencedTake, "sql/auth/take.sql", session_id, epoch, name, &key_id)
                .fetch_one(&self.hold.db)
        };
        let taken = self.write(Write::Keys(kind, std::slice::from_ref(&key_id)), run).await?;
        let Some(value) = taken.value else { return Ok(None) };
        let value = self.unseal(kind, &key_id, value)?;
        codec::bytes(&value, "value").map(Some).map_err(|source| self.unreadable(kind, &key_id, source))
    }
}

/// Seconds since 1970 as Postgres can hold them: a time out of its range becomes the end of the range.
pub(in crate::auth) fn moment(seconds: i64) -> DateTime<Utc> {
    const FIRST: i64 = -200_000_000_000; // year -4368
    const LAST: i64 = 253_402_300_799; // year 9999
    DateTime::from_timestamp(seconds.clamp(FIRST, LAST), 0).unwrap_or(DateTime::UNIX_EPOCH)
}
