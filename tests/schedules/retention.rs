//! Retention: ages and bounded batches.

use super::maintenance::{db_with_shop, job, job_is, run};
use super::one;
use crate::support::db::TestDb;
use crate::support::in_process::InProcessWorker;
use anyhow::{Result, ensure};
use serde_json::json;

/// Inserts rows of every age from 1 to 100 days, `each` messages a day. Every tenth message and every tenth job is still
/// queued.
async fn fill(db: &TestDb, each: i64) -> Result<()> {
    run(
        db,
        &format!(
            "INSERT INTO wa.outbound (session, recipient, body)
             SELECT 'shop', '+79001234567', day::text FROM generate_series(100, 1, -1) day, generate_series(1, {each}) ORDER BY day DESC;
             UPDATE wa.outbound SET created_at = now() - body::integer * interval '1 day',
                 status = (CASE WHEN body::integer % 10 = 0 THEN 'queued' ELSE 'read' END)::wa.outbound_status;
             INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, received_at, message)
             SELECT 'shop', session_id, 'c', 's', 'M' || day || '-' || n, 'text', false, now(), now() - day * interval '1 day', '{{}}'
             FROM wa.session, generate_series(100, 1, -1) day, generate_series(1, {each}) n ORDER BY day DESC;
             INSERT INTO wa.media (tenant, sha256, size, data, created_at)
             SELECT 'default', sha256(day::text::bytea), 1, 'x', now() - day * interval '1 day' FROM generate_series(1, 100) day;
             INSERT INTO wa.upload (session_id, kind, sha256, message, uploaded_at)
             SELECT s.session_id, 'image', m.sha256, '{{}}', m.created_at FROM wa.session s, wa.media m;
             ALTER TABLE wa.session_job DISABLE TRIGGER validate;
             INSERT INTO wa.session_job (session, session_id, kind, status, created_at, finished_at)
             SELECT 'shop', session_id, 'connect', 'done', now() - day * interval '1 day', now() - day * interval '1 day'
             FROM wa.session, generate_series(100, 1, -1) day;
             ALTER TABLE wa.session_job ENABLE TRIGGER validate;
             INSERT INTO wa.maintenance_job (kind, run_at, tick)
             SELECT 'sweep_keys', now() + interval '1 day', now() - day * interval '1 day' FROM generate_series(100, 1, -1) day;
             UPDATE wa.maintenance_job SET created_at = tick, finished_at = CASE WHEN extract(day FROM now() - tick)::integer % 10 > 0 THEN tick END,
                 status = (CASE WHEN extract(day FROM now() - tick)::integer % 10 > 0 THEN 'done' ELSE 'queued' END)::wa.job_status;
             SELECT wa.schedule('x', '0 0 * * *', 'sweep_keys', enabled => false);
             INSERT INTO wa.schedule_tick (schedule_id, tick, outcome, fired_at)
             SELECT schedule_id, now() - day * interval '1 day', 'fired', now() - day * interval '1 day'
             FROM wa.schedule, generate_series(1, 100) day;"
        ),
    )
    .await
}

async fn rows(db: &TestDb) -> Result<String> {
    one(
        &db.pool,
        "SELECT concat_ws(' ', (SELECT count(*) FROM wa.outbound), (SELECT count(*) FROM wa.inbox), (SELECT count(*) FROM wa.session_job),
             (SELECT count(*) FROM wa.maintenance_job WHERE kind = 'sweep_keys'), (SELECT count(*) FROM wa.schedule_tick),
             (SELECT count(*) FROM wa.media), (SELECT count(*) FROM wa.upload))",
    )
    .await
}

