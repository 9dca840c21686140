//! Rows of `wa.maintenance_job` from INSERT to their end, run by a worker in the test's process.

use super::{holds, one};
use crate::support::db::{self, TestDb};
use crate::support::in_process::InProcessWorker;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::AssertSqlSafe;

/// A database with the session `shop` and no schedule.
pub(super) async fn db_with_shop() -> Result<TestDb> {
    let db = db::fresh().await;
    run(&db, "DELETE FROM wa.schedule; SELECT wa.add_session('shop')").await?;
    Ok(db)
}

pub(super) async fn run(db: &TestDb, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&db.pool).await.with_context(|| sql.to_owned())?;
    Ok(())
}

/// Inserts a job and returns its id.
pub(super) async fn job(db: &TestDb, kind: &str, args: &str) -> Result<i64> {
    one(&db.pool, &format!("INSERT INTO wa.maintenance_job (kind, args) VALUES ('{kind}', '{args}') RETURNING id"))
        .await
}

/// Waits until a job has this status, and returns its row.
pub(super) async fn job_is(db: &TestDb, id: i64, status: &str) -> Result<Value> {
    let state = format!("status = '{status}'");
    holds(&db.pool, &format!("SELECT {state} FROM wa.maintenance_job WHERE id = {id}")).await?;
    one(&db.pool, &format!("SELECT to_jsonb(j) FROM wa.maintenance_job j WHERE id = {id}")).await
}

pub(super) async fn expired_keys(db: &TestDb, count: i64) -> Result<()> {
    run(
        db,
        &format!(
            "INSERT INTO wa.auth_key (session_id, kind, key_id, value, expires_at)
             SELECT session_id, 'tctoken', n, '{{}}', now() - interval '1 day' FROM wa.session, generate_series(1, {count}) n"
        ),
    )
    .await
}

