//! `wagres migrate` beside open transactions and locks.

use super::{application, run};
use crate::support::logins::{DENIED, expect, login};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, PgConnection};
use std::time::{Duration, Instant};
use wagres::db::migrate::migrate;

/// `wagres migrate` behind an INSERT that stays open: other applications insert on, and it says who is in the way.
#[tokio::test]
async fn r8_migrate_holds_up_no_insert_and_names_who_is_in_its_way() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let (mut app, backend) = application(&db).await?;
    run(&mut app, "SET application_name = 'billing'; SELECT wa.add_session('shop')").await?;
    let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550001', 'x')";
    run(&mut app, &format!("BEGIN; {insert}")).await?;
    // As after an upgrade: the functions have changed.
    sqlx::query("UPDATE wa.schema_state SET hash = ''").execute(&db.pool).await?;
    let mut other = PgConnection::connect(&db.url).await?;
    let limit = Duration::from_secs(2);
    let migrating = wagres::db::migrate::migrate_within(&db.pool, limit);
    let inserting = async {
        // Waits at most for one turn of migrate, however long that is tried.
        run(&mut other, "SET statement_timeout = '5s'").await?;
        let end = Instant::now() + limit;
        while Instant::now() < end {
            run(&mut other, insert).await?;
            let advisory: i64 = sqlx::query_scalar(ADVISORY).fetch_one(&mut other).await?;
            ensure!(advisory == 0, "migrate holds a lock that everybody may take");
        }
        anyhow::Ok(())
    };
    let (refused, inserted) = tokio::join!(migrating, inserting);
    inserted?;
    let text = refused.err().context("migrated behind an open transaction")?.to_string();
    ensure!(text.contains("billing") && text.contains(&backend.to_string()) && text.contains("gave up"), "{text}");
    run(&mut app, "COMMIT").await?;
    migrate(&db.pool).await?;
    let current: bool = sqlx::query_scalar("SELECT hash <> '' FROM wa.schema_state").fetch_one(&db.pool).await?;
    ensure!(current, "not migrated");
    Ok(())
}

/// Advisory locks of this database.
const ADVISORY: &str = "SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Everybody who can log in may take any advisory lock, also the one that `migrate` once took. No application, and no
/// worker, may take the lock that it takes now.
#[tokio::test]
async fn r8_nobody_with_a_login_keeps_others_from_migrating() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let mut logins = vec![];
    for role in ["wa_app", "wa_admin", "wa_readonly", "wa_worker"] {
        let pool = login(&db, role, None).await?;
        for mode in
            ["ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]
        {
            let lock = format!("DO $$ BEGIN LOCK TABLE wa.schema_state IN {mode} MODE; END $$");
            expect(&pool, &[(&lock, DENIED)]).await?;
        }
        expect(&pool, &[("SELECT pg_advisory_lock_shared(924737)", Ok(1))]).await?;
        logins.push(pool);
    }
    sqlx::query("UPDATE wa.schema_state SET hash = ''").execute(&db.pool).await?;
    wagres::db::migrate::migrate_within(&db.pool, Duration::ZERO).await?;
    let current: bool = sqlx::query_scalar("SELECT hash <> '' FROM wa.schema_state").fetch_one(&db.pool).await?;
    ensure!(current, "not migrated");
    Ok(())
}

/// `wagres up` again: nothing has changed, so nothing is locked, whatever others hold.
#[tokio::test]
async fn r8_an_unchanged_schema_is_migrated_without_a_lock() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let (mut app, _) = application(&db).await?;
    run(
        &mut app,
        "BEGIN; LOCK TABLE wa.outbound, wa.inbox, wa.session IN ACCESS EXCLUSIVE MODE;
         LOCK TABLE wa.schema_state IN SHARE ROW EXCLUSIVE MODE",
    )
    .await?;
    wagres::db::migrate::migrate_within(&db.pool, Duration::ZERO).await?;
    let changed: String = sqlx::query_scalar("SELECT xmin::text FROM wa.schema_state").fetch_one(&db.pool).await?;
    run(&mut app, "ROLLBACK").await?;
    migrate(&db.pool).await?;
    let now: String = sqlx::query_scalar("SELECT xmin::text FROM wa.schema_state").fetch_one(&db.pool).await?;
    ensure!(now == changed, "applied again");
    Ok(())
}

/// A migration that is refused leaves nothing, and no lock, behind.
#[tokio::test]
async fn r8_a_migration_that_waits_for_a_lock_leaves_no_lock_behind() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let (mut app, _) = application(&db).await?;
    run(&mut app, "BEGIN; LOCK TABLE wa.outbound IN ROW EXCLUSIVE MODE").await?;
    sqlx::query("UPDATE wa.schema_state SET hash = ''").execute(&db.pool).await?;
    let migrating = wagres::db::migrate::migrate_within(&db.pool, Duration::from_secs(2));
    let looking = async {
        // Between two attempts.
        until("a moment without a lock of migrate", async || {
            let held: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                 WHERE a.application_name = 'wagres migrate' AND a.datname = current_database() AND l.locktype = 'relation'
                   AND l.mode NOT IN ('AccessShareLock')",
            )
            .fetch_one(&db.pool)
            .await?;
            let waits: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wagres migrate' AND datname = current_database()",
            )
            .fetch_one(&db.pool)
            .await?;
            Ok(if held == 0 && waits > 0 { Ok(()) } else { Err(format!("{held} held by {waits}")) })
        })
        .await
    };
    let (refused, looked) = tokio::join!(migrating, looking);
    looked?;
    ensure!(refused.is_err());
    Ok(())
}

/// Two processes migrate an empty database at once.
#[tokio::test]
async fn r8_two_migrations_at_once_both_succeed() -> Result<()> {
    let db = crate::support::db::fresh().await;
    sqlx::raw_sql("DROP SCHEMA wa CASCADE; DROP TABLE _sqlx_migrations").execute(&db.pool).await?;
    let (one, other) = tokio::join!(migrate(&db.pool), migrate(&db.pool));
    one?;
    other?;
    // And once more, with a schema that somebody has made before.
    sqlx::raw_sql("DROP SCHEMA wa CASCADE; DROP TABLE _sqlx_migrations; CREATE SCHEMA wa").execute(&db.pool).await?;
    let (one, other) = tokio::join!(migrate(&db.pool), migrate(&db.pool));
    one?;
    other?;
    let sessions: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.session").fetch_one(&db.pool).await?;
    ensure!(sessions == 0);
    Ok(())
}
