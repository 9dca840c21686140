//! Deliveries of a real worker: receivers that verify with the official libraries, and the receiver of the documentation.

use super::{Program, examples, node, python};
use crate::support::db::TestDb;
use crate::support::docs;
use crate::support::world::{Worker, World};
use crate::webhooks::stage::{holds, shop, worker};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::process::Command;

/// Adds a webhook whose receiver does not exist yet; returns its secret.
async fn add(db: &TestDb, name: &str, kinds: &str, more: &str) -> Result<String> {
    let sql = format!(
        "SELECT wa.add_webhook('{name}', 'http://127.0.0.1:9', kinds => '{{{kinds}}}', session => 'shop'{more})"
    );
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&db.pool).await?)
}

async fn deliver_to(db: &TestDb, name: &str, receiver: &Program) -> Result<()> {
    let sql = "SELECT wa.alter_webhook($1, url => $2)";
    sqlx::query(sql).bind(name).bind(receiver.url("hook?a=b")).execute(&db.pool).await?;
    Ok(())
}

/// The event of a delivery that the library has verified.
fn verified(told: &Value) -> Result<&Value> {
    told.get("event").filter(|_| told.get("error").is_none()).with_context(|| told.to_string())
}

#[tokio::test]
async fn h5_the_official_libraries_verify_what_a_worker_delivers_also_while_the_secret_is_rotated() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WEBHOOK__PRIVATE_NETWORKS", "true");
    let worker = Worker::start(command).await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let mut receivers = vec![];
    for (name, program) in [("npm", node().await?), ("pypi", python().await?)] {
        let secret = add(&world.db, name, "*", "").await?;
        let receiver = Program::start(program, &secret).await?;
        deliver_to(&world.db, name, &receiver).await?;
        receivers.push((name, receiver));
    }
    let text = "Grüße 👋 \u{1}";
    world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": text })).await?;
    world.send("shop", "15550002", "Hello").await?;
    for (name, receiver) in &mut receivers {
        let mut ids = BTreeSet::new();
        let mut wanted = BTreeSet::from(["message.received", "message.status"]);
        while !wanted.is_empty() {
            let told = receiver.next().await?;
            let event = verified(&told)?;
            ensure!(ids.insert(told["headers"]["webhook-id"].to_string()), "twice: {told}");
            ensure!(event["timestamp"].is_string() && told["headers"]["content-type"] == "application/json", "{told}");
            wanted.retain(|kind| event["type"] != *kind);
            ensure!(event["type"] != "message.received" || event["data"]["body"] == text, "{told}");
        }
        world.holds(&format!("SELECT count(*) >= {} FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) WHERE w.name = '{name}' AND d.status = 'done' AND d.code = 204", ids.len())).await?;
    }

    // The receiver that knows the old secret still verifies, and so does one that knows the new one.
    for (name, receiver) in &mut receivers {
        let rotate = "SELECT wa.rotate_webhook($1)";
        let secret: String = sqlx::query_scalar(rotate).bind(*name).fetch_one(world.pool()).await?;
        // The worker reads the change some time later; from then on there are two signatures.
        let told = loop {
            sqlx::query("SELECT wa.test_webhook($1)").bind(*name).execute(world.pool()).await?;
            let told = until_test(receiver).await?;
            if told["headers"]["webhook-signature"].as_str().is_some_and(|it| it.contains(' ')) {
                break told;
            }
        };
        verified(&told)?;
        let program = if *name == "npm" { node().await? } else { python().await? };
        let mut next = Program::start(program, &secret).await?;
        deliver_to(&world.db, name, &next).await?;
        // The first may still go to the address before.
        loop {
            sqlx::query("SELECT wa.test_webhook($1)").bind(*name).execute(world.pool()).await?;
            if let Ok(told) = tokio::time::timeout(Duration::from_secs(1), until_test(&mut next)).await {
                told?;
                break;
            }
        }
        // A body that was changed on its way, and one without the fitting id.
        let changed = told["body"].as_str().context("no body")?.replace("test", "tast");
        for (id, body) in [(None, changed.as_str()), (Some("msg_1"), told["body"].as_str().context("no body")?)] {
            next.post(&told["headers"], id, body).await?;
            let refused = next.next().await?;
            ensure!(refused["error"].is_string(), "{refused}");
        }
    }
    worker.stop().await
}

/// The next delivery of type test.
async fn until_test(receiver: &mut Program) -> Result<Value> {
    loop {
        let told = receiver.next().await?;
        if verified(&told)?["type"] == "test" {
            return Ok(told);
        }
    }
}

