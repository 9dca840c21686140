//! X1: nothing that comes over the network stops the sandbox: not bytes that are no frames, not stanzas that mean nothing,
//! not bodies that are no JSON. The inputs are made up anew each time, from the protocol's own words and from noise.

use std::sync::Arc;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as WsMessage;
use wacore::store::InMemoryBackend;
use wacore::types::events::Event;
use wacore_binary::Node;
use wacore_binary::node::{Attrs, NodeContent};
use wagres::sandbox::Running;

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// Panics outside of the tests themselves. One in a task of the sandbox would otherwise end that task and be lost.
static PANICS: LazyLock<Arc<Mutex<Vec<String>>>> = LazyLock::new(|| {
    let panics = Arc::new(Mutex::new(vec![]));
    let (counted, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        if info.location().is_none_or(|location| !location.file().starts_with("tests/")) {
            counted.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
        }
        before(info);
    }));
    panics
});

/// The sandbox works as before: a client that links now exchanges texts with a phone.
async fn still_works(sandbox: &Running, control: &Control) -> Result<()> {
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(panics.is_empty(), "panics: {panics:?}");
    let mut carol = Linked::link(sandbox, control, "15550003").await?;
    carol.send(BOB, "are you all right?").await?;
    control.shown(BOB, "are you all right?").await?;
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": "15550003", "text": "quite" })).await?;
    carol.text("quite").await?;
    Ok(())
}

/// So many values of a strategy.
fn some<S: Strategy>(strategy: S, count: usize) -> Result<Vec<S::Value>> {
    let mut runner = TestRunner::default();
    let make =
        |_| strategy.new_tree(&mut runner).map(|tree| tree.current()).map_err(|error| anyhow::anyhow!("{error}"));
    (0..count).map(make).collect()
}

/// What a client might send as its first message: noise, a greeting with noise, a hello with noise in it.
fn openings() -> impl Strategy<Value = Vec<u8>> {
    let noise = || vec(any::<u8>(), 0..200);
    let framed = |bytes: Vec<u8>| {
        let [.., high, middle, low] = bytes.len().to_be_bytes();
        [&[b'W', b'A', 6, 3, high, middle, low], bytes.as_slice()].concat()
    };
    let hello = (vec(any::<u8>(), 30..34), proptest::option::of(noise()), proptest::option::of(noise()));
    let hello = hello.prop_map(|(ephemeral, key, payload)| {
        // Protobuf by hand: field 2 is the hello, and in it fields 1 to 3 are bytes.
        let mut fields = vec![];
        for (field, bytes) in [(1, Some(ephemeral)), (2, key), (3, payload)] {
            let Some(bytes) = bytes else { continue };
            fields.push(field << 3 | 2);
            fields.extend(length(bytes.len()));
            fields.extend(bytes);
        }
        [&[0x12], length(fields.len()).as_slice(), fields.as_slice()].concat()
    });
    prop_oneof![
        noise(),
        noise().prop_map(|noise| [b"WA\x06\x03", noise.as_slice()].concat()),
        noise().prop_map(|noise| [b"ED\x00\x01", noise.as_slice()].concat()),
        noise().prop_map(framed),
        hello.prop_map(framed),
    ]
}

/// A length below 16384 as protobuf may write it.
fn length(length: usize) -> [u8; 2] {
    let low = |length: usize| length.to_le_bytes()[0];
    [low(length) | 128, low(length >> 7)]
}

#[tokio::test]
async fn x1_hostile_bytes_end_their_own_connection_only() -> Result<()> {
    LazyLock::force(&PANICS);
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let address = sandbox.ws_url().trim_start_matches("ws://").split('/').next().context("no address")?.to_owned();
    for opening in some(openings(), 150)? {
        let socket = tokio::net::TcpStream::connect(&address).await?;
        let (mut socket, _) = tokio_tungstenite::client_async(sandbox.ws_url(), socket).await?;
        // The second message is not expected to be welcome any more.
        let _ = socket.send(WsMessage::Binary(opening.clone().into())).await;
        let _ = socket.send(WsMessage::Binary(opening.into())).await;
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    }
    still_works(&sandbox, &control).await?;
    sandbox.shutdown().await;
    Ok(())
}