#[tokio::test]
async fn a4_a_sweep_deletes_expired_keys_in_batches_and_counts_them() -> Result<()> {
    let db = db_with_shop().await?;
    expired_keys(&db, 25).await?;
    run(&db, "UPDATE wa.auth_key SET expires_at = now() + interval '1 hour' WHERE key_id = '25'").await?;
    run(
        &db,
        "INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason, expires_at)
         SELECT session_id, 'session', n::text, '{}', 'unreadable', now() + make_interval(hours => n)
         FROM wa.session, generate_series(-14, 1) n",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let id = job(&db, "sweep_keys", r#"{"batch": 10, "pause_ms": 0}"#).await?;
    let row = job_is(&db, id, "done").await?;
    ensure!(
        row["result"]["deleted"] == 24 + 15 && row["attempts"] == 1 && row["errors"] == serde_json::json!([]),
        "{row}"
    );
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.auth_key").await? == 1);
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.auth_quarantine").await? == 1);
    let kinds = serde_json::json!({ "tctoken": 24 });
    ensure!(row["result"]["kinds"] == kinds && row["result"]["quarantine"] == 15, "{row}");
    let event: Value = one(&db.pool, "SELECT data FROM wa.event WHERE kind = 'keys_swept'").await?;
    ensure!(event == row["result"], "{event}");
    worker.stop().await
}

#[tokio::test]
async fn h2_r6_a_sweep_deletes_tokens_a_day_after_their_end() -> Result<()> {
    let db = db_with_shop().await?;
    // Of each kind one has ended long ago and one an hour ago. The cookie of a token that has ended goes before it.
    run(
        &db,
        "INSERT INTO wa.token (name, purpose, scope, hash, expires_at, revoked_at)
         SELECT n, 'token', 'viewer', wa.secret_hash(n), CASE WHEN n LIKE 'expired%' THEN ended END, CASE WHEN n LIKE 'revoked%' THEN ended END
         FROM (VALUES ('expired', now() - interval '25 hours'), ('revoked', now() - interval '25 hours'), ('expired-late', now() - interval '1 hour'),
                      ('revoked-late', now() - interval '1 hour'), ('live', now())) t (n, ended);
         INSERT INTO wa.token (name, purpose, scope, parent_id, hash, expires_at, spent_at)
         SELECT 'of-' || name, p, 'viewer', token_id, wa.secret_hash(p || name), now() + interval '1 hour',
                CASE WHEN p = 'login' THEN now() - interval '2 days' END
         FROM wa.token, unnest('{login,cookie}'::wa.token_purpose[]) p WHERE name IN ('revoked', 'live')",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let left = "SELECT string_agg(name || ' ' || purpose, ', ' ORDER BY name, purpose) FROM wa.token";
    for (ended, deleted, expected) in [
        (
            "false",
            3,
            "expired-late token, live token, of-live cookie, of-revoked cookie, revoked token, revoked-late token",
        ),
        ("name = 'of-revoked'", 1, "expired-late token, live token, of-live cookie, revoked token, revoked-late token"),
        ("false", 1, "expired-late token, live token, of-live cookie, revoked-late token"),
    ] {
        run(&db, &format!("UPDATE wa.token SET expires_at = now() - interval '2 days' WHERE {ended}")).await?;
        let row = job_is(&db, job(&db, "sweep_keys", r#"{"batch": 10, "pause_ms": 0}"#).await?, "done").await?;
        ensure!(row["result"]["tokens"] == deleted && row["result"]["deleted"] == deleted, "{row}");
        let found: String = one(&db.pool, left).await?;
        ensure!(found == expected, "{found}");
    }
    worker.stop().await
}

#[tokio::test]
async fn a4_the_lid_mapping_of_a_contact_with_a_signal_session_is_kept() -> Result<()> {
    let db = db_with_shop().await?;
    run(
        &db,
        r#"INSERT INTO wa.auth_key (session_id, kind, key_id, value, expires_at)
           SELECT session_id, k.* FROM wa.session, (VALUES
               ('lid-mapping', '100', '{"lid": "100", "pn": "1"}'::jsonb, now() - interval '1 day'),
               ('lid-mapping', '200', '{"lid": "200", "pn": "2"}', now() - interval '1 day'),
               ('lid-mapping', '300', '{"lid": "300", "pn": "3"}', now() - interval '1 day'),
               ('lid-mapping', '400', '{"lid": "400", "pn": "4"}', now() - interval '1 day'),
               ('session', '100:7@lid.0', '{}', NULL), ('session', '200@lid.0', '{}', NULL), ('session', '3@c.us.0', '{}', NULL),
               ('session', '4000@lid.0', '{}', NULL), ('session', '40@lid.0', '{}', NULL)) AS k"#,
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let row = job_is(&db, job(&db, "sweep_keys", "{}").await?, "done").await?;
    ensure!(row["result"]["kinds"] == serde_json::json!({ "lid-mapping": 1 }), "{row}");
    let left = "SELECT string_agg(key_id, ',' ORDER BY key_id) FROM wa.auth_key
                WHERE kind = 'lid-mapping' AND expires_at BETWEEN now() + interval '6 days' AND now() + interval '7 days'";
    ensure!(one::<Option<String>>(&db.pool, left).await?.as_deref() == Some("100,200,300"));
    worker.stop().await
}

#[tokio::test]
async fn q8_a_failing_job_keeps_each_error_then_fails_and_can_be_retried_by_hand() -> Result<()> {
    let db = db_with_shop().await?;
    expired_keys(&db, 1).await?;
    run(
        &db,
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
         CREATE TRIGGER no BEFORE DELETE ON wa.auth_key FOR EACH ROW EXECUTE FUNCTION public.no()",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let id: i64 =
        one(&db.pool, "INSERT INTO wa.maintenance_job (kind, max_attempts) VALUES ('sweep_keys', 2) RETURNING id")
            .await?;
    let waits = "SELECT status = 'queued' AND attempts = 1 FROM wa.maintenance_job";
    holds(&db.pool, waits).await?;
    let backoff: f64 = one(
        &db.pool,
        "SELECT extract(epoch FROM run_at - (errors -> 0 ->> 'at')::timestamptz)::float8 FROM wa.maintenance_job",
    )
    .await?;
    ensure!((1.5..=2.5).contains(&backoff), "{backoff}");
    run(&db, "UPDATE wa.maintenance_job SET run_at = now()").await?;
    let row = job_is(&db, id, "failed").await?;
    let errors = row["errors"].as_array().context("errors")?;
    ensure!(errors.len() == 2 && errors[0]["attempt"] == 1 && errors[1]["attempt"] == 2, "{row}");
    ensure!(errors.iter().all(|e| e["error"].as_str().is_some_and(|e| e.contains("not today"))), "{row}");
    ensure!(row["last_error"].as_str().is_some_and(|e| e.contains("not today")) && row["finished_at"].is_string());

    run(&db, "DROP TRIGGER no ON wa.auth_key").await?;
    run(&db, &format!("SELECT wa.retry_maintenance_job({id})")).await?;
    let row = job_is(&db, id, "done").await?;
    ensure!(row["errors"].as_array().map(Vec::len) == Some(2) && row["result"]["deleted"] == 1, "{row}");
    let again = sqlx::query("SELECT wa.retry_maintenance_job($1)").bind(id).execute(&db.pool).await;
    ensure!(again.is_err_and(|e| e.to_string().contains("is done")), "a finished job was queued again");
    worker.stop().await
}

#[tokio::test]
async fn q1_a_maintenance_job_of_an_unknown_kind_waits() -> Result<()> {
    let db = db_with_shop().await?;
    run(
        &db,
        "ALTER TABLE wa.maintenance_job DISABLE TRIGGER validate;
         INSERT INTO wa.maintenance_job (kind) VALUES ('polish');
         ALTER TABLE wa.maintenance_job ENABLE TRIGGER validate",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let id = job(&db, "sweep_keys", "{}").await?;
    job_is(&db, id, "done").await?;
    let polish: String =
        one(&db.pool, "SELECT status || ' ' || attempts FROM wa.maintenance_job WHERE kind = 'polish'").await?;
    ensure!(polish == "queued 0", "{polish}");
    worker.stop().await
}

#[tokio::test]
async fn q1_a_running_job_is_cancelled_by_sql_and_released_when_its_worker_stops() -> Result<()> {
    let db = db_with_shop().await?;
    expired_keys(&db, 400).await?;
    let left = "SELECT count(*) FROM wa.auth_key";
    let worker = InProcessWorker::start(&db)?;
    let slow = r#"{"batch": 1, "pause_ms": 20}"#;
    let id = job(&db, "sweep_keys", slow).await?;
    holds(&db.pool, "SELECT (result ->> 'deleted')::integer > 1 FROM wa.maintenance_job").await?;
    run(&db, &format!("SELECT wa.cancel_maintenance_job({id})")).await?;
    // Jobs run one at a time, so the next one starts when the cancelled one has ended.
    let next = job(&db, "sweep_keys", slow).await?;
    holds(&db.pool, &format!("SELECT result IS NOT NULL FROM wa.maintenance_job WHERE id = {next}")).await?;
    let row = job_is(&db, id, "cancelled").await?;
    ensure!(row["errors"] == serde_json::json!([]) && one::<i64>(&db.pool, left).await? > 300, "{row}");

    worker.stop().await?;
    let row = job_is(&db, next, "queued").await?;
    ensure!(row["attempts"] == 0 && row["worker_id"].is_null() && one::<i64>(&db.pool, left).await? > 200, "{row}");
    run(&db, r#"UPDATE wa.maintenance_job SET args = '{"pause_ms": 0}'"#).await?;
    let worker = InProcessWorker::start(&db)?;
    job_is(&db, next, "done").await?;
    ensure!(one::<i64>(&db.pool, left).await? == 0);
    worker.stop().await
}

#[tokio::test]
async fn r1_a_dead_workers_job_is_taken_over_until_its_attempts_run_out() -> Result<()> {
    let db = db_with_shop().await?;
    let (first, last) = (job(&db, "sweep_keys", "{}").await?, job(&db, "sweep_keys", "{}").await?);
    // The rows as a dead worker leaves them.
    run(
        &db,
        &format!("UPDATE wa.maintenance_job SET status = 'running', attempts = CASE id WHEN {last} THEN 5 ELSE 1 END"),
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let row = job_is(&db, first, "done").await?;
    ensure!(
        row["attempts"] == 2 && row["errors"][0]["error"] == "the worker died" && row["errors"][0]["attempt"] == 1,
        "{row}"
    );
    let row = job_is(&db, last, "failed").await?;
    ensure!(
        row["attempts"] == 5 && row["errors"][0]["attempt"] == 5 && row["last_error"] == "the worker died",
        "{row}"
    );
    worker.stop().await
}

#[tokio::test]
async fn q10_jobs_of_one_schedule_run_one_at_a_time() -> Result<()> {
    let db = db_with_shop().await?;
    run(
        &db,
        "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
         VALUES (gen_random_uuid(), 'elsewhere', 1, 'test', now() + interval '1 hour');
         INSERT INTO wa.maintenance_job (kind, schedule) VALUES ('sweep_keys', 'x'), ('sweep_keys', 'x'), ('sweep_keys', 'y');
         UPDATE wa.maintenance_job SET status = 'running', worker_id = (SELECT worker_id FROM wa.worker)
         WHERE id = (SELECT min(id) FROM wa.maintenance_job)",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    holds(&db.pool, "SELECT status = 'done' FROM wa.maintenance_job WHERE schedule = 'y'").await?;
    let of_x = "SELECT string_agg(status::text, ' ' ORDER BY id) FROM wa.maintenance_job WHERE schedule = 'x'";
    ensure!(one::<String>(&db.pool, of_x).await? == "running queued");
    run(&db, "UPDATE wa.maintenance_job SET status = 'done', worker_id = NULL WHERE status = 'running'").await?;
    holds(&db.pool, "SELECT bool_and(status = 'done') FROM wa.maintenance_job").await?;
    worker.stop().await
}

#[tokio::test]
async fn q10_a_worker_plans_fires_and_runs_schedules() -> Result<()> {
    let db = db_with_shop().await?;
    expired_keys(&db, 3).await?;
    let worker = InProcessWorker::start(&db)?;
    // Made due in the past, so that the test need not wait for the next minute.
    run(&db, "SELECT wa.schedule('x', '* * * * *', 'sweep_keys')").await?;
    holds(&db.pool, "SELECT next_tick > now() FROM wa.schedule").await?;
    run(&db, "UPDATE wa.schedule SET ticked_to = now() - interval '2 minutes', next_tick = now(), enabled = enabled")
        .await?;
    let done = "SELECT EXISTS (SELECT FROM wa.maintenance_job WHERE schedule = 'x' AND status = 'done' AND result->>'deleted' = '3')";
    holds(&db.pool, done).await?;
    worker.stop().await
}
