//! What each answer of a receiver means.

use super::receiver::{Receiver, Reply};
use super::stage::{add, due_now, holds, received, shop, store, worker};
use crate::support::in_process::InProcessWorker;
use crate::support::logins::run;
use anyhow::{Result, ensure};
use std::time::Duration;

#[tokio::test]
async fn h5_only_2xx_is_success_and_each_failure_says_why() -> Result<()> {
    let db = shop().await?;
    let worker = InProcessWorker::with_config(&db, |config| {
        (config.webhook.private_networks, config.webhook.timeout_seconds) = (true, 1);
    })?;
    let elsewhere = Receiver::ok().await?;
    let location: &'static str = format!("location: {}\r\n", elsewhere.url()).leak();
    for (name, reply, code, error, said) in [
        ("late", Reply::Late(Duration::from_millis(300), 200), Some(200), None, None),
        ("thanks", Reply::Status(200, "", "thanks".into()), Some(200), None, Some(6)),
        ("long", Reply::Status(202, "", "ж".repeat(1000)), Some(202), None, Some(512)),
        ("never", Reply::Never, None, Some("no answer within 1 s"), None),
        ("moved", Reply::Status(301, location, "Moved".into()), Some(301), Some("redirects are not followed"), Some(5)),
        ("wrong", Reply::Status(400, "", "no \0 such field".into()), Some(400), Some("HTTP 400"), Some(17)),
        ("half", Reply::Half, None, Some("error"), None),
        ("flood", Reply::Flood, Some(500), Some("HTTP 500"), Some(4096)),
    ] {
        let receiver = Receiver::start(move |_, _| reply.clone()).await?;
        add(&db, name, &receiver, "").await?;
        store(&db, &["a"]).await?;
        received(&receiver, 1).await?;
        let (state, error) =
            error.map_or(("done", "true".into()), |it| ("queued", format!("d.last_error LIKE '%{it}%'")));
        let code = code.map_or("NULL".into(), |code: i32| code.to_string());
        let said = said.map_or("NULL".into(), |bytes: i32| bytes.to_string());
        holds(
            &db,
            &format!(
                "SELECT d.status = '{state}' AND d.attempts = 1 AND d.code IS NOT DISTINCT FROM {code} AND {error}
                    AND octet_length(d.response) IS NOT DISTINCT FROM {said}
                    AND (d.status = 'done' OR d.run_at BETWEEN d.attempted_at + interval '4 s' AND d.attempted_at + interval '6 s')
                 FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) WHERE w.name = '{name}' LIMIT 1"
            ),
        )
        .await?;
        run(&db.pool, &format!("SELECT wa.drop_webhook('{name}')")).await?;
    }
    ensure!(elsewhere.received().is_empty(), "a redirect was followed");
    worker.stop().await
}

#[tokio::test]
async fn h5_410_disables_a_webhook_until_somebody_enables_it() -> Result<()> {
    let db = shop().await?;
    let receiver = Receiver::start(|_, n| Reply::status(if n == 0 { 410 } else { 200 })).await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, ", session => 'shop'").await?;
    store(&db, &["a"]).await?;
    holds(&db, "SELECT status = 'disabled' AND disabled_reason LIKE '%410%' FROM wa.webhooks").await?;
    holds(&db, "SELECT count(*) = 1 FROM wa.event WHERE session = 'shop' AND kind = 'webhook_disabled' AND data ->> 'webhook' = 'crm'").await?;
    holds(&db, "SELECT worker_id IS NULL FROM wa.webhook_lease").await?;
    store(&db, &["b"]).await?;
    due_now(&db).await?;
    run(&db.pool, "SELECT wa.enable_webhook('crm')").await?;
    // What was queued is delivered; what happened meanwhile is not.
    holds(&db, "SELECT count(*) = 1 AND bool_and(status = 'done' AND attempts = 2) FROM wa.delivery").await?;
    store(&db, &["c"]).await?;
    received(&receiver, 3).await?;
    worker.stop().await
}