/// The words that stanzas are made of, those left out that end a connection by right.
const TAGS: &[&str] = &[
    "iq",
    "iq",
    "iq",
    "message",
    "receipt",
    "ack",
    "presence",
    "chatstate",
    "ib",
    "call",
    "notification",
    "usync",
    "query",
    "list",
    "user",
    "device",
    "devices",
    "sync",
    "collection",
    "patch",
    "snapshot",
    "key",
    "key_fetch",
    "registration",
    "identity",
    "skey",
    "rotate",
    "count",
    "digest",
    "enc",
    "participants",
    "to",
    "retry",
    "item",
    "group",
    "create",
    "participant",
    "add",
    "remove",
    "promote",
    "subject",
    "description",
    "invite",
    "leave",
    "ping",
    "props",
    "privacy",
    "tokens",
    "token",
    "clean",
    "active",
    "passive",
    "media_conn",
    "picture",
    "status",
    "composing",
    "paused",
    "link_code_companion_reg",
    "pair-device-sign",
    "device-identity",
    "contact",
    "lid",
    "meta",
    "x",
];
const KEYS: &[&str] = &[
    "id",
    "to",
    "from",
    "type",
    "xmlns",
    "jid",
    "participant",
    "recipient",
    "name",
    "version",
    "class",
    "t",
    "edit",
    "count",
    "index",
    "value",
    "v",
    "phash",
    "category",
    "stage",
    "code",
    "subject",
    "mediatype",
    "hash",
    "sid",
    "offline",
];
const VALUES: &[&str] = &[
    "get",
    "set",
    "result",
    "error",
    "encrypt",
    "usync",
    "w:sync:app:state",
    "passive",
    "md",
    "w:p",
    "w:g2",
    "w:m",
    "abt",
    "privacy",
    "blocklist",
    "w:profile:picture",
    "urn:xmpp:whatsapp:dirty",
    "status",
    "message",
    "receipt",
    "notification",
    "text",
    "pkmsg",
    "msg",
    "skmsg",
    "read",
    "retry",
    "played",
    "inactive",
    "sender",
    "available",
    "subscribe",
    "1",
    "7",
    "0",
    "-1",
    "99999999999999999999",
    "",
    "15550001@s.whatsapp.net",
    "15550002@s.whatsapp.net",
    "15550001:1@s.whatsapp.net",
    "15550002:99@s.whatsapp.net",
    "915550002@lid",
    "915550001:1@lid",
    "1@g.us",
    "status@broadcast",
    "s.whatsapp.net",
    "@",
    "1@newsletter",
    "critical_block",
    "regular_low",
    "companion_hello",
];

fn nodes() -> impl Strategy<Value = Node> {
    let word = |words: &'static [&'static str]| proptest::sample::select(words).prop_map(str::to_owned);
    let tag = move || prop_oneof![12 => word(TAGS), 1 => "[a-z:_-]{1,12}"];
    let value = move || prop_oneof![12 => word(VALUES), 1 => "\\PC{0,12}"];
    let attrs = move || vec((word(KEYS), value()), 0..7);
    let bytes = vec(any::<u8>(), 0..40).prop_map(|bytes| Some(NodeContent::Bytes(bytes)));
    let leaf =
        prop_oneof![2 => Just(None), 1 => bytes, 1 => value().prop_map(|text| Some(NodeContent::String(text.into())))];
    let node = move |tag: String, attrs: Vec<(String, String)>, content| {
        let mut all = Attrs::new();
        for (key, value) in attrs {
            all.insert(key, value);
        }
        Node { tag: tag.into(), attrs: all, content }
    };
    let leaf = (tag(), attrs(), leaf).prop_map(move |(tag, attrs, content)| node(tag, attrs, content));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (tag(), attrs(), vec(inner, 0..4))
            .prop_map(move |(tag, attrs, children)| node(tag, attrs, Some(NodeContent::Nodes(children))))
    })
}

/// Sends stanzas as if the library had made them.
async fn sends(client: &Linked, count: usize) -> Result<()> {
    for node in some(nodes(), count)? {
        // What cannot be written as a stanza never leaves the client.
        let _ = client.client.send_node(node).await;
    }
    Ok(())
}

#[tokio::test]
async fn x1_hostile_stanzas_are_refused_or_counted() -> Result<()> {
    LazyLock::force(&PANICS);
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    // Before it is linked, and after.
    let mut stranger = Linked::start(&sandbox, Arc::new(InMemoryBackend::new())).await?;
    stranger.wait("a QR code", |event| matches!(event, Event::PairingQrCode(_)).then_some(())).await?;
    sends(&stranger, 1_000).await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    sends(&alice, 3_000).await?;
    // A stanza that is answered comes after all of those.
    alice.client.wait_for_connected(crate::control::LIMIT).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    alice.send(BOB, "the last of many").await?;
    control.shown(BOB, "the last of many").await?;
    still_works(&sandbox, &control).await?;
    sandbox.shutdown().await;
    Ok(())
}

fn bodies() -> impl Strategy<Value = Value> {
    let words = &["number", "qr", "to", "text", "reply", "react", "edit", "revoke", "id", "emoji", "device", "data"];
    let values =
        vec!["15550002", "15550001", "status@broadcast", "1@g.us", "", "2@x,AA==,AA==,AA==", "2@,,,,,", "AA=="];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::sample::select(values).prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let fields = proptest::collection::btree_map(proptest::sample::select(words.as_slice()), inner.clone(), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            fields.prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

#[tokio::test]
async fn x1_hostile_requests_get_an_error_that_says_what_is_wrong() -> Result<()> {
    LazyLock::force(&PANICS);
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let paths = [
        "/phones",
        "/phones/15550001/scan",
        "/phones/15550001/send",
        "/phones/15550001/unlink",
        "/devices/15550001/1/drop",
        "/phones/15550001/messages/x",
        "/phones/x/messages",
        "/phones/15550001/%ff",
    ];
    for (path, body) in some((proptest::sample::select(paths.to_vec()), bodies()), 400)? {
        let (status, answer) = control.request("POST", path, Some(body.clone())).await?;
        let fine = status == 200
            || (400..500).contains(&status) && answer["error"].as_str().is_some_and(|error| !error.is_empty());
        ensure!(fine, "POST {path} {body}: {status} {answer}");
    }
    still_works(&sandbox, &control).await?;
    sandbox.shutdown().await;
    Ok(())
}
