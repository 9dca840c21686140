//! The reasons of sessions and messages.

use super::{ANNA, BERT, NOTHING, SHOP, message_says, says, shop, shop_says, stuck};
use crate::support::logins::run;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

#[tokio::test]
async fn s12_a_session_says_what_a_person_must_do_first() -> Result<()> {
    let world = World::new().await?;
    let pool = world.pool();
    world.phone(SHOP).await?;
    run(pool, "SELECT wa.add_session('shop')").await?;
    shop_says(&world, "not linked (wa.link)").await?;
    ensure!(!stuck(&world).await?, "nobody wants it to be linked");
    run(pool, "SELECT wa.link('shop')").await?;
    shop_says(&world, "no worker runs (wagres worker)").await?;
    ensure!(stuck(&world).await?);
    let worker = world.worker().await?;
    shop_says(&world, "waits until somebody scans its QR code").await?;
    ensure!(stuck(&world).await?);
    world.link("shop", SHOP).await?;
    shop_says(&world, NOTHING).await?;

    // Who paused it, and all that is in the way, in the order in which a person has to act.
    run(pool, "SELECT wa.pause('shop', 'stock-taking')").await?;
    let paused = "paused by wagres% since 20__-__-__ __:__:__+__: stock-taking (wa.resume)";
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(pool).await?;
    let paused = paused.replace("wagres%", &user);
    shop_says(&world, &paused).await?;
    ensure!(!stuck(&world).await?, "no message waits");
    world.send("shop", ANNA, "held").await?;
    ensure!(stuck(&world).await?, "a message waits");
    run(
        pool,
        "SELECT wa.pause_tenant('default'),
                wa.set_pacing('shop', quiet_from => (now() - interval '1 h')::time, quiet_until => (now() + interval '1 h')::time)",
    )
    .await?;
    let tenant = format!("tenant default paused by {user} since % (wa.resume_tenant)");
    shop_says(&world, &format!("{tenant}; {paused}; quiet hours until %")).await?;
    run(pool, "SELECT wa.cancel_all('shop'), wa.resume_tenant('default'), wa.resume('shop')").await?;
    shop_says(&world, "quiet hours until 20__-__-__ __:__:__+__").await?;
    ensure!(!stuck(&world).await?, "quiet hours end by themselves");
    run(pool, "SELECT wa.clear_pacing('shop')").await?;
    shop_says(&world, NOTHING).await?;

    run(pool, "SELECT wa.close('shop', 'enough for today'), wa.pause('shop')").await?;
    shop_says(&world, "stopped since %: enough for today (wa.connect); paused by % (wa.resume)").await?;
    run(pool, "SELECT wa.connect('shop'), wa.resume('shop')").await?;
    shop_says(&world, NOTHING).await?;

    // A second session has no room on a small worker.
    world.link("second", "15550004").await?;
    worker.stop().await?;
    shop_says(&world, "no worker runs (wagres worker)").await?;
    let mut small = world.worker_on(&world.db.url);
    small.env("WAGRES_WORKER__MAX_SESSIONS", "1");
    let small = Worker::start(small).await?;
    let reasons = "(SELECT string_agg(concat(reason, stuck), ', ') FROM wa.reasons() WHERE reason IS NOT NULL)";
    says(pool, reasons, "no worker has room (worker.max_sessions)t").await?;
    small.stop().await?;

    let worker = world.worker().await?;
    shop_says(&world, NOTHING).await?;
    world.control.post(&format!("/phones/{SHOP}/unlink"), json!({ "device": 1 })).await?;
    shop_says(&world, "logged out since %: the phone or WhatsApp unlinked the device% (wa.link)").await?;
    ensure!(stuck(&world).await?);
    worker.stop().await
}

