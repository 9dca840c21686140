//! Writes a converted auth state, all of it or nothing.

use super::{Converted, Problem, Report};
use crate::auth::import_target::{ImportTarget, ImportTargetError, RefusedKey};
use crate::auth::kind::Kind;
use crate::auth::snapshot::Key;
use crate::auth::vault::Vault;
use chrono::{DateTime, Utc};
use sqlx::{Acquire, PgConnection};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The credentials are missing, unreadable or not those of a linked device.
    #[error("nothing was imported: {0}")]
    Creds(#[from] Problem),
    /// The session may not be written, or the database failed.
    #[error(transparent)]
    Target(#[from] ImportTargetError),
}

/// Writes `converted` into `session`, which is added for `tenant` if it does not exist. The same may be imported again
/// until a connection has used it. Times to live count from `now`. With `dry_run` everything is done and rolled back.
///
/// # Errors
/// See [`ImportError`]; nothing is changed then.
pub async fn import(
    connection: &mut PgConnection,
    vault: &Vault,
    session: &str,
    tenant: Option<&str>,
    converted: Converted,
    now: DateTime<Utc>,
    dry_run: bool,
) -> Result<Report, ImportError> {
    let Converted { device, creds, rows, refused, report, warnings: _ } = converted;
    let transaction = connection.begin().await.map_err(ImportTargetError::from)?;
    let mut target = ImportTarget::clear(transaction, session, tenant, None, false).await?;
    target.put_creds(vault, &device, creds).await?;
    let keys = rows.into_iter().map(|((kind, id), value)| {
        let ttl = Kind::named(kind).and_then(Kind::time_to_live);
        Key { kind: kind.to_owned(), id, value, expires_at: ttl.map(|ttl| now + ttl) }
    });
    target.put_keys(vault, keys).await?;
    let refused: Vec<_> = refused
        .iter()
        .map(|it| RefusedKey { kind: &it.entry.kind, id: &it.entry.id, value: &it.entry.value, reason: &it.reason })
        .collect();
    target.quarantine(vault, &refused).await?;
    target.end(dry_run).await?;
    Ok(report)
}
