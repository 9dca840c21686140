//! S12: why a session or a message does not send, in SQL and on the command line, and the limit that WhatsApp puts on an
//! account. Each reason comes from what really holds the session or the message back.

use crate::support::db::fresh;
use crate::support::logins::{expect, login, run, two_tenants};
use crate::support::until::{LIMIT, until};
use crate::support::world::{Worker, World, wagres};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};

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

/// Whether `shop` is stuck.
async fn stuck(world: &World) -> Result<bool> {
    let stuck = sqlx::query_scalar("SELECT stuck FROM wa.reasons() WHERE session = 'shop'");
    Ok(stuck.fetch_one(world.pool()).await?)
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
    world.holds(&format!("SELECT waits_for = 'quiet_hours' FROM wa.outbound WHERE id = {stranger}")).await?;
    message_says(&world, stranger, "session shop: quiet hours until 20__-__-__ __:__:__+__").await?;
    run(pool, "SELECT wa.clear_pacing('shop')").await?;
    message_says(&world, stranger, "failed at 20%").await?;
    worker.stop().await?;
    let last = world.send("shop", ANNA, "nobody sends it").await?;
    message_says(&world, last, "session shop: no worker runs (wagres worker)").await
}

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
    world.send("shop", "15550004", "Hello").await?;
    shop_says(&world, refused).await?;
    run(pool, "SELECT wa.cancel_all('shop'), wa.resume('shop')").await?;
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

#[tokio::test]
async fn s12_q14_each_caller_learns_the_reasons_of_its_tenants() -> Result<()> {
    let db = two_tenants().await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    let id = async |session: &str| -> Result<i64> {
        let id = sqlx::query_scalar("SELECT min(id) FROM wa.outbound WHERE session = $1").bind(session);
        Ok(id.fetch_one(&db.pool).await?)
    };
    let (own, other) = (id("a").await?, id("b").await?);
    expect(
        &app,
        &[
            ("SELECT FROM wa.reasons()", Ok(1)),
            ("SELECT FROM wa.reasons() WHERE session = 'a' AND reason = 'not linked (wa.link)' AND stuck", Ok(1)),
            ("SELECT FROM wa.reasons(ARRAY['a', 'b', 'nobody']) WHERE session = 'a' AND stuck", Ok(1)),
            ("SELECT FROM wa.reasons(ARRAY['b'])", Ok(0)),
            ("SELECT FROM wa.reasons(NULL::text[])", Ok(0)),
            ("SELECT wa.why('a')", Ok(1)),
            (&format!("SELECT WHERE wa.why({own}) = 'session a: not linked (wa.link)'"), Ok(1)),
            ("SELECT wa.why('b')", Err("WA001")),
            ("SELECT wa.why('nobody')", Err("WA001")),
            ("SELECT wa.why(NULL::text)", Err("WA001")),
            (&format!("SELECT wa.why({other})"), Err("WA048")),
            ("SELECT wa.why(99999)", Err("WA048")),
            ("SELECT wa.why(NULL::bigint)", Err("WA048")),
            ("SELECT wa.session_reasons('{1,2}')", Err("42501")),
            ("SELECT wa.pause('a', 'by the application')", Ok(1)),
        ],
    )
    .await?;
    // The login itself, although the function runs with its owner's rights.
    let name: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&app).await?;
    says(
        &app,
        "wa.why('a')",
        &format!("not linked (wa.link); paused by {name} since %: by the application (wa.resume)"),
    )
    .await?;
    run(&app, "SELECT wa.resume('a')").await?;
    let paused = "SELECT FROM wa.session WHERE num_nonnulls(paused_at, paused_by, paused_reason) > 0";
    expect(&db.pool, &[(paused, Ok(0))]).await?;
    for (role, tenant, sessions) in
        [("wa_readonly", Some("bolt"), 1), ("wa_readonly", None, 0), ("wa_admin", None, 2), ("wa_worker", None, 2)]
    {
        let reader = login(&db, role, tenant).await?;
        expect(&reader, &[("SELECT FROM wa.reasons()", Ok(sessions))]).await?;
    }
    let admin = crate::support::logins::outcome;
    ensure!(admin(&db.pool, "SELECT wa.pause_tenant('bolt', 'unpaid')").await == Ok(1));
    says(&db.pool, "wa.why('b')", "not linked (wa.link); tenant bolt paused by % since %: unpaid (wa.resume_tenant)")
        .await
}

