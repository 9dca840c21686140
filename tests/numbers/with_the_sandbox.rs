//! Counts of real workers, through outages, restarts and lost leases; and what pages show of them.

use super::{begin, counted, levels_agree, next, reported};
use crate::jobs::{ManualWorker, one, run, session, shop};
use crate::support::db::fresh;
use crate::support::relay::Relay;
use crate::support::until::until;
use crate::support::world::{Worker, World};
use crate::web::{Pages, token};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use wagres::jobs::JobError;
use wagres::jobs::change::Reached;
use wagres::jobs::failure::FailureClass;

/// A statement is committed and its answer lost, of each kind that counts: nothing is missing, nothing counted twice.
#[tokio::test]
async fn h2_an_outage_loses_no_count() -> Result<()> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    let relay = Relay::to(&db.url).await?;
    let through = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(&relay.url).await?;
    let mut far = ManualWorker::new(&through).await?;
    far.hold("shop").await?;
    // The first answer shows the time of the database.
    let job = begin(&mut far, "first").await?;
    far.end(job, Ok(())).await?;
    counted(&far, [1, 1, 0, 0, 0, 0, 0, 0]).await?;

    let sent = begin(&mut far, "sent").await?;
    relay.lose_answer_to("Writes the progress of messages");
    far.end(sent.clone(), Ok(())).await?;
    relay.answer_is_lost().await?;
    counted(&far, [2, 2, 0, 0, 0, 0, 0, 0]).await?;
    relay.lose_answer_to("Writes the progress of messages");
    reported(&far, &sent, Reached::Read, None).await;
    relay.answer_is_lost().await?;
    counted(&far, [2, 2, 1, 1, 1, 0, 0, 0]).await?;
    for (body, error, expected) in [
        ("failed", JobError::Permanent("never".into()).of_class(FailureClass::Media), [3, 2, 1, 1, 1, 0, 1, 0]),
        ("expired", JobError::Expired, [4, 2, 1, 1, 1, 0, 1, 1]),
    ] {
        let job = begin(&mut far, body).await?;
        relay.lose_answer_to("Writes the progress of messages");
        far.end(job, Err(error)).await?;
        relay.answer_is_lost().await?;
        counted(&far, expected).await?;
    }
    // The same for the counts themselves.
    let job = begin(&mut far, "counted").await?;
    far.end(job, Ok(())).await?;
    relay.lose_answer_to("Adds batch");
    until("the counts", async || {
        let answer = far.numbers.write(&through.clone().into(), far.id).await;
        Ok(if answer.is_err() { Ok(()) } else { Err("nothing to write yet") })
    })
    .await?;
    relay.answer_is_lost().await?;
    counted(&far, [5, 3, 1, 1, 1, 0, 1, 1]).await?;
    levels_agree(&db.pool, true).await?;
    let media = "SELECT sum(failed_media) FROM wa.numbers WHERE session_id IS NOT NULL AND span = 'minute'";
    ensure!(one::<i64>(&db.pool, media).await? == 1);
    // While nothing answers, the counts stay.
    let away = Relay::to(&db.url).await?;
    let pool = sqlx::postgres::PgPoolOptions::new().connect(&away.url).await?;
    drop(away);
    pool.close().await;
    let job = begin(&mut far, "kept").await?;
    far.end(job, Ok(())).await?;
    ensure!(far.numbers.write(&pool.into(), far.id).await.is_err(), "written to nowhere");
    counted(&far, [6, 4, 1, 1, 1, 0, 1, 1]).await?;
    // A first attempt that failed counts the message as queued, once.
    let job = begin(&mut far, "retried").await?;
    relay.lose_answer_to("Writes the progress of messages");
    far.end(job, Err(JobError::Retry("not now".into()))).await?;
    relay.answer_is_lost().await?;
    counted(&far, [7, 4, 1, 1, 1, 0, 1, 1]).await?;
    let counted_once = "SELECT attempts = 1 AND status = 'queued' AND jsonb_array_length(errors) = 1 FROM wa.outbound WHERE body = 'retried'";
    ensure!(one::<bool>(&db.pool, counted_once).await?, "the attempt counts twice");
    levels_agree(&db.pool, true).await
}

/// Whether the counts of the sessions by minute are those of the rows.
const COMPARED: &str = "SELECT format('%s sent, %s delivered, %s read, %s received, %s failed',
        n.sent - o.sent, n.delivered - o.delivered, n.read - o.read, n.received - i.received, n.failed - o.failed)
    FROM (SELECT coalesce(sum(sent), 0) AS sent, coalesce(sum(delivered), 0) AS delivered, coalesce(sum(read), 0) AS read,
                 coalesce(sum(received), 0) AS received, coalesce(sum(failed), 0) AS failed
          FROM wa.numbers WHERE session_id IS NOT NULL AND campaign IS NULL AND span = 'minute') n,
         (SELECT count(sent_at) AS sent, count(delivered_at) AS delivered, count(read_at) AS read, count(failed_at) AS failed FROM wa.outbound) o,
         (SELECT count(*) AS received FROM wa.inbox) i";

