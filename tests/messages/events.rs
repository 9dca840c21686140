//! M8: events other than messages.

use super::files::picture;
use super::stage::{Peer, SHOP, Stage};
use crate::support::docs;
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::ImageFormat::Jpeg;
use serde_json::{Value, json};

/// Waits for an event of the session `shop`.
pub(super) async fn event_is(stage: &Stage, kind: &str, data: Value) -> Result<()> {
    let found = format!(
        "SELECT count(*) FROM wa.event WHERE session = 'shop' AND kind = '{kind}' AND data @> '{}'::jsonb HAVING count(*) > 0",
        data.to_string().replace('\'', "''")
    );
    let found = stage.world.until::<i64>(&found).await;
    if found.is_err() {
        let all: Option<Value> =
            sqlx::query_scalar("SELECT jsonb_agg(jsonb_build_object(kind, data)) FROM wa.event WHERE session = 'shop'")
                .fetch_one(stage.world.pool())
                .await?;
        anyhow::bail!("no {kind} {data} among {all:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn m8_groups_pictures_presence_and_typing_are_events() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let phone = Peer::Phone.number();
    let (by, anna) = (format!("{phone}@s.whatsapp.net"), format!("{}@s.whatsapp.net", Peer::Session.number()));
    let made = json!({ "subject": "Team", "creator": phone, "participants": [SHOP] });
    let group = stage.world.control.post("/groups", made).await?["jid"].as_str().context("no jid")?.to_owned();
    event_is(&stage, "group_changed", json!({ "group": group, "action": "create" })).await?;
    let participants = |change: &str| json!({ "by": phone, change: [Peer::Session.number()] });
    for (change, action) in [("add", "add"), ("promote", "promote"), ("demote", "demote"), ("remove", "remove")] {
        stage.world.control.post(&format!("/groups/{group}/participants"), participants(change)).await?;
        let data = json!({ "group": group, "action": action, "by": by, "participants": [anna] });
        event_is(&stage, "group_changed", data).await?;
    }
    for what in ["subject", "description"] {
        let change = json!({ "by": phone, what: "All of us" });
        stage.world.control.post(&format!("/groups/{group}/{what}"), change).await?;
        event_is(&stage, "group_changed", json!({ "group": group, "action": what, what: "All of us" })).await?;
    }
    // WhatsApp notifies contacts of a new picture, and a peer that has written is a contact.
    stage.peer_says_hi(Peer::Phone).await?;
    stage.send("text", phone, "'Hello'").await?;
    let picture = json!({ "data": BASE64_STANDARD.encode(picture(Jpeg, 64, 64)?) });
    stage.world.control.post(&format!("/phones/{phone}/picture"), picture).await?;
    event_is(&stage, "picture_changed", json!({ "contact": by, "removed": false })).await?;
    // Those who watch a contact see when it types, comes online and goes offline.
    stage.world.count(&format!("SELECT wa.watch_presence('shop', '{}')", Peer::Session.number())).await?;
    stage
        .world
        .holds("SELECT count(*) = 1 FROM wa.session_job WHERE kind = 'watch_presence' AND status = 'done'")
        .await?;
    stage.world.count(&format!("SELECT wa.watch_presence('anna', '{SHOP}')")).await?;
    event_is(&stage, "presence", json!({ "contact": anna, "available": true })).await?;
    for state in ["typing", "recording", "paused"] {
        stage.world.count(&format!("SELECT wa.send_chat_state('anna', '{SHOP}', '{state}')")).await?;
        event_is(&stage, "chat_state", json!({ "chat": anna, "sender": anna, "state": state })).await?;
    }
    sqlx::query("SELECT wa.close('anna')").execute(stage.world.pool()).await?;
    event_is(&stage, "presence", json!({ "contact": anna, "available": false })).await?;
    let documented: String = sqlx::query_scalar(
        "SELECT string_agg(format('| %s | `%s` | %s |', (SELECT string_agg(format('`%s`', k), ', ') FROM unnest(string_to_array(e.kind, ', ')) k), e.data, e.about), E'\\n' ORDER BY e.place)
         FROM wa.event_kinds() WITH ORDINALITY e (kind, data, about, place)",
    )
    .fetch_one(stage.world.pool())
    .await?;
    docs::table(
        "docs/events.md",
        "events",
        &format!("| kind | data | what happened |\n| --- | --- | --- |\n{}\n", documented.replace("| `` |", "| |")),
    )?;
    worker.stop().await
}

#[tokio::test]
async fn m8_a_call_is_an_event() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let caller = format!("{}@s.whatsapp.net", Peer::Baileys.number());
    let to = format!("{SHOP}@s.whatsapp.net");
    // Each event is awaited before the next stanza: the library keeps no order among stanzas of calls.
    for (number, (tag, action)) in [("offer", "offered"), ("terminate", "terminated")].into_iter().enumerate() {
        let part = json!({ "tag": tag, "attrs": { "call-id": "CALL1", "call-creator": caller }, "content": [] });
        let stanza = json!({ "tag": "call", "attrs": { "to": to, "id": format!("CALL.{number}") }, "content": [part] });
        let baileys = stage.baileys()?;
        baileys.command("call", json!({ "method": "sendNode", "args": [stanza] })).await?;
        event_is(&stage, "call", json!({ "call_id": "CALL1", "from": caller, "action": action })).await?;
    }
    event_is(&stage, "call", json!({ "action": "offered", "video": false })).await?;
    worker.stop().await
}

#[tokio::test]
async fn m8_a_changed_security_code_is_an_event() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let phone = Peer::Phone.number();
    stage.peer_says_hi(Peer::Phone).await?;
    stage.send("text", phone, "'Hello'").await?;
    // WhatsApp was reinstalled on that phone, which gives it a new identity key.
    stage.world.control.post(&format!("/phones/{phone}/reregister"), json!({})).await?;
    stage.send("text", phone, "'Is it still you?'").await?;
    stage.peer_says_hi(Peer::Phone).await?;
    event_is(&stage, "security_code_changed", json!({ "contact": format!("{phone}@s.whatsapp.net") })).await?;
    worker.stop().await
}
