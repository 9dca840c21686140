//! Migrations, then everything that is replaced whole: functions, triggers, views.

use super::DbError;
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::{Connection, Executor, PgPool};

/// Files of `sql/schema`, in the order in which they are applied.
const SCHEMA: &[(&str, &str)] = &[
    ("10_doorbell.sql", include_str!("../../sql/schema/10_doorbell.sql")),
    ("20_sessions.sql", include_str!("../../sql/schema/20_sessions.sql")),
    ("21_workers.sql", include_str!("../../sql/schema/21_workers.sql")),
    ("22_auth.sql", include_str!("../../sql/schema/22_auth.sql")),
    ("23_passkey.sql", include_str!("../../sql/schema/23_passkey.sql")),
    ("24_session_states.sql", include_str!("../../sql/schema/24_session_states.sql")),
    ("25_events.sql", include_str!("../../sql/schema/25_events.sql")),
    ("26_event_kinds.sql", include_str!("../../sql/schema/26_event_kinds.sql")),
    ("27_regions.sql", include_str!("../../sql/schema/27_regions.sql")),
    ("28_kinds.sql", include_str!("../../sql/schema/28_kinds.sql")),
    ("29_phones.sql", include_str!("../../sql/schema/29_phones.sql")),
    ("30_outbound.sql", include_str!("../../sql/schema/30_outbound.sql")),
    ("31_downloads.sql", include_str!("../../sql/schema/31_downloads.sql")),
    ("32_consumers.sql", include_str!("../../sql/schema/32_consumers.sql")),
    ("33_actions.sql", include_str!("../../sql/schema/33_actions.sql")),
    ("34_functions.sql", include_str!("../../sql/schema/34_functions.sql")),
    ("35_pacing.sql", include_str!("../../sql/schema/35_pacing.sql")),
    ("40_maintenance.sql", include_str!("../../sql/schema/40_maintenance.sql")),
    ("45_cron.sql", include_str!("../../sql/schema/45_cron.sql")),
    ("50_schedule.sql", include_str!("../../sql/schema/50_schedule.sql")),
    ("60_views.sql", include_str!("../../sql/schema/60_views.sql")),
    ("61_history.sql", include_str!("../../sql/schema/61_history.sql")),
    ("62_campaigns.sql", include_str!("../../sql/schema/62_campaigns.sql")),
    ("90_roles.sql", include_str!("../../sql/schema/90_roles.sql")),
];

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The last migration that the database has seen, and the last one that this version knows.
///
/// # Errors
/// The database was never migrated, or does not answer.
pub async fn versions(pool: &PgPool) -> Result<(i64, i64), DbError> {
    let applied = pool.acquire().await?.list_applied_migrations("_sqlx_migrations").await?;
    let last = applied.iter().map(|migration| migration.version).max();
    Ok((last.unwrap_or(0), MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)))
}

/// Brings the schema `wa` up to this version. Safe to run from several processes at once: sqlx holds an advisory lock
/// for the migrations, and the replaced part is one transaction under a lock of its own.
///
/// # Errors
/// A migration that fails leaves the earlier ones in place; the replaced part applies whole or not at all.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    MIGRATIONS.run(pool).await?;
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