#[tokio::test]
async fn q12_retention_deletes_old_finished_rows_and_nothing_else() -> Result<()> {
    let db = db_with_shop().await?;
    fill(&db, 2).await?;
    // An old message that ended only yesterday.
    run(&db, "UPDATE wa.outbound SET read_at = now() - interval '1 day' WHERE id = (SELECT min(id) FROM wa.outbound WHERE body = '99')").await?;
    // An old file that a scheduled message needs.
    run(&db, "SELECT wa.send_image('shop', '+79001234567', media => max(media_id), send_at => now() + interval '1 day') FROM wa.media").await?;
    let before = rows(&db).await?;
    ensure!(before == "201 200 100 100 100 100 100", "{before}");
    let worker = InProcessWorker::start(&db)?;

    let args = r#"{"outbound_days": 50, "inbox_days": null, "session_job_days": 95, "dry_run": true}"#;
    let id = job(&db, "retention", args).await?;
    let row = job_is(&db, id, "done").await?;
    // Days 51 to 100, without the queued tens and the message that ended yesterday. Rows of exactly n days count, because a
    // moment has passed since.
    let counts = json!({ "outbound": 2 * (51 - 6) - 1, "session_job": 6, "maintenance_job": 71 - 8, "schedule_tick": 71, "media": 10, "upload": 11 });
    for (table, count) in counts.as_object().into_iter().flatten() {
        ensure!(row["result"][table] == *count, "{table}: {count} expected of {}", row["result"]);
    }
    ensure!(row["result"]["dry_run"] == true && row["result"].get("inbox").is_none(), "{row}");
    ensure!(rows(&db).await? == before, "a dry run deleted");

    let id = job(&db, "retention", &args.replace("true", "false")).await?;
    let done = job_is(&db, id, "done").await?;
    for (table, count) in counts.as_object().into_iter().flatten() {
        ensure!(done["result"][table] == *count, "{table}: {count} expected of {}", done["result"]);
    }
    let after = rows(&db).await?;
    ensure!(after == format!("{} 200 94 37 29 90 89", 201 - 89), "{after}");
    let kept: bool = one(
        &db.pool,
        "SELECT bool_and(status = 'queued' OR created_at > now() - interval '50 days' OR read_at IS NOT NULL) FROM wa.outbound",
    )
    .await?;
    ensure!(kept, "an old finished message is left");
    worker.stop().await
}

#[tokio::test]
async fn q12_retention_deletes_in_bounded_batches_with_a_transaction_each() -> Result<()> {
    let db = db_with_shop().await?;
    fill(&db, 2).await?;
    run(
        &db,
        "CREATE TABLE public.log (tab text, count bigint, xid xid8, oldest_left timestamptz);
         CREATE FUNCTION public.log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.log SELECT TG_TABLE_NAME, count(*), pg_current_xact_id() FROM gone HAVING count(*) > 0;
             RETURN NULL;
         END $$;
         CREATE TRIGGER log AFTER DELETE ON wa.outbound REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log();
         CREATE TRIGGER log AFTER DELETE ON wa.inbox REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log();
         CREATE TRIGGER log AFTER DELETE ON wa.session_job REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log();
         CREATE TRIGGER log AFTER DELETE ON wa.maintenance_job REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log();
         CREATE TRIGGER log AFTER DELETE ON wa.schedule_tick REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.log();",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let id = job(&db, "retention", r#"{"batch": 7, "pause_ms": 0, "outbound_days": 10, "inbox_days": 10}"#).await?;
    let row = job_is(&db, id, "done").await?;
    let (most, statements, transactions, sum): (i64, i64, i64, i64) =
        sqlx::query_as("SELECT max(count), count(*), count(DISTINCT xid), sum(count)::bigint FROM public.log")
            .fetch_one(&db.pool)
            .await?;
    ensure!(most == 7 && statements > 50 && transactions == statements, "{most} {statements} {transactions}");
    let counted: i64 = ["outbound", "inbox", "session_job", "maintenance_job", "schedule_tick"]
        .iter()
        .filter_map(|t| row["result"][t].as_i64())
        .sum();
    ensure!(counted == sum && counted == 2 * (91 - 10) + 2 * 91 + 71 + 63 + 71, "{sum} deleted, {}", row["result"]);
    worker.stop().await
}
