//! Replays: again under the same ids.

use super::receiver::{Receiver, Reply};
use super::stage::{add, due_now, holds, received, shop, store, worker};
use crate::support::logins::run;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn counts(ids: Vec<String>) -> BTreeMap<String, usize> {
    ids.into_iter().fold(BTreeMap::new(), |mut counts, id| {
        *counts.entry(id).or_default() += 1;
        counts
    })
}

#[tokio::test]
async fn h5_what_is_dead_is_replayed_under_the_same_id() -> Result<()> {
    let (db, well) = (shop().await?, Arc::new(AtomicBool::new(false)));
    let answers = well.clone();
    let receiver = Receiver::start(move |it, _| {
        let refused = it.body["data"]["body"] == "a" && !answers.load(Ordering::Relaxed);
        Reply::status(if refused { 400 } else { 200 })
    })
    .await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    store(&db, &["a", "b"]).await?;
    holds(&db, "SELECT array_agg(status || attempts ORDER BY id) = '{queued1,done1}' FROM wa.delivery").await?;
    run(&db.pool, "UPDATE wa.delivery SET attempts = 9 WHERE status = 'queued'").await?;
    due_now(&db).await?;
    holds(&db, "SELECT array_agg(status || attempts ORDER BY id) = '{dead10,done1}' FROM wa.delivery").await?;
    well.store(true, Ordering::Relaxed);
    run(&db.pool, "SELECT wa.replay_webhook('crm', now() - interval '1 hour', only_dead => true)").await?;
    holds(&db, "SELECT array_agg(status || attempts ORDER BY id) = '{done1,done1}' AND NOT EXISTS (SELECT FROM wa.webhook_replay) FROM wa.delivery").await?;
    ensure!(counts(receiver.ids()).into_values().collect::<Vec<_>>() == [3, 1], "{:?}", receiver.ids());
    // All of it again, but nothing that happened before.
    run(&db.pool, "SELECT wa.replay_webhook('crm', now() - interval '1 hour', until => now() - interval '30 minutes')")
        .await?;
    run(&db.pool, "SELECT wa.replay_webhook('crm', '-infinity')").await?;
    received(&receiver, 6).await?;
    holds(&db, "SELECT bool_and(status = 'done' AND attempts = 1) AND NOT EXISTS (SELECT FROM wa.webhook_replay) FROM wa.delivery").await?;
    ensure!(counts(receiver.ids()).into_values().collect::<Vec<_>>() == [4, 2], "{:?}", receiver.ids());
    worker.stop().await
}

#[tokio::test]
async fn h5_a_replay_has_what_happened_while_the_webhook_was_disabled_or_not_there() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    store(&db, &["a"]).await?;
    run(
        &db.pool,
        "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session;
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550001', 'x');
         UPDATE wa.outbound SET status = 'read', sent_at = now(), delivered_at = now(), read_at = now()",
    )
    .await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, ", '{message.*,call}', since => now() - interval '1 hour'").await?;
    let mut types: Vec<_> = received(&receiver, 3).await?.into_iter().map(|it| it.body["type"].clone()).collect();
    types.sort_by_key(ToString::to_string);
    ensure!(types == ["call", "message.received", "message.status"], "{types:?}");
    run(&db.pool, "SELECT wa.disable_webhook('crm')").await?;
    store(&db, &["b", "c"]).await?;
    run(&db.pool, "SELECT wa.enable_webhook('crm')").await?;
    store(&db, &["d"]).await?;
    received(&receiver, 4).await?;
    ensure!(receiver.received()[3].body["data"]["body"] == "d");
    run(&db.pool, "SELECT wa.replay_webhook('crm', now() - interval '1 hour')").await?;
    holds(&db, "SELECT count(*) = 6 AND bool_and(status = 'done') FROM wa.delivery").await?;
    ensure!(counts(receiver.ids()).len() == 6, "{:?}", receiver.ids());
    worker.stop().await
}

