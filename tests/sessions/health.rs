//! S9, S2, Q10: health checks, closing of idle sessions and the report.

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::world::World;

/// Runs a maintenance job and returns its result.
async fn run_maintenance(world: &World, kind: &str) -> Result<Value> {
    let insert = "INSERT INTO wa.maintenance_job (kind) VALUES ($1) RETURNING id";
    let id: i64 = sqlx::query_scalar(insert).bind(kind).fetch_one(world.pool()).await?;
    world.until(&format!("SELECT result FROM wa.maintenance_job WHERE id = {id} AND status = 'done'")).await
}

#[tokio::test]
async fn s9_a_dead_but_open_connection_is_found_and_replaced() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.link("cafe", "15550002").await?;
    let since = "SELECT connected_at::text FROM wa.session WHERE name = ";
    let (shop, cafe): (String, String) =
        (world.until(&format!("{since}'shop'")).await?, world.until(&format!("{since}'cafe'")).await?);
    let hole = json!({ "fault": { "black_hole": {} }, "number": "15550001", "times": 1 });
    world.control.post("/faults", hole).await?;
    // Nothing shows the fault yet; a message sent now waits.
    let id = world.send("shop", "15550002", "through the hole").await?;
    assert_eq!(run_maintenance(&world, "check_sessions").await?, json!({ "workers": 1, "sessions": 2 }));
    world.holds(&format!("SELECT connected_at > '{shop}' FROM wa.session WHERE name = 'shop'")).await?;
    let reason = "SELECT reason = 'the health check got no answer' FROM wa.session_job WHERE kind = 'reconnect' ORDER BY id DESC LIMIT 1";
    world.holds(reason).await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    // The other session answered and keeps its connection.
    let alive =
        format!("SELECT checked_at IS NOT NULL AND connected_at = '{cafe}' FROM wa.session WHERE name = 'cafe'");
    world.holds(&alive).await?;
    assert_eq!(world.seen_by("15550002").await?, ["through the hole"]);
    worker.stop().await
}

#[tokio::test]
async fn s2_a_session_that_nobody_links_is_closed() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("linked", "15550001").await?;
    sqlx::query("SELECT wa.add_session(s), wa.link(s) FROM unnest(ARRAY['old', 'new']) s")
        .execute(world.pool())
        .await?;
    for session in ["old", "new"] {
        world.holds(&format!("SELECT qr IS NOT NULL FROM wa.session WHERE name = '{session}'")).await?;
    }
    let age = "UPDATE wa.session SET wished_at = wished_at - interval '31 minutes' WHERE name IN ('old', 'linked')";
    sqlx::query(age).execute(world.pool()).await?;
    assert_eq!(run_maintenance(&world, "close_idle").await?, json!({ "closed": 1 }));
    world.session_is("old", "stopped").await?;
    let closed = "SELECT desired = 'stopped' AND qr IS NULL AND wished_at IS NULL
                  AND status_reason = 'not linked within 30 minutes' FROM wa.session WHERE name = 'old'";
    world.holds(closed).await?;
    world.session_is("new", "linking").await?;
    world.session_is("linked", "connected").await?;
    worker.stop().await
}

#[tokio::test]
async fn q10_h1_the_report_counts_sessions_messages_and_workers() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    sqlx::query("SELECT wa.add_session('other'), wa.pause('shop')").execute(world.pool()).await?;
    world.send("shop", "15550002", "later").await?;
    let report = run_maintenance(&world, "resource_report").await?;
    let sessions = json!({ "new": 1, "linking": 0, "connecting": 0, "connected": 1, "disconnected": 0, "logged_out": 0, "banned": 0, "stopped": 0 });
    assert_eq!(report["sessions"], sessions, "{report}");
    assert_eq!(report["messages"], json!({ "queued": 1 }), "{report}");
    assert_eq!((&report["workers"], &report["resting"]), (&json!(1), &json!(0)), "{report}");
    assert!(report["database_bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{report}");
    worker.stop().await
}
