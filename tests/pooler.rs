//! Workers and the command line behind a pooler whose clients share connections (Q9).

use crate::support::db;
use crate::support::pooler::Pooler;
use crate::support::until::LIMIT;
use crate::support::world::{Worker, World, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::process::Command;
use wagres::config::Secret;
use wagres::db::{Db, DbError};

/// Each transaction gets another connection than the one before.
const IN_TURN: &str = "pool_mode = transaction\ndefault_pool_size = 3\nserver_round_robin = 1";

/// The output of a command that must fail.
async fn refused(command: &mut Command) -> Result<String> {
    let done = tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(!done.status.success(), "accepted: {text}");
    Ok(text)
}

#[tokio::test]
async fn q9_a_worker_behind_a_transaction_pooler_works_by_polling() -> Result<()> {
    let world = World::new().await?;
    let pooler = Pooler::before(&world.db, IN_TURN).await?;
    let mut command = world.worker_on(&pooler.url);
    // The heartbeat shares the few connections with everything else, so the lease is as long as by default.
    command.env("WAGRES_DATABASE_POOLER", "true").env("WAGRES_WORKER__LEASE_SECONDS", "15");
    command.env("WAGRES_WORKER__POLL_MS", "200");
    let worker = Worker::start(command).await?;
    world.link("shop", "15550001").await?;
    world.link("cafe", "15550002").await?;
    for phone in ["15550008", "15550009"] {
        world.phone(phone).await?;
    }

    // An application behind the same pooler inserts messages one after the other, so that each waits for a poll.
    let app = Db::connect(&Secret::new(&pooler.url), true, 4, "application").await?;
    let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3) RETURNING id";
    for n in 1..=5 {
        let session = if n % 2 == 0 { "shop" } else { "cafe" };
        let id =
            sqlx::query_scalar(insert).bind(session).bind("+15550009").bind(format!("one {n}")).fetch_one(&app).await?;
        world.message_is(id, "read").await?;
    }
    let waited = "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM sending_at - created_at)) < 0.75 FROM wa.outbound";
    ensure!(world.until::<bool>(waited).await?, "longer than the poll interval");

    // Many messages at once, both ways, so that statements of all kinds share the three connections.
    let many = "INSERT INTO wa.outbound (session, recipient, body)
                SELECT s, '1555000' || p, s || n FROM unnest('{shop,cafe}'::text[]) s, unnest('{8,9}'::text[]) p, generate_series(1, 20) n";
    ensure!(sqlx::query(many).execute(&app).await?.rows_affected() == 80);
    for n in 1..=10 {
        for to in ["15550001", "15550002"] {
            world.control.post("/phones/15550008/send", json!({ "to": to, "text": format!("in {n}") })).await?;
        }
    }
    world.holds("SELECT count(*) = 85 AND bool_and(status = 'read') FROM wa.outbound").await?;
    world.holds("SELECT count(*) = 20 AND count(DISTINCT (session, body)) = 20 FROM wa.inbox").await?;
    let verdict = world.control.until("/verdict", |it| (it["counts"]["pending"] == 0).then(|| it.clone())).await?;
    ensure!(verdict["ok"] == true && verdict["counts"]["repeated_text"] == 0, "{verdict:#}");

    // No connection keeps a statement or a lock, which its next user would find.
    for _ in 0..6 {
        let left = "SELECT count(*) FROM pg_prepared_statements";
        let (names, locks): (i64, i64) = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT ({left}), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
        )))
        .fetch_one(&app)
        .await?;
        ensure!((names, locks) == (0, 0), "{names} prepared statements and {locks} locks are left");
    }
    worker.stop().await?;
    world.session_is("shop", "disconnected").await
}

#[tokio::test]
async fn q9_an_undeclared_pooler_is_refused_with_its_remedy() -> Result<()> {
    let world = World::new().await?;
    let one = "pool_mode = transaction\ndefault_pool_size = 1";
    let latest = "pool_mode = transaction\ndefault_pool_size = 3";
    for settings in [one, latest, IN_TURN] {
        let pooler = Pooler::before(&world.db, settings).await?;
        // Three times, because a pooler with several connections may answer differently.
        let url = Secret::new(&pooler.url);
        for _ in 0..3 {
            let found = Db::connect(&url, false, 2, "test").await;
            ensure!(matches!(found, Err(DbError::Pooler)), "{settings}: {found:?}");
        }
        let text = refused(&mut world.worker_on(&pooler.url)).await?;
        ensure!(text.contains("database_pooler = true"), "{text}");
        let text = refused(wagres().env("DATABASE_URL", &pooler.url).args(["jobs", "queue"])).await?;
        ensure!(text.contains("WAGRES_DATABASE_POOLER=true"), "{text}");
        // Migrating through a pooler is refused even if the pooler is declared.
        for command in [["migrate"].as_slice(), &["up", "--http", "127.0.0.1:0"]] {
            let mut declared = wagres();
            declared.env("DATABASE_URL", &pooler.url).env("WAGRES_DATABASE_POOLER", "true").args(command);
            let text = refused(&mut declared).await?;
            ensure!(text.contains("database_pooler: migrating needs the server itself"), "{text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn q9_a_pooler_with_a_connection_for_each_client_needs_no_setting() -> Result<()> {
    let db = db::fresh().await;
    let pooler = Pooler::before(&db, "pool_mode = session").await?;
    Db::connect(&Secret::new(&pooler.url), false, 2, "test").await?;
    Ok(())
}
