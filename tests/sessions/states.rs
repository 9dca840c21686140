//! S1: the states of sessions and their transitions.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::db;
use crate::support::world::World;

const STATUSES: [&str; 8] =
    ["new", "linking", "connecting", "connected", "disconnected", "banned", "logged_out", "stopped"];

async fn next(db: &db::TestDb, status: &str) -> Result<Vec<String>> {
    let next = "SELECT wa.next_statuses($1::text::wa.session_status)::text[]";
    Ok(sqlx::query_scalar(next).bind(status).fetch_one(&db.pool).await?)
}

#[tokio::test]
async fn s1_every_listed_transition_is_accepted_and_no_other() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    for from in STATUSES {
        let next = next(&db, from).await?;
        for to in STATUSES {
            let mut connection = db.pool.acquire().await?;
            // Set past the trigger, with the codes that only a linking session has.
            sqlx::raw_sql("SET session_replication_role = replica; DELETE FROM wa.event")
                .execute(&mut *connection)
                .await?;
            sqlx::query("UPDATE wa.session SET status = $1::text::wa.session_status, status_at = now() - interval '1 day', qr = 'qr', code = 'code'")
                .bind(from)
                .execute(&mut *connection)
                .await?;
            sqlx::raw_sql("SET session_replication_role = origin").execute(&mut *connection).await?;
            let changed =
                sqlx::query("UPDATE wa.session SET status = $1::text::wa.session_status, status_reason = 'a test'")
                    .bind(to)
                    .execute(&mut *connection)
                    .await;
            let edge = format!("{from} -> {to}");
            if from != to && !next.iter().any(|it| it == to) {
                let refused = changed.err().and_then(sqlx::Error::into_database_error).context(edge.clone())?;
                let message = format!("status: session \"shop\" is {from} and cannot become {to}");
                assert_eq!((refused.code().as_deref(), refused.message()), (Some("WA029"), message.as_str()));
                continue;
            }
            changed?;
            let (now, codes): (bool, bool) = sqlx::query_as(
                "SELECT status_at > now() - interval '1 hour', qr IS NOT NULL AND code IS NOT NULL FROM wa.session",
            )
            .fetch_one(&mut *connection)
            .await?;
            assert_eq!((now, codes), (from != to, to == "linking"), "{edge}");
            let events: Vec<(String, Value)> =
                sqlx::query_as("SELECT kind, data FROM wa.event").fetch_all(&mut *connection).await?;
            let expected = (from != to).then(|| (format!("session_{to}"), json!({ "from": from, "reason": "a test" })));
            assert_eq!(events, Vec::from_iter(expected), "{edge}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn s1_the_states_in_the_docs_match_the_database() -> Result<()> {
    let db = db::fresh().await;
    let docs = include_str!("../../docs/sessions.md");
    let mut drawn: Vec<&str> = docs.lines().filter(|line| line.contains(" --> ")).map(str::trim).collect();
    assert_eq!(drawn.remove(0), "[*] --> new");
    let mut edges = vec![];
    for from in STATUSES {
        let next = next(&db, from).await?;
        let (row, end) = (format!("| `{from}` | "), format!(" | {} |", next.join(", ")));
        let found = docs.lines().find(|line| line.starts_with(&row));
        assert!(found.is_some_and(|line| line.ends_with(&end)), "{row}…{end}: {found:?}");
        edges.extend(next.iter().map(|to| format!("{from} --> {to}")));
    }
    assert_eq!(drawn, edges);
    for status in STATUSES {
        assert!(edges.iter().any(|edge| edge.ends_with(&format!(" {status}"))), "{status} cannot be reached");
    }
    // A logged-out session connects only after a link or an import.
    assert_eq!(next(&db, "logged_out").await?, ["linking", "disconnected", "stopped"]);
    Ok(())
}

/// If the code were lost with its worker, only the phone's owner could start the linking again.
#[tokio::test]
async fn s2_s3_another_worker_continues_a_linking() -> Result<()> {
    let world = World::new().await?;
    world.phone("15550001").await?;
    let first = world.worker().await?;
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(world.pool()).await?;
    let shown: String = world.until("SELECT qr FROM wa.session").await?;
    world.kill(first).await?;
    let second = world.worker().await?;
    let shown: String = world.until(&format!("SELECT qr FROM wa.session WHERE qr <> '{shown}'")).await?;
    // This worker stops in order.
    second.stop().await?;
    let third = world.worker().await?;
    let shown: String = world.until(&format!("SELECT qr FROM wa.session WHERE qr <> '{shown}'")).await?;
    world.control.post("/phones/15550001/scan", json!({ "qr": shown })).await?;
    world.session_is("shop", "connected").await?;
    third.stop().await
}

/// The phone accepted the device, and the worker died after writing only the credentials.
#[tokio::test]
async fn s2_s3_a_link_that_was_made_but_not_recorded_is_found() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.kill(first).await?;
    let unrecorded = "SET session_replication_role = replica; UPDATE wa.session SET status = 'linking', jid = NULL, lid = NULL, connected_at = NULL";
    sqlx::raw_sql(unrecorded).execute(&mut world.pool().acquire().await?.detach()).await?;
    let second = world.worker().await?;
    world.holds("SELECT status = 'connected' AND jid IS NOT NULL AND qr IS NULL FROM wa.session").await?;
    second.stop().await
}

/// A worker that looks between the death of another and the correction of its sessions takes nothing. An application that
/// locks one session holds up no other.
#[tokio::test]
async fn s1_s3_a_dead_workers_sessions_are_taken_once_their_states_are_corrected() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    world.link("busy", "15550001").await?;
    world.link("free", "15550002").await?;
    world.kill(first).await?;
    sqlx::query("INSERT INTO wa.session_job (session, kind) VALUES ('busy', 'connect')").execute(world.pool()).await?;
    let mut busy = world.pool().begin().await?;
    sqlx::query("SELECT FROM wa.session WHERE name = 'busy' FOR NO KEY UPDATE").execute(&mut *busy).await?;
    let second = world.worker().await?;
    let taken = "SELECT l.epoch = 2 AND s.status = 'connected' FROM wa.lease l JOIN wa.session s USING (session_id) WHERE s.name = ";
    world.holds(&format!("{taken} 'free'")).await?;
    let left = "SELECT count(*) FROM wa.lease WHERE epoch = 1 AND holder IS NULL";
    assert_eq!(world.count(left).await?, 1);
    busy.rollback().await?;
    world.holds(&format!("{taken} 'busy'")).await?;
    assert_eq!(world.count("SELECT count(*) FROM wa.session_job WHERE last_error IS NOT NULL").await?, 0);
    second.stop().await
}

