//! Writes a converted auth state, all of it or nothing.

use super::{Converted, Problem, Report};
use crate::auth::arrival::{Arrival, ArrivalError, Refused};
use crate::auth::kind::Kind;
use crate::auth::snapshot::Key;
use crate::auth::vault::Vault;
use chrono::Utc;
use sqlx::{Acquire, PgConnection};

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The credentials are missing, unreadable or not those of a linked device.
    #[error("nothing was imported: {0}")]
    Creds(#[from] Problem),
    /// The session may not be written, or the database said so.
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
}

/// Writes `converted` into `session`, which is made for `tenant` when it is not there. Importing the same again is fine
/// until a connection has used it. With `dry_run` everything is done and taken back.
///
/// # Errors
/// See [`ImportError`]; nothing is changed then.
pub async fn import(
    connection: &mut PgConnection,
    vault: &Vault,
    session: &str,
    tenant: Option<&str>,
    converted: Converted,
    dry_run: bool,
) -> Result<Report, ImportError> {
    let Converted { device, creds, rows, refused, report } = converted;
    let transaction = connection.begin().await.map_err(ArrivalError::from)?;
    let mut arrival = Arrival::at(transaction, session, tenant, None, false).await?;
    arrival.creds(vault, &device, creds).await?;
    let now = Utc::now();
    let keys = rows.into_iter().map(|((kind, id), value)| {
        let ttl = Kind::named(kind).and_then(Kind::time_to_live);
        Key { kind: kind.to_owned(), id, value, expires_at: ttl.map(|ttl| now + ttl) }
    });
    arrival.keys(vault, keys).await?;
    let refused: Vec<_> = refused
        .iter()
        .map(|it| Refused { kind: &it.entry.kind, id: &it.entry.id, value: &it.entry.value, reason: &it.reason })
        .collect();
    arrival.refused(vault, &refused).await?;
    arrival.end(dry_run).await?;
    Ok(report)
}
