//! X1: who is online and who is typing, between devices and phones.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wacore::types::events::Event;
use wacore::types::presence::{ChatPresence, ChatPresenceMedia};
use wacore_binary::Jid;

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// Waits for the next presence of `number`; returns its `last_seen`.
async fn presence_of(client: &mut Linked, number: &str, unavailable: bool) -> Result<Option<i64>> {
    let jid = Jid::pn(number);
    client
        .wait(&format!("{number} unavailable: {unavailable}"), |event| match event {
            Event::Presence(update) if update.from == jid && update.unavailable == unavailable => {
                Some(update.last_seen.map(|at| at.timestamp()))
            }
            _ => None,
        })
        .await
}

async fn typing(client: &mut Linked, state: ChatPresence, media: ChatPresenceMedia) -> Result<Jid> {
    client
        .wait(&format!("{state:?} {media:?}"), |event| match event {
            Event::ChatPresence(update) if update.state == state && update.media == media => {
                Some(update.source.chat.clone())
            }
            _ => None,
        })
        .await
}

/// Waits until the phone of `number` shows `wanted` in a field of `contact`.
async fn until_shown(control: &Control, number: &str, contact: &str, field: &str, wanted: Value) -> Result<Value> {
    let chat = format!("{contact}@s.whatsapp.net");
    let pick = |value: &Value| {
        let entry = value["presence"].as_array()?.iter().find(|entry| entry["chat"] == chat.as_str())?;
        (entry[field] == wanted).then(|| entry.clone())
    };
    control.until(&format!("/phones/{number}/presence"), pick).await
}

#[tokio::test]
async fn x1_presence_goes_to_online_subscribers() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    alice.client.presence().set_available().await?;
    alice.client.presence().subscribe(Jid::pn(BOB)).await?;
    assert_eq!(presence_of(&mut alice, BOB, true).await?, None, "Bob was never seen");

    let path = format!("/phones/{BOB}/presence");
    control.post(&path, json!({ "state": "available" })).await?;
    presence_of(&mut alice, BOB, false).await?;
    alice.seen.clear();
    control.post(&path, json!({ "state": "unavailable" })).await?;
    assert!(presence_of(&mut alice, BOB, true).await?.is_some(), "now Bob has been seen");

    // A contact that is not online itself is not notified; the next notification comes once it is online.
    alice.seen.clear();
    alice.client.presence().set_unavailable().await?;
    alice.send(BOB, "I am away").await?;
    control.shown(BOB, "I am away").await?;
    control.post(&path, json!({ "state": "available" })).await?;
    until_shown(&control, BOB, ALICE, "state", json!("unavailable")).await?;
    alice.client.presence().set_available().await?;
    until_shown(&control, BOB, ALICE, "state", json!("available")).await?;
    control.post(&path, json!({ "state": "unavailable" })).await?;
    presence_of(&mut alice, BOB, true).await?;
    let online = alice.seen.iter().filter(|event| matches!(&***event, Event::Presence(update) if !update.unavailable));
    assert_eq!(online.count(), 0, "Alice was notified while she was offline");

    let (code, refusal) = control.request("POST", &path, Some(json!({ "state": "busy" }))).await?;
    let error = refusal["error"].as_str().context("no error")?;
    assert!(code == 400 && error.contains("available"), "{refusal}");
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_typing_is_shown_on_the_other_side() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let lid = control.get("/phones").await?["phones"][0]["lid"].as_str().context("no LID")?.to_owned();
    for client in [&alice, &bob] {
        client.client.presence().set_available().await?;
        // An answer shows that the server has handled all earlier stanzas.
        client.client.blocking().get_blocklist().await?;
    }

    bob.client.chatstate().send_recording(&Jid::pn(ALICE)).await?;
    let chat = typing(&mut alice, ChatPresence::Composing, ChatPresenceMedia::Audio).await?;
    assert_eq!(chat, Jid::pn(BOB));
    until_shown(&control, ALICE, BOB, "typing", json!("recording")).await?;
    bob.client.chatstate().send_composing(&lid.parse()?).await?;
    let chat = typing(&mut alice, ChatPresence::Composing, ChatPresenceMedia::Text).await?;
    assert!(chat.is_lid(), "not in Bob's form of address: {chat}");
    until_shown(&control, ALICE, BOB, "typing", json!("composing")).await?;
    // The typed message has arrived.
    bob.send(ALICE, "typed").await?;
    alice.text("typed").await?;
    until_shown(&control, ALICE, BOB, "typing", json!(null)).await?;

    control.post(&format!("/phones/{ALICE}/typing"), json!({ "to": BOB, "state": "composing" })).await?;
    typing(&mut bob, ChatPresence::Composing, ChatPresenceMedia::Text).await?;
    control.post(&format!("/phones/{ALICE}/typing"), json!({ "to": BOB, "state": "paused" })).await?;
    typing(&mut bob, ChatPresence::Paused, ChatPresenceMedia::Text).await?;
    for (body, named) in [
        (json!({ "to": BOB, "state": "singing" }), "composing"),
        (json!({ "to": "15559999", "state": "paused" }), "to"),
    ] {
        let (status, refusal) = control.request("POST", &format!("/phones/{ALICE}/typing"), Some(body)).await?;
        let error = refusal["error"].as_str().context("no error")?;
        assert!((status == 400 || status == 404) && error.contains(named), "{status} {refusal}");
    }
    sandbox.shutdown().await;
    Ok(())
}
