//! Each kind of event arrives with all its fields, signed, in its format.

use super::receiver::Receiver;
use super::stage::{add, holds, received, shop, store, worker};
use crate::support::logins::run;
use anyhow::{Result, ensure};
use serde_json::json;

/// A message, a status, an event and a test.
const HAPPENS: &str = "
    INSERT INTO wa.auth_key (session_id, kind, key_id, value)
    SELECT session_id, 'lid-mapping', '90000900', '{\"pn\": \"79001234567\", \"lid\": \"90000900\"}' FROM wa.session;
    INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, media)
    SELECT 'shop', session_id, '12036@g.us', '79001234567@s.whatsapp.net', '3EB0', 'image', 'Hello', false, 'Anna', '2026-01-31 12:00Z', '{\"conversation\": \"Hello\"}', '3EA0', '{\"mime\": \"image/png\"}'
    FROM wa.session;
    INSERT INTO wa.outbound (session, recipient, body, message_id, dedupe_key, campaign) VALUES ('shop', '90000900@lid', 'x', '3EB0AAAA', 'order-7', 'may');
    WITH changed AS (UPDATE wa.outbound SET status = 'delivered', sent_at = now() - interval '1 second', delivered_at = now(), attempts = 1 RETURNING session_id, id)
    SELECT wa.announce_status(array_agg(session_id), array_agg(id)) FROM changed;
    INSERT INTO wa.event (session, session_id, kind, data) SELECT name, session_id, 'call', '{\"call_id\": \"C\", \"from\": \"90000900@lid\", \"action\": \"offered\"}' FROM wa.session;
    SELECT wa.test_webhook('crm')";

#[tokio::test]
async fn h5_each_kind_arrives_with_all_its_fields_and_a_valid_signature() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    let secret = add(&db, "crm", &receiver, r#", '{*}', headers => '{"X-Key": "s3cret"}'"#).await?;
    run(&db.pool, HAPPENS).await?;
    let mut requests = received(&receiver, 4).await?;
    requests.sort_by_key(|it| it.body["type"].as_str().map(str::to_owned));
    for request in &requests {
        request.verify(&secret)?;
        ensure!(request.path == "/hook?a=1" && request.headers["x-key"] == "s3cret", "{request:?}");
        ensure!(request.headers["content-type"] == "application/json", "{request:?}");
        ensure!(request.headers["user-agent"].starts_with("wagres/"), "{request:?}");
        ensure!(request.body["timestamp"].as_str().is_some_and(|it| it.ends_with('Z')), "{request:?}");
    }
    let [call, message, status, test] = &requests[..] else { anyhow::bail!("{requests:#?}") };
    let anna = json!({ "jid": "79001234567@s.whatsapp.net", "phone": "79001234567", "lid": "90000900" });
    let by_lid = json!({ "jid": "90000900@lid", "phone": "79001234567", "lid": "90000900" });
    let mut wanted = json!({
        "session": "shop", "message_id": "3EB0", "kind": "image", "body": "Hello", "from_me": false, "quoted_id": "3EA0",
        "chat": { "jid": "12036@g.us", "phone": null, "lid": null }, "sender": anna, "media": { "mime": "image/png" },
        "message": { "conversation": "Hello" }, "sent_at": "2026-01-31T12:00:00+00:00",
        "inbox_id": message.body["data"]["inbox_id"], "received_at": message.body["data"]["received_at"],
    });
    wanted["sender"]["name"] = "Anna".into();
    ensure!(message.body["type"] == "message.received" && message.body["data"] == wanted, "{message:#?}");
    ensure!(message.id() == format!("msg_{}", wanted["inbox_id"]), "{message:?}");
    let data = &status.body["data"];
    let wanted = json!({
        "session": "shop", "outbound_id": data["outbound_id"], "message_id": "3EB0AAAA", "chat": by_lid, "kind": "text",
        "campaign": "may", "dedupe_key": "order-7", "status": "delivered", "attempts": 1, "sent_at": data["sent_at"],
        "delivered_at": data["delivered_at"],
    });
    ensure!(status.body["type"] == "message.status" && *data == wanted && data["sent_at"].is_string(), "{status:#?}");
    let data = &call.body["data"];
    let wanted = json!({
        "session": "shop", "event_id": data["event_id"], "call_id": "C", "from": "90000900@lid", "action": "offered",
        "people": [by_lid],
    });
    ensure!(
        call.body["type"] == "call" && *data == wanted && call.id() == format!("event_{}", data["event_id"]),
        "{call:#?}"
    );
    ensure!(test.body["type"] == "test" && test.body["data"]["webhook"] == "crm", "{test:?}");
    holds(&db, "SELECT count(*) = 4 AND bool_and(status = 'done' AND attempts = 1 AND code = 204 AND finished_at IS NOT NULL) FROM wa.delivery").await?;
    holds(
        &db,
        "SELECT delivered = 4 AND failed = 0 AND (SELECT sum(n) FROM unnest(latency) n) = 4 FROM wa.webhook_numbers",
    )
    .await?;
    holds(&db, "SELECT status = 'enabled' AND queued = 0 AND delivered_at IS NOT NULL FROM wa.webhooks").await?;
    worker.stop().await?;
    holds(&db, "SELECT worker_id IS NULL FROM wa.webhook_lease").await
}