#[tokio::test]
async fn s12_ten_thousand_sessions_say_why_in_a_fraction_of_a_second() -> Result<()> {
    let db = fresh().await;
    run(
        &db.pool,
        "SET session_replication_role = replica;
         INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
         VALUES ('00000000-0000-0000-0000-000000000001', 'h', 1, '1', now() + interval '1 day', 20000);
         INSERT INTO wa.session (name, tenant, status, desired, jid, paused_at)
         SELECT 's' || n, 'default', 'connected', 'connected', n || ':1@s.whatsapp.net', CASE WHEN n % 3 = 0 THEN now() END
         FROM generate_series(1, 10000) n;
         INSERT INTO wa.lease (session_id, holder, epoch) SELECT session_id, '00000000-0000-0000-0000-000000000001', 1 FROM wa.session;
         INSERT INTO wa.sending (session_id, gate_until, contacts_on, contacts_today)
         SELECT session_id, now() + interval '1 h', current_date, 10 FROM wa.session;
         INSERT INTO wa.pacing (session_id, per_minute, first_contacts, quiet_from, quiet_until)
         SELECT session_id, 20, 10, '02:00', '01:59:59' FROM wa.session WHERE session_id % 2 = 0;
         INSERT INTO wa.outbound (session_id, session, recipient, chat, body, message_id, status, sent_at, waits_for, run_at)
         SELECT 1 + n % 10000, 's' || 1 + n % 10000, '1555', n % 70 || '@s.whatsapp.net', 'x', 'M' || n,
                CASE WHEN n % 5 = 0 THEN 'sent' ELSE 'queued' END::wa.outbound_status, CASE WHEN n % 5 = 0 THEN now() END,
                CASE WHEN n % 5 = 1 THEN 'scheduled' END::wa.wait_reason, now() + interval '1 day'
         FROM generate_series(1, 200000) n",
    )
    .await?;
    run(&db.pool, "VACUUM ANALYZE").await?;
    let mut one = db.pool.begin().await?;
    let fastest = async |connection: &mut sqlx::PgConnection, query: &'static str| -> Result<Duration> {
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            let found: i64 = sqlx::query_scalar(query).fetch_one(&mut *connection).await?;
            ensure!(found > 0, "{query}: {found}");
            fastest = fastest.min(begun.elapsed());
        }
        Ok(fastest)
    };
    let all = fastest(&mut one, "SELECT count(reason) FROM wa.reasons()").await?;
    let session = fastest(&mut one, "SELECT count(wa.why('s3'))").await?;
    let message = fastest(&mut one, "SELECT count(wa.why((SELECT max(id) FROM wa.outbound WHERE live)))").await?;
    ensure!(all < Duration::from_secs(1), "10,000 sessions took {all:?}");
    ensure!(session < Duration::from_millis(250) && message < Duration::from_millis(250), "{session:?}, {message:?}");
    // What this transaction has read.
    let scans: (i64, i64) =
        sqlx::query_as("SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'wa.outbound'::regclass")
            .fetch_one(&mut *one)
            .await?;
    ensure!(scans.0 == 0 && scans.1 > 10_000, "sequential and index scans of wa.outbound: {scans:?}");
    Ok(())
}