#[tokio::test]
async fn h5_batches_and_cloudevents_are_signed_in_the_same_way() -> Result<()> {
    let db = shop().await?;
    let worker = worker(&db)?;
    for (name, more, content) in [
        ("batch", ", batch_size => 10, batch_wait => '300 ms'", "application/json"),
        ("cloud", ", format => 'cloudevents'", "application/cloudevents+json"),
        (
            "both",
            ", format => 'cloudevents', batch_size => 10, batch_wait => '300 ms'",
            "application/cloudevents-batch+json",
        ),
    ] {
        let secret = add(&db, name, "call", more).await?;
        let mut receiver = Program::start(node().await?, &secret).await?;
        deliver_to(&db, name, &receiver).await?;
        sqlx::raw_sql(
            "INSERT INTO wa.event (session, session_id, kind, data)
             SELECT name, session_id, 'call', jsonb_build_object('number', n) FROM wa.session, generate_series(1, 3) n",
        )
        .execute(&db.pool)
        .await?;
        let mut numbers = vec![];
        while numbers.len() < 3 {
            let told = receiver.next().await?;
            let event = verified(&told)?;
            ensure!(told["headers"]["content-type"] == content, "{name}: {told}");
            let members = event.as_array().or(event["data"]["events"].as_array());
            let members = members.cloned().unwrap_or_else(|| vec![event.clone()]);
            ensure!((event["type"] == "batch") == (name == "batch"), "{name}: {told}");
            for member in &members {
                let (id, kind) = (member["id"].as_str().unwrap_or_default(), &member["type"]);
                ensure!(id.starts_with("event_") && kind == "call", "{name}: {told}");
                ensure!(
                    name == "batch" || member["specversion"] == "1.0" && member["source"] == "/wagres/sessions/shop",
                    "{told}"
                );
                numbers.push(member["data"]["number"].as_i64().context("no number")?);
            }
            if name == "cloud" {
                ensure!(told["headers"]["webhook-id"] == event["id"], "{told}");
            }
        }
        ensure!(numbers == [1, 2, 3], "{name}: {numbers:?}");
        sqlx::query("SELECT wa.drop_webhook($1)").bind(name).execute(&db.pool).await?;
    }
    worker.stop().await
}

/// The receiver of the documentation does the work of an event once, however often it comes.
#[tokio::test]
async fn h5_the_receiver_of_the_documentation_does_nothing_twice() -> Result<()> {
    let db = shop().await?;
    let worker = worker(&db)?;
    let secret = add(&db, "crm", "call", "").await?;
    let folder = tempfile::tempdir()?;
    for (file, part) in [("verify.py", "def verify"), ("receiver.py", "class Receiver")] {
        std::fs::write(folder.path().join(file), examples::example("python", part)?)?;
    }
    let mut command = Command::new("python3");
    command.arg("receiver.py").current_dir(folder.path()).env("PORT", "0");
    command.env("WEBHOOK_SECRET", &secret).env("WEBHOOK_DATABASE", "seen.db");
    let mut receiver = Program::start(command, "").await?;
    deliver_to(&db, "crm", &receiver).await?;
    let event = "INSERT INTO wa.event (session, session_id, kind, data) SELECT name, session_id, 'call', '{\"call_id\": \"X\"}' FROM wa.session";
    sqlx::query(event).execute(&db.pool).await?;
    ensure!(receiver.line().await?.starts_with("call {"));
    // An honest duplicate: a replay has the same id.
    holds(&db, "SELECT count(*) = 1 FROM wa.delivery WHERE status = 'done' AND type = 'call'").await?;
    let first = "SELECT attempted_at::text FROM wa.delivery WHERE type = 'call'";
    let first: String = sqlx::query_scalar(first).fetch_one(&db.pool).await?;
    sqlx::query("SELECT wa.replay_webhook('crm', now() - interval '1 hour')").execute(&db.pool).await?;
    holds(
        &db,
        &format!(
            "SELECT count(*) = 1 FROM wa.delivery WHERE status = 'done' AND type = 'call' AND attempted_at > '{first}'"
        ),
    )
    .await?;
    // An attacker without the secret.
    receiver
        .post(&json!({ "webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,x" }), None, "{}")
        .await?;
    sqlx::query("SELECT wa.test_webhook('crm')").execute(&db.pool).await?;
    ensure!(receiver.line().await?.starts_with("test {"), "the work was done twice");
    worker.stop().await
}

