//! The secrets of a webhook: keys that sign, and the user's own headers.

use super::sign::SigningKey;
use crate::auth::{SecretError, Vault, webhook_secret};
use crate::db::Db;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A row of `wa.webhook_secret`.
#[derive(Deserialize)]
struct Row {
    secret_id: i64,
    purpose: String,
    value: Value,
}

/// Keys and headers of a webhook.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The keys, the newest first.
    pub keys: Vec<SigningKey>,
    /// The headers.
    pub headers: HeaderMap,
}

/// Opens the secrets of a webhook. With a key in force, those in the clear are sealed here, when they are first used.
///
/// # Errors
/// [`SecretError`]; a secret that is none is unreadable, too.
pub async fn open(db: &Db, vault: &Vault, webhook_id: i64, rows: &Value) -> Result<Secrets, SecretError> {
    let rows = Vec::<Row>::deserialize(rows).map_err(|_| SecretError::Unreadable)?;
    let mut secrets = Secrets::default();
    for row in rows {
        let opened = webhook_secret(db, vault, (webhook_id, row.secret_id), &row.value).await?;
        if row.purpose == "signing" {
            secrets.keys.push(SigningKey::parse(opened.expose()).ok_or(SecretError::Unreadable)?);
            continue;
        }
        let headers: BTreeMap<String, String> =
            serde_json::from_str(opened.expose()).map_err(|_| SecretError::Unreadable)?;
        for (name, value) in headers {
            let name = HeaderName::try_from(name).map_err(|_| SecretError::Unreadable)?;
            let mut value = HeaderValue::try_from(value).map_err(|_| SecretError::Unreadable)?;
            value.set_sensitive(true);
            secrets.headers.insert(name, value);
        }
    }
    if secrets.keys.is_empty() { Err(SecretError::Unreadable) } else { Ok(secrets) }
}
