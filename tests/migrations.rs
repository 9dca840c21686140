//! Databases that `migrate` cannot bring up to date (R3).

use crate::support::db;
use anyhow::{Result, ensure};
use sqlx::migrate::MigrateError;
use wagres::db::DbError;
use wagres::db::migrate::{migrate, versions};

#[tokio::test]
async fn r3_a_database_of_an_older_layout_is_refused_with_the_remedy() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop');
         UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1;
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (31, 'past', true, '\\x00', 0)",
    )
    .execute(&db.pool)
    .await?;
    let refused = migrate(&db.pool).await;
    ensure!(matches!(refused, Err(DbError::OldLayout)), "{refused:?}");
    let text = refused.map_or_else(|error| error.to_string(), |()| String::new());
    ensure!(text.contains("before the first release") && text.contains("wagres backup"), "{text}");
    ensure!(matches!(versions(&db.pool).await, Err(DbError::OldLayout)), "wagres doctor would not report it");
    // Nothing was changed, so the sessions can still be saved.
    let (sessions,): (i64,) = sqlx::query_as("SELECT count(*) FROM wa.session").fetch_one(&db.pool).await?;
    ensure!(sessions == 1, "the session was lost");
    Ok(())
}

#[tokio::test]
async fn r3_a_database_of_a_newer_version_is_not_mistaken_for_an_older_one() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1000, 'later', true, '\\x00', 0)",
    )
    .execute(&db.pool)
    .await?;
    let refused = migrate(&db.pool).await;
    ensure!(matches!(refused, Err(DbError::Migrate(MigrateError::VersionMissing(1000)))), "{refused:?}");
    Ok(())
}