/// The source row, or the right to it, is gone when its turn comes.
#[tokio::test]
async fn h5_what_was_deleted_or_moved_away_is_not_delivered() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    run(&db.pool, "SELECT wa.add_tenant('acme')").await?;
    add(&db, "crm", &receiver, "").await?;
    run(&db.pool, "UPDATE wa.webhook SET tenants = '{default}'").await?;
    store(&db, &["a", "b", "c"]).await?;
    run(&db.pool, "DELETE FROM wa.inbox WHERE chat = 'b'").await?;
    let first = worker(&db)?;
    holds(&db, "SELECT array_agg(status || attempts ORDER BY id) = '{done1,dead0,done1}' AND max(last_error) LIKE '%row was deleted%' FROM wa.delivery").await?;
    first.stop().await?;
    store(&db, &["d"]).await?;
    run(&db.pool, "UPDATE wa.session SET tenant = 'acme'").await?;
    let second = worker(&db)?;
    holds(
        &db,
        "SELECT status = 'cancelled' AND last_error LIKE '%another tenant%' FROM wa.delivery ORDER BY id DESC LIMIT 1",
    )
    .await?;
    ensure!(receiver.received().len() == 2, "{:?}", receiver.ids());
    second.stop().await
}

#[tokio::test]
async fn h5_q12_retention_deletes_old_deliveries_and_those_of_dropped_webhooks() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    for name in ["crm", "old"] {
        add(&db, name, &receiver, "").await?;
    }
    store(&db, &["a", "b", "c", "d"]).await?;
    run(
        &db.pool,
        "UPDATE wa.delivery SET created_at = now() - interval '31 days',
             status = (ARRAY['done', 'dead', 'queued', 'done'])[source_id - (SELECT min(source_id) FROM wa.delivery) + 1],
             finished_at = CASE source_id % 4 WHEN 0 THEN now() ELSE now() - interval '4 days' END;
         INSERT INTO wa.webhook_numbers (webhook_id, at) SELECT webhook_id, now() - n * interval '80 days' FROM wa.webhook, generate_series(1, 2) n;
         SELECT wa.drop_webhook('old')",
    )
    .await?;
    let keep = "UPDATE wa.delivery SET created_at = now(), finished_at = now() WHERE id = (SELECT max(id) FROM wa.delivery WHERE webhook_id = (SELECT webhook_id FROM wa.webhook))";
    run(&db.pool, keep).await?;
    run(&db.pool, "INSERT INTO wa.maintenance_job (kind) VALUES ('retention'); SELECT wa.disable_webhook('crm')")
        .await?;
    let worker = worker(&db)?;
    holds(&db, "SELECT status = 'done' AND (result ->> 'lost_delivery')::integer + (result ->> 'dead_delivery')::integer + (result ->> 'delivery')::integer = 7
                AND (result ->> 'webhook_numbers')::integer = 2 FROM wa.maintenance_job").await?;
    holds(&db, "SELECT count(*) = 1 FROM wa.delivery").await?;
    worker.stop().await
}

/// What is replayed is young again, and lies before what is old.
#[tokio::test]
async fn h5_q12_retention_passes_over_what_was_replayed() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    add(&db, "crm", &receiver, "").await?;
    store(&db, &["a", "b", "c", "d", "e", "f"]).await?;
    run(
        &db.pool,
        "UPDATE wa.delivery SET created_at = now() - interval '40 days', happened_at = now() - interval '40 days', finished_at = now() - interval '40 days',
             status = CASE WHEN id < (SELECT min(id) FROM wa.delivery) + 2 THEN 'dead' ELSE 'done' END;
         SELECT wa.replay_webhook('crm', '-infinity', only_dead => true)",
    )
    .await?;
    let worker = worker(&db)?;
    received(&receiver, 2).await?;
    holds(&db, "SELECT NOT EXISTS (SELECT FROM wa.webhook_replay) AND NOT EXISTS (SELECT FROM wa.delivery WHERE status = 'queued')").await?;
    run(
        &db.pool,
        "UPDATE wa.delivery SET status = 'dead' WHERE id > (SELECT max(id) FROM wa.delivery) - 2;
         INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', '{\"batch\": 2}')",
    )
    .await?;
    holds(&db, "SELECT status = 'done' AND (result ->> 'dead_delivery')::integer = 2 AND (result ->> 'delivery')::integer = 2 FROM wa.maintenance_job").await?;
    holds(&db, "SELECT count(*) = 2 AND bool_and(status = 'done' AND replayed_at IS NOT NULL) FROM wa.delivery")
        .await?;
    worker.stop().await
}

