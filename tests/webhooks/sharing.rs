//! Events that share a request.

use super::receiver::{Receiver, Reply};
use super::stage::{add, due_now, holds, received, shop, store, worker};
use crate::support::logins::run;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;

/// The ids of the events in a shared request.
fn members(body: &serde_json::Value) -> Result<Vec<String>> {
    let events = body["data"]["events"].as_array().context("no events")?;
    events.iter().map(|event| Ok(event["id"].as_str().context("no id")?.to_owned())).collect()
}

#[tokio::test]
async fn h5_events_that_share_a_request_keep_it_over_retries_and_workers() -> Result<()> {
    let db = shop().await?;
    let receiver = Receiver::start(|_, n| Reply::status(if n == 0 { 503 } else { 200 })).await?;
    let secret = add(&db, "crm", &receiver, ", batch_size => 10, batch_wait => '100 ms'").await?;
    store(&db, &["a", "b", "a", "c", "a"]).await?;
    let first = worker(&db)?;
    holds(&db, "SELECT count(*) = 5 AND bool_and(status = 'queued' AND attempts = 1 AND batch LIKE 'batch_%') AND count(DISTINCT batch) = 1 FROM wa.delivery").await?;
    // Behind them, those of the same chats wait; others do not.
    store(&db, &["a", "d"]).await?;
    holds(&db, "SELECT count(*) = 1 FROM wa.delivery WHERE status = 'waiting'").await?;
    first.stop().await?;
    let second = worker(&db)?;
    due_now(&db).await?;
    holds(&db, "SELECT count(*) = 7 AND bool_and(status = 'done') FROM wa.delivery").await?;
    let requests = receiver.received();
    let first = requests.iter().find(|it| it.body["type"] == "batch").context("none shared")?;
    let shared: Vec<_> = requests.iter().filter(|it| it.id() == first.id()).collect();
    ensure!(shared.len() >= 2, "{:?}", receiver.ids());
    for request in &shared {
        request.verify(&secret)?;
        ensure!(members(&request.body)? == members(&first.body)?, "{request:?}");
    }
    ensure!(members(&shared[0].body)?.len() == 5);
    let event = &shared[0].body["data"]["events"][0];
    ensure!(
        event["type"] == "message.received" && event["data"]["body"] == "a" && event["timestamp"].is_string(),
        "{event}"
    );
    second.stop().await
}

#[tokio::test]
async fn h5_a_request_that_a_dead_worker_composed_is_sent_as_it_was() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    add(&db, "crm", &receiver, ", batch_size => 2, batch_wait => '0'").await?;
    store(&db, &["a", "b", "c", "d", "e"]).await?;
    // As a worker leaves them that dies between composing and posting.
    run(
        &db.pool,
        "UPDATE wa.delivery SET batch = 'batch_1' WHERE id IN (SELECT id FROM wa.delivery ORDER BY id LIMIT 3)",
    )
    .await?;
    let worker = worker(&db)?;
    holds(&db, "SELECT bool_and(status = 'done') FROM wa.delivery").await?;
    let requests = received(&receiver, 2).await?;
    let composed = requests.iter().find(|it| it.id() == "batch_1").context("not sent as it was")?;
    ensure!(members(&composed.body)?.len() == 3);
    let mut all = BTreeSet::new();
    for request in &requests {
        all.extend(members(&request.body)?);
    }
    ensure!(all.len() == 5, "{all:?}");
    worker.stop().await
}

#[tokio::test]
async fn h5_cloud_events_share_a_request_as_a_list() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    add(&db, "crm", &receiver, ", batch_size => 2, batch_wait => '1 minute', format => 'cloudevents'").await?;
    let worker = worker(&db)?;
    store(&db, &["a", "b"]).await?;
    let request = received(&receiver, 1).await?.remove(0);
    ensure!(request.headers["content-type"] == "application/cloudevents-batch+json", "{request:?}");
    ensure!(request.body.as_array().is_some_and(|events| events.len() == 2 && events[0]["specversion"] == "1.0"));
    worker.stop().await
}
