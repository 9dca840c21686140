//! R10: what the database refuses, or cannot take for a while, holds up nothing else.

use super::stage::{Peer, SHOP, Stage};
use crate::control::Control;
use crate::support::poison::{accept, refuse, refuse_first};
use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::NamedTempFile;

/// A message id longer than any row of an index.
fn long_id() -> String {
    "3EB0".repeat(750)
}

/// The number of stanzas that the session's device has not acknowledged.
async fn unacknowledged(world: &World) -> Result<u64> {
    let phones = world.control.get("/phones").await?;
    let shop = phones["phones"].as_array().and_then(|phones| phones.iter().find(|phone| phone["number"] == SHOP));
    shop.and_then(|shop| shop["devices"][0]["unacknowledged"].as_u64()).with_context(|| phones.to_string())
}

async fn all_acknowledged(world: &World) -> Result<()> {
    until("an acknowledgement of everything", async || {
        let left = unacknowledged(world).await?;
        Ok(if left == 0 { Ok(()) } else { Err(left) })
    })
    .await
}

async fn health(worker: &Worker) -> Result<Value> {
    Control::new(worker.ready["http"].as_str().context("http")?).get("/health").await
}

async fn write(world: &World, from: &str, text: &str) -> Result<()> {
    world.control.post(&format!("/phones/{from}/send"), json!({ "to": SHOP, "text": text })).await.map(drop)
}

#[tokio::test]
async fn r10_receipts_with_any_ids_stop_no_session() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    stage.peer_says_hi(Peer::Baileys).await?;
    let chat = format!("{SHOP}@s.whatsapp.net");
    for id in ["A\0B".to_owned(), "\0".repeat(300), long_id()] {
        for kind in ["read", "played"] {
            let receipt = json!({ "method": "sendReceipt", "args": [chat, null, [id, "C\0D"], kind] });
            stage.baileys()?.command("call", receipt).await?;
        }
    }
    // The outcomes of every session are still written, also of those without such a peer.
    for (session, to) in [("shop", Peer::Phone.number()), ("anna", Peer::Phone.number())] {
        let id = stage.world.send(session, to, "still here").await?;
        stage.world.message_is(id, "read").await?;
    }
    all_acknowledged(&stage.world).await?;
    ensure!(stage.world.count("SELECT count(*) FROM wa.quarantine").await? == 0, "the gate let something through");
    let health = health(&worker).await?;
    ensure!(health["status"] == "ok", "{health}");
    worker.stop().await
}

#[tokio::test]
async fn r10_names_with_nul_become_rows() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let member = format!("{SHOP}@s.whatsapp.net");
    let made = json!({ "method": "groupCreate", "args": ["Group", [member]] });
    let group = stage.baileys()?.command("call", made).await?["id"].as_str().context("no group")?.to_owned();
    let renamed = json!({ "method": "groupUpdateSubject", "args": [group, "A\0B"] });
    stage.baileys()?.command("call", renamed).await?;
    let event = "SELECT data ->> 'subject' = E'A\\uFFFDB' FROM wa.event WHERE session = 'shop' AND kind = 'group_changed' AND data ->> 'action' = 'subject'";
    stage.world.holds(event).await?;
    worker.stop().await
}

#[tokio::test]
async fn r10_messages_under_odd_ids_are_stored_once_and_acknowledged() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    stage.peer_says_hi(Peer::Baileys).await?;
    for (body, id) in [("long", long_id()), ("nul", "3EB0\0A1".to_owned())] {
        let message = json!({ "raw": { "conversation": body }, "id": id });
        stage.baileys()?.send_content(SHOP, message).await?;
        let row = format!(
            "SELECT octet_length(message_id) <= 255 AND message_id ~ '~[0-9a-f]{{32}}$' FROM wa.inbox WHERE session = 'shop' AND body = '{body}'"
        );
        stage.world.holds(&row).await?;
    }
    all_acknowledged(&stage.world).await?;
    // The server delivers nothing again at the next login.
    worker.stop().await?;
    let worker = stage.world.worker().await?;
    stage.world.session_is("shop", "connected").await?;
    stage.peer_says_hi(Peer::Phone).await?;
    let again = "SELECT count(*) FROM wa.inbox WHERE session = 'shop' AND body IN ('long', 'nul')";
    ensure!(stage.world.count(again).await? == 2, "a message was stored twice");
    worker.stop().await
}

#[tokio::test]
async fn r10_messages_that_are_not_readable_leave_a_row_and_are_acknowledged() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    stage.peer_says_hi(Peer::Baileys).await?;
    let cases = [
        ("unreadable", json!({ "conversation": "half a {lone surrogate} character" })),
        ("unreadable", json!({ "contactMessage": { "displayName": "{lone surrogate}", "vcard": "BEGIN:VCARD" } })),
        (
            "location",
            json!({ "locationMessage": { "degreesLatitude": "NaN", "degreesLongitude": "NaN", "name": "Nowhere" } }),
        ),
        ("text", json!({ "conversation": "and on" })),
    ];
    for (kind, message) in cases {
        let sent = stage.baileys()?.send_content(SHOP, json!({ "raw": message })).await?;
        let id = sent["message_id"].as_str().context("no id")?;
        let row = format!(
            "SELECT kind = '{kind}' AND sender = '{}@s.whatsapp.net' FROM wa.inbox WHERE session = 'shop' AND message_id = '{id}'",
            Peer::Baileys.number()
        );
        stage.world.holds(&row).await.with_context(|| message.to_string())?;
    }
    all_acknowledged(&stage.world).await?;
    worker.stop().await
}

