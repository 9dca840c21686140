//! X1: a newly linked device gets the history, once and completely, and can request more.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wacore::types::events::Event;
use waproto::whatsapp::history_sync::HistorySyncType;
use waproto::whatsapp::{HistorySync, WebMessageInfo};

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

async fn with_history(control: &Control, chats: u32, messages: u32) -> Result<Value> {
    control.post("/phones", json!({ "number": ALICE, "history": { "chats": chats, "messages": messages } })).await
}

/// Waits for a history chunk.
async fn chunk(linked: &mut Linked, what: &str, pick: impl Fn(&HistorySync) -> bool) -> Result<HistorySync> {
    linked
        .wait(what, |event| match event {
            Event::HistorySync(history) => history.get().filter(|sync| pick(sync)).cloned(),
            _ => None,
        })
        .await
}

async fn last_chunk(linked: &mut Linked) -> Result<()> {
    let last = |sync: &HistorySync| sync.sync_type == HistorySyncType::RECENT && sync.progress == Some(100);
    chunk(linked, "the last recent messages", last).await.map(drop)
}

/// All messages of all received chunks, each with its chat.
fn received_messages(linked: &Linked) -> Vec<(String, WebMessageInfo)> {
    let chunks = linked.seen.iter().filter_map(|event| match event.as_ref() {
        Event::HistorySync(history) => history.get(),
        _ => None,
    });
    let chats = chunks.flat_map(|chunk| &chunk.conversations);
    chats.flat_map(|chat| chat.messages.iter().map(|it| (chat.id.clone(), (*it.message).clone()))).collect()
}

fn ids(messages: &[(String, WebMessageInfo)]) -> BTreeSet<String> {
    messages.iter().filter_map(|(_, message)| message.key.id.clone()).collect()
}

