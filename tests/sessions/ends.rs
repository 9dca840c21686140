//! S5, S6, S8, Q8: how connections end, what follows, and the way back.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wagres::session::ending::{After, ENDS, Ended, Next, Why};
use wagres::session::status::Status;

use crate::support::docs;
use crate::support::until::until;
use crate::support::world::{World, wagres};

const SHOP: &str = "15550001";
const ANNA: &str = "15550002";

/// A world with a worker, the session `shop` and the phone of Anna.
pub(super) async fn shop() -> Result<(World, crate::support::world::Worker)> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", SHOP).await?;
    world.phone(ANNA).await?;
    Ok((world, worker))
}

async fn drop_shop(world: &World) -> Result<()> {
    world.control.post(&format!("/devices/{SHOP}/1/drop"), json!({})).await.map(drop)
}

/// Cuts the connection, and waits until the session has another one.
pub(super) async fn drop_and_return(world: &World) -> Result<()> {
    let since: String = world.until("SELECT connected_at::text FROM wa.session WHERE status = 'connected'").await?;
    drop_shop(world).await?;
    world.holds(&format!("SELECT status = 'connected' AND connected_at > '{since}' FROM wa.session")).await
}

/// Makes the reconnect that waits due now.
async fn reconnect_now(world: &World) -> Result<()> {
    world.holds("SELECT count(*) = 1 FROM wa.session_job WHERE status = 'queued' AND kind = 'reconnect'").await?;
    let now = "UPDATE wa.session_job SET run_at = now() WHERE status = 'queued' AND kind = 'reconnect'";
    sqlx::query(now).execute(world.pool()).await?;
    Ok(())
}

/// The device of the session as its phone lists it.
pub(super) async fn devices(world: &World) -> Result<usize> {
    let phones = world.control.get("/phones").await?;
    let own = phones["phones"].as_array().into_iter().flatten().find(|phone| phone["number"] == SHOP);
    Ok(own.and_then(|phone| phone["devices"].as_array()).context("no devices")?.len())
}

/// What follows an end of a linked session, as the documentation says it.
fn follows(why: &Why) -> &'static str {
    match (Ended { why: why.clone(), ..Ended::lost(true) }).next() {
        Next::Nothing => "nothing",
        Next::Connect(Status::Disconnected, After::Backoff) => "a `reconnect` row after a backoff",
        Next::Connect(Status::Banned, _) => "a `reconnect` row when the ban ends; `banned` until then",
        Next::Connect(_, After::Time(time)) if time.is_zero() => {
            "a `reconnect` row, due at once; after a backoff if the code comes again within a minute"
        }
        Next::Connect(..) => "a `reconnect` row after 5 minutes",
        Next::LinkByQr => "a `link` row, due at once, for QR codes",
        Next::Release(_) => "`desired` becomes \"stopped\"",
        Next::Quarantine => "auth state quarantined, `desired` becomes \"stopped\"",
    }
}

