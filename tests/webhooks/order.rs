//! The order of a chat, and what happens beside a chat that fails.

use super::receiver::{Receiver, Reply};
use super::stage::{add, due_now, holds, received, shop, store, texts, worker};
use crate::support::logins::run;
use anyhow::{Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A receiver that refuses the chat `a` until it is well.
async fn refusing(well: &Arc<AtomicBool>) -> Result<Receiver> {
    let well = well.clone();
    let refuses = move |text: Option<&str>| text == Some("a") && !well.load(Ordering::Relaxed);
    Receiver::start(move |it, _| Reply::status(if refuses(it.body["data"]["body"].as_str()) { 500 } else { 200 })).await
}

#[tokio::test]
async fn h5_a_chat_that_fails_keeps_its_order_and_holds_up_no_other() -> Result<()> {
    let (db, well) = (shop().await?, Arc::new(AtomicBool::new(false)));
    let receiver = refusing(&well).await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    store(&db, &["a", "b", "a", "c", "a", "b"]).await?;
    let status = "SELECT array_agg(status ORDER BY id) = '{queued,done,waiting,done,waiting,done}' AND min(attempts) FILTER (WHERE status = 'queued') = 1 FROM wa.delivery";
    holds(&db, status).await?;
    // What comes later waits, too.
    store(&db, &["a", "d"]).await?;
    holds(&db, "SELECT count(*) FILTER (WHERE status = 'waiting') = 3 AND count(*) FILTER (WHERE status = 'done') = 4 FROM wa.delivery").await?;
    ensure!(texts(&receiver.received()).iter().filter(|text| *text == "a").count() == 1);
    well.store(true, Ordering::Relaxed);
    due_now(&db).await?;
    holds(&db, "SELECT bool_and(status = 'done') FROM wa.delivery").await?;
    let of_a: Vec<String> =
        receiver.received().iter().filter(|it| it.body["data"]["body"] == "a").map(|it| it.id().to_owned()).collect();
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT event_id FROM wa.delivery JOIN wa.inbox i ON i.id = source_id WHERE i.chat = 'a' ORDER BY wa.delivery.id")
            .fetch_all(&db.pool)
            .await?;
    ensure!(of_a[0] == of_a[1] && of_a[1..] == ids[..], "{of_a:?} {ids:?}");
    worker.stop().await
}

#[tokio::test]
async fn h5_a_chat_goes_on_when_its_first_is_dead_and_without_order_nothing_waits() -> Result<()> {
    let (db, well) = (shop().await?, Arc::new(AtomicBool::new(false)));
    let receiver = refusing(&well).await?;
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    store(&db, &["a", "a", "b"]).await?;
    holds(&db, "SELECT array_agg(status ORDER BY id) = '{queued,waiting,done}' FROM wa.delivery").await?;
    // The last attempt is near.
    run(&db.pool, "UPDATE wa.delivery SET attempts = 9, run_at = now() WHERE attempts = 1 AND status = 'queued'")
        .await?;
    holds(&db, "SELECT status = 'dead' AND attempts = 10 AND code = 500 AND last_error = 'HTTP 500' FROM wa.delivery ORDER BY id LIMIT 1").await?;
    holds(&db, "SELECT array_agg(status || attempts ORDER BY id) = '{dead10,queued1,done1}' FROM wa.delivery").await?;
    holds(&db, "SELECT dead = 1 FROM wa.webhooks").await?;
    // Its order is given up: what waits no longer does.
    store(&db, &["a"]).await?;
    holds(&db, "SELECT count(*) = 1 FROM wa.delivery WHERE status = 'waiting'").await?;
    run(&db.pool, "SELECT wa.alter_webhook('crm', lanes => 'none')").await?;
    holds(&db, "SELECT array_agg(status || attempts ORDER BY id) = '{dead10,queued1,done1,queued1}' FROM wa.delivery")
        .await?;
    worker.stop().await
}

/// A worker was killed after it had composed a request of two messages of chat `a` that are far from each other. The next one
/// reads that request whole, and must not take its second message for the end of what it has read of chat `b`.
#[tokio::test]
async fn h5_a_request_composed_before_a_crash_does_not_change_the_order_of_another_chat() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    add(&db, "crm", &receiver, "").await?;
    run(
        &db.pool,
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT name, session_id, chat, chat, 'M' || n, 'text', chat || n, false, now(), '{}'
         FROM wa.session, generate_series(1, 400) n, LATERAL (SELECT CASE WHEN n IN (1, 300) THEN 'a' ELSE 'b' END AS chat) c ORDER BY n;
         UPDATE wa.delivery SET batch = 'batch_1' WHERE chat = 'a'",
    )
    .await?;
    let worker = worker(&db)?;
    received(&receiver, 399).await?;
    let requests = receiver.received();
    let shared = requests.iter().find(|it| it.id() == "batch_1").expect("the request of two");
    let of_shared = shared.body["data"]["events"].as_array().map(Vec::len);
    ensure!(of_shared == Some(2), "{shared:?}");
    let wanted: Vec<String> = (2..=400).filter(|n| *n != 300).map(|n| format!("b{n}")).collect();
    ensure!(texts(&requests) == wanted, "{:?}", texts(&requests));
    worker.stop().await
}

#[tokio::test]
async fn h5_a_slow_receiver_holds_up_no_other_one() -> Result<()> {
    let (db, slow, fast) = (shop().await?, Receiver::start(|_, _| Reply::Never).await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    add(&db, "slow", &slow, "").await?;
    add(&db, "fast", &fast, "").await?;
    let chats: Vec<String> = (0..200).map(|n| format!("{n}")).collect();
    store(&db, &chats.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    received(&fast, 200).await?;
    ensure!(slow.received().len() <= 8, "more than the pace allows: {}", slow.received().len());
    drop(worker);
    Ok(())
}
