//! Secrets of webhooks, sealed like the auth state.

use super::codec;
use super::vault::{SealError, SealPlace, Vault};
use crate::config::Secret;
use crate::db::Db;
use serde_json::Value;

/// Why a secret of a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is sealed and does not open.
    #[error("a secret of the webhook does not open: {0}")]
    Sealed(#[from] SealError),
    /// It is no secret; `wa.rotate_webhook` makes another one.
    #[error("a secret of the webhook cannot be read; wa.rotate_webhook makes another one")]
    Unreadable,
}

/// The text in `wa.webhook_secret.value`, of this webhook and with this `secret_id`. An application wrote it in the
/// clear; with a key in force it is sealed here, when it is first used.
///
/// # Errors
/// [`SecretError`].
pub async fn webhook_secret(
    db: &Db,
    vault: &Vault,
    (webhook_id, secret_id): (i64, i64),
    stored: &Value,
) -> Result<Secret, SecretError> {
    let id = secret_id.to_string();
    let place = SealPlace::webhook(webhook_id, &id);
    if let Some(sealed) = vault.reseal(place, stored.clone())? {
        let seal = sqlx::query_file!("sql/webhooks/seal_secret.sql", secret_id, stored, sealed);
        if let Err(error) = seal.execute(db).await {
            tracing::warn!(webhook = webhook_id, %error, "secret of a webhook not sealed; it is when it is next used");
        }
    }
    let opened = vault.unseal(place, stored.clone())?;
    let text = codec::revive(&opened).and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Secret::new).ok_or(SecretError::Unreadable)
}

/// Seals the secrets of a webhook with the key in force, for somebody who has just made one and has the key. Leaves it to a
/// worker where this role may not read them.
///
/// # Errors
/// [`SealSecretsError`].
pub async fn seal_webhook_secrets(db: &Db, vault: &Vault, name: &str) -> Result<(), SealSecretsError> {
    if !sqlx::query_file_scalar!("sql/cli/may_seal.sql").fetch_one(db).await? {
        return Ok(());
    }
    for row in sqlx::query_file!("sql/cli/webhook_secrets.sql", name).fetch_all(db).await? {
        let id = row.secret_id.to_string();
        if let Some(sealed) = vault.reseal(SealPlace::webhook(row.webhook_id, &id), row.value.clone())? {
            sqlx::query_file!("sql/webhooks/seal_secret.sql", row.secret_id, row.value, sealed).execute(db).await?;
        }
    }
    Ok(())
}

/// Why secrets are not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealSecretsError {
    /// One of them is sealed with a key that is not there.
    #[error("a secret of the webhook cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// The database's.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}