/// The lines of JSON of a command that must succeed.
async fn lines(world: &World, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", &world.db.url]).args(arguments);
    let done = tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(done.status.success(), "{arguments:?}: {text} {}", String::from_utf8_lossy(&done.stderr));
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[tokio::test]
async fn s12_h7_the_command_line_says_why_and_shows_each_change() -> Result<()> {
    let (world, worker) = shop().await?;
    let pool = world.pool();
    run(pool, "SELECT wa.add_tenant('acme'), wa.add_session('idle', 'acme'), wa.add_session('42', 'acme')").await?;
    let id = world.send("shop", ANNA, "Hello").await?;
    world.message_is(id, "read").await?;
    let why = lines(&world, &["why", "shop"]).await?;
    ensure!(why == [json!({ "session": "shop", "why": NOTHING })], "{why:?}");
    let why = lines(&world, &["why", &id.to_string()]).await?;
    ensure!(why[0]["message"] == id && why[0]["why"].as_str().is_some_and(|why| why.starts_with("sent at")), "{why:?}");
    // The name of a session may be a number.
    let why = lines(&world, &["why", "42"]).await?;
    ensure!(why == [json!({ "session": "42", "why": "not linked (wa.link)" })], "{why:?}");
    let shown = lines(&world, &["session", "show", "idle"]).await?;
    ensure!(shown[0]["why"] == "not linked (wa.link)", "{shown:?}");

    let names = async |arguments: &[&str]| -> Result<Vec<String>> {
        let rows = lines(&world, &[&["session", "list"], arguments].concat()).await?;
        Ok(rows.iter().filter_map(|row| Some(row["session"].as_str()?.to_owned())).collect())
    };
    ensure!(names(&[]).await? == ["42", "idle", "shop"]);
    ensure!(names(&["--status", "connected"]).await? == ["shop"]);
    ensure!(names(&["--tenant", "acme"]).await? == ["42", "idle"]);
    ensure!(names(&["--stuck"]).await?.is_empty());
    let mut unknown = wagres();
    unknown.args(["--database-url", &world.db.url, "session", "list", "--tenant", "nobody"]);
    ensure!(!unknown.output().await?.status.success(), "an unknown tenant is accepted");

    let mut watch = wagres();
    watch.args([
        "--json",
        "--log",
        "error",
        "--database-url",
        &world.db.url,
        "session",
        "list",
        "--watch",
        "--tenant",
        "default",
    ]);
    let mut watch = watch.stdout(Stdio::piped()).spawn()?;
    let mut printed = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let mut next = async || -> Result<Value> {
        let line = tokio::time::timeout(LIMIT, printed.next_line()).await.context("no line")??;
        Ok(serde_json::from_str(&line.context("the command has ended")?)?)
    };
    let first = next().await?;
    ensure!(first["session"] == "shop" && first["reason"].is_null() && first["stuck"] == false, "{first}");
    ensure!(first["since"].as_str().is_some_and(|since| since.starts_with("20")), "{first}");
    run(pool, "SELECT wa.pause('shop', 'lunch')").await?;
    let second = next().await?;
    ensure!(second["reason"].as_str().is_some_and(|reason| reason.contains("lunch")), "{second}");
    run(pool, "UPDATE wa.session SET tenant = 'acme' WHERE name = 'shop'").await?;
    let third = next().await?;
    ensure!(third == json!({ "session": "shop", "listed": false }), "{third}");
    let pid = watch.id().context("the command has ended")?.to_string();
    ensure!(tokio::process::Command::new("kill").args(["-s", "TERM", &pid]).status().await?.success());
    ensure!(tokio::time::timeout(LIMIT, watch.wait()).await??.success());

    // For people: when in words, and the reason.
    let mut list = wagres();
    list.args(["--database-url", &world.db.url, "session", "list"]);
    let text = String::from_utf8(list.output().await?.stdout)?;
    ensure!(text.contains(" ago ") && text.contains("not linked (wa.link)") && text.contains("paused by"), "{text}");
    worker.stop().await
}
