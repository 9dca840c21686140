//! Rows of `wa.schedule`: refusals, and the default schedules.

use super::{Scheduled, one};
use crate::support::db;
use anyhow::{Context, Result, ensure};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgDatabaseError;

#[tokio::test]
async fn q10_a_bad_schedule_is_refused_with_its_column_and_the_accepted_values() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    world.sql("SELECT wa.add_session('shop'); SELECT wa.schedule('x', '* * * * *', 'sweep_keys')").await?;
    let insert = |columns: &str, values: &str| {
        format!("INSERT INTO wa.schedule (name, cron, kind{columns}) VALUES ('y', '* * * * *', {values})")
    };
    for (sql, code, names, accepted) in [
        ("SELECT wa.schedule('two words', '* * * * *', 'sweep_keys')".into(), "WA005", "name", "1 to 63"),
        ("SELECT wa.schedule('y', '* * *', 'sweep_keys')".into(), "WA020", "cron", "30 3 * * *"),
        ("SELECT wa.schedule('y')".into(), "WA020", "cron", "30 3 * * *"),
        ("UPDATE wa.schedule SET cron = '61 * * * *'".into(), "WA020", "cron", "0 to 59"),
        ("UPDATE wa.schedule SET time_zone = 'Europe/Berlinn'".into(), "WA021", "time_zone", "Europe/Berlin"),
        ("UPDATE wa.schedule SET time_zone = 'UTC+3'".into(), "WA021", "time_zone", "pg_timezone_names"),
        ("UPDATE wa.schedule SET time_zone = 'posixrules'".into(), "WA021", "time_zone", "Europe/Berlin"),
        ("UPDATE wa.schedule SET time_zone = 'Factory'".into(), "WA021", "time_zone", "Europe/Berlin"),
        ("UPDATE wa.schedule SET time_zone = 'localtime'".into(), "WA021", "time_zone", "Europe/Berlin"),
        ("UPDATE wa.schedule SET time_zone = 'posix/Europe/Berlin'".into(), "WA021", "time_zone", "Europe/Berlin"),
        (insert("", "NULL"), "WA004", "kind", "sweep_keys"),
        (insert("", "'explode'"), "WA004", "kind", "connect, close"),
        (insert(", session", "'close', 'nobody'"), "WA001", "session", "wa.session"),
        (insert("", "'close'"), "WA001", "session", "name of a session"),
        (insert(", session", "'sweep_keys', 'shop'"), "WA001", "session", "null"),
        (insert(", args", "'sweep_keys', '{\"batch\": 1001}'"), "WA022", "args", "1 to 1000"),
        (insert(", args", "'sweep_keys', '{\"inbox_days\": 1}'"), "WA022", "args", "accepted for sweep_keys: batch"),
        (insert(", args", "'retention', '{\"inbox_days\": 0}'"), "WA022", "args", "null to keep for ever"),
        (insert(", args", "'retention', '[]'"), "WA022", "args", "JSON object"),
        (insert(", session, args", "'close', 'shop', '{\"a\": 1}'"), "WA022", "args", "takes none"),
        (insert(", session, args", "'text', 'shop', '{\"body\": \"x\"}'"), "WA022", "args", "recipient"),
        (
            insert(", session, args", "'text', 'shop', '{\"body\": \"x\", \"recipient\": \"me\"}'"),
            "WA002",
            "recipient",
            "@g.us",
        ),
        (insert(", session, missed", "'close', 'shop', 'all'"), "WA023", "missed", "skip, once"),
        ("SELECT wa.run_now('nothing')".into(), "WA025", "name", "wa.schedule"),
        ("SELECT wa.unschedule('nothing')".into(), "WA025", "name", "wa.schedule"),
        ("SELECT wa.enable_schedule(NULL)".into(), "WA025", "name", "wa.schedule"),
        (
            "INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', '{\"days\": 1}')".into(),
            "WA022",
            "args",
            "outbound_days",
        ),
        ("SELECT wa.retry_maintenance_job(1)".into(), "WA024", "status", "failed or cancelled"),
    ] {
        let error = sqlx::query(AssertSqlSafe(sql.clone())).execute(world.pool()).await.err();
        let error = error.with_context(|| format!("accepted: {sql}"))?;
        let error =
            error.as_database_error().context("not an error of the database")?.downcast_ref::<PgDatabaseError>();
        let words = format!("{} {}", error.message(), error.hint().unwrap_or_default());
        ensure!(
            error.code() == code && error.column() == Some(names),
            "{sql}: {} {:?} {words}",
            error.code(),
            error.column()
        );
        ensure!(error.message().starts_with(&format!("{names}:")) && words.contains(accepted), "{sql}: {words}");
    }
    ensure!(world.one::<i64>("SELECT count(*) FROM wa.schedule").await? == 1);
    Ok(())
}