#[test]
fn s5_the_docs_have_every_end_its_codes_and_the_advice() -> Result<()> {
    let codes = |why: &Why, of: fn(i32) -> Why, general: &Why| -> String {
        let same = |code: &i32| of(*code).shown().name == why.shown().name;
        if why == general {
            return "any other".into();
        }
        (400..600).filter(same).map(|code: i32| code.to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut table = "| end | login refused with | stream ended with | reason | what follows | advice |\n| --- | --- | --- | --- | --- | --- |\n".to_owned();
    for why in ENDS {
        let shown = why.shown();
        let (login, stream) =
            (codes(why, Why::of_refusal, &Why::Refused), codes(why, Why::of_stream_error, &Why::StreamError));
        let name = format!("`{}`", shown.name);
        let cells: [&str; 6] = [&name, &login, &stream, shown.reason, follows(why), shown.advice];
        table += &cells.map(|cell| format!("| {cell} ")).concat().replace("|  ", "| ");
        table += "|\n";
    }
    docs::table("docs/sessions.md", "ends", &table)
}

/// The login of a linked session is refused with each code, or its stream ends with it: the row and the event name the end.
#[tokio::test]
async fn s5_each_refusal_and_each_stream_error_is_named_with_its_code_and_advice() -> Result<()> {
    let (world, worker) = shop().await?;
    // Each case is over before the next one begins.
    let refusals = [400, 405, 409, 411, 500, 503].map(|code| (code, Why::of_refusal(code), true));
    let errors = [403, 408, 411, 428, 440, 500, 503].map(|code| (code, Why::of_stream_error(code), false));
    for (code, why, at_login) in refusals.into_iter().chain(errors) {
        let last = world.count("SELECT coalesce(max(id), 0) FROM wa.event").await?;
        let fault = if at_login {
            json!({ "login_failure": { "reason": code } })
        } else {
            json!({ "stream_error": { "code": code } })
        };
        world.control.post("/faults", json!({ "fault": fault, "number": SHOP, "times": 1 })).await?;
        if at_login {
            drop_shop(&world).await?;
        }
        let event = format!(
            "SELECT data FROM wa.event WHERE kind = 'connection_ended' AND id > {last} AND data ? 'code' LIMIT 1"
        );
        let event: Value = world.until(&event).await.with_context(|| format!("{code}, at login: {at_login}"))?;
        let shown = why.shown();
        let reason = format!("{} (code {code})", shown.reason);
        let expected = json!({ "end": shown.name, "code": code, "reason": reason, "advice": shown.advice });
        ensure!(
            ["end", "code", "reason", "advice"].iter().all(|key| event[key] == expected[key]),
            "{event} is not {expected}"
        );
        sqlx::query("UPDATE wa.session SET failures = 0").execute(world.pool()).await?;
        reconnect_now(&world).await?;
        world.session_is("shop", "connected").await?;
    }
    worker.stop().await
}

#[tokio::test]
async fn s5_a_restart_that_whatsapp_asks_for_is_made_at_once_and_backs_off_when_it_repeats() -> Result<()> {
    let (world, worker) = shop().await?;
    let restart = json!({ "fault": { "stream_error": { "code": 515 } }, "number": SHOP, "times": 1 });
    let ends = "SELECT count(*) FROM wa.event WHERE kind = 'connection_ended' AND data->>'end' = 'restart' AND data->>'code' = '515'";
    // The link itself ended with a restart, which nobody's code asked for.
    ensure!(world.count(ends).await? == 0);
    for (nth, wait) in [(1, "= interval '0'"), (2, "> interval '0.5 s'"), (3, "> interval '1 s'")] {
        world.control.post("/faults", restart.clone()).await?;
        world.holds(&format!("SELECT ({ends}) = {nth}")).await?;
        let reason = "WhatsApp wants a new connection (code 515)";
        world
            .holds(&format!(
                "SELECT reason = '{reason}' AND run_at - created_at {wait} FROM wa.session_job WHERE kind = 'reconnect' ORDER BY id DESC LIMIT 1"
            ))
            .await?;
        world.session_is("shop", "connected").await?;
        ensure!(world.count("SELECT failures::bigint FROM wa.session").await? == nth - 1, "failures after end {nth}");
    }
    worker.stop().await
}

/// The wait is in the session's row, like that of a ban.
#[tokio::test]
async fn s5_a_session_that_whatsapp_limits_shows_until_when_it_waits() -> Result<()> {
    let (world, worker) = shop().await?;
    let limit = json!({ "fault": { "stream_error": { "code": 429 } }, "number": SHOP, "times": 1 });
    world.control.post("/faults", limit).await?;
    world.session_is("shop", "disconnected").await?;
    world
        .holds(
            "SELECT s.status_reason = 'WhatsApp limits how much this device may do (code 429)' AND s.failures = 0
                 AND s.rest_until BETWEEN now() + interval '4 minutes' AND now() + interval '5 minutes' AND j.run_at = s.rest_until
             FROM wa.session s JOIN wa.session_job j USING (session_id) WHERE j.status = 'queued' AND j.kind = 'reconnect'",
        )
        .await?;
    world.holds("SELECT count(*) = 1 FROM wa.event WHERE data->>'end' = 'rate_limited' AND data ? 'until'").await?;
    ensure!(world.count("SELECT count(*) FROM wa.event WHERE kind = 'session_resting'").await? == 0);
    worker.stop().await
}

#[tokio::test]
async fn s5_a_lost_connection_is_explained_in_words() -> Result<()> {
    let (world, worker) = shop().await?;
    drop_shop(&world).await?;
    let reason: String = world
        .until("SELECT data->>'reason' FROM wa.event WHERE kind = 'connection_ended' AND data->>'end' = 'lost'")
        .await?;
    ensure!(reason.contains(" the connection"), "{reason}");
    worker.stop().await
}

#[tokio::test]
async fn s5_a_ban_shows_until_when_and_a_connection_made_by_hand_supersedes_its_reconnect() -> Result<()> {
    let (world, worker) = shop().await?;
    let ban = json!({ "fault": { "ban": { "code": 101, "seconds": 3600 } }, "number": SHOP, "times": 1 });
    world.control.post("/faults", ban).await?;
    drop_shop(&world).await?;
    world.session_is("shop", "banned").await?;
    world
        .holds(
            "SELECT rest_until BETWEEN now() + interval '50 minutes' AND now() + interval '61 minutes' FROM wa.session",
        )
        .await?;
    let event: Value =
        world.until("SELECT data FROM wa.event WHERE kind = 'connection_ended' AND data->>'end' = 'banned'").await?;
    ensure!(event["code"] == 402 && event["until"].is_string() && event["advice"].is_string(), "{event}");
    ensure!(
        event["reason"].as_str().is_some_and(|reason| reason.contains("101: you sent too many messages")),
        "{event}"
    );
    // The ban was lifted; somebody connects the session by hand.
    sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
    world.session_is("shop", "connected").await?;
    world.holds("SELECT rest_until IS NULL FROM wa.session").await?;
    world
        .holds("SELECT count(*) = 1 FROM wa.session_job WHERE kind = 'reconnect' AND status = 'cancelled' AND last_error LIKE 'superseded%'")
        .await?;
    // The next loss is followed by a reconnect at once, not in an hour.
    drop_and_return(&world).await?;
    worker.stop().await
}

#[tokio::test]
async fn s8_a_login_refused_with_401_or_403_is_quarantined_and_can_be_taken_back() -> Result<()> {
    let (world, worker) = shop().await?;
    for (code, end) in [(401, "logged_out"), (403, "locked")] {
        let refuse = json!({ "fault": { "login_failure": { "reason": code } }, "number": SHOP, "times": 1 });
        world.control.post("/faults", refuse).await?;
        drop_shop(&world).await?;
        world.session_is("shop", "logged_out").await?;
        world.holds("SELECT desired = 'stopped' AND jid IS NULL FROM wa.session").await?;
        world.holds("SELECT holder IS NULL FROM wa.lease").await?;
        ensure!(world.count("SELECT count(*) FROM wa.auth").await? == 0, "{code}");
        world.holds("SELECT count(*) > 1 FROM wa.auth_quarantine").await?;
        let event = format!(
            "SELECT data FROM wa.event WHERE kind = 'connection_ended' AND data->>'end' = '{end}' AND data->>'code' = '{code}'"
        );
        let event: Value = world.until(&event).await?;
        ensure!(event["advice"].as_str().is_some_and(|advice| advice.contains("wa.restore_auth")), "{event}");
        // WhatsApp accepts the device again.
        let keys = world.count("SELECT wa.restore_auth('shop')").await?;
        ensure!(keys > 0, "no keys");
        ensure!(world.count("SELECT count(*) FROM wa.auth_quarantine").await? == 0, "left in the quarantine");
        sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
        world.session_is("shop", "connected").await?;
        let id = world.send("shop", ANNA, &format!("back after {code}")).await?;
        world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    }
    ensure!(world.count("SELECT count(*) FROM wa.event WHERE kind = 'auth_restored'").await? == 2);
    let refused = sqlx::query("SELECT wa.restore_auth('shop')").execute(world.pool()).await;
    let refused = refused.err().and_then(sqlx::Error::into_database_error).context("a linked session was restored")?;
    ensure!(refused.code().as_deref() == Some("WA045"), "{refused}");
    worker.stop().await
}

/// The credentials are those of a device that WhatsApp does not know any more: it was removed on the phone while the session
/// was closed, or its auth state was taken back in vain. Whoever asks for a link gets one.
#[tokio::test]
async fn s2_a_link_of_a_session_whose_device_is_unlinked_shows_a_qr_code() -> Result<()> {
    let (world, worker) = shop().await?;
    for (restored, device) in [(true, 1), (false, 2)] {
        if restored {
            let refuse = json!({ "fault": { "login_failure": { "reason": 401 } }, "number": SHOP, "times": 2 });
            world.control.post("/faults", refuse).await?;
            drop_shop(&world).await?;
            world.session_is("shop", "logged_out").await?;
            ensure!(world.count("SELECT wa.restore_auth('shop')").await? > 0);
        } else {
            sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
            world.session_is("shop", "stopped").await?;
            world.control.post(&format!("/phones/{SHOP}/unlink"), json!({ "device": device })).await?;
        }
        let since = world.count("SELECT max(id) FROM wa.event").await?;
        let mut link = wagres();
        link.args(["--json", "--database-url", &world.db.url, "session", "link", "shop"]);
        let link = async { Ok(link.output().await?) };
        let scan = async {
            let qr: String = world.until("SELECT qr FROM wa.session").await?;
            world.control.post(&format!("/phones/{SHOP}/scan"), json!({ "qr": qr })).await
        };
        // One call, one command: it does not end at the refusal.
        let (linked, _) = tokio::try_join!(link, scan)?;
        ensure!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
        world.session_is("shop", "connected").await?;
        let refused = format!(
            "SELECT data->>'end' = 'logged_out' FROM wa.event WHERE kind = 'connection_ended' AND id > {since} ORDER BY id LIMIT 1"
        );
        world.holds(&refused).await?;
        world.holds("SELECT count(*) > 1 FROM wa.auth_quarantine").await?;
    }
    worker.stop().await
}

#[tokio::test]
async fn s1_a_connect_of_a_session_that_is_not_linked_is_refused_with_the_way_out() -> Result<()> {
    let db = crate::support::db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let connect = async || {
        let refused = sqlx::query("SELECT wa.connect('shop')").execute(&db.pool).await;
        refused.err().and_then(sqlx::Error::into_database_error)
    };
    let refused = connect().await.context("a session that was never linked is connected")?;
    let refused = refused.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    ensure!((refused.code(), refused.column()) == ("WA046", Some("session")), "{refused}");
    ensure!(refused.message() == "session: \"shop\" is not linked", "{refused}");
    ensure!(refused.hint().is_some_and(|hint| hint.contains("SELECT wa.link('shop')")), "{refused:?}");
    let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.session_job").fetch_one(&db.pool).await?;
    ensure!(jobs == 0, "{jobs} jobs");
    // A link is on its way, and the connect comes after it.
    sqlx::raw_sql("SELECT wa.link('shop'), wa.connect('shop')").execute(&db.pool).await?;
    sqlx::raw_sql("SELECT wa.close('shop'); UPDATE wa.session_job SET status = 'cancelled'").execute(&db.pool).await?;
    ensure!(connect().await.is_some(), "the link was cancelled");
    sqlx::raw_sql("UPDATE wa.session SET status = 'linking'").execute(&db.pool).await?;
    ensure!(connect().await.is_none(), "it is being linked");
    sqlx::raw_sql("UPDATE wa.session_job SET status = 'cancelled'; UPDATE wa.session SET status = 'logged_out'")
        .execute(&db.pool)
        .await?;
    ensure!(connect().await.is_some(), "it is logged out");
    let retry = "SELECT wa.retry_session_job(id) FROM wa.session_job WHERE kind = 'connect' LIMIT 1";
    ensure!(sqlx::query(retry).execute(&db.pool).await.is_err(), "retried");
    sqlx::raw_sql("UPDATE wa.session SET jid = '15550001:1@s.whatsapp.net', status = 'disconnected'")
        .execute(&db.pool)
        .await?;
    ensure!(connect().await.is_none(), "it is linked");
    Ok(())
}

/// The server hangs up whenever it gets this message.
#[tokio::test]
async fn q8_a_message_at_which_the_server_hangs_up_fails_and_holds_up_nothing() -> Result<()> {
    let (world, worker) = shop().await?;
    world.phone("15550003").await?;
    let first = world.send("shop", ANNA, "so that the chat has a session").await?;
    world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {first}")).await?;
    let hang_up =
        json!({ "fault": { "drop": {} }, "stanza": "message", "direction": "in", "number": SHOP, "times": "always" });
    let rule = world.control.post("/faults", hang_up).await?["id"].clone();
    let poison: i64 = sqlx::query_scalar(
        "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', $1, 'poison', 3) RETURNING id",
    )
    .bind(ANNA)
    .fetch_one(world.pool())
    .await?;
    world.holds(&format!("SELECT status = 'failed' AND attempts = 3 FROM wa.outbound WHERE id = {poison}")).await?;
    let errors: Value = world.until(&format!("SELECT errors FROM wa.outbound WHERE id = {poison}")).await?;
    let lost = |error: &Value| error["error"].as_str().is_some_and(|text| text.contains("connection was lost"));
    ensure!(errors.as_array().is_some_and(|all| all.len() == 3 && all.iter().all(lost)), "{errors}");
    world.control.request("DELETE", &format!("/faults/{rule}"), None).await?;
    // Each login was followed by a drop, so each counts, and the pauses grow.
    world.holds("SELECT failures >= 3 FROM wa.session").await?;
    // A message that is sent shows that the connection works.
    let next = world.send("shop", ANNA, "behind it").await?;
    world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {next}")).await?;
    world.holds("SELECT failures = 0 FROM wa.session").await?;
    worker.stop().await
}

/// The server hangs up when "typing…" is shown, and when the address of the media server is asked for: before the message
/// itself is sent.
#[tokio::test]
async fn q8_an_attempt_that_ends_with_its_connection_before_the_message_is_sent_counts() -> Result<()> {
    let (world, worker) = shop().await?;
    sqlx::query("SELECT wa.set_pacing('shop', typing => true)").execute(world.pool()).await?;
    let mut picture = std::io::Cursor::new(vec![]);
    image::RgbImage::new(8, 8).write_to(&mut picture, image::ImageFormat::Png)?;
    let file = sqlx::query_scalar::<_, i64>("SELECT wa.add_media('shop', $1)").bind(picture.into_inner());
    let file = file.fetch_one(world.pool()).await?;
    let image = format!("jsonb_build_object('media', {file})");
    for (stanza, kind, content) in [("chatstate", "text", "NULL"), ("iq set w:m", "image", image.as_str())] {
        if kind == "image" {
            sqlx::query("UPDATE wa.pacing SET typing = false").execute(world.pool()).await?;
        }
        let hang_up =
            json!({ "fault": { "drop": {} }, "stanza": stanza, "direction": "in", "number": SHOP, "times": "always" });
        let rule = world.control.post("/faults", hang_up).await?["id"].clone();
        let insert = format!(
            "INSERT INTO wa.outbound (session, recipient, kind, body, content, max_attempts)
             VALUES ('shop', '{ANNA}', '{kind}', 'poison', {content}, 2) RETURNING id"
        );
        let poison = world.count(&insert).await?;
        world.holds(&format!("SELECT status = 'failed' AND attempts = 2 FROM wa.outbound WHERE id = {poison}")).await?;
        let errors: Value = world.until(&format!("SELECT errors FROM wa.outbound WHERE id = {poison}")).await?;
        let lost = |error: &Value| error["error"].as_str().is_some_and(|text| text.contains("connection was lost"));
        ensure!(errors.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(lost)), "{stanza}: {errors}");
        world.control.request("DELETE", &format!("/faults/{rule}"), None).await?;
        world.session_is("shop", "connected").await?;
    }
    worker.stop().await
}

#[tokio::test]
async fn s6_a_session_whose_logins_are_followed_by_drops_rests() -> Result<()> {
    let (world, worker) = shop().await?;
    let drops = json!({ "fault": { "drop": {} }, "number": SHOP, "times": 5 });
    world.control.post("/faults", drops).await?;
    for failures in 1..5 {
        world.holds(&format!("SELECT failures = {failures} AND rest_until IS NULL FROM wa.session")).await?;
        reconnect_now(&world).await?;
    }
    world
        .holds("SELECT failures = 5 AND rest_until BETWEEN now() + interval '3 minutes' AND now() + interval '7 minutes' FROM wa.session")
        .await?;
    ensure!(world.count("SELECT count(*) FROM wa.event WHERE kind = 'session_resting'").await? == 1);
    worker.stop().await
}

/// WhatsApp refuses every socket for a while: no session rests, and all are back soon after.
#[tokio::test]
async fn s4_sessions_do_not_rest_because_whatsapp_was_away_for_all() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    for number in 1..9 {
        world.link(&format!("shop-{number}"), &format!("1555000{number}")).await?;
    }
    let refuse = world.control.post("/faults", json!({ "fault": { "refuse": {} }, "times": "always" })).await?;
    for number in 1..9 {
        world.control.post(&format!("/devices/1555000{number}/1/drop"), json!({})).await?;
    }
    // All but the one that probes wait.
    let waiting = "SELECT count(*) FILTER (WHERE status = 'connecting' AND status_reason = 'waits until WhatsApp can be reached again') >= 6 FROM wa.session";
    world.holds(waiting).await?;
    // Every probe fails, and still no session counts more than its first failures, and none rests.
    let probes = "SELECT count(*) FROM wa.event WHERE kind = 'connection_ended' AND data->>'end' = 'lost'";
    let seen = world.count(probes).await?;
    world.holds(&format!("SELECT ({probes}) >= {}", seen + 1)).await?;
    ensure!(world.count("SELECT count(*) FROM wa.session WHERE failures > 3 OR rest_until IS NOT NULL").await? == 0);
    ensure!(world.count("SELECT count(*) FROM wa.event WHERE kind = 'session_resting'").await? == 0);
    world.control.request("DELETE", &format!("/faults/{}", refuse["id"]), None).await?;
    until("all sessions", async || {
        let connected = world.count("SELECT count(*) FROM wa.session WHERE status = 'connected'").await?;
        Ok(if connected == 8 { Ok(()) } else { Err(connected) })
    })
    .await?;
    worker.stop().await
}