/// A row has the time at which its transaction began, so a transaction that is open for an hour puts an old row behind
/// new ones.
#[tokio::test]
async fn h5_a_replay_misses_nothing_beside_a_long_transaction() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let each = |n: usize, age: &str| {
        format!(
            "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message, received_at)
             SELECT name, session_id, 'c', 's', gen_random_uuid()::text, 'text', 'x', false, now(), '{{}}', now() - interval '{age}'
             FROM wa.session, generate_series(1, {n});
             INSERT INTO wa.event (session, session_id, kind, created_at)
             SELECT name, session_id, 'call', now() - interval '{age}' FROM wa.session, generate_series(1, {n});
             INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '15550001', 'x' FROM generate_series(1, {n});
             UPDATE wa.outbound SET status = 'sent', created_at = now() - interval '{age}' - interval '8 days', sent_at = now() - interval '{age}'
             WHERE status = 'queued'"
        )
    };
    for (n, age) in [(20, "3 hours"), (2, "1 minute"), (40, "2 hours")] {
        run(&db.pool, &each(n, age)).await?;
    }
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, ", '{message.*,call}', lanes => 'none', since => now() - interval '30 minutes'").await?;
    let replayed = "NOT EXISTS (SELECT FROM wa.webhook_replay) AND bool_and(status = 'done')";
    holds(&db, &format!("SELECT count(*) = 6 AND count(DISTINCT type) = 3 AND {replayed} FROM wa.delivery")).await?;
    // A replay sends deliveries that exist again.
    run(&db.pool, "SELECT wa.replay_webhook('crm', now() - interval '1 day')").await?;
    holds(&db, &format!("SELECT count(*) = 3 * 62 AND {replayed} FROM wa.delivery")).await?;
    run(&db.pool, "UPDATE wa.delivery SET created_at = happened_at").await?;
    let before = receiver.received().len();
    run(&db.pool, "SELECT wa.replay_webhook('crm', now() - interval '30 minutes')").await?;
    received(&receiver, before + 6).await?;
    holds(&db, &format!("SELECT {replayed} FROM wa.delivery")).await?;
    ensure!(receiver.received().len() == before + 6, "{} after {before}", receiver.received().len());
    worker.stop().await
}

#[tokio::test]
async fn h5_the_first_row_since_a_moment_is_found_by_an_index() -> Result<()> {
    let db = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.event (session, session_id, kind, created_at)
         SELECT name, session_id, 'call', now() - (200000 - n) * interval '1 second' FROM wa.session, generate_series(1, 200000) n;
         SELECT brin_summarize_new_values('wa.event_age'); ANALYZE wa.event",
    )
    .await?;
    let scans = "SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'event_age'";
    for (since, row) in [("100 seconds", 199_900), ("2 days", 27_200), ("3 days", 1)] {
        let found: i64 = sqlx::query_scalar(
            "SELECT wa.first_since('event', now() - $1::interval) - (SELECT min(id) FROM wa.event) + 2",
        )
        .bind(since)
        .fetch_one(&db.pool)
        .await?;
        ensure!((row..=row + 60).contains(&found), "{since}: {found}");
    }
    // The statistics of a session are written when it is idle for a moment.
    holds(&db, scans).await
}

#[tokio::test]
async fn h5_a_replay_has_the_statuses_of_messages_that_were_inserted_long_before() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555000' || n, 'x' FROM generate_series(1, 3) n;
         UPDATE wa.outbound SET created_at = now() - interval '60 days', status = 'read', sent_at = now() - interval '50 days',
             delivered_at = now() - interval '50 days',
             read_at = CASE WHEN id = (SELECT min(id) FROM wa.outbound) THEN now() - interval '1 minute' ELSE now() - interval '2 hours' END",
    )
    .await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, ", since => now() - interval '1 hour'").await?;
    holds(&db, "SELECT count(*) = 1 AND bool_and(status = 'done') AND NOT EXISTS (SELECT FROM wa.webhook_replay) FROM wa.delivery").await?;
    ensure!(receiver.received()[0].body["data"]["status"] == "read", "{:?}", receiver.received());
    worker.stop().await
}