#[tokio::test]
async fn h2_a_worker_counts_what_happens_and_writes_the_rest_when_it_stops() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    for phone in ["15550002", "15550003"] {
        world.phone(phone).await?;
    }
    let mut failures = vec![];
    for (class, insert, fault) in [
        ("not_on_whatsapp", "'15559998', 'text', 'x', NULL", None),
        ("content", "'15550002', 'forward', NULL, '{\"message_id\": \"NOBODY\"}'", None),
        ("media", "'15550002', 'document', NULL, '{\"file\": \"nothing.pdf\"}'", None),
        ("refused", "'15550002', 'text', 'x', NULL", Some(json!({ "nack": { "code": 403 } }))),
        ("server", "'15550002', 'text', 'x', NULL", Some(json!({ "nack": { "code": 500 } }))),
        ("limited", "'15550002', 'text', 'x', NULL", Some(json!({ "nack": { "code": 429 } }))),
        ("connection", "'15550002', 'text', 'x', NULL", Some(json!({ "drop": {} }))),
    ] {
        if let Some(fault) = fault {
            let fault = json!({ "fault": fault, "stanza": "message", "direction": "in" });
            world.control.post("/faults", fault).await?;
        }
        let insert = format!(
            "INSERT INTO wa.outbound (session, recipient, kind, body, content, max_attempts, campaign) SELECT 'shop', v.*, 1, 'may' FROM (VALUES ({insert}::jsonb)) v RETURNING id"
        );
        let id = world.count(&insert).await.with_context(|| insert.clone())?;
        failures.push((class, id));
        world.holds(&format!("SELECT NOT EXISTS (SELECT FROM wa.outbound_queue WHERE id = {id})")).await?;
        let found: String = world
            .until(&format!("SELECT coalesce(failure, status::text || ' ' || coalesce(last_error, '')) FROM wa.outbound WHERE id = {id}"))
            .await?;
        ensure!(found == class, "{class}: {found}");
        sqlx::query("SELECT wa.resume('shop')").execute(world.pool()).await?;
    }
    for n in 0..3 {
        world.send("shop", "15550003", &format!("out {n}")).await?;
        let text = json!({ "to": "15550001", "text": format!("in {n}") });
        world.control.post("/phones/15550003/send", text).await?;
    }
    world.holds("SELECT count(*) = 3 FROM wa.outbound WHERE body LIKE 'out%' AND read_at IS NOT NULL").await?;
    world.holds("SELECT count(*) = 3 FROM wa.inbox").await?;
    let damage =
        json!({ "fault": { "corrupt": {} }, "number": "15550001", "device": 1, "direction": "out", "times": 1 });
    world.control.post("/faults", damage).await?;
    world.control.post("/phones/15550003/send", json!({ "to": "15550001", "text": "damaged" })).await?;
    world.holds("SELECT count(*) = 4 FROM wa.inbox").await?;
    world.holds("SELECT bad_macs = 1 FROM wa.session").await?;
    worker.stop().await?;

    let found: String = world.until(COMPARED).await?;
    ensure!(found == "0 sent, 0 delivered, 0 read, 0 received, 0 failed", "{found}");
    let macs = "SELECT sum(bad_macs) FROM wa.numbers WHERE session_id IS NOT NULL AND span = 'minute'";
    ensure!(world.count(macs).await? == 1);
    for (class, _) in failures {
        let sum = format!("SELECT failed FROM wa.failures_since('shop') WHERE class = '{class}'");
        ensure!(world.count(&sum).await? == 1, "{class}");
    }
    let funnel = "SELECT failed FROM wa.campaign_numbers('shop') WHERE campaign = 'may'";
    ensure!(world.count(funnel).await? == 7);
    let queued =
        "SELECT sum(queued) FROM wa.numbers WHERE session_id IS NOT NULL AND campaign IS NULL AND span = 'minute'";
    ensure!(world.count(queued).await? == 10);
    let latency = "SELECT count(*) FROM wa.numbers_since('shop', '1 hour', '1 minute') WHERE median_seconds > 0 AND p95_seconds < 30";
    ensure!(world.count(latency).await? >= 1);
    Ok(())
}

#[tokio::test]
async fn h2_r3_counts_are_those_of_the_rows_after_postgres_was_restarted() -> Result<()> {
    let (db, server) = crate::support::db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__LEASE_SECONDS", "60");
    let worker = Worker::start(command).await?;
    world.link("shop", "15550001").await?;
    world.phone("15550003").await?;
    let insert = "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '15550003', 'out ' || n FROM generate_series(1, 150) n";
    for mode in ["immediate", "fast"] {
        sqlx::query(insert).execute(world.pool()).await?;
        for n in 0..20 {
            let text = json!({ "to": "15550001", "text": format!("{mode} {n}") });
            world.control.post("/phones/15550003/send", text).await?;
        }
        world.holds("SELECT count(*) > 30 FROM wa.outbound WHERE delivered_at IS NOT NULL").await?;
        server.restart(mode).await?;
        world.holds("SELECT bool_and(delivered_at IS NOT NULL) FROM wa.outbound").await?;
        world.holds(&format!("SELECT count(*) = 20 FROM wa.inbox WHERE body LIKE '{mode}%'")).await?;
    }
    worker.stop().await?;
    let found: String = world.until(COMPARED).await?;
    ensure!(found == "0 sent, 0 delivered, 0 read, 0 received, 0 failed", "{found}");
    Ok(())
}

