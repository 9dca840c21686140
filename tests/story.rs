//! The main path through every layer, and the interruptions of that path.

use crate::baileys::Baileys;
use crate::support::world::World;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;

/// The statuses that row `id` has when `wa_status` announces it, up to `last`.
async fn announced(world: &World, listener: &mut PgListener, id: i64, last: &str) -> Result<Vec<String>> {
    let mut seen: Vec<String> = Vec::new();
    while seen.last().map(String::as_str) != Some(last) {
        let notification =
            tokio::time::timeout(crate::support::until::LIMIT, listener.recv()).await.context("no notification")??;
        let payload: Value = serde_json::from_str(notification.payload())?;
        if payload["ids"].as_array().is_some_and(|ids| ids.contains(&json!(id))) {
            let status = sqlx::query_scalar("SELECT status::text FROM wa.outbound WHERE id = $1 AND session_id = $2");
            let status = status.bind(id).bind(payload["session_id"].as_i64());
            seen.push(status.fetch_one(world.pool()).await?);
        }
    }
    Ok(seen)
}

#[tokio::test]
async fn q2_q11_m3_m4_an_insert_becomes_a_message_and_a_message_becomes_a_row() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.link("anna", "15550002").await?;
    let mut statuses = PgListener::connect(&world.db.url).await?;
    statuses.listen("wa_status").await?;
    let mut inbound = PgListener::connect(&world.db.url).await?;
    inbound.listen("wa_inbound").await?;

    let id = world.send("shop", "+1 555-0002", "Hello").await?;

    let seen = announced(&world, &mut statuses, id, "read").await?;
    // A status that the message passes within a moment is not announced by itself, but its time is in the row.
    let order = ["sending", "sent", "delivered", "read"];
    let ranks: Vec<_> = seen.iter().map(|s| order.iter().position(|o| o == s)).collect();
    ensure!(ranks.is_sorted() && ranks.iter().all(Option::is_some), "{seen:?}");
    let in_order = "SELECT created_at <= sending_at AND sending_at <= sent_at AND sent_at <= delivered_at
                           AND delivered_at <= read_at AND attempts = 1 FROM wa.outbound WHERE id = ";
    world.holds(&format!("{in_order}{id}")).await?;

    let announced: Value = serde_json::from_str(inbound.recv().await?.payload())?;
    let (session, arrived) = (&announced["session_id"], &announced["id"]);
    let row = format!("SELECT to_jsonb(i) FROM wa.inbox i WHERE session_id = {session} AND id = {arrived}");
    let row: Value = world.until(&row).await?;
    ensure!(row["session"] == "anna" && row["chat"] == "15550001@s.whatsapp.net", "{row}");
    ensure!(row["body"] == "Hello" && row["kind"] == "text" && row["from_me"] == false, "{row}");
    ensure!(row["sender"] == "15550001@s.whatsapp.net" && row["message"]["conversation"] == "Hello", "{row}");
    let sent: String = world.until(&format!("SELECT message_id FROM wa.outbound WHERE id = {id}")).await?;
    ensure!(row["message_id"] == sent.as_str(), "{row}");
    worker.stop().await
}

#[tokio::test]
async fn r1_q6_q7_a_worker_killed_under_load_loses_and_doubles_nothing_and_needs_no_scan() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    world.phone("15550003").await?;
    sqlx::query(
        "INSERT INTO wa.outbound (session, recipient, body)
         SELECT 'shop', '1555000' || (2 + n % 2), 'n' || n FROM generate_series(1, 60) n",
    )
    .execute(world.pool())
    .await?;
    // Some are sent, and one of each chat is in hand.
    world.holds("SELECT count(*) >= 10 FROM wa.outbound WHERE sent_at IS NOT NULL").await?;
    world.kill(first).await?;
    ensure!(world.count("SELECT count(*) FROM wa.outbound WHERE sent_at IS NULL").await? > 0, "killed too late");

    let second = world.worker().await?;
    // Receipts that the killed worker had received but not written are lost; acks are not.
    world.holds("SELECT bool_and(status IN ('sent', 'delivered', 'read')) FROM wa.outbound").await?;
    world
        .holds(
            "SELECT bool_and(status = 'read') FROM (SELECT status FROM wa.outbound ORDER BY id DESC LIMIT 2) AS last",
        )
        .await?;
    for (number, odd) in [("15550002", 0), ("15550003", 1)] {
        let expected: Vec<_> = (1..=60).filter(|n| n % 2 == odd).map(|n| format!("n{n}")).collect();
        let seen = world.seen_by(number).await?;
        ensure!(seen == expected, "{number} sees {seen:?}");
    }
    // Linked once, by the first worker; the second logged in with the auth state in the database.
    ensure!(world.count("SELECT count(*) FROM wa.session_job WHERE kind = 'link'").await? == 1, "a second link");
    ensure!(world.count("SELECT epoch FROM wa.lease").await? == 2, "not exactly one takeover");
    second.stop().await
}

