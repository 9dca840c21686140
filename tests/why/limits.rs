//! The limit that WhatsApp puts on an account.

use super::{ANNA, BERT, NOTHING, SHOP, message_says, shop, shop_says, stuck};
use crate::support::logins::run;
use crate::support::world::World;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

#[tokio::test]
async fn s12_the_limit_of_an_account_is_in_its_row_until_it_ends() -> Result<()> {
    let (world, worker) = shop().await?;
    let (pool, limit) = (world.pool(), format!("/phones/{SHOP}/limit"));
    let is_limited = "SELECT limit_reason = 'DEFAULT' AND limited_until > now() + interval '50 min' FROM wa.session";
    let is_free = "SELECT limit_reason IS NULL AND limited_until IS NULL FROM wa.session";
    let events = async |kind: &str| {
        let count = format!("SELECT count(*) FROM wa.event WHERE kind = '{kind}' AND session = 'shop'");
        world.count(&count).await
    };
    let known = world.send("shop", ANNA, "Hello").await?;
    world.message_is(known, "read").await?;
    ensure!(
        events("session_limited").await? == 0
            && world.count("SELECT count(*) FROM wa.session WHERE limit_reason IS NULL").await? == 1
    );

    // WhatsApp notifies the device.
    let hour = json!({ "seconds": 3600, "kind": "DEFAULT" });
    let answer = world.control.post(&limit, hour.clone()).await?;
    ensure!(answer["limit"]["kind"] == "DEFAULT" && answer == world.control.get(&limit).await?, "{answer}");
    world.holds(is_limited).await?;
    shop_says(&world, "limited by WhatsApp, no new chats until 20%: DEFAULT").await?;
    ensure!(!stuck(&world).await?, "the limit ends by itself");
    let data: Value = world.until("SELECT data FROM wa.event WHERE kind = 'session_limited'").await?;
    ensure!(data["reason"] == "DEFAULT" && data["until"].is_string(), "{data}");
    // A chat that exists goes on; a new one is refused, which pauses the session.
    let answered = world.send("shop", ANNA, "still here").await?;
    world.message_is(answered, "read").await?;
    let stranger = world.send("shop", BERT, "Hello").await?;
    let refused = "paused by its worker since 20%: refused by the server with code 463: % (wa.resume); limited by WhatsApp, no new chats until 20%: DEFAULT";
    shop_says(&world, refused).await?;
    ensure!(stuck(&world).await?);
    message_says(
        &world,
        stranger,
        "session shop: paused by its worker %; session shop: limited by WhatsApp, %, and this chat is new%",
    )
    .await?;
    ensure!(events("session_limited").await? == 1);
    let (status, _) = world.control.request("DELETE", &limit, None).await?;
    ensure!(status == 200);
    world.holds(is_free).await?;
    ensure!(events("session_limit_ended").await? == 1);
    run(pool, "SELECT wa.resume('shop')").await?;
    run(pool, &format!("SELECT wa.retry({stranger})")).await?;
    message_says(&world, stranger, "sent at 20%").await?;

    // Without a notification it asks after a 463.
    let lose = json!({ "fault": { "lose": {} }, "number": SHOP, "stanza": "notification mex update", "direction": "out", "times": "always" });
    let rule = world.control.post("/faults", lose).await?["id"].clone();
    world.phone("15550004").await?;
    world.control.post(&limit, hour.clone()).await?;
    let stranger = world.send("shop", "15550004", "Hello").await?;
    shop_says(&world, refused).await?;
    // Until the worker has recorded the attempt, the message is on its way and cannot be cancelled.
    world.holds(&format!("SELECT wa.cancel({stranger})")).await?;
    run(pool, "SELECT wa.resume('shop')").await?;
    shop_says(&world, "limited by WhatsApp, no new chats until 20%: DEFAULT").await?;
    // And at each connect.
    world.control.request("DELETE", &limit, None).await?;
    world.control.post(&format!("/devices/{SHOP}/1/drop"), json!({})).await?;
    world.holds(is_free).await?;
    world.session_is("shop", "connected").await?;
    world.control.post(&limit, hour).await?;
    world.control.post(&format!("/devices/{SHOP}/1/drop"), json!({})).await?;
    world.holds(is_limited).await?;
    world.control.request("DELETE", &format!("/faults/{rule}"), None).await?;

    // A limit ends by the clock.
    world.control.post(&limit, json!({ "seconds": 3 })).await?;
    world.holds("SELECT limit_reason = 'WEB_COMPANION_ONLY' FROM wa.session").await?;
    world.holds(is_free).await?;
    shop_says(&world, NOTHING).await?;
    let counts = world.control.get("/stats").await?;
    ensure!(counts["unknown"] == json!({}), "{counts}");
    worker.stop().await
}

#[tokio::test]
async fn s12_x1_the_sandbox_refuses_a_limit_that_is_none() -> Result<()> {
    let world = World::new().await?;
    world.phone(SHOP).await?;
    let limit = format!("/phones/{SHOP}/limit");
    for (path, body, status) in [
        (&limit, json!({ "seconds": 0 }), 400),
        (&limit, json!({ "seconds": 40_000_000 }), 400),
        (&limit, json!({ "minutes": 3 }), 400),
        (&"/phones/15550009/limit".to_owned(), json!({ "seconds": 3 }), 404),
    ] {
        let (found, answer) = world.control.request("POST", path, Some(body)).await?;
        ensure!(found == status && answer["error"].is_string(), "{path}: {found} {answer}");
    }
    ensure!(world.control.get(&limit).await? == json!({ "limit": null }));
    Ok(())
}