#[tokio::test]
async fn h5_a_receiver_that_wants_a_pause_gets_it() -> Result<()> {
    let db = shop().await?;
    let receiver = Receiver::start(|_, n| match n {
        0 => Reply::Status(429, "retry-after: 3000\r\n", String::new()),
        _ => Reply::status(200),
    })
    .await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    store(&db, &["a"]).await?;
    // Never before that.
    let wanted = "SELECT run_at BETWEEN attempted_at + interval '3000 s' AND attempted_at + interval '3301 s' AND code = 429 FROM wa.delivery";
    holds(&db, wanted).await?;
    store(&db, &["b"]).await?;
    // Another receiver of the same worker is served meanwhile.
    let other = Receiver::ok().await?;
    add(&db, "other", &other, "").await?;
    store(&db, &["c"]).await?;
    received(&other, 1).await?;
    worker.stop().await?;
    // The next worker knows.
    let next = super::stage::worker(&db)?;
    store(&db, &["d"]).await?;
    received(&other, 2).await?;
    ensure!(receiver.received().len() == 1, "{:?}", receiver.ids());
    holds(&db, "SELECT l.not_before > now() + interval '2900 s' FROM wa.webhook_lease l JOIN wa.webhook USING (webhook_id) WHERE name = 'crm'").await?;
    next.stop().await
}

/// Bad gateways slow a receiver down; 503 does if it asks for it.
#[tokio::test]
async fn h5_502_503_and_504_are_failures_and_slow_the_receiver_down() -> Result<()> {
    let db = shop().await?;
    let worker = worker(&db)?;
    for (name, status, headers, rest) in [
        ("bad", 502, "", "BETWEEN 0.5 AND 2"),
        ("timeout", 504, "", "BETWEEN 0.5 AND 2"),
        ("away", 503, "", "IS NULL"),
        ("busy", 503, "retry-after: 600\r\n", "BETWEEN 590 AND 601"),
    ] {
        let receiver = Receiver::start(move |_, _| Reply::Status(status, headers, String::new())).await?;
        add(&db, name, &receiver, "").await?;
        store(&db, &["a"]).await?;
        holds(
            &db,
            &format!(
                "SELECT count(*) = 1 AND bool_and(d.status = 'queued' AND d.attempts = 1 AND d.code = {status} AND l.last_code = {status}
                        AND l.failures = 1 AND extract(epoch FROM l.not_before - l.attempted_at) {rest})
                 FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) JOIN wa.webhook_lease l USING (webhook_id) WHERE w.name = '{name}'"
            ),
        )
        .await?;
        run(&db.pool, &format!("SELECT wa.drop_webhook('{name}')")).await?;
    }
    worker.stop().await
}

#[tokio::test]
async fn h5_a_webhook_without_a_success_for_days_is_disabled() -> Result<()> {
    let db = shop().await?;
    let receiver = Receiver::start(|_, _| Reply::status(500)).await?;
    add(&db, "crm", &receiver, "").await?;
    let first = worker(&db)?;
    store(&db, &["a"]).await?;
    holds(
        &db,
        "SELECT count(*) = 1 AND bool_and(failing_since IS NOT NULL AND disabled_at IS NULL) FROM wa.webhook_lease",
    )
    .await?;
    first.stop().await?;
    let failing = async |days: &str| {
        run(&db.pool, &format!("UPDATE wa.webhook_lease SET failing_since = now() - interval '{days} days'")).await?;
        due_now(&db).await
    };
    failing("4.9").await?;
    let second = worker(&db)?;
    holds(&db, "SELECT failures = 2 AND disabled_at IS NULL FROM wa.webhook_lease").await?;
    second.stop().await?;
    failing("5.1").await?;
    let third = worker(&db)?;
    holds(&db, "SELECT status = 'disabled' AND disabled_reason = 'every attempt has failed for 5 days; the last one: HTTP 500' FROM wa.webhooks").await?;
    holds(&db, "SELECT count(*) = 1 FROM wa.event WHERE kind = 'webhook_disabled' AND data ->> 'webhook' = 'crm'")
        .await?;
    // What waits stays.
    holds(&db, "SELECT status = 'queued' AND attempts = 3 FROM wa.delivery").await?;
    third.stop().await
}