/// The library flushes what it knows when its connection ends, but does not wait for a save that is under way.
#[tokio::test]
async fn s2_a3_a_scan_whose_credentials_take_their_time_is_a_link() -> Result<()> {
    let world = World::new().await?;
    world.phone("15550001").await?;
    let worker = world.worker().await?;
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(world.pool()).await?;
    let qr: String = world.until("SELECT qr FROM wa.session").await?;
    let mut slow = world.pool().begin().await?;
    sqlx::query("SELECT FROM wa.auth FOR UPDATE").execute(&mut *slow).await?;
    let control = world.control.clone();
    let scan = tokio::spawn(async move { control.post("/phones/15550001/scan", json!({ "qr": qr })).await });
    // The connection of the link has ended. The next one waits for the credentials, which are not stored yet: not even in
    // the time that another session needs for its whole linking does it begin.
    let ended = |phones: &Value| (phones["phones"][0]["devices"][0]["connected"] == false).then_some(());
    world.control.until("/phones", ended).await?;
    world.link("other", "15550002").await?;
    let next = "SELECT count(*) FROM wa.session_job WHERE session = 'shop' AND kind = 'reconnect'";
    assert_eq!(world.count(next).await?, 0);
    slow.rollback().await?;
    world.session_is("shop", "connected").await?;
    scan.await??;
    worker.stop().await
}

/// A banned session goes on waiting when workers come and go.
#[tokio::test]
async fn s1_s6_a_ban_outlives_its_worker() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    world.link("shop", "15550001").await?;
    let ban = json!({ "fault": { "ban": { "code": 101, "seconds": 3600 } }, "times": "always" });
    world.control.post("/faults", ban).await?;
    world.control.post("/devices/15550001/1/drop", json!({})).await?;
    world.session_is("shop", "banned").await?;
    first.stop().await?;
    world.session_is("shop", "banned").await?;
    let second = world.worker().await?;
    world.holds("SELECT count(*) = 1 FROM wa.lease WHERE holder IS NOT NULL").await?;
    world.session_is("shop", "banned").await?;
    world.holds("SELECT run_at > now() + interval '30 minutes' FROM wa.session_job WHERE status = 'queued'").await?;
    second.stop().await
}
