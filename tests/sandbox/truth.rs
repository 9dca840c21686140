//! X2: what the sandbox says about lost, doubled, overtaken and badly encrypted messages.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wacore::store::traits::SignalStore as _;
use wacore::types::presence::ReceiptType;
use wagres::sandbox::{Options, Sandbox};

use crate::control::Control;
use crate::support::linked::{Linked, sandbox, until_connected};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// The verdict when nothing waits any more.
async fn settled(control: &Control, query: &str) -> Result<Value> {
    control
        .until(&format!("/verdict?{query}"), |verdict| (verdict["counts"]["pending"] == 0).then(|| verdict.clone()))
        .await
}

/// The number of findings of each kind that there are any of.
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
async fn x2_what_waits_is_pending_and_what_was_unlinked_is_not_lost() -> Result<()> {
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
    // What a backup holds: the sessions as they are now.
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
async fn x2_what_was_sent_again_on_request_is_neither_lost_nor_doubled_nor_late() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let path = format!("/phones/{BOB}/send");
    control.post(&path, json!({ "to": ALICE, "text": "readable" })).await?;
    alice.text("readable").await?;
    alice.send(BOB, "so the session is established").await?;
    control.shown(BOB, "so the session is established").await?;
    let backend = alice.stop().await?;
    for address in [format!("{BOB}@c.us.0"), format!("9{BOB}@lid.0")] {
        backend.delete_session(&address).await?;
    }
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
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
async fn x2_the_ledger_forgets_the_oldest_and_says_so() -> Result<()> {
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
async fn x1_a_phone_that_is_off_gets_the_newest_of_what_waits_when_it_is_on_again() -> Result<()> {
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