#[tokio::test]
async fn s12_a_session_that_cannot_connect_says_until_when() -> Result<()> {
    let (world, worker) = shop().await?;
    let again = async || {
        run(world.pool(), "UPDATE wa.session SET failures = 0; SELECT wa.set_proxy('shop', NULL), wa.connect('shop')")
            .await?;
        shop_says(&world, NOTHING).await
    };
    let drop = async || world.control.post(&format!("/devices/{SHOP}/1/drop"), json!({})).await.map(drop);
    let refuse = json!({ "fault": { "login_failure": { "reason": 429 } }, "number": SHOP, "times": 1 });
    world.control.post("/faults", refuse).await?;
    drop().await?;
    let limits = "rests until 20%: WhatsApp limits how much this device may do (code 429)%";
    shop_says(&world, limits).await?;
    ensure!(!stuck(&world).await?);
    again().await?;

    let ban = json!({ "fault": { "ban": { "code": 101, "seconds": 3600 } }, "number": SHOP, "times": 1 });
    world.control.post("/faults", ban).await?;
    drop().await?;
    shop_says(&world, "banned by WhatsApp until 20%: WhatsApp has banned the account for a time: 101%").await?;
    ensure!(!stuck(&world).await?, "the ban ends by itself");
    again().await?;

    run(world.pool(), "UPDATE wa.session SET failures = 4").await?;
    world.control.post("/faults", json!({ "fault": { "drop": {} }, "number": SHOP, "times": 1 })).await?;
    shop_says(&world, "rests until 20% after 5 failed connections: %").await?;
    ensure!(stuck(&world).await?);
    again().await?;

    // This worker dials no proxy on its own machine.
    run(
        world.pool(),
        "SELECT wa.set_proxy('shop', 'http://anna:secret@127.0.0.1:9'), wa.close('shop'), wa.connect('shop')",
    )
    .await?;
    shop_says(&world, "no connection through its proxy http://127.0.0.1:9, % failed in a row: proxy: %(wa.set_proxy)")
        .await?;
    ensure!(stuck(&world).await?);
    again().await?;
    worker.stop().await
}