#[tokio::test]
async fn q10_the_default_schedules_are_created_once_and_then_belong_to_the_user() -> Result<()> {
    let db = db::fresh().await;
    let there = "SELECT string_agg(name || ' ' || cron || ' ' || kind, ', ' ORDER BY name) FROM wa.schedule";
    let found: String = one(&db.pool, there).await?;
    let looks = "check-sessions * * * * * check_sessions, close-idle */5 * * * * close_idle, ";
    let report = "resource-report * * * * * resource_report";
    let expected = format!("{looks}{report}, retention 30 3 * * * retention, sweep-keys 0 */6 * * * sweep_keys");
    ensure!(found == expected, "{found}");
    // A change by a user, which migrating again must leave alone.
    sqlx::query("UPDATE wa.schedule SET enabled = false").execute(&db.pool).await?;
    sqlx::query("UPDATE wa.schedule SET enabled = true").execute(&db.pool).await?;

    sqlx::query("SELECT wa.unschedule('sweep-keys'), wa.schedule('retention', '0 5 * * SUN')")
        .execute(&db.pool)
        .await?;
    wagres::db::migrate::migrate(&db.pool).await?;
    let found: String = one(&db.pool, there).await?;
    ensure!(found == format!("{looks}{report}, retention 0 5 * * SUN retention"), "{found}");
    Ok(())
}

#[tokio::test]
async fn q10_columns_of_the_worker_are_reset_at_insert() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    let row: String = world
        .one(
            "INSERT INTO wa.schedule (name, cron, kind, job_table, next_tick, last_tick, last_job, ticked_to, error)
             VALUES ('x', '* * * * *', 'sweep_keys', 'outbound', now(), now(), 7, '2000-01-01', 'none')
             RETURNING concat_ws(' ', job_table, next_tick, last_tick, last_job, ticked_to = wa.cron_now(), error)",
        )
        .await?;
    ensure!(row == "maintenance_job t", "{row}");
    let row: String = world
        .one(
            "INSERT INTO wa.maintenance_job (kind, status, attempts, errors, result, finished_at)
             VALUES ('sweep_keys', 'done', 4, '[1]', '{}', now())
             RETURNING concat_ws(' ', status, attempts, errors, result, finished_at, max_attempts)",
        )
        .await?;
    ensure!(row == "queued 0 [] 5", "{row}");
    Ok(())
}

#[tokio::test]
async fn q2_every_function_and_column_of_schedules_has_a_comment() -> Result<()> {
    let db = db::fresh().await;
    let bare: Option<String> = one(
        &db.pool,
        "SELECT string_agg(what, ', ') FROM (
             SELECT p.oid::regprocedure::text AS what FROM pg_proc p
             WHERE pronamespace = 'wa'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
             UNION ALL
             SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.oid IN ('wa.schedule'::regclass, 'wa.schedule_tick'::regclass, 'wa.maintenance_job'::regclass)
               AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL
         ) AS missing",
    )
    .await?;
    ensure!(bare.is_none(), "without a comment: {bare:?}");
    Ok(())
}
