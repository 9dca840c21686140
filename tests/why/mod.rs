//! S12: why a session or a message does not send, in SQL and on the command line, and the limit that WhatsApp puts on an
//! account. Each reason comes from what really holds the session or the message back.

mod callers;
mod limits;
mod reasons;

use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, PgPool};

const SHOP: &str = "15550001";
const ANNA: &str = "15550002";
const BERT: &str = "15550003";
const NOTHING: &str = "nothing is in its way";

/// Waits until an expression of SQL is like a pattern of SQL.
async fn says(pool: &PgPool, expression: &str, pattern: &str) -> Result<()> {
    let query = format!("SELECT answer, answer LIKE $1 FROM (SELECT {expression} AS answer) asked");
    until(&format!("{expression} like {pattern}"), async || {
        let asked = sqlx::query_as(AssertSqlSafe(query.clone())).bind(pattern);
        let (answer, like): (Option<String>, Option<bool>) = asked.fetch_one(pool).await?;
        Ok(if like == Some(true) { Ok(()) } else { Err(answer.unwrap_or_default()) })
    })
    .await
}

/// Waits until the session `shop` gives this reason.
async fn shop_says(world: &World, pattern: &str) -> Result<()> {
    says(world.pool(), "wa.why('shop')", pattern).await
}

/// Waits until a message gives this reason.
async fn message_says(world: &World, id: i64, pattern: &str) -> Result<()> {
    says(world.pool(), &format!("wa.why({id})"), pattern).await
}

/// Whether `shop` is stuck; the function that says no reasons says the same.
async fn stuck(world: &World) -> Result<bool> {
    let stuck =
        sqlx::query_as("SELECT stuck, EXISTS (SELECT wa.stuck('{shop}')) FROM wa.reasons() WHERE session = 'shop'");
    let (stuck, without_words): (bool, bool) = stuck.fetch_one(world.pool()).await?;
    ensure!(stuck == without_words, "wa.reasons() says {stuck}, wa.stuck {without_words}");
    Ok(stuck)
}

/// A world with a worker, the session `shop`, and the phones of two others.
async fn shop() -> Result<(World, Worker)> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone(ANNA).await?;
    world.phone(BERT).await?;
    Ok((world, worker))
}
