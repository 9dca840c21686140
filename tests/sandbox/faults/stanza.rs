//! X2: faults of stanzas.

use anyhow::Result;
use serde_json::json;
use wacore::types::events::Event;
use wacore::types::presence::ReceiptType;

use super::{ALICE, BOB, counts, set, write};
use crate::baileys::Baileys;
use crate::support::linked::{Linked, sandbox, text_of};

/// Waits for the server's ack of a message; returns its error, if any.
async fn ack(client: &mut Linked, id: &str) -> Result<Option<String>> {
    client
        .wait(&format!("the ack of {id}"), |event| match event {
            Event::ServerAck(ack) if ack.id == id && ack.class.as_deref() == Some("message") => Some(ack.error.clone()),
            _ => None,
        })
        .await
}

/// The messages in the order in which the server acknowledged them.
fn acked(client: &Linked) -> Vec<String> {
    let acks = client.seen.iter().filter_map(|event| match &**event {
        Event::ServerAck(ack) if ack.class.as_deref() == Some("message") => Some(ack.id.clone()),
        _ => None,
    });
    acks.collect()
}

fn texts(client: &Linked) -> Vec<String> {
    let messages = client.seen.iter().flat_map(|event| event.messages());
    messages.filter_map(|message| text_of(&message.message).map(str::to_owned)).collect()
}

fn undecryptable(client: &Linked) -> usize {
    client.seen.iter().filter(|event| matches!(&***event, Event::UndecryptableMessage(_))).count()
}

