//! API keys on their way to the partner, sealed like the auth state.

use super::codec;
use super::vault::{SealPlace, Vault};
use super::webhook::SecretError;
use crate::config::Secret;
use crate::db::Db;
use serde_json::Value;

/// The API key in `wa.partner_key.value` of this call. A function wrote it in the clear; with a key in force it is sealed
/// here, before the first attempt.
///
/// # Errors
/// [`SecretError`].
pub async fn partner_key(db: &Db, vault: &Vault, call_id: i64, stored: &Value) -> Result<Secret, SecretError> {
    let place = SealPlace::partner(call_id);
    if let Some(sealed) = vault.reseal(place, stored.clone())? {
        let seal = sqlx::query_file!("sql/partner/seal_key.sql", call_id, stored, sealed);
        if let Err(error) = seal.execute(db).await {
            tracing::warn!(call = call_id, %error, "API key of a company not sealed; it is at the next attempt");
        }
    }
    let opened = vault.unseal(place, stored.clone())?;
    let text = codec::revive(&opened).and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Secret::new).ok_or(SecretError::Unreadable)
}
