//! X2: faults of connections.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};
use wacore::types::events::Event;
use wagres_sandbox::Running;

use super::{ALICE, BOB, counts, delete, set, write};
use crate::baileys::Baileys;
use crate::control::Control;
use crate::support::linked::{Linked, sandbox, until_connected};

/// A short name for an event of the connection.
fn event_name(event: &Event) -> Option<String> {
    Some(match event {
        Event::LoggedOut(out) if out.on_connect => "LoggedOut at login".to_owned(),
        Event::LoggedOut(_) => "LoggedOut".to_owned(),
        Event::StreamReplaced(_) => "StreamReplaced".to_owned(),
        Event::ClientOutdated(_) => "ClientOutdated".to_owned(),
        Event::TemporaryBan(ban) => format!("TemporaryBan {:?} {}", ban.code, ban.expire.num_seconds()),
        Event::ConnectFailure(failure) => format!("ConnectFailure {:?}", failure.reason),
        Event::StreamError(error) => format!("StreamError {}", error.code),
        Event::Disconnected(_) => "Disconnected".to_owned(),
        _ => return None,
    })
}

/// Waits for the first event that ends the connection.
async fn end_of_connection(client: &mut Linked) -> Result<String> {
    client.seen.clear();
    client.wait("the end of the connection", event_name).await
}

