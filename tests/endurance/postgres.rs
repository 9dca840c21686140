//! Postgres goes away and comes back; the worker waits and resumes by itself.

use super::load::under_load;
use crate::control::Control;
use crate::support::db;
use crate::support::disk::Disk;
use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// How often all connections are cut.
const CUTS: usize = 8;
/// Messages each way between two cuts.
const BETWEEN: i64 = 10;

/// A worker with a lease so long that it keeps its sessions however busy the machine is.
async fn patient_worker(world: &World) -> Result<Worker> {
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__LEASE_SECONDS", "60");
    Worker::start(command).await
}

#[tokio::test]
async fn r3_r2_postgres_restarted_under_load_costs_no_message() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let worker = patient_worker(&world).await?;
    under_load(&world, 3, 3, async |load| {
        for mode in ["immediate", "fast"] {
            load.moves(30).await?;
            server.restart(mode).await?;
        }
        load.moves(30).await
    })
    .await?;
    // The same process still runs.
    let health = health_is(&worker, 200, "ok").await?;
    ensure!(health["activeClients"] == 3, "{health}");
    worker.stop().await
}

/// Waits until `/health` answers with this code and status.
async fn health_is(worker: &Worker, code: u16, status: &str) -> Result<Value> {
    let http = Control::new(worker.ready["http"].as_str().context("http")?);
    until(&format!("{code} {status}"), async || {
        let (found, health) = http.request("GET", "/health", None).await?;
        Ok(if found == code && health["status"] == status { Ok(health) } else { Err(format!("{found} {health}")) })
    })
    .await
}

#[tokio::test]
async fn h1_r3_health_shows_that_the_database_is_away_and_livez_does_not() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let worker = patient_worker(&world).await?;
    health_is(&worker, 200, "ok").await?;
    server.stop("immediate").await?;
    health_is(&worker, 503, "waiting").await?;
    // A supervisor that restarted this worker would not bring the database back.
    let http = Control::new(worker.ready["http"].as_str().context("http")?);
    ensure!(http.get("/livez").await? == json!({ "alive": true }));
    server.restart("fast").await?;
    health_is(&worker, 200, "ok").await?;
    worker.stop().await
}

/// Outages of the worker's role alone: the `ALTER ROLE` clauses that begin and end each.
const OUTAGES: [[&str; 2]; 2] = [
    // As on a standby during a failover, or set by an administrator.
    ["SET default_transaction_read_only = on", "RESET default_transaction_read_only"],
    ["CONNECTION LIMIT 0", "CONNECTION LIMIT -1"],
];

#[tokio::test]
async fn r3_r2_a_database_that_refuses_writes_or_connections_costs_no_message() -> Result<()> {
    let world = World::new().await?;
    // This role has only the rights of a worker.
    let role = format!("worker_{:016x}", rand::random::<u64>());
    let run = async |sql: String| sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(world.pool()).await;
    run(format!("CREATE ROLE {role} LOGIN IN ROLE wa_worker")).await?;
    let mut command = world.worker_on(&world.db.url.replace("//postgres@", &format!("//{role}@")));
    command.env("WAGRES_WORKER__LEASE_SECONDS", "60");
    let worker = Worker::start(command).await?;
    let cut = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{role}'");
    under_load(&world, 3, 3, async |load| {
        for [begin, end] in OUTAGES {
            load.moves(30).await?;
            run(format!("ALTER ROLE {role} {begin}")).await?;
            ensure!(world.count(&cut).await? > 0, "no connection of the worker");
            health_is(&worker, 503, "waiting").await?;
            run(format!("ALTER ROLE {role} {end}")).await?;
            world.count(&cut).await?;
            health_is(&worker, 200, "ok").await?;
        }
        load.moves(30).await
    })
    .await?;
    ensure!(world.count("SELECT count(*) FROM wa.session WHERE status = 'connected'").await? == 3);
    worker.stop().await?;
    run(format!("DROP ROLE {role}")).await?;
    Ok(())
}

/// A worker whose heartbeats fail disconnects its sessions by its own clock, with some outcomes unwritten.
#[tokio::test]
async fn r3_r4_postgres_away_for_longer_than_a_lease_costs_no_message() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let worker = Worker::start(world.brief_worker_on(&world.db.url)).await?;
    under_load(&world, 3, 3, async |load| {
        load.moves(30).await?;
        server.stop("immediate").await?;
        world.control.until("/stats", |it| (it["connected_devices"] == 0).then_some(())).await?;
        server.restart("fast").await?;
        load.moves(30).await
    })
    .await?;
    worker.stop().await
}

#[tokio::test]
async fn r3_r2_a_full_disk_costs_no_message() -> Result<()> {
    let disk = Disk::new(64)?;
    let (db, server) = db::fresh_in(&disk.folder()).await;
    let world = World::on(db).await?;
    let worker = patient_worker(&world).await?;
    under_load(&world, 3, 3, async |load| {
        for _ in 0..2 {
            load.moves(30).await?;
            let refused = async || server.logged("No space left on device").await;
            let before = refused().await?;
            disk.fill()?;
            until("statements that fail on the full disk", async || {
                let count = refused().await? - before;
                Ok(if count >= 20 { Ok(()) } else { Err(count) })
            })
            .await?;
            disk.clear()?;
        }
        load.moves(30).await
    })
    .await?;
    ensure!(world.count("SELECT count(*) FROM wa.session WHERE status = 'connected'").await? == 3);
    worker.stop().await
}

#[tokio::test]
async fn r3_r2_connections_cut_repeatedly_cost_no_message() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'wagres%'";
    under_load(&world, 3, 3, async |load| {
        for _ in 0..CUTS {
            load.moves(BETWEEN).await?;
            // Cuts the connections of the work, the heartbeat and the listener, whatever each is doing.
            ensure!(world.count(cut).await? >= 2, "the worker has fewer connections than it needs");
        }
        load.moves(BETWEEN).await
    })
    .await?;
    ensure!(world.count("SELECT count(*) FROM wa.session WHERE status = 'connected'").await? == 3);
    worker.stop().await
}
