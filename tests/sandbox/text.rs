//! X1: unmodified whatsapp-rust clients in the sandbox.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use wacore::types::events::Event;
use wacore::types::presence::ReceiptType;
use waproto::whatsapp::Message;

use crate::support::linked::{Linked, sandbox, text_of, until_connected};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

#[tokio::test]
async fn x1_two_devices_link_by_qr_and_exchange_text() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;

    let id = alice.send(BOB, "hello bob").await?;
    let (chat, received) = bob.text("hello bob").await?;
    assert_eq!(received, id);
    alice.receipt(&id, ReceiptType::Delivered).await?;
    alice
        .wait("the server's ack", |event| match event {
            Event::ServerAck(ack) if ack.id == id => Some(()),
            _ => None,
        })
        .await?;
    // The phone of the same account got its own copy.
    assert_eq!(control.shown(BOB, "hello bob").await?["arrivals"], 1);
    assert_eq!(control.shown(ALICE, "hello bob").await?["from_me"], true);

    // An answer in the chat as the recipient knows it, which is the LID.
    let answer = Message { conversation: Some("hello alice".into()), ..Default::default() };
    bob.client.send_message(chat, answer).await?;
    alice.text("hello alice").await?;

    let stats = control.get("/stats").await?;
    assert_eq!(stats["connected_devices"], 2, "{stats}");
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_shows_a_message_once_and_reads_it() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;

    let id = alice.send(BOB, "look at this").await?;
    alice.receipt(&id, ReceiptType::Delivered).await?;
    alice.receipt(&id, ReceiptType::Read).await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert_eq!(shown["messages"].as_array().map(Vec::len), Some(1), "{shown}");
    let message = &shown["messages"][0];
    assert_eq!(message["id"], id);
    assert_eq!(message["chat"], format!("{ALICE}@s.whatsapp.net"));
    assert_eq!(message["sender"], format!("{ALICE}@s.whatsapp.net"));
    assert_eq!(message["text"], "look at this");
    assert_eq!(message["arrivals"], 1);
    assert_eq!(message["from_me"], false);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_writes_to_a_device_in_both_forms_of_address() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = control.post("/phones", json!({ "number": BOB })).await?;

    let path = format!("/phones/{BOB}/send");
    let sent = control.post(&path, json!({ "to": ALICE, "text": "by number" })).await?;
    let (_, id) = alice.text("by number").await?;
    assert_eq!(sent["id"], id);
    // An answer, and then a message by LID in the session that both now have.
    alice.send(BOB, "and back").await?;
    control.shown(BOB, "and back").await?;
    let phones = control.get("/phones").await?;
    let lid = phones["phones"][0]["lid"].as_str().context("no LID")?;
    control.post(&path, json!({ "to": lid, "text": "by LID" })).await?;
    let (chat, _) = alice.text("by LID").await?;
    assert_eq!(bob["lid"], chat.to_string());
    for text in ["by number", "by LID"] {
        assert_eq!(alice.count(text), 1, "{text}");
        // The recipient's phone has it as well, and so does the sender's.
        assert_eq!(control.shown(ALICE, text).await?["arrivals"], 1);
        assert_eq!(control.shown(BOB, text).await?["from_me"], true);
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_every_device_gets_the_accounts_other_messages() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut first = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    // Bob's account and the device know each other before the second device exists.
    first.send(BOB, "one device").await?;
    control.shown(BOB, "one device").await?;
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;

    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "to both" })).await?;
    first.text("to both").await?;
    second.text("to both").await?;
    control.post(&format!("/phones/{ALICE}/send"), json!({ "to": BOB, "text": "from the phone" })).await?;
    first.text("from the phone").await?;
    let (chat, _) = second.text("from the phone").await?;
    assert_eq!(chat.to_string(), format!("{BOB}@s.whatsapp.net"), "the copy belongs to the recipient's chat");
    second.send(BOB, "from the second").await?;
    first.text("from the second").await?;
    assert_eq!(control.shown(ALICE, "from the second").await?["from_me"], true);
    first.send(BOB, "from the first").await?;
    second.text("from the first").await?;
    assert_eq!(control.shown(BOB, "from the first").await?["arrivals"], 1);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_contact_is_notified_of_a_new_device() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut first = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = Linked::link(&sandbox, &control, BOB).await?;
    bob.send(ALICE, "to one device").await?;
    first.text("to one device").await?;
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    // Acknowledged by Bob's device, so it has the notification.
    let settled = |value: &serde_json::Value| (value["phones"][1]["devices"][0]["unacknowledged"] == 0).then_some(());
    control.until("/phones", settled).await?;
    bob.send(ALICE, "to both devices").await?;
    first.text("to both devices").await?;
    second.text("to both devices").await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_answers_a_retry_receipt() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::without_sessions(&sandbox, &control, ALICE, BOB).await?;
    let path = format!("/phones/{BOB}/send");
    let sent = control.post(&path, json!({ "to": ALICE, "text": "lost and found" })).await?;
    let (_, id) = alice.text("lost and found").await?;
    assert_eq!(sent["id"], id);
    assert_eq!(control.get("/stats").await?["stanzas"]["receipt retry retry"], 1);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_messages_to_an_offline_device_arrive_once_and_in_order() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let read_later = alice.send(BOB, "read me later").await?;
    alice.receipt(&read_later, ReceiptType::Read).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;

    let texts = ["one", "two", "three"];
    for text in texts {
        control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": text })).await?;
    }
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    for text in texts {
        alice.text(text).await?;
    }
    let order: Vec<String> = alice
        .seen
        .iter()
        .flat_map(|event| event.messages())
        .filter_map(|message| text_of(&message.message).map(str::to_owned))
        .collect();
    assert_eq!(order, texts);
    // All are acknowledged: after another absence nothing is sent again.
    control.until("/phones", |value| (value["phones"][0]["devices"][0]["unacknowledged"] == 0).then_some(())).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "four" })).await?;
    alice.text("four").await?;
    for text in texts {
        assert_eq!(alice.count(text), 0, "{text} came again");
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_receipts_wait_for_an_offline_device() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let id = alice.send(BOB, "while you were out").await?;
    let (chat, _) = bob.text("while you were out").await?;
    alice.receipt(&id, ReceiptType::Read).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;

    bob.client.mark_as_read(&chat, Some(&chat), &[id.as_str()]).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    control.until("/phones", |value| (value["phones"][0]["devices"][0]["unacknowledged"] != 0).then_some(())).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.receipt(&id, ReceiptType::Read).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_dropped_device_reconnects() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    control.post(&format!("/devices/{ALICE}/1/drop"), json!({})).await?;
    until_connected(&control, ALICE, true).await?;
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "still there?" })).await?;
    alice.text("still there?").await?;
    // The client kept the certificate of its first login, so it came back with the short handshake.
    assert_eq!(control.get("/stats").await?["handshakes"], json!({ "xx": 2, "ik": 1 }));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_an_unlinked_device_is_logged_out() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    // Offline at the time, the device learns of it at its next login, as a device that the server does not know.
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    control.post(&format!("/phones/{ALICE}/unlink"), json!({ "device": 1 })).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    let on_connect = alice
        .wait("LoggedOut", |event| match event {
            Event::LoggedOut(out) => Some(out.on_connect),
            _ => None,
        })
        .await?;
    assert!(on_connect);
    assert_eq!(control.get("/stats").await?["logins_refused"], 1);

    // Online, it is notified at once.
    let mut again = Linked::link(&sandbox, &control, ALICE).await?;
    control.post(&format!("/phones/{ALICE}/unlink"), json!({ "device": 2 })).await?;
    again.wait("LoggedOut", |event| matches!(event, Event::LoggedOut(_)).then_some(())).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_second_connection_replaces_the_first() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut first = Linked::link(&sandbox, &control, ALICE).await?;
    let second = Linked::start(&sandbox, Arc::clone(&first.backend)).await?;
    second.connected().await?;
    first.wait("StreamReplaced", |event| matches!(event, Event::StreamReplaced(_)).then_some(())).await?;
    assert_eq!(control.get("/stats").await?["connected_devices"], 1);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_client_survives_a_sandbox_with_other_keys() -> Result<()> {
    // The second sandbox cannot decrypt IK with the key of the first, and answers with the fallback.
    let (first, control) = sandbox().await?;
    let mut alice = Linked::link(&first, &control, ALICE).await?;
    let backend = alice.stop().await?;
    first.shutdown().await;
    let (second, control) = sandbox().await?;
    let mut alice = Linked::start(&second, backend).await?;
    alice.wait("LoggedOut", |event| matches!(event, Event::LoggedOut(_)).then_some(())).await?;
    assert_eq!(control.get("/stats").await?["handshakes"], json!({ "fallback": 1 }));
    second.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_the_control_api_names_the_bad_field() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": "+15550001" })).await?;
    assert_eq!(control.post("/phones", json!({ "number": ALICE })).await?["number"], ALICE);
    let send = format!("/phones/{ALICE}/send");
    let cases = [
        ("POST", "/phones", json!({ "number": "abc" }), 400, "number"),
        ("POST", "/phones", json!({ "nummer": "15550001" }), 400, "nummer"),
        ("POST", "/phones/19990000/scan", json!({ "qr": "x" }), 404, "19990000"),
        ("POST", "/phones/15550001/scan", json!({ "qr": "x" }), 400, "qr"),
        ("POST", send.as_str(), json!({ "to": "19990000", "text": "hi" }), 404, "19990000"),
        ("POST", send.as_str(), json!({ "to": "a@newsletter", "text": "hi" }), 400, "to"),
        ("POST", send.as_str(), json!({ "to": ALICE, "text": "" }), 400, "text"),
        ("POST", "/devices/15550001/1/drop", json!({}), 404, "device 1"),
        ("POST", "/devices/15550001/x/drop", json!({}), 400, "device"),
        ("POST", "/phones/15550001/unlink", json!({ "device": 9 }), 404, "9"),
        ("DELETE", "/phones", json!({}), 405, "method"),
        ("GET", "/nowhere", json!({}), 404, "path"),
    ];
    for (method, path, body, status, says) in cases {
        let (got, answer) = control.request(method, path, Some(body)).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(says), "{method} {path}: {got} {answer}");
    }
    let root = control.get("/ca").await?;
    assert_eq!(root["root_public_key"], hex::encode(sandbox.root_public_key()));
    sandbox.shutdown().await;
    Ok(())
}