/// The lease is lost during an outage, and the same process starts the next life.
#[tokio::test]
async fn h2_r4_counts_outlive_a_lost_lease() -> Result<()> {
    let world = World::new().await?;
    let worker = Worker::start(world.brief_worker_on(&world.db.url)).await?;
    world.link("shop", "15550001").await?;
    world.phone("15550003").await?;
    let id = world.send("shop", "15550003", "before").await?;
    world.holds(&format!("SELECT read_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    let first: String = world.until("SELECT worker_id::text FROM wa.worker").await?;
    sqlx::query("UPDATE wa.worker SET lease_until = now() - interval '1 second'").execute(world.pool()).await?;
    world
        .holds(&format!(
            "SELECT count(*) = 1 FROM wa.worker WHERE worker_id::text <> '{first}' AND lease_until > now()"
        ))
        .await?;
    world.session_is("shop", "connected").await?;
    let id = world.send("shop", "15550003", "after").await?;
    world.holds(&format!("SELECT read_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    worker.stop().await?;
    let found: String = world.until(COMPARED).await?;
    ensure!(found == "0 sent, 0 delivered, 0 read, 0 received, 0 failed", "{found}");
    Ok(())
}

/// Each message has one place in the numbers of its campaign, however often it is tried again (H2).
#[tokio::test]
async fn h2_a_failed_message_that_is_retried_is_one_message_of_its_campaign() -> Result<()> {
    let (db, mut worker) = shop().await?;
    let permanent = || Err(JobError::Permanent("never".into()));
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    // Waiting, sent and failed; how many are over, of how many.
    let shows = async |counts: [i64; 3], over: &str| -> Result<()> {
        sqlx::raw_sql(include_str!("../../sql/jobs/campaign_waiting.sql")).execute(&db.pool).await?;
        for path in ["/campaigns", "/campaigns/may"] {
            let page = pages.get(path, &cookie).await?.body;
            for (name, count) in ["waiting", "sent", "failed"].into_iter().zip(counts) {
                ensure!(
                    page.contains(&format!("data-label=\"{name}\">{count}<")),
                    "{path}: {name} is not {count}: {page}"
                );
            }
            ensure!(page.contains(&format!("<b>{over}</b>")), "{path}: not {over}: {page}");
        }
        let failed = "SELECT failed FROM wa.campaign_numbers('shop') WHERE campaign = 'may'";
        ensure!(one::<i64>(&db.pool, failed).await? == counts[2], "wa.campaign_numbers");
        Ok(())
    };
    let job = begin(&mut worker, "one").await?;
    worker.end(job, permanent()).await?;
    counted(&worker, [1, 0, 0, 0, 0, 0, 1, 0]).await?;
    shows([0, 0, 1], "1 / 1").await?;
    // It waits again, and is not failed.
    run(&db.pool, "SELECT wa.retry(id) FROM wa.outbound").await?;
    shows([1, 0, 0], "0 / ≈ 1").await?;
    // It fails once more, now after an attempt that did not end it: each failure is one, and the message stays one.
    let job = next(&mut worker).await?;
    worker.end(job, Err(JobError::Retry("not now".into()))).await?;
    run(&db.pool, "SELECT wa.retry(id) FROM wa.outbound").await?;
    let job = next(&mut worker).await?;
    worker.end(job, permanent()).await?;
    counted(&worker, [1, 0, 0, 0, 0, 0, 2, 0]).await?;
    shows([0, 0, 1], "1 / 1").await?;
    // It is sent; another one is, too, as its phone reports before the ack.
    run(&db.pool, "SELECT wa.retry(id) FROM wa.outbound").await?;
    let job = next(&mut worker).await?;
    worker.end(job, Ok(())).await?;
    let job = begin(&mut worker, "two").await?;
    worker.end(job, permanent()).await?;
    run(&db.pool, "SELECT wa.retry(id) FROM wa.outbound WHERE status = 'failed'").await?;
    let job = next(&mut worker).await?;
    reported(&worker, &job, Reached::Delivered, None).await;
    worker.end(job, Ok(())).await?;
    counted(&worker, [2, 2, 1, 1, 0, 0, 3, 0]).await?;
    let job = begin(&mut worker, "three").await?;
    worker.end(job, permanent()).await?;
    run(
        &db.pool,
        "SELECT wa.retry(id) FROM wa.outbound WHERE status = 'failed'; UPDATE wa.outbound_queue SET expires_at = now()",
    )
    .await?;
    worker.expire().await?;
    counted(&worker, [3, 2, 1, 1, 0, 0, 4, 1]).await?;
    shows([0, 2, 0], "3 / 3").await?;
    levels_agree(&db.pool, true).await?;
    pages.stop().await;
    Ok(())
}
