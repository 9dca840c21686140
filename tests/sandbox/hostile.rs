//! X1: bytes that are no frames end only their own connection. The property tests in `tests/fuzzing/` cover the rest of
//! the protocol and HTTP without sockets. The inputs are random in each run.

use std::sync::Arc;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use wagres_sandbox::Running;

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};

const BOB: &str = "15550002";

/// Panics outside the tests. One in a task of the sandbox would otherwise be lost with the task.
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

/// Checks that the sandbox still works: a new client links and exchanges texts with a phone.
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

/// `count` values of a strategy.
fn sample<S: Strategy>(strategy: S, count: usize) -> Result<Vec<S::Value>> {
    let mut runner = TestRunner::default();
    let make =
        |_| strategy.new_tree(&mut runner).map(|tree| tree.current()).map_err(|error| anyhow::anyhow!("{error}"));
    (0..count).map(make).collect()
}

/// Possible first messages of a client: random bytes, a greeting with random bytes, a hello with random fields.
fn openings() -> impl Strategy<Value = Vec<u8>> {
    let noise = || vec(any::<u8>(), 0..200);
    let framed = |bytes: Vec<u8>| {
        let [.., high, middle, low] = bytes.len().to_be_bytes();
        [&[b'W', b'A', 6, 3, high, middle, low], bytes.as_slice()].concat()
    };
    let hello = (vec(any::<u8>(), 30..34), proptest::option::of(noise()), proptest::option::of(noise()));
    let hello = hello.prop_map(|(ephemeral, key, payload)| {
        // Protobuf by hand: field 2 is the hello, and its fields 1 to 3 are bytes.
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

/// A length below 16384 as a protobuf varint.
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
    for opening in sample(openings(), 150)? {
        let socket = tokio::net::TcpStream::connect(&address).await?;
        let (mut socket, _) = tokio_tungstenite::client_async(sandbox.ws_url(), socket).await?;
        // The second message may be refused.
        let _ = socket.send(WsMessage::Binary(opening.clone().into())).await;
        let _ = socket.send(WsMessage::Binary(opening.into())).await;
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    }
    still_works(&sandbox, &control).await?;
    sandbox.shutdown().await;
    Ok(())
}