#[tokio::test]
async fn r10_a_message_that_the_database_refuses_is_quarantined_and_acknowledged() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone("15550002").await?;
    refuse(world.pool(), "inbox", "NEW.body = 'poison'", "22P02").await?;
    for text in ["before", "poison", "after"] {
        write(&world, "15550002", text).await?;
    }
    world.holds("SELECT array_agg(body ORDER BY id) = '{before,after}' FROM wa.inbox").await?;
    let kept = "SELECT source = 'message' AND code = '22P02' AND convert_from(data, 'UTF8')::jsonb #>> '{message,conversation}' = 'poison' FROM wa.quarantine";
    world.holds(kept).await?;
    let event = "SELECT data - 'id' = '{\"source\": \"message\", \"code\": \"22P02\"}' FROM wa.event WHERE kind = 'item_quarantined'";
    world.holds(event).await?;
    all_acknowledged(&world).await?;
    ensure!(world.count("SELECT count(*) FROM wa.quarantine").await? == 1, "it was quarantined more than once");
    worker.stop().await
}

#[tokio::test]
async fn r10_messages_of_one_drain_are_refused_one_at_a_time() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone("15550002").await?;
    worker.stop().await?;
    for n in 0..20 {
        write(&world, "15550002", if n % 7 == 3 { "poison" } else { "good" }).await?;
    }
    refuse(world.pool(), "inbox", "NEW.body = 'poison'", "23514").await?;
    let worker = world.worker().await?;
    world.holds("SELECT count(*) = 17 FROM wa.inbox WHERE body = 'good'").await?;
    world.holds("SELECT count(*) = 3 FROM wa.quarantine WHERE source = 'message'").await?;
    all_acknowledged(&world).await?;
    worker.stop().await
}

#[tokio::test]
async fn r10_an_error_that_lasts_is_retried_and_then_the_worker_reconnects() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone("15550002").await?;
    refuse(world.pool(), "inbox", "NEW.body = 'later'", "57014").await?;
    let made = world.count("SELECT count(*) FROM wa.session_job WHERE kind = 'reconnect'").await?;
    write(&world, "15550002", "later").await?;
    let reconnect = "SELECT count(*) > 0 FROM wa.session_job WHERE kind = 'reconnect' AND reason LIKE 'messages could not be stored%'";
    world.holds(reconnect).await?;
    accept(world.pool()).await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'later'").await?;
    all_acknowledged(&world).await?;
    ensure!(world.count("SELECT count(*) FROM wa.quarantine").await? == 0, "what passes is no poison");
    ensure!(world.count("SELECT count(*) FROM wa.session_job WHERE kind = 'reconnect'").await? > made);
    worker.stop().await
}

#[tokio::test]
async fn r10_an_error_that_passes_within_a_second_costs_no_connection() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone("15550002").await?;
    let since: String = world.until("SELECT connected_at::text FROM wa.session").await?;
    refuse_first(world.pool(), 3, "inbox", "NEW.body = 'again'", "40P01").await?;
    write(&world, "15550002", "again").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'again'").await?;
    ensure!(world.count("SELECT last_value FROM public.attempts").await? == 4, "not stored by the fourth attempt");
    world.holds(&format!("SELECT connected_at = '{since}' FROM wa.session")).await?;
    worker.stop().await
}

#[tokio::test]
async fn r10_a_worker_with_a_stuck_writer_says_so_and_ends_on_sigterm() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone("15550002").await?;
    world.control.post("/phones/15550002/pace", json!({ "read": "never" })).await?;
    let id = world.send("shop", "15550002", "locked").await?;
    world.message_is(id, "delivered").await?;
    let mut other = sqlx::PgConnection::connect(&world.db.url).await?;
    let mut open = other.begin().await?;
    sqlx::query("SELECT FROM wa.outbound WHERE id = $1 FOR UPDATE").bind(id).execute(&mut *open).await?;
    world.control.post("/phones/15550002/read", json!({ "chat": SHOP })).await?;
    until("a change that waits", async || {
        let found = health(&worker).await?;
        Ok(if found["oldestChange"].as_f64() > Some(1.0) { Ok(()) } else { Err(found) })
    })
    .await?;
    worker.stop().await?;
    open.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn r5_a_file_that_cannot_be_read_leaves_no_bytes_in_the_log() -> Result<()> {
    let world = World::new().await?;
    let log = NamedTempFile::new()?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_LOG", "debug,hyper=info").stderr(log.reopen()?);
    let worker = Worker::start(command).await?;
    world.link("shop", SHOP).await?;
    world.phone("15550002").await?;
    let ftyp = "000000186674797069736f6d0000020069736f6d61766331";
    // An atom that claims more than there is, an unknown one, and 20 kB behind each.
    for broken in ["7fffffff6d6f6f76", "000000106d6f6f760000001c7472616b", "ffffffff75647461"] {
        let film = format!(
            "SELECT wa.send_video('shop', '15550002', data => decode('{ftyp}{broken}' || repeat('5a', 20000), 'hex'))"
        );
        let id = world.count(&film).await?;
        world
            .holds(&format!("SELECT sent_at IS NOT NULL OR failed_at IS NOT NULL FROM wa.outbound WHERE id = {id}"))
            .await?;
        let short = format!("SELECT coalesce(length(last_error), 0) <= 500 FROM wa.outbound WHERE id = {id}");
        world.holds(&short).await?;
    }
    worker.stop().await?;
    let text = std::fs::read_to_string(log.path())?;
    for line in text.lines() {
        ensure!(!line.contains("ZZZZZZZZ") && !line.contains("90, 90, 90, 90"), "bytes of a file: {line:.300}");
        ensure!(!line.contains("nom_exif"), "{line:.300}");
    }
    Ok(())
}
