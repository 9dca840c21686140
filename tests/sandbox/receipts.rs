//! X1: read receipts between devices and phones, and when the owner of a phone reads.

use anyhow::{Context, Result};
use serde_json::json;
use wacore::iq::privacy::{PrivacyCategory, PrivacyValue};
use wacore::types::events::{Event, Receipt};
use wacore::types::presence::ReceiptType;
use wacore_binary::Jid;

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};
use crate::support::until::until;

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

fn has(event: &Event, id: &str, kind: &ReceiptType) -> bool {
    matches!(event, Event::Receipt(Receipt { message_ids, r#type, .. })
        if r#type == kind && message_ids.iter().any(|it| it == id))
}

async fn seen(control: &Control, number: &str, id: &str) -> Result<()> {
    let path = format!("/phones/{number}/messages/{id}");
    control.until(&path, |value| (value["message"]["seen"] == true).then_some(())).await
}

#[tokio::test]
async fn x1_reading_on_one_device_marks_all_the_others() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut first = Linked::link(&sandbox, &control, ALICE).await?;
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    control.post(&format!("/phones/{ALICE}/pace"), json!({ "read": "never" })).await?;

    let id = bob.send(ALICE, "read me").await?;
    let (chat, _) = first.text("read me").await?;
    bob.receipt(&id, ReceiptType::Delivered).await?;
    let unread = |value: &serde_json::Value| (value["phones"][0]["unread"] == 1).then_some(());
    control.until("/phones", unread).await?;
    first.client.mark_as_read(&chat, None, &[&id]).await?;
    bob.receipt(&id, ReceiptType::Read).await?;
    second.receipt(&id, ReceiptType::Read).await?;
    seen(&control, ALICE, &id).await?;
    assert_eq!(control.get("/phones").await?["phones"][0]["unread"], 0);

    // Without read receipts the account's own devices still agree, and the sender is not notified.
    second.client.set_privacy_setting(PrivacyCategory::ReadReceipts, PrivacyValue::None).await?;
    let settings = first.client.fetch_privacy_settings().await?;
    assert_eq!(settings.get_value(&PrivacyCategory::ReadReceipts), Some(&PrivacyValue::None));
    let id = bob.send(ALICE, "in silence").await?;
    control.shown(ALICE, "in silence").await?;
    let read = control.post(&format!("/phones/{ALICE}/read"), json!({ "chat": BOB })).await?;
    assert_eq!(read, json!({ "read": [id] }));
    first.receipt(&id, ReceiptType::ReadSelf).await?;
    second.receipt(&id, ReceiptType::ReadSelf).await?;
    // Bob has received everything sent before this.
    control.post(&format!("/phones/{ALICE}/send"), json!({ "to": BOB, "text": "done" })).await?;
    bob.text("done").await?;
    assert!(!bob.seen.iter().any(|event| has(event, &id, &ReceiptType::Read)), "Bob got a read receipt");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_reads_unasked_or_on_request() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let path = format!("/phones/{BOB}/pace");
    assert_eq!(control.get(&path).await?, json!({ "read": "auto", "delivered_ms": 20, "read_ms": 100 }));
    let pace = control.post(&path, json!({ "read": "never", "delivered_ms": 0, "read_ms": 0 })).await?;
    assert_eq!(pace, json!({ "read": "never", "delivered_ms": 0, "read_ms": 0 }));

    let first = alice.send(BOB, "one").await?;
    let second = alice.send(BOB, "two").await?;
    alice.receipt(&first, ReceiptType::Delivered).await?;
    alice.receipt(&second, ReceiptType::Delivered).await?;
    let read = control.post(&format!("/phones/{BOB}/read"), json!({ "chat": ALICE })).await?;
    assert_eq!(read["read"].as_array().map(Vec::len), Some(2), "{read}");
    alice.receipt(&first, ReceiptType::Read).await?;
    alice.receipt(&second, ReceiptType::Read).await?;
    let reads = alice.seen.iter().filter(|event| has(event, &first, &ReceiptType::Read)).count();
    assert_eq!(reads, 1, "the phone sent more than one read receipt");
    assert_eq!(control.post(&format!("/phones/{BOB}/read"), json!({ "chat": ALICE })).await?, json!({ "read": [] }));

    control.post(&path, json!({ "read": "auto" })).await?;
    let third = alice.send(BOB, "three").await?;
    alice.receipt(&third, ReceiptType::Read).await?;
    for body in [json!({ "read": "sometimes" }), json!({ "read_ms": 3_600_001 }), json!({ "speed": 1 })] {
        let (status, refusal) = control.request("POST", &path, Some(body)).await?;
        assert!(status == 400 && refusal["error"].is_string(), "{status} {refusal}");
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_blocked_contact_cannot_send_and_is_not_notified() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = Linked::link(&sandbox, &control, BOB).await?;
    let path = format!("/phones/{BOB}/send");
    control.post(&path, json!({ "to": ALICE, "text": "before" })).await?;
    let (chat, _) = alice.text("before").await?;
    alice.client.blocking().block(&chat).await?;
    assert_eq!(alice.client.blocking().get_blocklist().await?.len(), 1);

    let lost = bob.send(ALICE, "into the void").await?;
    control.post(&path, json!({ "to": ALICE, "text": "and from the phone" })).await?;
    // Bob's own phone shows both, so the server received them.
    control.shown(BOB, "into the void").await?;
    control.shown(BOB, "and from the phone").await?;
    alice.client.blocking().unblock(&chat).await?;
    assert!(alice.client.blocking().get_blocklist().await?.is_empty());
    bob.send(ALICE, "after").await?;
    alice.text("after").await?;
    let phone = control.shown(ALICE, "after").await?;
    assert_eq!(phone["chat"], format!("{BOB}@s.whatsapp.net"));
    for text in ["into the void", "and from the phone"] {
        assert_eq!(alice.count(text), 0, "{text}");
    }
    let ticks = control.get(&format!("/phones/{BOB}/messages/{lost}")).await?;
    assert_eq!(ticks["message"]["ticks"], "sent", "{ticks}");
    let messages = control.get(&format!("/phones/{ALICE}/messages")).await?;
    let texts: Vec<_> = messages["messages"].as_array().context("messages")?.iter().map(|it| &it["text"]).collect();
    assert_eq!(texts, ["before", "after"]);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_contact_gets_a_privacy_token() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = Linked::link(&sandbox, &control, BOB).await?;
    let lid = control.get("/phones").await?["phones"][0]["lid"].as_str().context("no LID")?.parse::<Jid>()?;
    alice.client.tc_token().issue_tokens(&[Jid::pn(BOB)]).await?;
    let token = until("Bob's token", async || {
        let token = bob.client.tc_token().get(&lid.user).await?;
        Ok(token.filter(|token| !token.token.is_empty()).ok_or("none"))
    })
    .await?;
    assert_eq!(token.token.len(), 16);
    sandbox.shutdown().await;
    Ok(())
}
