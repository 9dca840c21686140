//! M3: refusals of the server, and receipts of groups.

use crate::support::docs;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use wagres::messages::nack::{AfterRefusal, CODES};

#[tokio::test]
async fn m3_each_refusal_retries_fails_or_pauses_as_documented() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let mut table = "| code | then | class | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (code, then, class, meaning) in CODES {
        let fault = json!({ "fault": { "nack": { "code": code } }, "stanza": "message", "direction": "in" });
        world.control.post("/faults", fault).await?;
        let id = world.send("shop", "15550002", &code.to_string()).await?;
        let follows = match then {
            AfterRefusal::Retry => {
                world
                    .holds(&format!("SELECT waits_for = 'retry' AND attempts = 1 FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE id = {id}"))
                    .await?;
                "tried again"
            }
            AfterRefusal::Fail => {
                let failed = format!(
                    "SELECT status = 'failed' AND attempts = 1 AND failure = '{}' FROM wa.outbound WHERE id = {id}",
                    class.name()
                );
                world.holds(&failed).await?;
                "failed"
            }
            AfterRefusal::Pause => {
                world.holds("SELECT paused_at IS NOT NULL FROM wa.session").await?;
                world.holds(&format!("SELECT waits_for = 'retry' FROM wa.outbound_queue WHERE id = {id}")).await?;
                let paused =
                    "SELECT count(*) FROM wa.event WHERE kind = 'session_paused' AND data->>'reason' LIKE '%code ";
                ensure!(world.count(&format!("{paused}{code}:%'")).await? == 1);
                sqlx::query("SELECT wa.resume('shop')").execute(world.pool()).await?;
                "tried again; the session is paused"
            }
        };
        let why: String = world.until(&format!("SELECT last_error FROM wa.outbound WHERE id = {id}")).await?;
        ensure!(why == format!("refused by the server with code {code}: {meaning}"), "{why}");
        sqlx::query("SELECT wa.retry($1)").bind(id).execute(world.pool()).await?;
        world
            .holds(&format!(
                "SELECT sent_at IS NOT NULL AND failed_at IS NULL AND failure IS NULL FROM wa.outbound WHERE id = {id}"
            ))
            .await?;
        table += &[code.to_string().as_str(), follows, &format!("`{}`", class.name()), meaning]
            .map(|cell| format!("| {cell} "))
            .concat();
        table += "|\n";
    }
    let seen = world.seen_by("15550002").await?;
    ensure!(seen == CODES.iter().map(|(code, ..)| code.to_string()).collect::<Vec<_>>(), "{seen:?}");
    docs::table("docs/messages.md", "refusals", &table)?;
    worker.stop().await
}

#[tokio::test]
async fn q8_m3_a_number_that_is_not_on_whatsapp_fails_at_once() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let id = world.send("shop", "15559998", "Anybody there?").await?;
    world.holds(&format!("SELECT status = 'failed' AND attempts = 1 FROM wa.outbound WHERE id = {id}")).await?;
    let why: Option<String> =
        sqlx::query_scalar("SELECT last_error FROM wa.outbound").fetch_one(world.pool()).await.context("the row")?;
    ensure!(why.as_deref().is_some_and(|why| why.contains("not on WhatsApp")), "{why:?}");
    worker.stop().await
}

/// Makes a group of the session and others, and sends a text to it; returns the group and the id of the row.
async fn send_to_new_group(world: &World, others: &[String], subject: &str) -> Result<(String, i64)> {
    let made = json!({ "subject": subject, "creator": "15550001", "participants": others });
    let group = world.control.post("/groups", made).await?["jid"].as_str().context("no jid")?.to_owned();
    let id = world.send("shop", &group, "Hello all").await?;
    Ok((group, id))
}

/// The server refuses the query for the members of such a group, not the message.
#[tokio::test]
async fn m3_a_message_to_a_group_that_does_not_exist_fails() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let id = world.send("shop", "120363000000000000@g.us", "nobody").await?;
    world
        .holds(&format!(
            "SELECT status = 'failed' AND attempts = 1 AND failure = 'not_on_whatsapp'
                    AND last_error = 'refused by the server with code 404: there is no such recipient'
             FROM wa.outbound WHERE id = {id}"
        ))
        .await?;
    worker.stop().await
}

