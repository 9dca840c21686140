//! Q14, R9: everybody who may connect can listen on every channel and notify on it, so a notification carries ids alone,
//! and a forged one costs its listener a look.

use crate::support::logins::{DENIED, expect, login, run};
use crate::support::until::LIMIT;
use crate::support::world::{Worker, World, wagres};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::collections::BTreeMap;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const CHANNELS: [&str; 6] = ["wa_event", "wa_inbound", "wa_job", "wa_session", "wa_status", "wa_work"];

/// A login without any role or tenant.
async fn stranger(world: &World) -> Result<PgPool> {
    let mut url = url::Url::parse(&world.db.url)?;
    let name = format!("stranger_of_{}", url.path().trim_start_matches('/'));
    run(world.pool(), &format!(r#"CREATE ROLE "{name}" LOGIN"#)).await?;
    url.set_username(&name).map_err(|()| anyhow::anyhow!("no user name"))?;
    Ok(PgPool::connect(url.as_str()).await?)
}

/// Whether a payload has ids and nothing else.
fn only_ids(channel: &str, payload: &str) -> bool {
    if channel == "wa_work" {
        return ["", "leases", "schedule", "webhooks", "webhook_settings", "partner"].contains(&payload);
    }
    // A worker's own: a session of its.
    if channel.starts_with("wa_work_") {
        return payload.parse::<i64>().is_ok();
    }
    let Ok(Value::Object(fields)) = serde_json::from_str(payload) else { return false };
    fields.iter().all(|(name, value)| match name.as_str() {
        // An event of the whole database has no session.
        "session_id" => value.is_i64() || (channel == "wa_event" && value.is_null()),
        "id" => value.is_i64(),
        "ids" => value.as_array().is_some_and(|ids| !ids.is_empty() && ids.iter().all(Value::is_i64)),
        _ => false,
    })
}

/// Reads what has arrived, until something came on every channel.
async fn heard(listener: &mut PgListener) -> Result<BTreeMap<String, Vec<String>>> {
    let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let end = tokio::time::Instant::now() + LIMIT;
    while heard.len() < CHANNELS.len() {
        let next =
            tokio::time::timeout_at(end, listener.recv()).await.with_context(|| format!("heard {heard:?}"))??;
        heard.entry(next.channel().to_owned()).or_default().push(next.payload().to_owned());
    }
    Ok(heard)
}

#[tokio::test]
async fn r9_q14_notifications_carry_ids_and_nothing_else() -> Result<()> {
    let world = World::new().await?;
    let stranger = stranger(&world).await?;
    let mut listener = PgListener::connect_with(&stranger).await?;
    listener.listen_all(CHANNELS).await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.link("anna", "15550002").await?;
    world.phone("15550003").await?;
    // A pairing code, too.
    sqlx::query("SELECT wa.add_session('code'), wa.link('code', '+15550003')").execute(world.pool()).await?;
    world.holds("SELECT code IS NOT NULL FROM wa.session WHERE name = 'code'").await?;
    run(
        world.pool(),
        "INSERT INTO wa.passkey (session_id, session, stage, request, code, error, expires_at)
         SELECT wa.add_session('idle'), 'idle', 'code', '{}', 'ABCD-EFGH', 'a reason', now() + interval '1 hour';
         SELECT wa.disable_schedule('retention')",
    )
    .await?;
    let id = world.send("shop", "15550002", "a secret").await?;
    world.message_is(id, "read").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'a secret'").await?;
    sqlx::query("SELECT wa.list_groups('shop')").execute(world.pool()).await?;
    world.holds("SELECT status = 'done' FROM wa.session_job WHERE kind = 'list_groups'").await?;

    for (channel, payloads) in heard(&mut listener).await? {
        for payload in payloads {
            ensure!(only_ids(&channel, &payload), "{channel}: {payload}");
        }
    }
    // As many ids as one call may announce, the longest there are.
    run(
        world.pool(),
        "SELECT wa.announce_status(array_fill(9223372036854775807, ARRAY[1000]), array_fill(9223372036854775807, ARRAY[1000]))",
    )
    .await?;
    expect(&stranger, &[("SELECT qr, code FROM wa.session", DENIED), ("SELECT FROM wa.inbox", DENIED)]).await?;
    // The code is in the row, for those who see the session.
    let app = login(&world.db, "wa_app", Some("default")).await?;
    expect(&app, &[("SELECT FROM wa.session WHERE code IS NOT NULL", Ok(1))]).await?;
    worker.stop().await
}

/// What anybody may send: nothing, no JSON, ids that do not exist, ids of the wrong type, what looks like data, and as
/// much as Postgres takes.
async fn forge(stranger: &PgPool) -> Result<()> {
    let payloads = [
        String::new(),
        "leases".to_owned(),
        "schedule".to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        r#"{"session_id": 1}"#.to_owned(),
        r#"{"session_id": "shop", "ids": {"id": null}, "id": -1}"#.to_owned(),
        r#"{"session_id": 9223372036854775808, "ids": [1e400], "id": []}"#.to_owned(),
        r#"{"session": "shop", "status": "connected", "qr": "2@forged", "code": "AAAA-AAAA"}"#.to_owned(),
        "x".repeat(7999),
    ];
    for channel in CHANNELS {
        for payload in &payloads {
            sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload).execute(stranger).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn r9_q14_a_forged_notification_costs_a_look_and_no_more() -> Result<()> {
    let world = World::new().await?;
    let stranger = stranger(&world).await?;
    let worker: Worker = world.worker().await?;
    world.link("anna", "15550002").await?;
    world.phone("15550001").await?;
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;

    let mut link = wagres();
    link.args(["--json", "--database-url", &world.db.url, "session", "link", "shop"]).stdout(Stdio::piped());
    let link = link.spawn()?;
    let mut inbox = wagres();
    inbox.args(["--json", "--database-url", &world.db.url, "inbox", "--follow"]).stdout(Stdio::piped());
    let mut inbox = inbox.spawn()?;
    let mut lines = BufReader::new(inbox.stdout.take().context("no stdout")?).lines();
    let qr: String = world.until("SELECT qr FROM wa.session WHERE name = 'shop'").await?;
    forge(&stranger).await?;
    world.control.post("/phones/15550001/scan", json!({ "qr": qr })).await?;
    world.session_is("shop", "connected").await?;
    let linked = tokio::time::timeout(LIMIT, link.wait_with_output()).await.context("session link does not end")??;
    let printed = String::from_utf8_lossy(&linked.stdout);
    ensure!(linked.status.success() && printed.contains(r#""connected""#), "{printed}");
    ensure!(!printed.contains("forged") && !printed.contains("AAAA-AAAA"), "{printed}");

    forge(&stranger).await?;
    let id = world.send("shop", "15550002", "still here").await?;
    world.message_is(id, "read").await?;
    let shown = tokio::time::timeout(LIMIT, lines.next_line()).await.context("inbox --follow shows nothing")??;
    let shown: Value = serde_json::from_str(&shown.context("inbox --follow has ended")?)?;
    ensure!(shown["session"] == "anna" && shown["body"] == "still here", "{shown}");
    inbox.kill().await?;
    ensure!(world.count("SELECT count(*) FROM wa.worker").await? == 1, "the worker lost its lease");
    ensure!(world.count("SELECT count(*) FROM wa.session WHERE status <> 'connected'").await? == 0);
    worker.stop().await
}