#[tokio::test]
async fn h5_a_dead_receiver_costs_one_request_at_a_time() -> Result<()> {
    let db = shop().await?;
    let receiver = Receiver::start(|_, _| Reply::status(500)).await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    let chats: Vec<String> = (0..300).map(|n| format!("{n}")).collect();
    store(&db, &chats.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    holds(&db, "SELECT status = 'failing' AND failures >= 5 AND next_probe IS NOT NULL AND last_error = 'HTTP 500' FROM wa.webhooks").await?;
    holds(
        &db,
        "SELECT count(*) = 1 FROM wa.event WHERE kind = 'webhook_failing' AND (data ->> 'failures')::integer >= 5",
    )
    .await?;
    // A few probes later nearly all are untouched, and each probe was an attempt of one delivery.
    holds(&db, "SELECT failures >= 7 FROM wa.webhooks").await?;
    let requests = i64::try_from(receiver.received().len())?;
    holds(&db, &format!("SELECT sum(attempts) >= {requests} FROM wa.delivery")).await?;
    ensure!(requests < 40, "{requests} requests");
    holds(&db, "SELECT count(*) > 250 FROM wa.delivery WHERE attempts = 0 AND status = 'queued'").await?;
    // The next worker goes on with the open breaker.
    worker.stop().await?;
    holds(&db, "SELECT failures >= 7 AND open_until IS NOT NULL FROM wa.webhook_lease").await?;
    let before = receiver.received().len();
    let next = super::stage::worker(&db)?;
    holds(&db, "SELECT worker_id IS NOT NULL AND failures >= 8 FROM wa.webhook_lease").await?;
    ensure!(receiver.received().len() <= before + 2, "{} after {before}", receiver.received().len());
    next.stop().await
}

#[tokio::test]
async fn h5_r9_no_request_reaches_a_private_network_unless_allowed() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let by_name = format!("http://localhost:{}/", receiver.address.port());
    let by_number = format!("http://2130706433:{}/", receiver.address.port());
    let worker = InProcessWorker::start(&db)?;
    add(&db, "direct", &receiver, "").await?;
    run(&db.pool, &format!("SELECT wa.add_webhook('name', '{by_name}'), wa.add_webhook('number', '{by_number}')"))
        .await?;
    store(&db, &["a"]).await?;
    holds(&db, "SELECT count(*) = 3 AND bool_and(attempts = 1 AND code IS NULL AND last_error LIKE '%private network%webhook.private_networks%') FROM wa.delivery").await?;
    worker.stop().await?;
    ensure!(receiver.received().is_empty(), "{:?}", receiver.ids());
    let listed = InProcessWorker::with_config(&db, |config| {
        config.webhook.allow = vec![wagres::config::Allowed::Host("localhost".into())];
    })?;
    due_now(&db).await?;
    received(&receiver, 1).await?;
    holds(&db, "SELECT array_agg(w.name::text) = '{name}' FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) WHERE d.status = 'done'").await?;
    listed.stop().await
}

/// The database cannot tell all that the program that posts can.
#[tokio::test]
async fn h5_an_address_that_cannot_be_used_fails_like_any_other_attempt() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = super::stage::worker(&db)?;
    add(&db, "crm", &receiver, ", lanes => 'none'").await?;
    run(&db.pool, "UPDATE wa.webhook SET url = 'http://xn--/'").await?;
    store(&db, &["a"]).await?;
    holds(
        &db,
        "SELECT status = 'queued' AND attempts = 1 AND code IS NULL AND last_error LIKE 'url: %' FROM wa.delivery",
    )
    .await?;
    holds(&db, "SELECT failures = 1 AND last_error LIKE 'url: %' FROM wa.webhook_lease").await?;
    run(&db.pool, "UPDATE wa.delivery SET attempts = 9").await?;
    due_now(&db).await?;
    holds(&db, "SELECT status = 'dead' AND attempts = 10 FROM wa.delivery").await?;
    // One that can be used is used at once.
    run(
        &db.pool,
        &format!(
            "SELECT wa.alter_webhook('crm', url => '{}'), wa.replay_webhook('crm', '-infinity', only_dead => true)",
            receiver.url()
        ),
    )
    .await?;
    received(&receiver, 1).await?;
    worker.stop().await
}