#[tokio::test]
async fn m3_a_group_message_shows_who_received_and_who_read_it() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.link("anna", "15550002").await?;
    world.phone("15550003").await?;
    for number in ["15550002", "15550003"] {
        world.control.post(&format!("/phones/{number}/pace"), json!({ "read": "never" })).await?;
    }
    let (group, id) = send_to_new_group(&world, &["15550002".into(), "15550003".into()], "three").await?;
    let participants = |condition: &str| {
        format!(
            "SELECT array_agg(participant ORDER BY participant)::text FROM wa.receipt WHERE outbound_id = {id} AND {condition}"
        )
    };
    let all = "{15550002@s.whatsapp.net,15550003@s.whatsapp.net}";
    world.holds(&format!("SELECT ({}) = '{all}'", participants("delivered_at IS NOT NULL"))).await?;
    ensure!(
        world
            .count(&format!("SELECT count(*) FROM wa.receipt WHERE outbound_id = {id} AND read_at IS NOT NULL"))
            .await?
            == 0
    );
    let message_id: String = world.until(&format!("SELECT message_id FROM wa.outbound WHERE id = {id}")).await?;
    let read = format!("SELECT wa.send_read('anna', '{group}', '{{{message_id}}}', sender => '15550001')");
    world.holds("SELECT EXISTS (SELECT FROM wa.inbox WHERE session = 'anna')").await?;
    world.count(&read).await?;
    world.holds(&format!("SELECT ({}) = '{{15550002@s.whatsapp.net}}'", participants("read_at IS NOT NULL"))).await?;
    world.control.post("/phones/15550003/read", json!({ "chat": group })).await?;
    world.holds(&format!("SELECT ({}) = '{all}'", participants("read_at >= delivered_at"))).await?;
    // The row has the earliest time of each status, and its status never goes back.
    let row = format!(
        "SELECT o.status = 'read' AND o.delivered_at <= (SELECT min(delivered_at) FROM wa.receipt) AND o.read_at <= (SELECT min(read_at) FROM wa.receipt)
         FROM wa.outbound o WHERE id = {id}"
    );
    world.holds(&row).await?;
    // A chat with one person needs no rows in wa.receipt.
    let one = world.send("shop", "15550003", "Hello you").await?;
    world.message_is(one, "delivered").await?;
    ensure!(
        world.count(&format!("SELECT count(*) FROM wa.receipt WHERE outbound_id <> {id}")).await? == 0,
        "receipts of a chat with one person"
    );
    worker.stop().await
}

#[tokio::test]
async fn m3_a_group_of_500_receives_a_message_and_each_receipt_is_stored() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let others: Vec<String> = (0..499).map(|n| format!("1556{n:04}")).collect();
    for number in &others {
        world.phone(number).await?;
    }
    let (group, first) = send_to_new_group(&world, &others, "five hundred").await?;
    let all = |id: i64| format!("SELECT count(*) = 499 FROM wa.receipt WHERE outbound_id = {id}");
    world.holds(&all(first)).await?;
    // This one uses the sender key that everybody has by now.
    let second = world.send("shop", &group, "And again").await?;
    world.holds(&all(second)).await?;
    let seen = world.seen_by(&others[498]).await?;
    ensure!(seen == ["Hello all", "And again"], "{seen:?}");
    worker.stop().await
}

/// The stuck session has a silent connection, as many messages in hand as allowed, and more queued.
#[tokio::test]
async fn q6_a_stuck_session_holds_up_no_other() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__ACK_TIMEOUT_SECONDS", "600");
    let worker = Worker::start(command).await?;
    world.link("stuck", "15550001").await?;
    world.link("free", "15550002").await?;
    world.phone("15550003").await?;
    let silent = json!({ "fault": { "black_hole": {} }, "number": "15550001" });
    world.control.post("/faults", silent).await?;
    let many = "INSERT INTO wa.outbound (session, recipient, body) SELECT 'stuck', '1555' || 9000000 + i, 'x' FROM generate_series(1, 2000) i";
    sqlx::query(many).execute(world.pool()).await?;
    let full = "FROM wa.sending JOIN wa.session USING (session_id) WHERE name = 'stuck' AND status = 'connected' AND cardinality(taken) >= 512";
    world.holds(&format!("SELECT count(*) = 1 {full}")).await?;
    for _ in 0..2 {
        let id = world.send("free", "15550003", "hello").await?;
        world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
        ensure!(world.count(&format!("SELECT count(*) {full}")).await? == 1, "the stuck session went on");
    }
    worker.kill().await
}