#[tokio::test]
async fn s3_the_other_worker_takes_over_the_sessions_of_a_killed_one() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let second = world.worker().await?;
    world.kill(first).await?;
    let id = world.send("shop", "15550002", "after the kill").await?;
    world.message_is(id, "read").await?;
    ensure!(world.count("SELECT count(*) FROM wa.worker").await? == 1, "the dead worker's row was not removed");
    second.stop().await?;
    ensure!(world.count("SELECT count(*) FROM wa.worker").await? == 0, "the stopped worker left its row");
    world.session_is("shop", "disconnected").await
}

#[tokio::test]
async fn q3_a_rolled_back_insert_sends_nothing() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let mut transaction = world.pool().begin().await?;
    sqlx::query("SELECT wa.send_text('shop', '+15550002', 'never')").execute(&mut *transaction).await?;
    transaction.rollback().await?;
    let id = world.send("shop", "+15550002", "always").await?;
    world.message_is(id, "read").await?;
    ensure!(world.seen_by("15550002").await? == ["always"], "{:?}", world.seen_by("15550002").await?);
    worker.stop().await
}

#[tokio::test]
async fn q9_a_row_that_commits_long_after_its_insert_is_sent() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let mut transaction = world.pool().begin().await?;
    sqlx::query("SELECT wa.send_text('shop', '+15550002', 'late')").execute(&mut *transaction).await?;
    // The worker parks only now, after the INSERT has looked whether to ring.
    world.holds("SELECT parked FROM wa.worker").await?;
    transaction.commit().await?;
    world.holds("SELECT status = 'read' FROM wa.outbound").await?;
    worker.stop().await
}

#[tokio::test]
async fn r2_m4_a_message_that_arrives_while_no_worker_runs_is_in_the_inbox_once() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    worker.stop().await?;
    let send =
        |text: &'static str| world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": text }));
    send("while stopped").await?;
    let worker = world.worker().await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'while stopped'").await?;
    world.kill(worker).await?;
    send("while dead").await?;
    let worker = world.worker().await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'while dead'").await?;
    ensure!(world.count("SELECT count(*) FROM wa.inbox").await? == 2, "a message was stored twice");
    worker.stop().await
}

#[tokio::test]
async fn s5_a_lost_connection_becomes_one_reconnect_row() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let rows = "SELECT count(*) FROM wa.session_job WHERE kind = 'reconnect'";
    let before = world.count(rows).await?;
    world.control.post("/devices/15550001/1/drop", json!({})).await?;
    world.holds(&format!("SELECT ({rows}) = {}", before + 1)).await?;
    world.session_is("shop", "connected").await?;
    let id = world.send("shop", "15550002", "back again").await?;
    world.message_is(id, "read").await?;
    ensure!(world.count(rows).await? == before + 1, "more than one reconnect");
    worker.stop().await
}

#[tokio::test]
async fn s7_a_closed_session_keeps_its_link_and_its_queue() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    sqlx::query("SELECT wa.close('shop', 'night')").execute(world.pool()).await?;
    world
        .holds("SELECT status = 'stopped' AND status_reason = 'night' AND desired = 'stopped' FROM wa.session")
        .await?;
    world.holds("SELECT holder IS NULL FROM wa.lease").await?;
    let id = world.send("shop", "15550002", "good morning").await?;
    world.message_is(id, "queued").await?;
    sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
    world.message_is(id, "read").await?;
    sqlx::query("SELECT wa.logout('shop')").execute(world.pool()).await?;
    world.session_is("shop", "logged_out").await?;
    let phones = world.control.get("/phones").await?;
    let ours = phones["phones"].as_array().into_iter().flatten().find(|p| p["number"] == "15550001");
    ensure!(ours.is_some_and(|p| p["devices"] == json!([])), "still linked: {phones}");
    let left = "SELECT (SELECT count(*) FROM wa.auth) + (SELECT count(*) FROM wa.auth_key)";
    ensure!(world.count(left).await? == 0, "auth state was not deleted");
    worker.stop().await
}

#[tokio::test]
async fn x1_a_real_baileys_talks_with_a_session_both_ways() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550009").await?;
    let (ws, control) = (world.sandbox.ws_url(), world.sandbox.control_url());
    let mut baileys = Baileys::link(&ws, &control, "15550009").await?;
    let id = world.send("shop", "15550009", "hello Baileys").await?;
    baileys.wait_message("hello Baileys").await?;
    world.message_is(id, "read").await?;
    let message_id = baileys.send("15550001", "hello wagres").await?;
    let row: Value = world.until("SELECT to_jsonb(i) FROM wa.inbox i WHERE body = 'hello wagres'").await?;
    ensure!(row["message_id"] == message_id.as_str() && row["chat"] == "15550009@s.whatsapp.net", "{row}");
    worker.stop().await
}
