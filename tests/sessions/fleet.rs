//! S3, S6: sessions spread over several workers, and the rest of sessions that cannot connect.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::support::db::fresh;
use crate::support::until::until;
use crate::support::world::{Worker, World, wagres};

/// The number of connected sessions of each worker, the smallest first.
const HELD: &str = "SELECT array_agg(held ORDER BY held) FROM (
    SELECT count(s.session_id) FILTER (WHERE s.status = 'connected') AS held
    FROM wa.worker w LEFT JOIN wa.lease l ON l.holder = w.worker_id LEFT JOIN wa.session s USING (session_id)
    GROUP BY w.worker_id) AS held";

async fn shares_are(world: &World, held: &[i64]) -> Result<()> {
    world.holds(&format!("SELECT ({HELD}) = ARRAY{held:?}::bigint[]")).await
}

async fn link(world: &World, sessions: std::ops::Range<u32>) -> Result<()> {
    for number in sessions {
        world.link(&format!("shop-{number}"), &format!("1555000{number}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn s3_sessions_spread_when_a_worker_joins_and_move_on_when_one_leaves() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    link(&world, 1..5).await?;
    world.phone("15559999").await?;
    // Messages are sent all the while.
    let mut ids = vec![];
    let mut send = async |round: u32| -> Result<()> {
        for number in 1..5 {
            ids.push(world.send(&format!("shop-{number}"), "15559999", &format!("{number}: {round}")).await?);
        }
        Ok(())
    };
    send(1).await?;
    let second = world.worker().await?;
    send(2).await?;
    shares_are(&world, &[2, 2]).await?;
    let third = world.worker().await?;
    send(3).await?;
    shares_are(&world, &[0, 2, 2]).await?;
    second.stop().await?;
    send(4).await?;
    shares_are(&world, &[2, 2]).await?;
    world.kill(third).await?;
    send(5).await?;
    shares_are(&world, &[4]).await?;
    // Receipts in the last moment of a killed worker are lost, because the library acknowledges them first; so only
    // `sent_at` is checked.
    for id in &ids {
        world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    }
    let seen = until("all messages on the phone", async || {
        let seen = world.seen_by("15559999").await?;
        Ok(if seen.len() >= ids.len() { Ok(seen) } else { Err(format!("{seen:?}")) })
    })
    .await?;
    for number in 1..5 {
        let of_one: Vec<&String> = seen.iter().filter(|text| text.starts_with(&format!("{number}:"))).collect();
        let expected: Vec<String> = (1..6).map(|round| format!("{number}: {round}")).collect();
        ensure!(of_one.into_iter().eq(&expected), "{seen:?}");
    }
    first.stop().await
}

#[tokio::test]
async fn s3_a_drained_worker_exits_and_the_other_takes_its_sessions() -> Result<()> {
    let world = World::new().await?;
    let old = world.worker().await?;
    link(&world, 1..4).await?;
    let old_id: String = world.until("SELECT worker_id::text FROM wa.worker").await?;
    let new = world.worker().await?;
    shares_are(&world, &[1, 2]).await?;
    let run = async |arguments: &[&str]| -> Result<String> {
        let mut command = wagres();
        command.args(["--database-url", &world.db.url, "--json", "worker"]).args(arguments);
        let output = command.output().await?;
        Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
    };
    let listed = run(&["list"]).await?;
    let shares: Vec<Value> = listed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(shares.iter().map(|it| it["share"].clone()).collect::<Vec<_>>(), [json!(2), json!(2)], "{listed}");
    let unknown = run(&["drain", "00000000-0000-0000-0000-000000000000"]).await?;
    assert!(unknown.contains("worker_id: no live worker has the id"), "{unknown}");
    run(&["drain", &old_id]).await?;
    old.ended().await?;
    shares_are(&world, &[3]).await?;
    new.stop().await
}

/// The share of a worker is of linked sessions. Whatever it is linking takes room, and keeps no linked session offline.
#[tokio::test]
async fn s3_sessions_that_are_being_linked_delay_no_takeover() -> Result<()> {
    let db = fresh().await;
    let held = "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
                VALUES (gen_random_uuid(), 'here', 1, 'test', now() + interval '1 hour', 4) RETURNING worker_id";
    let worker: uuid::Uuid = sqlx::query_scalar(held).fetch_one(&db.pool).await?;
    sqlx::raw_sql(
        "SELECT wa.add_session(name) FROM unnest('{linked,also,new1,new2,new3}'::text[]) name;
         UPDATE wa.session SET jid = session_id || '@s.whatsapp.net', desired = 'connected' WHERE name IN ('linked', 'also')",
    )
    .execute(&db.pool)
    .await?;
    let link = "UPDATE wa.lease l SET holder = $1, epoch = 1 FROM wa.session s WHERE s.session_id = l.session_id AND s.name LIKE 'new%'";
    sqlx::query(link).bind(worker).execute(&db.pool).await?;
    sqlx::query(include_str!("../../sql/session/adopt.sql")).bind(worker).bind(10_i64).execute(&db.pool).await?;
    let adopted = "SELECT count(*) FROM wa.lease l JOIN wa.session s USING (session_id) WHERE l.holder = $1 AND s.jid IS NOT NULL";
    let adopted: i64 = sqlx::query_scalar(adopted).bind(worker).fetch_one(&db.pool).await?;
    ensure!(adopted == 1, "its share is two, and it has room for one: {adopted}");
    Ok(())
}

/// The wish counts, not a connect that somebody has scheduled for later.
#[tokio::test]
async fn s3_a_connect_that_is_scheduled_for_later_delays_no_takeover() -> Result<()> {
    let world = World::new().await?;
    let killed = world.worker().await?;
    world.link("shop", "15550001").await?;
    let later =
        "INSERT INTO wa.session_job (session, kind, run_at) VALUES ('shop', 'connect', now() + interval '1 hour')";
    sqlx::query(later).execute(world.pool()).await?;
    let before: String = world.until("SELECT connected_at::text FROM wa.session").await?;
    world.kill(killed).await?;
    let other = world.worker().await?;
    world.holds(&format!("SELECT status = 'connected' AND connected_at > '{before}' FROM wa.session")).await?;
    world.holds("SELECT status = 'queued' AND run_at > now() FROM wa.session_job WHERE kind = 'connect'").await?;
    world.holds("SELECT count(*) = 1 FROM wa.session_job WHERE kind = 'reconnect' AND reason = 'adopted'").await?;
    other.stop().await
}

/// Waits for the reconnect job after so many failures, and makes it due now.
async fn reconnect_now(world: &World, failures: i32) -> Result<()> {
    world.holds(&format!("SELECT failures = {failures} FROM wa.session")).await?;
    world.holds("SELECT count(*) = 1 FROM wa.session_job WHERE status = 'queued' AND kind = 'reconnect'").await?;
    sqlx::query("UPDATE wa.session_job SET run_at = now() WHERE status = 'queued'").execute(world.pool()).await?;
    Ok(())
}

#[tokio::test]
async fn s6_five_failures_are_followed_by_rest_and_one_probe() -> Result<()> {
    let world = World::new().await?;
    let worker: Worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let refuse = world.control.post("/faults", json!({ "fault": { "refuse": {} }, "times": "always" })).await?;
    world.control.post("/devices/15550001/1/drop", json!({})).await?;
    for failures in 1..5 {
        world.holds(&format!("SELECT rest_until IS NULL FROM wa.session WHERE failures <= {failures}")).await?;
        reconnect_now(&world, failures).await?;
    }
    // Give or take a quarter.
    let rests = |minutes: f64| {
        let (least, most) = (minutes * 0.7, minutes * 1.3);
        format!("SELECT extract(epoch FROM rest_until - now()) / 60 BETWEEN {least} AND {most} FROM wa.session")
    };
    world.holds("SELECT failures = 5 FROM wa.session").await?;
    world.holds(&rests(5.0)).await?;
    let due = "SELECT j.run_at = s.rest_until FROM wa.session_job j JOIN wa.session s USING (session_id) WHERE j.status = 'queued'";
    world.holds(due).await?;
    let event: Value = world.until("SELECT data FROM wa.event WHERE kind = 'session_resting'").await?;
    assert_eq!(event["failures"], 5, "{event}");
    // The breaker's state is in the row, so another worker keeps it.
    worker.stop().await?;
    let _worker = world.worker().await?;
    // The probe fails, and the session rests again, twice as long.
    reconnect_now(&world, 5).await?;
    world.holds("SELECT failures = 6 FROM wa.session").await?;
    world.holds(&rests(10.0)).await?;
    world.holds(due).await?;
    world.control.request("DELETE", &format!("/faults/{}", refuse["id"]), None).await?;
    reconnect_now(&world, 6).await?;
    world.session_is("shop", "connected").await?;
    world.holds("SELECT failures = 6 AND rest_until IS NULL FROM wa.session").await?;
    // The login alone proves nothing; a message that is sent does.
    world.phone("15550002").await?;
    world.send("shop", "15550002", "Hello").await?;
    world.holds("SELECT failures = 0 FROM wa.session").await
}

#[tokio::test]
async fn s7_the_command_line_shows_closes_connects_and_unlinks_a_session() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let run = async |arguments: &[&str]| -> Result<(bool, String)> {
        let mut command = wagres();
        command.args(["--database-url", &world.db.url, "--json", "session"]).args(arguments);
        let output = command.output().await?;
        Ok((output.status.success(), String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?))
    };
    let (_, shown) = run(&["show", "shop"]).await?;
    let shown: Value = serde_json::from_str(&shown)?;
    assert_eq!((&shown["status"], &shown["phone"]), (&json!("connected"), &json!("15550001")), "{shown}");
    assert_eq!(shown["worker"]["pid"], json!(worker.pid()?), "{shown}");
    assert_eq!(shown["jobs"][0]["kind"], "reconnect", "{shown}");
    let (known, error) = run(&["show", "nobody"]).await?;
    assert!(!known && error.contains(r#"no session is named \"nobody\""#), "{error}");

    run(&["close", "shop"]).await?;
    world.session_is("shop", "stopped").await?;
    run(&["connect", "shop"]).await?;
    world.session_is("shop", "connected").await?;
    run(&["logout", "shop", "--reason", "sold"]).await?;
    world.session_is("shop", "logged_out").await?;
    world.holds("SELECT status_reason = 'sold' AND jid IS NULL FROM wa.session").await?;
    assert_eq!(world.count("SELECT count(*) FROM wa.auth").await?, 0);
    worker.stop().await
}
