//! X2: the verdict on lost, duplicated, reordered and badly encrypted messages.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wacore::store::traits::SignalStore as _;
use wacore::types::presence::ReceiptType;
use wagres_sandbox::{Options, Sandbox};

use crate::control::Control;
use crate::support::linked::{Linked, sandbox, until_connected};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// The verdict once no copy is pending.
async fn settled(control: &Control, query: &str) -> Result<Value> {
    control
        .until(&format!("/verdict?{query}"), |verdict| (verdict["counts"]["pending"] == 0).then(|| verdict.clone()))
        .await
}

/// The kinds of findings with a count above 0.
fn found(verdict: &Value) -> Vec<(&str, u64)> {
    let counts = verdict["counts"].as_object().into_iter().flatten();
    counts.map(|(kind, count)| (kind.as_str(), count.as_u64().unwrap_or_default())).filter(|it| it.1 != 0).collect()
}

#[tokio::test]
async fn x2_a_clean_run_has_a_clean_verdict() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    for number in 0..5 {
        alice.send(BOB, &format!("there {number}")).await?;
        bob.send(ALICE, &format!("back {number}")).await?;
    }
    let to_both = json!({ "to": ALICE, "text": "from a phone" });
    let id = control.post(&format!("/phones/{BOB}/send"), to_both).await?["id"].clone();
    bob.text("there 4").await?;
    alice.text("from a phone").await?;
    let verdict = settled(&control, "").await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![]), "{verdict:#}");
    let id = id.as_str().context("no id")?;
    let verdict = settled(&control, &format!("sender={BOB}:0&id_prefix={id}")).await?;
    assert_eq!(verdict["messages"], 1, "{verdict:#}");
    let page = control.get(&format!("/ledger?id_prefix={id}")).await?;
    let copies = page["messages"][0]["copies"].as_array().context("no copies")?;
    let mut recipients: Vec<_> = copies.iter().filter_map(|copy| copy["recipient"].as_str()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["15550001:0", "15550001:1", "15550002:1"], "{page:#}");
    assert!(copies.iter().all(|copy| copy["state"] == "acknowledged" && copy["handed"] == 1), "{page:#}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_waiting_copy_is_pending_and_an_unlinked_one_is_not_lost() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    let sent = control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "are you there?" })).await?;
    let query = format!("/verdict?id_prefix={}", sent["id"].as_str().context("no id")?);
    let verdict = control.get(&query).await?;
    assert_eq!(verdict["pending"][0]["recipient"], "15550001:1", "{verdict:#}");
    assert_eq!(verdict["pending"][0]["handed"], 0, "{verdict:#}");
    control.post(&format!("/phones/{ALICE}/unlink"), json!({ "device": 1 })).await?;
    let verdict = control.until(&query, |it| (it["counts"]["pending"] == 0).then(|| it.clone())).await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![("unlinked", 1)]), "{verdict:#}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_restored_backend_uses_keys_again() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    alice.send(BOB, "the first").await?;
    control.shown(BOB, "the first").await?;
    let backend = alice.stop().await?;
    // The content of a backup: the sessions as they are now.
    let addresses = [format!("{BOB}@c.us.0"), format!("9{BOB}@lid.0")];
    let mut backup = vec![];
    for address in &addresses {
        backup.push((address, backend.get_session(address).await?));
    }
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    let id = alice.send(BOB, "the second").await?;
    alice.receipt(&id, ReceiptType::Delivered).await?;
    let backend = alice.stop().await?;
    for (address, session) in backup {
        if let Some(session) = session {
            backend.put_session(address, &session).await?;
        }
    }
    assert_eq!(control.get("/verdict").await?["counts"]["key_reuse"], 0);
    let alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    let reused = alice.send(BOB, "the third").await?;
    let verdict =
        control.until("/verdict", |it| (it["counts"]["key_reuse"].as_u64() > Some(0)).then(|| it.clone())).await?;
    assert_eq!(verdict["ok"], false);
    let reuse = &verdict["key_reuse"][0];
    assert_eq!((reuse["id"].as_str(), reuse["chain"].as_str()), (Some(reused.as_str()), Some("session")), "{reuse}");
    let first = control.get(&format!("/ledger?from={}", reuse["first"])).await?;
    assert_eq!(first["messages"][0]["id"], id, "{reuse}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_retried_message_is_not_lost_duplicated_or_late() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::without_sessions(&sandbox, &control, ALICE, BOB).await?;
    let path = format!("/phones/{BOB}/send");
    control.post(&path, json!({ "to": ALICE, "text": "lost and found" })).await?;
    alice.text("lost and found").await?;
    let verdict = settled(&control, &format!("sender={BOB}")).await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![]), "{verdict:#}");
    let page = control.get(&format!("/ledger?sender={BOB}&recipient={ALICE}:1")).await?;
    assert_eq!(page["messages"][1]["copies"][0]["handed"], 2, "{page:#}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_the_ledger_drops_the_oldest_messages_and_counts_them() -> Result<()> {
    let sandbox = Sandbox::start(Options { ledger_limit: 3, ..Options::default() }).await?;
    let control = Control::new(&sandbox.control_url());
    for number in [ALICE, BOB] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    for text in ["same", "same", "other", "same", "same"] {
        control.post(&format!("/phones/{ALICE}/send"), json!({ "to": BOB, "text": text })).await?;
    }
    let verdict = settled(&control, "").await?;
    assert_eq!(verdict["range"], json!({ "from": 3, "to": 5, "forgotten": 2 }), "{verdict:#}");
    assert_eq!((verdict["messages"].as_u64(), found(&verdict)), (Some(3), vec![("repeated_text", 1)]), "{verdict:#}");
    assert_eq!(verdict["repeated_text"][0]["first"], 4, "{verdict:#}");
    let page = control.get("/ledger?limit=2").await?;
    assert_eq!((page["messages"].as_array().map(Vec::len), page["next"].as_u64()), (Some(2), Some(5)), "{page:#}");
    for (query, says) in [
        ("from=x", "from"),
        ("form=1", "form"),
        ("from=2&to=1", "from"),
        ("limit=10001", "limit"),
        ("sender=abc", "sender"),
        ("recipient=15550001:x", "recipient"),
        ("chat=@@", "chat"),
    ] {
        let (status, answer) = control.request("GET", &format!("/verdict?{query}"), None).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(says), "{query}: {status} {answer}");
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_switched_on_gets_the_newest_waiting_messages() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    for number in [ALICE, BOB] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    let off = control.post("/phones", json!({ "number": BOB, "phone": "off" })).await?;
    assert_eq!(off["phone"], "off");
    for number in 0..60 {
        control.post(&format!("/phones/{ALICE}/send"), json!({ "to": BOB, "text": format!("{number}") })).await?;
    }
    let verdict = control.get("/verdict").await?;
    assert_eq!((verdict["let_go"].as_u64(), found(&verdict)), (Some(10), vec![("pending", 50)]), "{verdict:#}");
    let path = format!("/phones/{BOB}/send");
    let (status, answer) = control.request("POST", &path, Some(json!({ "to": ALICE, "text": "hi" }))).await?;
    assert_eq!((status, answer["error"].as_str()), (409, Some("the phone is switched off")));
    let (status, answer) = control.request("POST", "/phones", Some(json!({ "number": BOB, "phone": "0" }))).await?;
    assert!(status == 400 && answer["error"].as_str().is_some_and(|error| error.contains("`off`")), "{answer}");

    control.post("/phones", json!({ "number": BOB, "phone": "on" })).await?;
    control.shown(BOB, "59").await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    let texts: Vec<_> = shown["messages"].as_array().into_iter().flatten().map(|it| it["text"].to_string()).collect();
    assert_eq!((texts.len(), texts[0].as_str()), (50, "\"10\""));
    let verdict = settled(&control, "").await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![]), "{verdict:#}");
    sandbox.shutdown().await;
    Ok(())
}