#[tokio::test]
async fn x2_a_message_is_delivered_despite_a_lost_ack() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let rule = set(&control, json!({ "fault": { "lose": {} }, "stanza": "ack message", "direction": "out" })).await?;
    let lost = alice.send(BOB, "never acknowledged").await?;
    let next = alice.send(BOB, "acknowledged").await?;
    assert_eq!(ack(&mut alice, &next).await?, None);
    alice.receipt(&lost, ReceiptType::Delivered).await?;
    assert_eq!(acked(&alice), [next]);
    assert_eq!(counts(&control, rule).await?, (1, 1));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_late_lets_others_overtake_and_delay_does_not() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    set(&control, json!({ "fault": { "late": { "ms": 300 } }, "stanza": "ack message", "direction": "out" })).await?;
    let first = alice.send(BOB, "one").await?;
    let second = alice.send(BOB, "two").await?;
    ack(&mut alice, &first).await?;
    assert_eq!(acked(&alice), [second.clone(), first.clone()]);
    alice.seen.clear();
    set(&control, json!({ "fault": { "delay": { "ms": 100 } }, "stanza": "ack message", "direction": "out" })).await?;
    let third = alice.send(BOB, "three").await?;
    let fourth = alice.send(BOB, "four").await?;
    ack(&mut alice, &fourth).await?;
    assert_eq!(acked(&alice), [third, fourth]);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_inbound_stanzas_can_be_late_delayed_or_lost() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    alice.send(BOB, "so that the next ones are messages alone").await?;
    for fault in [json!({ "late": { "ms": 300 } }), json!({ "lose": {} }), json!({ "delay": { "ms": 50 } })] {
        set(&control, json!({ "fault": fault, "stanza": "message", "direction": "in" })).await?;
    }
    let late = alice.send(BOB, "late").await?;
    let lost = alice.send(BOB, "lost").await?;
    let delayed = alice.send(BOB, "delayed").await?;
    let newest = alice.send(BOB, "newest").await?;
    ack(&mut alice, &late).await?;
    assert_eq!(acked(&alice)[1..], [delayed, newest, late]);
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert!(!shown.to_string().contains(&lost), "{shown}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_duplicate_is_dropped_by_its_ciphertext() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let rule = json!({ "fault": { "duplicate": { "copies": 2 } }, "stanza": "message" });
    let out = set(&control, rule.clone()).await?;
    write(&control, BOB, ALICE, "three times").await?;
    write(&control, BOB, ALICE, "and on").await?;
    alice.text("and on").await?;
    assert_eq!(texts(&alice), ["three times", "and on"]);
    assert_eq!((counts(&control, out).await?, undecryptable(&alice)), ((1, 1), 0));
    // The same towards the phone, which also recognises a ciphertext that it has decrypted before.
    set(&control, rule).await?;
    let id = alice.send(BOB, "thrice back").await?;
    ack(&mut alice, &id).await?;
    let id = alice.send(BOB, "and on, too").await?;
    alice.receipt(&id, ReceiptType::Read).await?;
    assert_eq!(control.shown(BOB, "thrice back").await?["arrivals"], 1);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_reorder_swaps_two_messages() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    write(&control, BOB, ALICE, "zero").await?;
    alice.text("zero").await?;
    set(&control, json!({ "fault": { "reorder": {} }, "stanza": "message", "direction": "out", "number": ALICE }))
        .await?;
    for text in ["one", "two", "three"] {
        write(&control, BOB, ALICE, text).await?;
    }
    alice.text("three").await?;
    alice.text("one").await?;
    assert_eq!(texts(&alice), ["zero", "two", "one", "three"]);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_refused_message_is_not_delivered() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    set(&control, json!({ "fault": { "nack": { "code": 479 } } })).await?;
    let refused = alice.send(BOB, "refused").await?;
    assert_eq!(ack(&mut alice, &refused).await?.as_deref(), Some("479"));
    let next = alice.send(BOB, "accepted").await?;
    assert_eq!(ack(&mut alice, &next).await?, None);
    control.shown(BOB, "accepted").await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert!(!shown.to_string().contains("refused"), "{shown}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_corrupt_message_recovers_by_a_retry() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    // The first message of a session has another type than later ones.
    for text in ["first of the session", "in the session"] {
        alice.seen.clear();
        set(&control, json!({ "fault": { "corrupt": {} }, "number": ALICE, "direction": "out" })).await?;
        let id = write(&control, BOB, ALICE, text).await?;
        assert_eq!(alice.text(text).await?.1, id);
        assert_eq!(undecryptable(&alice), 1, "{text}");
        alice.send(BOB, "so the session is established").await?;
    }
    // And on the way to the phone.
    set(&control, json!({ "fault": { "corrupt": {} }, "number": ALICE, "direction": "in" })).await?;
    let id = alice.send(BOB, "healed on the phone").await?;
    assert_eq!(control.shown(BOB, "healed on the phone").await?["id"], id);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_message_with_corrupt_retries_is_given_up() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    // A phone that is on would send the device the messages that it could read itself.
    control.post("/phones", json!({ "number": ALICE, "phone": "off" })).await?;
    let rule = json!({ "fault": { "corrupt": { "retries": true } }, "number": ALICE, "direction": "out" });
    let rule = set(&control, rule).await?;
    write(&control, BOB, ALICE, "never readable").await?;
    control
        .until("/stats", |stats| (stats["stanzas"]["receipt retry retry"].as_u64() >= Some(3)).then_some(()))
        .await?;
    write(&control, BOB, ALICE, "readable").await?;
    alice.text("readable").await?;
    assert_eq!(alice.count("never readable"), 0);
    assert_eq!(counts(&control, rule).await?, (1, 1), "the retries are one strike with their message");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_baileys_recovers_a_corrupt_message_and_reports_a_nack() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut baileys = Baileys::link(&sandbox.ws_url(), &sandbox.control_url(), ALICE).await?;
    set(&control, json!({ "fault": { "corrupt": {} }, "number": ALICE, "direction": "out" })).await?;
    let id = write(&control, BOB, ALICE, "healed").await?;
    assert_eq!(baileys.wait_message("healed").await?["id"], id);
    assert_eq!(control.get("/stats").await?["stanzas"]["receipt retry retry"], 1);
    set(&control, json!({ "fault": { "nack": { "code": 479 } } })).await?;
    let refused = baileys.send(BOB, "refused").await?;
    // Baileys reports an error as status 0.
    baileys.wait_failed(&refused).await?;
    sandbox.shutdown().await;
    Ok(())
}
