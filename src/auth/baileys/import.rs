//! Writes a converted auth state, all of it or nothing.

use super::{Converted, Problem, Report};
use crate::auth::codec::storable;
use crate::auth::creds;
use crate::auth::key_id::escape;
use sqlx::{Acquire, PgConnection};

/// Keys of one statement.
const BATCH: usize = 2000;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The credentials are missing, unreadable or not those of a linked device.
    #[error("nothing was imported: {0}")]
    Creds(#[from] Problem),
    /// A worker holds the session, so it may be connected.
    #[error("nothing was imported: {0:?} is held by a worker; close it first: SELECT wa.close('{0}')")]
    Held(String),
    /// The session is linked already.
    #[error(
        "nothing was imported: {0:?} is linked and has been connected; an import would take its ratchets back. Import under \
         another name, or log it out first: SELECT wa.logout('{0}')"
    )]
    Linked(String),
    /// The database said so; also about a bad name of a session or tenant.
    #[error("nothing was imported: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Writes `converted` into `session`, which is made for `tenant` when it is not there. Importing the same again is fine
/// until a connection has used it. With `dry_run` everything is done and taken back.
///
/// # Errors
/// See [`ImportError`]; nothing is changed then.
pub async fn import(
    connection: &mut PgConnection,
    session: &str,
    tenant: Option<&str>,
    converted: Converted,
    dry_run: bool,
) -> Result<Report, ImportError> {
    let Converted { device, creds, rows, refused, report } = converted;
    let mut transaction = connection.begin().await?;
    sqlx::query_file!("sql/auth/import_session.sql", session, tenant).fetch_all(&mut *transaction).await?;
    let target = sqlx::query_file!("sql/auth/import_target.sql", session).fetch_one(&mut *transaction).await?;
    if target.held {
        return Err(ImportError::Held(session.into()));
    }
    if target.creds.is_some_and(creds::is_linked) && !target.unused_import {
        return Err(ImportError::Linked(session.into()));
    }
    let id = target.session_id;
    sqlx::query_file!("sql/auth/import_clear.sql", id).execute(&mut *transaction).await?;
    let [phone, jid] = [device.pn.as_ref().map(|pn| pn.user.to_string()), device.pn.as_ref().map(ToString::to_string)];
    let lid = device.lid.as_ref().map(ToString::to_string);
    sqlx::query_file!("sql/auth/import_creds.sql", id, storable(creds), phone, jid, lid)
        .execute(&mut *transaction)
        .await?;
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let batch = rows.by_ref().take(BATCH).map(|((kind, key_id), value)| ((kind.to_owned(), key_id), value));
        let (names, values): (Vec<_>, Vec<_>) = batch.unzip();
        let (kinds, key_ids): (Vec<_>, Vec<_>) = names.into_iter().unzip();
        sqlx::query_file!("sql/auth/import_keys.sql", id, &kinds, &key_ids, &values).execute(&mut *transaction).await?;
    }
    for refused in refused.chunks(BATCH) {
        let kinds: Vec<_> = refused.iter().map(|it| escape(&it.entry.kind).into_owned()).collect();
        let ids: Vec<_> = refused.iter().map(|it| escape(&it.entry.id).into_owned()).collect();
        let values: Vec<_> = refused.iter().map(|it| storable(it.entry.value.clone())).collect();
        let reasons: Vec<_> = refused.iter().map(|it| escape(&it.reason).into_owned()).collect();
        sqlx::query_file!("sql/auth/import_refused.sql", id, &kinds, &ids, &values, &reasons)
            .execute(&mut *transaction)
            .await?;
    }
    if dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(report)
}
