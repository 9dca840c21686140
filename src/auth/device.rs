//! `DeviceStore`: the credentials as a whole.

use async_trait::async_trait;
use wacore::{
    stats::StorageResourceReport,
    store::{Device, error::Result, traits::DeviceStore},
};

use super::codec::{self, DecodeError};
use super::vault::Vault;
use super::{
    creds,
    error::AuthError,
    store::{AuthStore, FencedWrite, Write},
    vault::SealPlace,
};
use crate::config::Secret;
use crate::db::Db;
use crate::db::hold::Hold;
use serde_json::Value;
use std::sync::Arc;

const CREDS: &str = SealPlace::CREDS;
const PROXY: &str = SealPlace::PROXY;

/// Which credentials a session has, and how it connects.
#[expect(clippy::struct_excessive_bools, reason = "each is independent of the others")]
#[derive(Debug, Clone, Default)]
pub struct SessionCredentials {
    /// The credentials are those of a linked device, which logs in without a scan.
    pub linked: bool,
    /// The ratchets may have been used elsewhere: by another program since an export, or before the database was
    /// restored.
    pub ratchets_old: bool,
    /// The database was restored or failed over, and no heartbeat has noticed it yet.
    pub moved: bool,
    /// `wa.proxy.url`, for [`proxy_url`].
    pub proxy: Option<Value>,
    /// `wa.session.keep_past`.
    pub keep_past: bool,
    /// `wa.session.tenant`.
    pub tenant: Arc<str>,
}

/// Reads which credentials a session has.
pub async fn session_credentials(pool: &Db, session_id: i64) -> std::result::Result<SessionCredentials, AuthError> {
    let row = sqlx::query_file!("sql/auth/creds_state.sql", session_id).fetch_optional(pool).await;
    let row = row.map_err(|source| AuthError::Database { session_id, what: CREDS, source })?;
    Ok(row.map_or_else(SessionCredentials::default, |row| SessionCredentials {
        linked: row.creds.is_some_and(creds::is_linked),
        ratchets_old: row.ratchets_old,
        moved: row.moved,
        proxy: row.proxy,
        keep_past: row.keep_past,
        tenant: row.tenant.into(),
    }))
}

/// The address in `wa.proxy.url` of a held session. An application wrote it in the clear; with a key in force it is
/// sealed here, when it is first used.
///
/// # Errors
/// The value is sealed and does not open, or the database failed.
pub async fn proxy_url(hold: &Hold, vault: &Vault, stored: &Value) -> std::result::Result<Secret, AuthError> {
    let session_id = hold.fence.session_id;
    let place = SealPlace::proxy(session_id);
    let closed = |source| AuthError::Sealed { session_id, kind: PROXY.into(), key_id: String::new(), source };
    if let Some(sealed) = vault.reseal(place, stored.clone()).map_err(closed)? {
        let seal = sqlx::query_file!("sql/auth/seal_proxy.sql", session_id, hold.fence.epoch, stored, sealed);
        seal.execute(&hold.db).await.map_err(|source| AuthError::Database { session_id, what: PROXY, source })?;
    }
    let opened = vault.unseal(place, stored.clone()).map_err(closed)?;
    let url = codec::revive(&opened).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        let source = DecodeError::new("url", codec::shape(&opened), "bytes of an address");
        AuthError::Unreadable { session_id, kind: PROXY, key_id: String::new(), source }
    })?;
    Ok(Secret::new(url))
}

impl AuthStore {
    fn creds_of(&self, device: &Device) -> std::result::Result<serde_json::Value, AuthError> {
        let creds = creds::to_json(device);
        let creds = creds.map_err(|source| AuthError::Encode { session_id: self.fence().session_id, source })?;
        self.seal_creds(creds)
    }

    /// Remembers the identity key, which never changes for a device.
    fn remember_identity(&self, device: &Device) {
        self.identity.get_or_init(|| device.identity_key.private_key.clone());
    }
}

#[async_trait]
impl DeviceStore for AuthStore {
    async fn save(&self, device: &Device) -> Result<()> {
        let _turn = self.saving.lock().await;
        self.remember_identity(device);
        let (fence, creds) = (self.fence(), self.creds_of(device)?);
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/creds_put.sql", fence.session_id, fence.epoch, creds)
                .fetch_one(self.pool())
        };
        self.write(Write::Credentials, run).await?;
        Ok(())
    }

    async fn load(&self) -> Result<Option<Device>> {
        let session_id = self.fence().session_id;
        let run = || sqlx::query_file_scalar!("sql/auth/creds_get.sql", session_id).fetch_optional(self.pool());
        let Some(value) = self.ask(CREDS, run).await? else { return Ok(None) };
        let device = creds::from_json(self.unseal_creds(value)?).map_err(|source| AuthError::Unreadable {
            session_id,
            kind: CREDS,
            key_id: String::new(),
            source,
        })?;
        self.remember_identity(&device);
        Ok(Some(device))
    }

    async fn exists(&self) -> Result<bool> {
        let run =
            || sqlx::query_file_scalar!("sql/auth/creds_exists.sql", self.fence().session_id).fetch_one(self.pool());
        Ok(self.ask(CREDS, run).await?)
    }

    /// A session has one device, so its number is always 1.
    async fn create(&self) -> Result<i32> {
        let (fence, creds) = (self.fence(), self.creds_of(&Device::new())?);
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/creds_create.sql", fence.session_id, fence.epoch, creds)
                .fetch_one(self.pool())
        };
        self.write(Write::Credentials, run).await?;
        Ok(1)
    }

    /// The auth state is not kept in memory.
    async fn resource_report(&self) -> StorageResourceReport {
        StorageResourceReport { memory_bytes: Some(0), ..StorageResourceReport::default() }
    }
}
