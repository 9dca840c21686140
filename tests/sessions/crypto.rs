//! S8: decryption errors are counted for their session.

use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

use super::telemetry;
use crate::support::world::World;

const SHOP: &str = "15550001";
const ANNA: &str = "15550002";

/// A world with the phone of Anna, who writes to the sessions.
async fn world() -> Result<World> {
    let world = World::new().await?;
    world.phone(ANNA).await?;
    Ok(world)
}

/// Anna writes to a session.
async fn anna_writes(world: &World, to: &str, text: &str) -> Result<()> {
    world.control.post(&format!("/phones/{ANNA}/send"), json!({ "to": to, "text": text })).await.map(drop)
}

/// Anna's message arrives damaged first, and whole after the retry receipt.
async fn deliver_damaged(world: &World, to: &str, text: &str) -> Result<()> {
    let damage = json!({ "fault": { "corrupt": {} }, "number": to, "device": 1, "direction": "out", "times": 1 });
    world.control.post("/faults", damage).await?;
    anna_writes(world, to, text).await?;
    world.holds(&format!("SELECT count(*) = 1 FROM wa.inbox WHERE body = '{text}'")).await
}

async fn health(world: &World, session: &str) -> Result<Value> {
    let health =
        "SELECT jsonb_build_array(bad_macs, bad_decrypts, is_healthy) FROM wa.session_health WHERE session = $1";
    Ok(sqlx::query_scalar(health).bind(session).fetch_one(world.pool()).await?)
}

/// The events of a kind: session, error, count and limit of each.
async fn crypto_events(world: &World, kind: &str) -> Result<Value> {
    let events = "SELECT coalesce(jsonb_agg(jsonb_build_array(session, data->'error', data->'errors', data->'limit') ORDER BY id), '[]')
        FROM wa.event WHERE kind = $1";
    Ok(sqlx::query_scalar(events).bind(kind).fetch_one(world.pool()).await?)
}

#[tokio::test]
async fn s8_bad_macs_are_counted_for_their_session_and_survive_its_worker() -> Result<()> {
    let world = world().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.link("other", "15550003").await?;
    for to in [SHOP, "15550003"] {
        anna_writes(&world, to, &format!("hello {to}")).await?;
    }
    world.holds("SELECT count(*) = 2 FROM wa.inbox").await?;
    deliver_damaged(&world, SHOP, "one").await?;
    deliver_damaged(&world, "15550003", "another").await?;
    deliver_damaged(&world, SHOP, "two").await?;
    world.holds("SELECT bad_macs = 2 FROM wa.session WHERE name = 'shop'").await?;
    assert_eq!(health(&world, "other").await?, json!([1, 0, true]));
    assert_eq!(crypto_events(&world, "crypto_warning").await?, json!([["shop", "bad_mac", 2, 3]]));
    deliver_damaged(&world, SHOP, "three").await?;
    world.holds("SELECT bad_macs = 3 FROM wa.session WHERE name = 'shop'").await?;
    assert_eq!(health(&world, "shop").await?, json!([3, 0, false]));
    assert_eq!(crypto_events(&world, "crypto_limit").await?, json!([["shop", "bad_mac", 3, 3]]));
    // Relinking is off by default, so the session goes on in both directions, with a healed Signal session.
    world.session_is("shop", "connected").await?;
    let id = world.send("shop", ANNA, "An answer").await?;
    world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    anna_writes(&world, SHOP, "four").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'four'").await?;
    telemetry::metric_is(&worker, "wagres_crypto_errors_total{error=\"bad_mac\"}", 4.0).await?;
    world.kill(worker).await?;
    assert_eq!(health(&world, "shop").await?, json!([3, 0, false]));
    let worker = world.worker().await?;
    world.holds("SELECT bad_macs = 0 FROM wa.session WHERE name = 'shop'").await?;
    assert_eq!(health(&world, "shop").await?, json!([0, 0, true]));
    worker.stop().await
}

#[tokio::test]
async fn s8_a_session_set_to_relink_is_quarantined_at_the_limit_and_can_be_linked_again() -> Result<()> {
    let world = world().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    sqlx::query("SELECT wa.set_crypto_limits('shop', bad_macs => 2, relink => true)").execute(world.pool()).await?;
    anna_writes(&world, SHOP, "hello").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox").await?;
    deliver_damaged(&world, SHOP, "one").await?;
    let damage = json!({ "fault": { "corrupt": {} }, "number": SHOP, "device": 1, "direction": "out", "times": 1 });
    world.control.post("/faults", damage).await?;
    anna_writes(&world, SHOP, "two").await?;
    world.session_is("shop", "logged_out").await?;
    world
        .holds("SELECT desired = 'stopped' AND jid IS NULL AND status_reason = '2 Bad MACs in one connection' FROM wa.session")
        .await?;
    assert_eq!(world.count("SELECT count(*) FROM wa.auth").await?, 0);
    assert_eq!(world.count("SELECT count(*) FROM wa.auth_key").await?, 0);
    let quarantined: Value = world.until("SELECT data FROM wa.event WHERE kind = 'auth_quarantined'").await?;
    assert_eq!(quarantined["keys"], world.count("SELECT count(*) FROM wa.auth_quarantine").await?, "{quarantined}");
    assert!(world.count("SELECT count(*) FROM wa.auth_quarantine WHERE kind IN ('creds', 'session')").await? >= 2);
    assert_eq!(crypto_events(&world, "crypto_limit").await?, json!([["shop", "bad_mac", 2, 2]]));
    // Its owner unlinks the dead device and links it again.
    world.link("shop", SHOP).await?;
    assert_eq!(health(&world, "shop").await?, json!([0, 0, true]));
    anna_writes(&world, SHOP, "three").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'three'").await?;
    worker.stop().await
}

