//! The bridge to Chatwoot, against a receiver with the routes of Chatwoot's public interface that it calls.

use super::{example, login, psql, with_packages};
use crate::control::Control;
use crate::support::until::{LIMIT, until};
use crate::support::world::World;
use anyhow::{Context as _, Result, ensure};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// What the receiver got: path and body of each request. The first message is refused.
type Calls = Arc<Mutex<Vec<(String, Value)>>>;

async fn receive(
    State(calls): State<Calls>,
    Path((inbox, rest)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let Ok(mut calls) = calls.lock() else { return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({}))) };
    calls.push((format!("{inbox} {rest}"), body));
    let first = calls.iter().filter(|(path, _)| path.ends_with("/messages")).count() == 1;
    let refused = rest.ends_with("/messages") && first;
    (if refused { StatusCode::BAD_GATEWAY } else { StatusCode::OK }, Json(json!({ "id": 17 })))
}

#[tokio::test]
async fn h9_the_bridge_to_chatwoot_carries_messages_both_ways() -> Result<()> {
    let (_folder, program) = with_packages("bridge/chatwoot.mjs").await?;
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let login = login(&world).await?;
    psql(&login, &example("bridge/setup.sql")).await?;

    let calls = Calls::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let chatwoot = format!("http://{}", listener.local_addr()?);
    let routes = Router::new().route("/public/api/v1/inboxes/{inbox}/{*rest}", post(receive)).with_state(calls.clone());
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut command = Command::new("node");
    command.arg(program).env("DATABASE_URL", &login.url).env("CHATWOOT_URL", chatwoot).env("CHATWOOT_INBOX", "whats");
    command.env("CALLBACK_SECRET", "s3cret").env_remove("PORT");
    let mut bridge = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(bridge.stdout.take().context("no stdout")?).lines();
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await??.context("the bridge has ended")?;
    let address = format!("http://127.0.0.1:{}", line.trim_start_matches("port "));

    world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": "Is it open?" })).await?;
    let given_back = "UPDATE wa.consumer SET claimed_until = now() WHERE name = 'chatwoot' AND claimed_until > now()";
    until("Chatwoot has the message", async || {
        let seen = calls.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
        let messages = seen.iter().filter(|(path, _)| path.ends_with("/messages")).count();
        if messages == 1 {
            // It was refused: the message is claimed again when the claim has run out.
            sqlx::query(given_back).execute(world.pool()).await?;
        }
        Ok(if messages == 2 { Ok(()) } else { Err(format!("{seen:?}")) })
    })
    .await?;
    let seen = calls.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
    let source = "shop/15550002@s.whatsapp.net";
    ensure!(seen[0].0 == "whats contacts" && seen[0].1["source_id"] == source, "{seen:?}");
    ensure!(seen[1].0 == format!("whats contacts/{source}/conversations"), "{seen:?}");
    let message = &seen.last().context("no message")?.1;
    ensure!(message["content"] == "Is it open?" && message["echo_id"].is_string(), "{seen:?}");
    world.holds("SELECT NOT EXISTS (SELECT FROM wa.unread)").await?;

    // The agent's answer, which Chatwoot announces twice; notes and a wrong secret are ignored.
    let callback = |note: bool, content: &str| {
        json!({ "event": "message_created", "message_type": "outgoing", "private": note, "id": 5, "content": content,
                "conversation": { "contact_inbox": { "source_id": source } } })
    };
    let bridge_http = Control::new(&address);
    for (path, body, status) in [
        ("s3cret", callback(true, "a note"), "204"),
        ("wrong", callback(false, "forged"), "404"),
        ("s3cret", callback(false, "Until six"), "204"),
        ("s3cret", callback(false, "Until six"), "204"),
    ] {
        let body = body.to_string();
        let head =
            format!("POST /{path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}", body.len());
        let answer = bridge_http.exchange(&head, &body).await?;
        ensure!(answer.split(' ').nth(1) == Some(status), "{path}: {answer}");
    }
    world.control.shown("15550002", "Until six").await?;
    let sent: Vec<String> = sqlx::query_scalar("SELECT body FROM wa.outbound").fetch_all(world.pool()).await?;
    ensure!(sent == ["Until six"], "{sent:?}");
    let pid = bridge.id().context("the bridge has ended")?.to_string();
    ensure!(Command::new("kill").args(["-s", "TERM", &pid]).status().await?.success(), "cannot signal");
    let status = tokio::time::timeout(LIMIT, bridge.wait()).await.context("the bridge does not stop")??;
    ensure!(status.success(), "the bridge ended with {status}");
    server.abort();
    worker.stop().await
}