/// Adds a rule for stanzas from or to a device.
async fn fault(control: &Control, fault: Value, number: &str, stanza: &str, direction: &str) -> Result<()> {
    let rule = json!({ "fault": fault, "number": number, "stanza": stanza, "direction": direction });
    control.post("/faults", rule).await.map(drop)
}

/// Waits until all rules have struck as often as they may.
async fn struck(control: &Control) -> Result<()> {
    let spent =
        |rules: &Value| rules["faults"].as_array().is_some_and(|rules| rules.iter().all(|it| it["state"] == "spent"));
    control.until("/faults", |rules| spent(rules).then_some(())).await
}

#[tokio::test]
async fn x2_a_stanza_lost_on_its_way_out_waits_for_the_next_login() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    fault(&control, json!({ "lose": {} }), ALICE, "message", "out").await?;
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "swallowed" })).await?;
    struck(&control).await?;
    let verdict = control.until("/verdict", |it| (it["counts"]["pending"] == 1).then(|| it.clone())).await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![("pending", 1)]), "{verdict:#}");
    let waits = &verdict["pending"][0];
    assert_eq!((&waits["recipient"], &waits["handed"]), (&json!("15550001:1"), &json!(0)), "never written");
    let backend = alice.stop().await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.text("swallowed").await?;
    let verdict = settled(&control, "").await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![]), "{verdict:#}");
    // The server never had a message that was lost on the way in.
    fault(&control, json!({ "lose": {} }), ALICE, "message", "in").await?;
    let id = alice.send(BOB, "into the void").await?;
    struck(&control).await?;
    assert_eq!(control.get(&format!("/verdict?id_prefix={id}")).await?["messages"], 0);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_an_unanswered_retry_is_lost_until_it_is_answered() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    bob.send(ALICE, "so the session is established").await?;
    alice.text("so the session is established").await?;
    fault(&control, json!({ "corrupt": {} }), ALICE, "message", "out").await?;
    fault(&control, json!({ "lose": {} }), BOB, "receipt retry", "out").await?;
    let id = bob.send(ALICE, "unreadable").await?;
    struck(&control).await?;
    let query = format!("/verdict?id_prefix={id}");
    let verdict = settled(&control, &format!("id_prefix={id}")).await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(false), vec![("lost", 1)]), "{verdict:#}");
    let lost = &verdict["lost"][0];
    assert_eq!(lost["recipient"], "15550001:1", "{lost}");
    assert!(lost["why"].as_str().is_some_and(|why| why.contains("requested it again")), "{lost}");
    // Meanwhile the device got the text from its phone, which does not concern the sender's copy; the retry receipt
    // waits for the sender's login.
    let backend = bob.stop().await?;
    let bob = Linked::start(&sandbox, backend).await?;
    bob.connected().await?;
    assert_eq!(alice.text("unreadable").await?.1, id);
    control.until(&query, |it| (it["ok"] == true && found(it).is_empty()).then_some(())).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_duplicate_is_the_same_message() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    fault(&control, json!({ "duplicate": { "copies": 3 } }), ALICE, "message", "out").await?;
    let sent = control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "four times" })).await?;
    alice.text("four times").await?;
    // All four were written before the device could acknowledge one.
    let verdict = settled(&control, "").await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![]), "{verdict:#}");
    let id = sent["id"].as_str().context("no id")?;
    let page = control.get(&format!("/ledger?id_prefix={id}&recipient={ALICE}:1")).await?;
    assert_eq!(page["messages"][0]["copies"][0]["handed"], 4, "{page:#}");
    // A duplicate on the way in is given twice, with the same ciphertext and so without key reuse.
    fault(&control, json!({ "duplicate": {} }), ALICE, "message", "in").await?;
    let id = alice.send(BOB, "given twice").await?;
    alice.receipt(&id, ReceiptType::Delivered).await?;
    struck(&control).await?;
    let page = control.get(&format!("/ledger?id_prefix={id}")).await?;
    assert_eq!(page["messages"][0]["given"], 2, "{page:#}");
    let verdict = settled(&control, &format!("id_prefix={id}")).await?;
    assert_eq!((&verdict["messages"], &verdict["counts"]["key_reuse"]), (&json!(1), &json!(0)), "{verdict:#}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_messages_reordered_by_a_fault_are_out_of_order() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let send =
        async |text: &str| control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": text })).await;
    send("zero").await?;
    alice.text("zero").await?;
    fault(&control, json!({ "reorder": {} }), ALICE, "message", "out").await?;
    let first = send("one").await?;
    send("two").await?;
    alice.text("one").await?;
    let verdict = settled(&control, "").await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(false), vec![("out_of_order", 1)]), "{verdict:#}");
    let overtaken = &verdict["out_of_order"][0];
    assert_eq!((&overtaken["id"], &overtaken["recipient"]), (&first["id"], &json!("15550001:1")), "{verdict:#}");
    assert_eq!(overtaken["overtaken_by"].as_u64(), overtaken["seq"].as_u64().map(|seq| seq + 1), "{verdict:#}");
    // On the way in the server receives them in the other order, which is then their order.
    alice.send(BOB, "so the session is established").await?;
    let from = verdict["range"]["to"].as_u64().unwrap_or_default() + 2;
    fault(&control, json!({ "reorder": {} }), ALICE, "message", "in").await?;
    let first = alice.send(BOB, "three").await?;
    let second = alice.send(BOB, "four").await?;
    control.shown(BOB, "three").await?;
    let verdict = settled(&control, &format!("from={from}")).await?;
    assert_eq!((verdict["ok"].as_bool(), found(&verdict)), (Some(true), vec![]), "{verdict:#}");
    let page = control.get(&format!("/ledger?from={from}")).await?;
    assert_eq!((&page["messages"][0]["id"], &page["messages"][1]["id"]), (&json!(second), &json!(first)), "{page:#}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_nack_is_a_refusal() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    fault(&control, json!({ "nack": { "code": 479 } }), ALICE, "message", "in").await?;
    let id = alice.send(BOB, "refused").await?;
    struck(&control).await?;
    let query = format!("id_prefix={id}");
    let verdict = control.until(&format!("/verdict?{query}"), |it| (it["refused"] == 1).then(|| it.clone())).await?;
    assert_eq!((verdict["ok"].as_bool(), &verdict["messages"], found(&verdict)), (Some(true), &json!(0), vec![]));
    let page = control.get(&format!("/ledger?{query}")).await?;
    assert_eq!(page["messages"][0]["refused"], 479, "{page:#}");
    sandbox.shutdown().await;
    Ok(())
}