#[tokio::test]
async fn x1_history_arrives_completely_and_once() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    with_history(&control, 3, 50).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    last_chunk(&mut alice).await?;
    let names = chunk(&mut alice, "names", |sync| sync.sync_type == HistorySyncType::PUSH_NAME).await?;
    assert_eq!(names.pushnames.len(), 3);

    let messages = received_messages(&alice);
    assert_eq!((messages.len(), ids(&messages).len()), (150, 150));
    let mut of_each: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (chat, message) in &messages {
        assert_eq!(message.key.remote_jid.as_ref(), Some(chat));
        assert!(message.message.conversation.as_deref().is_some_and(|text| !text.is_empty()), "{message:?}");
        of_each.entry(chat).or_default().push(message.message_timestamp.context("no time")?);
    }
    assert_eq!(of_each.values().map(Vec::len).collect::<Vec<_>>(), [50, 50, 50]);
    assert!(of_each.values().all(|times| times.is_sorted_by(|a, b| a > b)), "newest first");

    // The device acknowledged each chunk.
    let sent = control
        .until(&format!("/phones/{ALICE}/history"), |history| {
            let sent = history["sent"].as_array()?;
            (sent.len() == 4 && sent.iter().all(|chunk| !chunk["received"].is_null())).then(|| sent.clone())
        })
        .await?;
    let kinds: Vec<_> = sent.iter().map(|chunk| (chunk["kind"].as_str(), chunk["chunk"].as_u64())).collect();
    let kind = |kind, chunk| (Some(kind), Some(chunk));
    let wanted = ["INITIAL_BOOTSTRAP", "PUSH_NAME", "NON_BLOCKING_DATA", "RECENT"];
    assert_eq!(kinds, wanted.iter().zip(1..).map(|(name, chunk)| kind(*name, chunk)).collect::<Vec<_>>());
    assert_eq!(sent[0]["inline"], true, "the first chunk is not inside its message");
    assert_eq!(sent[3]["inline"], false);

    // The next device gets the same history, and a device that reconnects gets none.
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    last_chunk(&mut second).await?;
    assert_eq!(ids(&received_messages(&second)), ids(&messages));
    let backend = alice.stop().await?;
    let alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    let history = control.get(&format!("/phones/{ALICE}/history")).await?;
    assert_eq!(history["sent"].as_array().map(Vec::len), Some(8), "{history}");
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_history_has_real_messages_in_their_present_state() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let bob = control.post("/phones", json!({ "number": BOB })).await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    let (from_bob, from_alice) = (format!("/phones/{BOB}/send"), format!("/phones/{ALICE}/send"));
    let first = control.post(&from_bob, json!({ "to": ALICE, "text": "frist" })).await?["id"].clone();
    control.shown(ALICE, "frist").await?;
    control.post(&from_bob, json!({ "to": ALICE, "edit": { "id": first, "text": "first" } })).await?;
    control.shown(ALICE, "first").await?;
    control.post(&from_alice, json!({ "to": BOB, "react": { "id": first, "emoji": "👍" } })).await?;
    let gone = control.post(&from_alice, json!({ "to": BOB, "text": "oops" })).await?["id"].clone();
    control.post(&from_alice, json!({ "to": BOB, "revoke": { "id": gone } })).await?;
    control.post(&format!("/phones/{ALICE}/app-state"), json!({ "archive": { "chat": BOB, "on": true } })).await?;

    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    last_chunk(&mut alice).await?;
    let bootstrap = chunk(&mut alice, "chats", |sync| sync.sync_type == HistorySyncType::INITIAL_BOOTSTRAP).await?;
    let chat = bootstrap.conversations.first().context("no chat")?;
    assert_eq!((chat.id.as_str(), chat.archived), (&*format!("{BOB}@s.whatsapp.net"), Some(true)));
    assert_eq!(chat.lid_jid.as_deref(), bob["lid"].as_str());
    let messages = received_messages(&alice);
    let found = |id: &Value| messages.iter().map(|(_, it)| it).find(|it| it.key.id.as_deref() == id.as_str());
    assert_eq!(messages.len(), 2, "{messages:?}");
    let edited = found(&first).context("the first message is missing")?;
    assert_eq!(edited.message.conversation.as_deref(), Some("first"));
    assert_eq!(edited.reactions.first().and_then(|reaction| reaction.text.as_deref()), Some("👍"));
    let revoked = found(&gone).context("the revoked message is missing")?;
    ensure!(!revoked.message.is_set() && revoked.message_stub_type.is_some(), "{revoked:?}");

    // Messages after the link arrive live, and only so.
    control.post(&from_bob, json!({ "to": ALICE, "text": "live" })).await?;
    alice.text("live").await?;
    assert_eq!((alice.count("live"), received_messages(&alice).len()), (1, 2));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_device_asks_for_older_messages() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    with_history(&control, 1, 1100).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    last_chunk(&mut alice).await?;
    let had = received_messages(&alice);
    assert_eq!(had.len(), 1010, "older messages without a request");
    let (chat, oldest) = had.last().context("no message")?;
    let id = oldest.key.id.as_deref().context("no id")?;
    let time = oldest.message_timestamp.context("no time")?.cast_signed() * 1000;
    let from_me = oldest.key.from_me.unwrap_or_default();

    for (id, count) in [(id, 60), ("3EB0UNKNOWN", 90)] {
        let request = alice.client.fetch_message_history(&chat.parse()?, id, from_me, time, count).await?;
        let answer = alice
            .wait("older messages", |event| match event {
                Event::HistorySync(history) if history.peer_data_request_session_id() == Some(&request) => {
                    history.get().cloned()
                }
                _ => None,
            })
            .await?;
        let messages = &answer.conversations.first().context("no chat")?.messages;
        assert_eq!(messages.len(), usize::try_from(count)?);
        let older = messages.iter().all(|it| it.message.message_timestamp < oldest.message_timestamp);
        assert!(older, "the answer contains a message that the device has");
    }
    assert_eq!(ids(&received_messages(&alice)).len(), 1100);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_resends_the_accounts_unreadable_message_on_request() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let rule = json!({ "fault": { "corrupt": { "retries": true } }, "number": ALICE, "direction": "out" });
    control.post("/faults", rule).await?;
    let sent = control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "hard to read" })).await?;
    let again = alice
        .wait("the message from the phone", |event| {
            event.messages().find(|it| it.info.unavailable_request_id.is_some()).map(|it| it.info.id.clone())
        })
        .await?;
    assert_eq!(sent["id"], again);
    assert_eq!(alice.text("hard to read").await?.1, again);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_an_account_without_a_history_sends_an_empty_one() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bootstrap = chunk(&mut alice, "the beginning", |_| true).await?;
    assert_eq!((bootstrap.conversations.len(), bootstrap.progress), (0, Some(100)));
    let history = control.get(&format!("/phones/{ALICE}/history")).await?;
    assert_eq!(history["sent"].as_array().map(Vec::len), Some(1), "{history}");

    for (history, says) in [
        (json!({ "chats": 1 }), "missing field `messages`"),
        (json!({ "chats": 20_000, "messages": 1 }), "history.chats: 20000 is too many"),
        (json!({ "chats": 1, "messages": 1_000_000 }), "history.messages: 1000000 is too many"),
        (json!({ "chats": -1, "messages": 1 }), "invalid value"),
    ] {
        let body = json!({ "number": BOB, "history": history });
        let (status, answer) = control.request("POST", "/phones", Some(body.clone())).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(says), "{body} gave {status} {answer}");
    }
    let body = json!({ "number": ALICE, "history": { "chats": 1, "messages": 1 } });
    let (status, answer) = control.request("POST", "/phones", Some(body)).await?;
    assert_eq!(status, 409, "a history cannot be added later: {answer}");
    sandbox.shutdown().await;
    Ok(())
}
