//! Reading keys. A key that cannot be decoded goes into the quarantine.

use super::AuthStore;
use super::cache::Lookup;
use super::write::{FencedWrite, Write};
use crate::auth::codec::{self, DecodeError};
use crate::auth::error::AuthError;
use crate::auth::key_id;
use crate::auth::kind::Kind;
use crate::db::fence::Fence;
use crate::telemetry;
use serde_json::Value;

/// A key as it was read, not yet opened.
pub(in crate::auth) struct KeyRow {
    pub(in crate::auth) key_id: String,
    pub(in crate::auth) value: Value,
}

impl AuthStore {
    /// Opens and decodes a value. A value in no known shape is quarantined, and the key counts as missing: the library
    /// then does what it does without the key, and what it writes instead overwrites nothing. A sealed value that does
    /// not open stays in place, because the configured encryption keys may be the wrong ones.
    pub(in crate::auth) async fn decode<T, F>(&self, kind: Kind, row: KeyRow, decode: F) -> Result<Option<T>, AuthError>
    where
        T: Send,
        F: Fn(Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let KeyRow { key_id, value } = row;
        if let Ok(value) = decode(self.unseal(kind, &key_id, value)?) {
            return Ok(Some(value));
        }
        // The value may be from the cache, or rewritten since.
        let Some(stored) = self.get_raw(kind, &key_id).await? else { return Ok(None) };
        match decode(self.unseal(kind, &key_id, stored.clone())?) {
            Ok(value) => return Ok(Some(value)),
            Err(problem) => self.quarantine(kind, key_id, stored, problem).await?,
        }
        Ok(None)
    }

    /// Moves a key into the quarantine, unless its value is no longer `stored`.
    async fn quarantine(
        &self,
        kind: Kind,
        key_id: String,
        stored: Value,
        problem: DecodeError,
    ) -> Result<(), AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let (name, reason) = (kind.name(), key_id::escape(&problem.to_string()).into_owned());
        let run = || {
            let query = sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/quarantine.sql",
                session_id,
                epoch,
                name,
                &key_id,
                stored,
                &reason
            );
            query.fetch_one(&self.hold.db)
        };
        self.write(Write::Keys(kind, std::slice::from_ref(&key_id)), run).await?;
        telemetry::key_quarantined(name);
        let error = self.unreadable(kind, &key_id, problem);
        tracing::warn!(%error, "key quarantined; the session continues without it");
        Ok(())
    }

    /// Decodes keys of one kind; leaves out those that cannot be decoded.
    pub(in crate::auth) async fn decode_all<T, F>(
        &self,
        kind: Kind,
        rows: Vec<KeyRow>,
        decode: F,
    ) -> Result<Vec<T>, AuthError>
    where
        T: Send,
        F: Fn(&str, Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let mut decoded = Vec::with_capacity(rows.len());
        for row in rows {
            let key_id = row.key_id.clone();
            decoded.extend(self.decode(kind, row, |value| decode(&key_id, value)).await?);
        }
        Ok(decoded)
    }

    pub(super) async fn get_raw(&self, kind: Kind, key_id: &str) -> Result<Option<Value>, AuthError> {
        let run = || {
            sqlx::query_file_scalar!("sql/auth/get.sql", self.hold.fence.session_id, kind.name(), key_id)
                .fetch_optional(&self.hold.db)
        };
        self.ask(kind.name(), run).await
    }

    /// Reads one key.
    pub(in crate::auth) async fn get<T, F>(&self, kind: Kind, key_id: &str, decode: F) -> Result<Option<T>, AuthError>
    where
        T: Send,
        F: Fn(Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let value = match self.cache.take(kind, key_id) {
            Lookup::Value(value) => Some(value),
            Lookup::Absent => None,
            Lookup::Unknown if kind == Kind::DeviceList => self.devices(key_id).await?,
            Lookup::Unknown => self.get_raw(kind, key_id).await?,
        };
        let Some(value) = value else { return Ok(None) };
        self.decode(kind, KeyRow { key_id: key_id.to_owned(), value }, decode).await
    }

    /// Reads one key whose value is bytes.
    pub(in crate::auth) async fn get_bytes(&self, kind: Kind, key_id: &str) -> Result<Option<Vec<u8>>, AuthError> {
        self.get(kind, key_id, |value| codec::bytes(&value, "value")).await
    }

    /// Reads those of several keys that exist.
    pub(in crate::auth) async fn get_many(&self, kind: Kind, key_ids: &[String]) -> Result<Vec<KeyRow>, AuthError> {
        if key_ids.is_empty() {
            return Ok(Vec::new());
        }
        let run = || {
            sqlx::query_file_as!(KeyRow, "sql/auth/get_many.sql", self.hold.fence.session_id, kind.name(), key_ids)
                .fetch_all(&self.hold.db)
        };
        self.ask(kind.name(), run).await
    }

    /// Reads all keys of a kind.
    pub(in crate::auth) async fn list(&self, kind: Kind) -> Result<Vec<KeyRow>, AuthError> {
        let run = || {
            sqlx::query_file_as!(KeyRow, "sql/auth/list.sql", self.hold.fence.session_id, kind.name())
                .fetch_all(&self.hold.db)
        };
        self.ask(kind.name(), run).await
    }

    /// Reads the ids of all keys of a kind.
    pub(in crate::auth) async fn list_ids(&self, kind: Kind) -> Result<Vec<String>, AuthError> {
        let run = || {
            sqlx::query_file_scalar!("sql/auth/list_ids.sql", self.hold.fence.session_id, kind.name())
                .fetch_all(&self.hold.db)
        };
        self.ask(kind.name(), run).await
    }

    /// Whether a key exists.
    pub(in crate::auth) async fn has(&self, kind: Kind, key_id: &str) -> Result<bool, AuthError> {
        if let Some(known) = self.cache.has(kind, key_id) {
            return Ok(known);
        }
        let run = || {
            sqlx::query_file_scalar!("sql/auth/has.sql", self.hold.fence.session_id, kind.name(), key_id)
                .fetch_one(&self.hold.db)
        };
        self.ask(kind.name(), run).await
    }
}
