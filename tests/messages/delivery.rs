//! M3: what the server refuses.

use crate::support::docs;
use crate::support::world::World;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use wagres::messages::nack::{CODES, Then};

#[tokio::test]
async fn m3_each_refusal_retries_fails_or_pauses_as_documented() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let mut table = "| code | then | meaning |\n| --- | --- | --- |\n".to_owned();
    for (code, then, meaning) in CODES {
        let fault = json!({ "fault": { "nack": { "code": code } }, "stanza": "message", "direction": "in" });
        world.control.post("/faults", fault).await?;
        let id = world.send("shop", "15550002", &code.to_string()).await?;
        let follows = match then {
            Then::Retry => {
                world
                    .holds(&format!("SELECT waits_for = 'retry' AND attempts = 1 FROM wa.outbound WHERE id = {id}"))
                    .await?;
                "tried again"
            }
            Then::Fail => {
                world
                    .holds(&format!("SELECT status = 'failed' AND attempts = 1 FROM wa.outbound WHERE id = {id}"))
                    .await?;
                "failed"
            }
            Then::Pause => {
                world.holds("SELECT paused_at IS NOT NULL FROM wa.session").await?;
                world.holds(&format!("SELECT waits_for = 'retry' FROM wa.outbound WHERE id = {id}")).await?;
                let told =
                    "SELECT count(*) FROM wa.event WHERE kind = 'session_paused' AND data->>'reason' LIKE '%code ";
                ensure!(world.count(&format!("{told}{code}:%'")).await? == 1);
                sqlx::query("SELECT wa.resume('shop')").execute(world.pool()).await?;
                "tried again; the session is paused"
            }
        };
        let why: String = world.until(&format!("SELECT last_error FROM wa.outbound WHERE id = {id}")).await?;
        ensure!(why == format!("refused by the server with code {code}: {meaning}"), "{why}");
        sqlx::query("SELECT wa.retry($1)").bind(id).execute(world.pool()).await?;
        world
            .holds(&format!("SELECT sent_at IS NOT NULL AND failed_at IS NULL FROM wa.outbound WHERE id = {id}"))
            .await?;
        table += &[code.to_string().as_str(), follows, meaning].map(|cell| format!("| {cell} ")).concat();
        table += "|\n";
    }
    let seen = world.seen_by("15550002").await?;
    ensure!(seen == CODES.iter().map(|(code, ..)| code.to_string()).collect::<Vec<_>>(), "{seen:?}");
    docs::table("docs/messages.md", "refusals", &table)?;
    worker.stop().await
}

#[tokio::test]
async fn q8_m3_a_number_that_is_not_on_whatsapp_fails_at_once() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let id = world.send("shop", "15559998", "Anybody there?").await?;
    world.holds(&format!("SELECT status = 'failed' AND attempts = 1 FROM wa.outbound WHERE id = {id}")).await?;
    let why: Option<String> =
        sqlx::query_scalar("SELECT last_error FROM wa.outbound").fetch_one(world.pool()).await.context("the row")?;
    ensure!(why.as_deref().is_some_and(|why| why.contains("not on WhatsApp")), "{why:?}");
    worker.stop().await
}