/// The names in the table of fields of the documentation.
fn documented(kind: &str) -> Result<BTreeSet<String>> {
    let text = docs::section("docs/webhooks.md", &format!("fields {kind}"))?;
    let firsts = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    Ok(firsts.flat_map(|names| names.split(", ").map(|name| name.trim_matches(['`', ' ']).to_owned())).collect())
}

/// Readers of JSON stop at some depth; a message from outside may be deeper.
#[tokio::test]
async fn h5_r10_a_message_that_is_too_deep_to_be_read_is_delivered_without_it() -> Result<()> {
    let db = shop().await?;
    let worker = worker(&db)?;
    let secret = add(&db, "crm", "message.received", ", lanes => 'none'").await?;
    let mut program = Program::start(node().await?, &secret).await?;
    deliver_to(&db, "crm", &program).await?;
    sqlx::raw_sql(
        r#"INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
           SELECT name, session_id, 'c', 's', m.id, 'text', m.id, false, now(), m.message
           FROM wa.session, (VALUES ('DEEP', (repeat('{"a":', 130) || '1' || repeat('}', 130))::jsonb), ('NEXT', '{"conversation": "x"}')) m (id, message)"#,
    )
    .execute(&db.pool)
    .await?;
    let mut messages = BTreeMap::new();
    for _ in 0..2 {
        let data = verified(&program.next().await?)?["data"].clone();
        messages.insert(data["body"].as_str().context("no body")?.to_owned(), data.get("message").cloned());
    }
    ensure!(messages["DEEP"].is_none() && messages["NEXT"].is_some(), "{messages:?}");
    worker.stop().await
}

#[tokio::test]
async fn h5_the_documentation_has_every_field_of_a_body_and_no_other() -> Result<()> {
    let db = shop().await?;
    let worker = worker(&db)?;
    let secret = add(&db, "crm", "message.*", ", lanes => 'none'").await?;
    let mut program = Program::start(node().await?, &secret).await?;
    deliver_to(&db, "crm", &program).await?;
    sqlx::raw_sql(
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id, choices, author_matches, by_admin, media, media_id)
         SELECT name, session_id, '15550002@s.whatsapp.net', '15550002@s.whatsapp.net', 'M', 'text', 'Hello', false, 'Anna', now(),
                '{\"extended_text_message\": {\"context_info\": {\"participant\": \"1@lid\", \"mentioned_jid\": [\"2@lid\"]}}}', 'Q', 'T', '{a}', true, false, '{}',
                wa.add_media('shop', '\\x00', 'image/png') FROM wa.session;
         INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT name, session_id, 'c', 's', 'N', 'text', repeat('x', 9000), false, now(), '{}' FROM wa.session;
         INSERT INTO wa.outbound (session, recipient, body, campaign, dedupe_key) SELECT 'shop', '15550002', 'x', 'may', n::text FROM generate_series(1, 2) n;
         WITH changed AS (
             UPDATE wa.outbound SET attempts = 1, sent_at = now(), delivered_at = now(), read_at = now(),
                 played_at = CASE dedupe_key WHEN '1' THEN now() END, failed_at = CASE dedupe_key WHEN '2' THEN now() END,
                 failure = CASE dedupe_key WHEN '2' THEN 'media' END, last_error = 'no file',
                 status = CASE dedupe_key WHEN '1' THEN 'played' ELSE 'failed' END::wa.outbound_status
             RETURNING session_id, id
         ) SELECT wa.announce_status(array_agg(session_id), array_agg(id)) FROM changed",
    )
    .execute(&db.pool)
    .await?;
    let (mut received, mut status) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..4 {
        let told = program.next().await?;
        let event = verified(&told)?;
        let fields = event["data"].as_object().context("no data")?;
        match event["type"].as_str() {
            Some("message.received") => received.extend(fields.keys().cloned()),
            Some("message.status") => status.extend(fields.keys().cloned()),
            other => anyhow::bail!("{other:?}"),
        }
        for person in ["chat", "sender", "quoted_sender"].iter().filter_map(|field| fields.get(*field)) {
            ensure!(["jid", "phone", "lid"].iter().all(|field| person.get(*field).is_some()), "{told}");
        }
    }
    // No status is too long here.
    status.insert("truncated".to_owned());
    ensure!(received == documented("message.received")?, "message.received: {received:?}");
    ensure!(status == documented("message.status")?, "message.status: {status:?}");
    worker.stop().await
}