#[tokio::test]
async fn h5_cloud_events_are_structured_json() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    let secret = add(&db, "crm", &receiver, ", format => 'cloudevents'").await?;
    store(&db, &["1@s.whatsapp.net"]).await?;
    let request = received(&receiver, 1).await?.remove(0);
    request.verify(&secret)?;
    ensure!(request.headers["content-type"] == "application/cloudevents+json", "{request:?}");
    for (field, wanted) in [
        ("specversion", "1.0"),
        ("type", "message.received"),
        ("source", "/wagres/sessions/shop"),
        ("id", request.id()),
    ] {
        ensure!(request.body[field] == wanted, "{field}: {request:?}");
    }
    ensure!(request.body["data"]["body"] == "1@s.whatsapp.net" && request.body["time"].is_string(), "{request:?}");
    worker.stop().await
}

#[tokio::test]
async fn h5_a_long_message_is_cut_below_20_kb() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    run(
        &db.pool,
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT 'shop', session_id, 'c', 'c', 'M', 'text', repeat('ж', 60000), false, now(), jsonb_build_object('conversation', repeat('ж', 60000)) FROM wa.session",
    )
    .await?;
    let request = received(&receiver, 1).await?.remove(0);
    let data = &request.body["data"];
    ensure!(request.bytes.len() < 20_000 && data["truncated"] == json!(["body"]), "{} {data}", request.bytes.len());
    ensure!(data["inbox_id"].is_i64() && data.get("message").is_none(), "{data}");
    worker.stop().await
}

/// As of an import of a thousand groups, or of a crowd that joins at once.
#[tokio::test]
async fn h5_an_event_that_is_too_large_arrives_with_its_ids() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, ", '{*}'").await?;
    run(
        &db.pool,
        "INSERT INTO wa.event (session, session_id, kind, data)
         SELECT name, session_id, 'group_changed', jsonb_build_object('group', '12036@g.us', 'action', 'add', 'participants',
                    (SELECT jsonb_agg(md5(n::text) || '@lid') FROM generate_series(1, 5000) n)) FROM wa.session",
    )
    .await?;
    let request = received(&receiver, 1).await?.remove(0);
    let data = &request.body["data"];
    let wanted =
        json!({ "session": "shop", "event_id": data["event_id"], "group": "12036@g.us", "truncated": ["data"] });
    ensure!(request.body["type"] == "group.changed" && data["event_id"].is_i64() && *data == wanted, "{data}");
    holds(&db, "SELECT status = 'done' FROM wa.delivery").await?;
    worker.stop().await
}

#[tokio::test]
async fn h5_whom_a_message_quotes_and_mentions_has_number_and_lid() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    run(
        &db.pool,
        r#"INSERT INTO wa.auth_key (session_id, kind, key_id, value)
           SELECT session_id, 'lid-mapping', '90000900', '{"pn": "79001234567", "lid": "90000900"}' FROM wa.session;
           INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, quoted_id, message)
           SELECT 'shop', session_id, '12036@g.us', '1555@s.whatsapp.net', '3EB0', 'text', '@all', false, now(), '3EA0',
                  '{"extended_text_message": {"text": "@all", "context_info": {"stanza_id": "3EA0", "participant": "90000900@lid",
                    "mentioned_jid": ["79001234567@s.whatsapp.net", "8@lid"]}}}' FROM wa.session"#,
    )
    .await?;
    let request = received(&receiver, 1).await?.remove(0);
    let data = &request.body["data"];
    let anna = |jid: &str| json!({ "jid": jid, "phone": "79001234567", "lid": "90000900" });
    ensure!(data["quoted_sender"] == anna("90000900@lid"), "{data}");
    let other = json!({ "jid": "8@lid", "phone": null, "lid": "8" });
    ensure!(data["mentioned"] == json!([anna("79001234567@s.whatsapp.net"), other]), "{data}");
    worker.stop().await
}

/// A worker gives away what another one should have, and each delivers for its own.
#[tokio::test]
async fn h5_workers_share_the_webhooks() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    for n in 0..4 {
        add(&db, &format!("w{n}"), &receiver, "").await?;
    }
    let first = worker(&db)?;
    let shares = |wanted: &str| {
        format!(
            "SELECT array_agg(n ORDER BY n) = '{wanted}' FROM (SELECT count(*) AS n FROM wa.webhook_lease JOIN wa.worker USING (worker_id) GROUP BY worker_id) held"
        )
    };
    holds(&db, &shares("{4}")).await?;
    let second = worker(&db)?;
    holds(&db, &shares("{2,2}")).await?;
    store(&db, &["a", "b"]).await?;
    received(&receiver, 8).await?;
    first.stop().await?;
    holds(&db, &shares("{4}")).await?;
    store(&db, &["c"]).await?;
    received(&receiver, 12).await?;
    holds(&db, "SELECT count(*) = 12 AND bool_and(status = 'done' AND attempts = 1) FROM wa.delivery").await?;
    second.stop().await
}