#[tokio::test]
async fn s8_app_state_that_fails_to_decrypt_is_counted_and_its_keys_are_requested_again() -> Result<()> {
    let world = world().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    let archive = async |on: bool| {
        let settings = json!({ "archive": { "chat": ANNA, "on": on } });
        world.control.post(&format!("/phones/{SHOP}/app-state"), settings).await
    };
    let keys = "FROM wa.auth_key WHERE kind = 'app-state-sync-key'";
    world.holds(&format!("SELECT count(*) > 0 {keys}")).await?;
    let version = "(SELECT coalesce(max((value->>'version')::int8), 0) FROM wa.auth_key WHERE kind = 'app-state-sync-version' AND key_id = 'regular_low')";
    archive(false).await?;
    world.holds(&format!("SELECT {version} > 0")).await?;
    let before = world.count(&format!("SELECT {version}")).await?;
    let given: String = world.until(&format!("SELECT max(updated_at)::text {keys}")).await?;
    sqlx::query("SELECT wa.set_crypto_limits('shop', bad_decrypts => 3)").execute(world.pool()).await?;
    let damage = json!({ "fault": { "corrupt_app_state": { "what": "patch_mac" } }, "number": SHOP, "times": 2 });
    world.control.post("/faults", damage).await?;
    // The library ignores a change announced while it still reads the previous one, so the change is repeated.
    let counted = "SELECT bad_decrypts = 2 FROM wa.session";
    for _ in 0..5 {
        archive(true).await?;
        if let Ok(counted) = timeout(Duration::from_secs(5), world.holds(counted)).await {
            counted?;
            break;
        }
    }
    world.holds(counted).await?;
    assert_eq!(crypto_events(&world, "crypto_warning").await?, json!([["shop", "bad_decrypt", 2, 3]]));
    assert_eq!(health(&world, "shop").await?, json!([0, 2, true]));
    // The library requests the key and the patch from the phone by itself.
    world.holds(&format!("SELECT {version} > {before}")).await?;
    world.holds(&format!("SELECT count(*) = 1 {keys} AND updated_at > '{given}'")).await?;
    world.kill(worker).await?;
    let before = world.count(&format!("SELECT {version}")).await?;
    let worker = world.worker().await?;
    world.holds("SELECT bad_decrypts = 0 FROM wa.session").await?;
    archive(false).await?;
    world.holds(&format!("SELECT {version} > {before}")).await?;
    assert_eq!(health(&world, "shop").await?, json!([0, 0, true]));
    worker.stop().await
}

/// An old message for a deleted pre-key is no fault of the session.
#[tokio::test]
async fn s8_a_message_for_a_deleted_pre_key_is_not_counted() -> Result<()> {
    let world = world().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.holds("SELECT bool_or((value->>'uploaded')::boolean) FROM wa.auth_key WHERE kind = 'pre-key'").await?;
    world.kill(worker).await?;
    anna_writes(&world, SHOP, "hello").await?;
    sqlx::query("DELETE FROM wa.auth_key WHERE kind = 'pre-key'").execute(world.pool()).await?;
    let worker = world.worker().await?;
    world.control.until("/stats", |it| it["stanzas"]["receipt retry retry"].as_u64().map(drop)).await?;
    assert_eq!(health(&world, "shop").await?, json!([0, 0, true]));
    worker.stop().await
}

#[tokio::test]
async fn s8_a_message_that_never_decrypts_leaves_an_event_with_its_sender_and_id() -> Result<()> {
    let world = world().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    anna_writes(&world, SHOP, "hello").await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox").await?;
    let anna = format!("{ANNA}@s.whatsapp.net");
    let unread = format!(
        "SELECT data FROM wa.event WHERE session = 'shop' AND kind = 'message_undecryptable' AND data @> '{}' ORDER BY id DESC",
        json!({ "chat": anna, "sender": anna, "reason": "not_decrypted", "hidden": false })
    );
    // One that is whole when it comes again has a row under the same id.
    deliver_damaged(&world, SHOP, "damaged once").await?;
    let event: Value = world.until(&format!("{unread} LIMIT 1")).await?;
    let id = event["message_id"].as_str().unwrap_or_default();
    assert!(event["sent_at"].is_string(), "{event}");
    world.holds(&format!("SELECT body = 'damaged once' FROM wa.inbox WHERE message_id = '{id}'")).await?;
    // Of one whose sender cannot help, the account's own phone has what it read.
    let damage =
        json!({ "fault": { "corrupt": { "retries": true } }, "number": SHOP, "device": 1, "direction": "out" });
    world.control.post("/faults", damage).await?;
    let lost = world.control.post(&format!("/phones/{ANNA}/send"), json!({ "to": SHOP, "text": "lost" })).await?;
    let lost = lost["id"].as_str().unwrap_or_default();
    world.holds(&format!("SELECT true FROM ({unread}) e WHERE data ->> 'message_id' = '{lost}' LIMIT 1")).await?;
    world.holds(&format!("SELECT body = 'lost' FROM wa.inbox WHERE message_id = '{lost}'")).await?;
    worker.stop().await
}