#[tokio::test]
async fn x2_a_refused_login_gives_the_reason() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let cases = [
        (json!({ "login_failure": { "reason": 400 } }), "ConnectFailure Generic", false),
        (json!({ "login_failure": { "reason": 401 } }), "LoggedOut at login", false),
        (json!({ "login_failure": { "reason": 402 } }), "ConnectFailure TempBanned", false),
        (json!({ "login_failure": { "reason": 403 } }), "LoggedOut at login", false),
        (json!({ "login_failure": { "reason": 405 } }), "ClientOutdated", false),
        (json!({ "login_failure": { "reason": 406 } }), "LoggedOut at login", false),
        (json!({ "login_failure": { "reason": 411 } }), "ConnectFailure Unknown(411)", false),
        (json!({ "login_failure": { "reason": 500 } }), "ConnectFailure InternalServerError", true),
        (json!({ "login_failure": { "reason": 503 } }), "ConnectFailure ServiceUnavailable", true),
        (json!({ "ban": { "code": 101, "seconds": 3600 } }), "TemporaryBan SentToTooManyPeople 3600", false),
    ];
    let each = cases.into_iter().enumerate().map(async |(index, (fault, expected, returns))| {
        let number = format!("1555100{index}");
        let mut client = Linked::link(&sandbox, &control, &number).await?;
        let backend = client.stop().await?;
        let id = set(&control, json!({ "fault": fault, "number": number })).await?;
        let mut client = Linked::start(&sandbox, backend).await?;
        assert_eq!(end_of_connection(&mut client).await?, expected, "{fault}");
        assert_eq!(counts(&control, id).await?, (1, 1));
        if returns {
            until_connected(&control, &number, true).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    try_join_all(each).await?;
    sandbox.shutdown().await;
    Ok(())
}

/// Links a client, ends its stream with an error, and returns the client's first event.
async fn after_stream_error(
    sandbox: &Running,
    control: &Control,
    number: &str,
    error: Value,
) -> Result<(Linked, String)> {
    let mut client = Linked::link(sandbox, control, number).await?;
    set(control, json!({ "fault": { "stream_error": error }, "number": number })).await?;
    let event = end_of_connection(&mut client).await?;
    Ok((client, event))
}

#[tokio::test]
async fn x2_a_stream_error_ends_the_connection_or_the_session() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let cases = [
        (401, "LoggedOut", false),
        (440, "StreamReplaced", false),
        (516, "LoggedOut", false),
        (403, "StreamError 403", true),
        (405, "StreamError 405", true),
        (408, "StreamError 408", true),
        (411, "StreamError 411", true),
        (428, "StreamError 428", true),
        (500, "StreamError 500", true),
        (503, "Disconnected", true),
    ];
    let each = cases.into_iter().enumerate().map(async |(index, (code, expected, returns))| {
        let number = format!("1555200{index}");
        let (_client, event) = after_stream_error(&sandbox, &control, &number, json!({ "code": code })).await?;
        assert_eq!(event, expected, "{code}");
        if returns {
            until_connected(&control, &number, true).await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    try_join_all(each).await?;
    // After 515 the client reconnects at once, without an event.
    let mut client = Linked::link(&sandbox, &control, ALICE).await?;
    set(&control, json!({ "fault": { "stream_error": { "code": 515 } }, "number": ALICE })).await?;
    until_connected(&control, ALICE, true).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    write(&control, BOB, ALICE, "back").await?;
    client.text("back").await?;
    assert_eq!(client.seen.iter().find_map(|event| event_name(event)), None);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_client_ignores_some_stream_errors_without_a_close() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    // After these two the client stays: the same connection still delivers.
    for code in [500, 408] {
        set(&control, json!({ "fault": { "stream_error": { "code": code, "close": false } } })).await?;
        let expected = format!("StreamError {code}");
        alice.wait("StreamError", |event| event_name(event).filter(|word| *word == expected)).await?;
    }
    write(&control, BOB, ALICE, "still here").await?;
    alice.text("still here").await?;
    assert_eq!(control.get("/stats").await?["handshakes"], json!({ "xx": 2 }), "one to link and one to log in");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_dropped_connection_loses_the_stanza() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    alice.send(BOB, "before").await?;
    control.shown(BOB, "before").await?;
    // The server has the message, and its ack is lost with the connection.
    let after = set(&control, json!({ "fault": { "drop": {} }, "stanza": "ack message", "direction": "out" })).await?;
    let id = alice.send(BOB, "accepted").await?;
    control.shown(BOB, "accepted").await?;
    until_connected(&control, ALICE, true).await?;
    assert_eq!(counts(&control, after).await?, (1, 1));
    let acked = |event: &Arc<Event>| matches!(&**event, Event::ServerAck(ack) if ack.id == id);
    let mut events = vec![];
    while let Ok(event) = alice.events.try_recv() {
        events.push(event);
    }
    assert!(!events.iter().any(acked), "the ack arrived");
    // The message itself is lost with the connection: the server never received it.
    set(&control, json!({ "fault": { "drop": {} }, "stanza": "message", "direction": "in" })).await?;
    alice.connected().await?;
    alice.send(BOB, "lost").await?;
    until_connected(&control, ALICE, false).await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert!(!shown.to_string().contains("lost"), "{shown}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_each_new_connection_can_be_dropped_or_refused() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    let refuse = set(&control, json!({ "fault": { "refuse": {} } })).await?;
    let drop = set(&control, json!({ "fault": { "drop": {} }, "number": ALICE })).await?;
    let alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    assert_eq!(counts(&control, refuse).await?, (1, 1));
    assert_eq!(counts(&control, drop).await?, (1, 1));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_black_hole_holds_everything_until_it_ends() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    alice.send(BOB, "before").await?;
    control.shown(BOB, "before").await?;
    let hole = set(&control, json!({ "fault": { "black_hole": {} }, "number": ALICE })).await?;
    assert_eq!(counts(&control, hole).await?, (1, 1));
    for text in ["one", "two"] {
        alice.send(BOB, text).await?;
        write(&control, BOB, ALICE, &format!("{text} back")).await?;
    }
    // The server has stanzas to send, and the client has not received them.
    control
        .until("/phones", |value| {
            (value["phones"][0]["devices"][0]["unacknowledged"].as_u64() >= Some(2)).then_some(())
        })
        .await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert!(!shown.to_string().contains("\"one\""), "{shown}");
    delete(&control, &format!("/faults/{hole}")).await?;
    for text in ["one back", "two back"] {
        alice.text(text).await?;
    }
    control.shown(BOB, "two").await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    let texts = shown["messages"].as_array().context("messages")?.iter().filter_map(|it| it["text"].as_str());
    let from_alice: Vec<&str> = texts.filter(|text| ["one", "two"].contains(text)).collect();
    assert_eq!(from_alice, ["one", "two"]);
    assert_eq!(control.get("/stats").await?["handshakes"], json!({ "xx": 2 }), "it was the same connection throughout");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_black_hole_ends_with_its_time_or_with_the_client() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    set(&control, json!({ "fault": { "black_hole": {} }, "number": ALICE, "for_ms": 200 })).await?;
    write(&control, BOB, ALICE, "after the hole").await?;
    alice.text("after the hole").await?;
    // In the next black hole the client gives up and reconnects.
    set(&control, json!({ "fault": { "black_hole": {} }, "number": ALICE })).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    write(&control, BOB, ALICE, "around the hole").await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.text("around the hole").await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_logout_can_be_timed_by_a_stanza() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    set(&control, json!({ "fault": { "logout": {} }, "stanza": "message", "direction": "in", "skip": 1 })).await?;
    for text in ["goes", "goes nowhere"] {
        alice.send(BOB, text).await?;
    }
    assert_eq!(end_of_connection(&mut alice).await?, "LoggedOut");
    control.shown(BOB, "goes").await?;
    let shown = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert!(!shown.to_string().contains("goes nowhere"), "{shown}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_baileys_reports_the_code_of_each_stream_error() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut baileys = Baileys::link(&sandbox.ws_url(), &sandbox.control_url(), ALICE).await?;
    // Baileys closes the connection after each of them, and the program decides whether to reconnect. Baileys must have
    // reported that it is online: until its keys are ready it queues incoming stanzas, and a connection that ends
    // before that has no error for it.
    for code in [405, 408, 411, 428, 500, 503, 403, 440] {
        let seen = baileys.seen.len();
        set(&control, json!({ "fault": { "stream_error": { "code": code } }, "number": ALICE })).await?;
        baileys.wait_close_after(seen, code).await?;
        match code {
            440 => break,
            403 => drop(baileys.command("start", json!({})).await?),
            _ => {}
        }
        baileys.open_after(seen).await?;
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_baileys_reports_the_code_of_a_refused_login() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut baileys = Baileys::link(&sandbox.ws_url(), &sandbox.control_url(), ALICE).await?;
    for (fault, code) in [
        (json!({ "ban": { "code": 101, "seconds": 60 } }), 402),
        (json!({ "login_failure": { "reason": 405 } }), 405),
        (json!({ "login_failure": { "reason": 503 } }), 503),
        (json!({ "login_failure": { "reason": 401 } }), 401),
    ] {
        until_connected(&control, ALICE, true).await?;
        set(&control, json!({ "fault": fault })).await?;
        set(&control, json!({ "fault": { "drop": {} } })).await?;
        baileys.wait_close(code).await?;
    }
    // The code with which Baileys reports each of these drops.
    baileys.wait_close(428).await?;
    sandbox.shutdown().await;
    Ok(())
}