#[tokio::test]
async fn s12_a_message_says_what_became_of_it_or_what_it_waits_for() -> Result<()> {
    let (world, worker) = shop().await?;
    let pool = world.pool();
    let queue = async |arguments: &str| world.count(&format!("SELECT wa.send_text('shop', {arguments})")).await;
    let sent = world.send("shop", ANNA, "one").await?;
    message_says(&world, sent, "sent at 20%, delivered at 20%").await?;
    let nobody = world.send("shop", "15559998", "Anybody there?").await?;
    message_says(&world, nobody, "failed at 20%, attempt 1 of 10: 15559998 is not on WhatsApp (wa.retry)").await?;
    let later = queue(&format!("'{ANNA}', 'later', send_at => now() + interval '1 day'")).await?;
    message_says(&world, later, "scheduled until 20__-__-__ __:__:__+__").await?;
    // What a person must do comes before the time.
    run(pool, "SELECT wa.pause('shop')").await?;
    message_says(&world, later, "session shop: paused by % (wa.resume); scheduled until 20%").await?;
    let brief = queue(&format!("'{ANNA}', 'brief', expires_at => now() + interval '1 s'")).await?;
    message_says(&world, brief, "expired at 20% (wa.retry)").await?;
    run(pool, "SELECT wa.resume('shop')").await?;
    run(pool, &format!("SELECT wa.cancel({later})")).await?;
    message_says(&world, later, "cancelled at 20% (wa.retry)").await?;

    run(pool, "SELECT wa.pause_campaign('shop', 'may')").await?;
    let campaign = "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550002', 'x', 'may') RETURNING id";
    let held = world.count(campaign).await?;
    message_says(&world, held, "campaign may paused by % since 20% (wa.resume_campaign)").await?;
    // So is one that is queued again while the campaign is paused; the session names the campaign, too.
    run(pool, &format!("SELECT wa.cancel({held}), wa.retry({held})")).await?;
    message_says(&world, held, "campaign may paused by % since 20% (wa.resume_campaign)").await?;
    let session_says = "SELECT wa.why('shop') LIKE '%campaign may paused by % since 20% (wa.resume_campaign)'";
    ensure!(sqlx::query_scalar::<_, bool>(session_says).fetch_one(pool).await?, "wa.why of the session");
    ensure!(
        world
            .count("SELECT count(*) FROM wa.campaign WHERE paused_at IS NOT NULL AND paused_by = current_user")
            .await?
            == 1
    );

    // Behind another one of its chat, and what that waits for.
    let refuse =
        json!({ "fault": { "nack": { "code": 408 } }, "stanza": "message", "direction": "in", "times": "always" });
    let rule = world.control.post("/faults", refuse).await?["id"].clone();
    let first = world.send("shop", ANNA, "refused").await?;
    message_says(&world, first, "retry at 20% after attempt % of 10: refused by the server with code 408: timeout")
        .await?;
    let second = world.send("shop", ANNA, "behind it").await?;
    message_says(&world, second, &format!("behind message {first} of this chat: retry at 20% after attempt %")).await?;
    world.control.request("DELETE", &format!("/faults/{rule}"), None).await?;
    run(pool, &format!("SELECT wa.retry({first})")).await?;
    message_says(&world, second, "sent at 20%").await?;

    // A message that WhatsApp does not answer stays in hand.
    let lose =
        json!({ "fault": { "lose": {} }, "number": SHOP, "stanza": "message", "direction": "in", "times": "always" });
    let rule = world.control.post("/faults", lose).await?["id"].clone();
    let unanswered = world.send("shop", BERT, "unanswered").await?;
    let holder: String = world.until("SELECT holder::text FROM wa.lease").await?;
    message_says(&world, unanswered, &format!("in the hands of worker {holder} since 20%")).await?;
    let next = world.send("shop", BERT, "next").await?;
    message_says(&world, next, &format!("in the hands of worker {holder}, behind message {unanswered} of this chat"))
        .await?;
    world.control.request("DELETE", &format!("/faults/{rule}"), None).await?;

    run(pool, "SELECT wa.set_pacing('shop', per_minute => 0.1)").await?;
    let two = format!("SELECT max(wa.send_text('shop', '{ANNA}', 'paced ' || n)) FROM generate_series(1, 2) n");
    let paced = world.count(&two).await?;
    message_says(&world, paced, "pacing, goes at 20%").await?;
    shop_says(&world, "pacing, the next message goes at 20%").await?;
    run(pool, "SELECT wa.clear_pacing('shop'), wa.set_pacing('shop', first_contacts => 0)").await?;
    message_says(&world, paced, "sent at 20%").await?;
    let stranger = world.send("shop", "15550077", "Hello").await?;
    message_says(&world, stranger, "a new chat, and the first contacts of today are used up until 20%").await?;
    shop_says(&world, "first contacts of today used up (0), new chats wait until 20%").await?;
    // The moment is that of the session's quiet hours, so it is said once.
    run(
        pool,
        "SELECT wa.clear_pacing('shop'),
                wa.set_pacing('shop', quiet_from => (now() - interval '1 h')::time, quiet_until => (now() + interval '1 h')::time)",
    )
    .await?;
    world.holds(&format!("SELECT waits_for = 'quiet_hours' FROM wa.outbound_queue WHERE id = {stranger}")).await?;
    message_says(&world, stranger, "session shop: quiet hours until 20__-__-__ __:__:__+__").await?;
    run(pool, "SELECT wa.clear_pacing('shop')").await?;
    message_says(&world, stranger, "failed at 20%").await?;
    worker.stop().await?;
    let last = world.send("shop", ANNA, "nobody sends it").await?;
    message_says(&world, last, "session shop: no worker runs (wagres worker)").await
}

/// What an application's open transaction holds up is its own session (R8), and the reason says who it is.
#[tokio::test]
async fn s12_r8_an_open_transaction_that_holds_up_a_session_is_named() -> Result<()> {
    let (world, worker) = shop().await?;
    let options: PgConnectOptions = world.db.url.parse()?;
    let mut open = options.application_name("night report").connect().await?;
    sqlx::raw_sql("BEGIN; SELECT wa.pause_campaign('shop', 'may')").execute(&mut open).await?;
    let id = world.send("shop", "15550002", "held up").await?;
    let named = "an open transaction of role %, night report, pid % has locked its sending since %";
    shop_says(&world, named).await?;
    message_says(&world, id, &format!("session shop: {named}")).await?;
    ensure!(!stuck(&world).await?, "it may end at any moment");
    sqlx::raw_sql("COMMIT").execute(&mut open).await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    shop_says(&world, NOTHING).await?;
    run(
        world.pool(),
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550002', 'held', 'may')",
    )
    .await?;
    shop_says(&world, "campaign may paused%").await?;
    worker.stop().await
}
