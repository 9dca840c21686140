//! Migrations, then everything that is replaced whole: functions, triggers, views.

use super::DbError;
use sqlx::{Connection, Executor, PgPool};

/// Files of `sql/schema`, in the order in which they are applied.
const SCHEMA: &[(&str, &str)] = &[
    ("10_doorbell.sql", include_str!("../../sql/schema/10_doorbell.sql")),
    ("20_sessions.sql", include_str!("../../sql/schema/20_sessions.sql")),
    ("22_auth.sql", include_str!("../../sql/schema/22_auth.sql")),
    ("25_events.sql", include_str!("../../sql/schema/25_events.sql")),
    ("30_outbound.sql", include_str!("../../sql/schema/30_outbound.sql")),
    ("35_pacing.sql", include_str!("../../sql/schema/35_pacing.sql")),
    ("40_maintenance.sql", include_str!("../../sql/schema/40_maintenance.sql")),
    ("45_cron.sql", include_str!("../../sql/schema/45_cron.sql")),
    ("50_schedule.sql", include_str!("../../sql/schema/50_schedule.sql")),
    ("60_views.sql", include_str!("../../sql/schema/60_views.sql")),
    ("90_roles.sql", include_str!("../../sql/schema/90_roles.sql")),
];

/// Brings the schema `wa` up to this version. Safe to run from several processes at once: sqlx holds an advisory lock
/// for the migrations, and the replaced part is one transaction under a lock of its own.
///
/// # Errors
/// A migration that fails leaves the earlier ones in place; the replaced part applies whole or not at all.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    sqlx::migrate!("./migrations").run(pool).await?;
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    // A transaction-level lock works through poolers too; the number is "wagres" on a telephone keypad.
    tx.execute("SELECT pg_advisory_xact_lock(924737)").await?;
    // What is replaced may not be there yet, which is no news.
    tx.execute("SET LOCAL client_min_messages = warning").await?;
    for &(file, sql) in SCHEMA {
        (&mut *tx).execute(sqlx::raw_sql(sql)).await.map_err(|source| DbError::Schema { file, source })?;
    }
    tx.commit().await?;
    Ok(())
}
