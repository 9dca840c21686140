//! Answers of the database that are lost while messages are sent.

use crate::support::relay::Relay;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use serde_json::json;

/// The outcome of a failed attempt is committed, its answer is lost, and it is written again.
#[tokio::test]
async fn r12_r11_an_attempt_whose_outcome_is_not_answered_counts_once() -> Result<()> {
    let world = World::new().await?;
    let relay = Relay::to(&world.db.url).await?;
    let worker = Worker::start(world.worker_on(&relay.url)).await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    // A code that nobody knows is tried again.
    world.control.post("/faults", json!({ "fault": { "nack": { "code": 599 } } })).await?;
    relay.lose_answer_to("Writes the progress of messages, one array element for each message: whatever");
    let insert = "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', '15550002', 'Hello', 2) RETURNING id";
    let id: i64 = sqlx::query_scalar(insert).fetch_one(world.pool()).await?;
    relay.answer_is_lost().await?;
    world.message_is(id, "read").await?;
    let counted =
        format!("SELECT count(*) FROM wa.outbound WHERE id = {id} AND attempts = 2 AND jsonb_array_length(errors) = 1");
    ensure!(world.count(&counted).await? == 1, "the attempt counts twice");
    ensure!(world.seen_by("15550002").await? == ["Hello"]);
    worker.stop().await
}
