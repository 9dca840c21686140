//! H1: health, metrics and the resource line of a worker.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::control::Control;
use crate::support::until::until;
use crate::support::world::{Worker, World, wagres};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr as _;

/// What a worker shows Prometheus.
pub(crate) async fn exposition(worker: &Worker) -> Result<String> {
    let address = worker.ready["http"].as_str().context("http")?;
    let control = Control::new(address);
    let answer =
        control.exchange(&format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close"), "").await?;
    let (head, text) = answer.split_once("\r\n\r\n").context("no answer")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
    Ok(text.to_owned())
}

/// The metrics of a worker, by name and labels.
async fn metrics(worker: &Worker) -> Result<Vec<(String, f64)>> {
    let text = exposition(worker).await?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| line.rsplit_once(' ').context("no value").and_then(|(k, v)| Ok((k.to_owned(), v.parse()?))))
        .collect()
}

/// Waits until a metric has this value.
pub(crate) async fn metric_is(worker: &Worker, name: &str, value: f64) -> Result<()> {
    until(&format!("{name} {value}"), async || {
        let found = metrics(worker).await?;
        let found = found.iter().find(|(metric, _)| metric == name).map(|(_, value)| *value);
        Ok(if found == Some(value) { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
}

/// A session in `/health`; only one that is not linked has no phone number yet.
fn client(session: &str, status: &str) -> Value {
    json!({ "accountId": session, "status": status, "hasPhone": status != "linking" })
}

/// Waits until `/health` lists these sessions, and returns the answer.
async fn clients_are(health: &Control, clients: Value) -> Result<Value> {
    until(&clients.to_string(), async || {
        let found = health.get("/health").await?;
        Ok(if found["clients"] == clients { Ok(found) } else { Err(found) })
    })
    .await
}

/// A metric of the whole database, counted again and again until it satisfies a condition.
async fn counted(world: &World, worker: &Worker, name: &str, is: impl Fn(f64) -> bool) -> Result<f64> {
    until(name, async || {
        sqlx::query("SELECT wa.run_now('resource-report')").execute(world.pool()).await?;
        world.holds("SELECT NOT EXISTS (SELECT FROM wa.maintenance_job WHERE kind = 'resource_report' AND status <> 'done')").await?;
        let found = metrics(worker).await?;
        let found = found.iter().find(|(metric, _)| metric == name).map(|(_, value)| *value);
        Ok(found.filter(|value| is(*value)).ok_or(format!("{found:?}")))
    })
    .await
}

/// On a server of its own, where nobody else has a transaction open or listens.
#[tokio::test]
async fn h1_r8_doctor_and_metrics_show_the_oldest_open_transaction_and_the_queue_of_notifications() -> Result<()> {
    let (db, _server) = crate::support::db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let worker = world.worker().await?;
    let others = counted(&world, &worker, "wagres_fleet_transaction_age_seconds", |_| true).await?;
    assert!(others < 3.0, "nobody has left a transaction open, and one is {others} s old");
    assert!(counted(&world, &worker, "wagres_fleet_notification_queue_ratio", |_| true).await? < 0.000_001);
    // A listener whose transaction is open keeps what it has not read in the queue.
    let options = PgConnectOptions::from_str(&world.db.url)?.application_name("night report");
    let mut open = options.connect().await?;
    sqlx::raw_sql("LISTEN report").execute(&mut open).await?;
    sqlx::raw_sql("BEGIN; SELECT 1").execute(&mut open).await?;
    let fill = "SELECT pg_notify('report', n || repeat('x', 7000)) FROM generate_series(1, 2000) n";
    sqlx::query(fill).execute(world.pool()).await?;
    counted(&world, &worker, "wagres_fleet_transaction_age_seconds", |age| age > 3.0).await?;
    counted(&world, &worker, "wagres_fleet_notification_queue_ratio", |share| share > 0.000_001 && share < 1.0).await?;
    let doctor = async || -> Result<String> {
        let mut doctor = wagres();
        let url = ["--json", "--database-url", &world.db.url, "doctor"];
        doctor.args(url).env("WAGRES_WHATSAPP_URL", "ws://127.0.0.1:9/");
        let text = String::from_utf8(doctor.output().await?.stdout)?;
        let found: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let named = found.iter().find(|line| line["what"] == "transactions").context("no line about transactions")?;
        Ok(named["found"].as_str().context("text")?.to_owned())
    };
    let found = doctor().await?;
    assert!(found.contains(": night report, role "), "{found}");
    // One that is prepared has no process, and stays when its client goes.
    sqlx::raw_sql("ROLLBACK; UNLISTEN report").execute(&mut open).await?;
    sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'night'").execute(&mut open).await?;
    drop(open);
    counted(&world, &worker, "wagres_fleet_transaction_age_seconds", |age| age > 1.0).await?;
    let found = doctor().await?;
    assert!(found.contains(": prepared as \"night\", role "), "{found}");
    sqlx::raw_sql("ROLLBACK PREPARED 'night'").execute(world.pool()).await?;
    worker.stop().await
}

#[tokio::test]
async fn h1_health_shows_the_status_of_each_session() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let health = Control::new(worker.ready["http"].as_str().context("http")?);
    world.link("shop", "15550001").await?;
    sqlx::query("SELECT wa.add_session('cafe'), wa.link('cafe')").execute(world.pool()).await?;
    let found = clients_are(&health, json!([client("cafe", "linking"), client("shop", "connected")])).await?;
    assert_eq!((&found["activeClients"], &found["clientsTotal"]), (&json!(1), &json!(2)), "{found}");
    for fault in [json!({ "ban": { "code": 101, "seconds": 3600 } }), json!({ "drop": {} })] {
        world.control.post("/faults", json!({ "fault": fault, "number": "15550001", "times": 1 })).await?;
    }
    let found = clients_are(&health, json!([client("cafe", "linking"), client("shop", "banned")])).await?;
    // The worker works.
    assert_eq!((&found["status"], &found["activeClients"]), (&json!("ok"), &json!(0)), "{found}");
    worker.stop().await
}

#[tokio::test]
async fn h1_a_worker_that_drains_is_not_ready_and_lives() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__DRAIN_SECONDS", "60");
    let worker = Worker::start(command).await?;
    let http = Control::new(worker.ready["http"].as_str().context("http")?);
    world.link("shop", "15550001").await?;
    // The message gets no answer, so the drain waits for it.
    let hole = json!({ "fault": { "black_hole": {} }, "number": "15550001", "times": 1 });
    world.control.post("/faults", hole).await?;
    let id = world.send("shop", "15550002", "through the hole").await?;
    world.message_is(id, "sending").await?;
    worker.signal("TERM").await?;
    until("503 shutting_down", async || {
        let (code, found) = http.request("GET", "/health", None).await?;
        Ok(if code == 503 && found["status"] == "shutting_down" { Ok(()) } else { Err(format!("{code} {found}")) })
    })
    .await?;
    assert_eq!(http.get("/livez").await?, json!({ "alive": true }));
    worker.kill().await
}

#[tokio::test]
async fn h1_health_and_metrics_show_what_a_worker_does() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let health = Control::new(worker.ready["http"].as_str().context("http")?);
    assert_eq!(health.get("/health").await?["clients"], json!([]));
    world.link("shop", "15550001").await?;
    world.link("cafe", "15550002").await?;
    let id = world.send("shop", "15550002", "to the café").await?;
    world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    sqlx::query("SELECT wa.close('cafe')").execute(world.pool()).await?;
    world.session_is("cafe", "stopped").await?;

    let found = clients_are(&health, json!([client("shop", "connected")])).await?;
    assert_eq!((&found["status"], &found["activeClients"]), (&json!("ok"), &json!(1)), "{found}");
    assert_eq!(found["clientsTotal"], 1, "{found}");
    // In MB.
    assert!(found["memory"]["rss"].as_u64().is_some_and(|rss| (5..100_000).contains(&rss)), "{found}");
    assert!(found["uptime"].as_f64().is_some_and(|uptime| uptime > 0.0), "{found}");
    assert_eq!(health.get("/livez").await?, json!({ "alive": true }));

    for (name, value) in [
        ("wagres_sessions_held", 1.0),
        ("wagres_sessions_connected", 1.0),
        ("wagres_links_total", 2.0),
        ("wagres_qr_codes_total", 2.0),
        // Each session reconnects once after its link.
        ("wagres_connections_total", 2.0),
        (r#"wagres_connections_ended_total{end="restart"}"#, 2.0),
        (r#"wagres_messages_total{outcome="sent"}"#, 1.0),
        ("wagres_message_seconds_count", 1.0),
        ("wagres_messages_received_total", 1.0),
        (r#"wagres_session_jobs_total{kind="link",status="done"}"#, 2.0),
        (r#"wagres_session_jobs_total{kind="close",status="done"}"#, 1.0),
        ("wagres_messages_in_hand", 0.0),
    ] {
        metric_is(&worker, name, value).await.context(name)?;
    }
    let found = metrics(&worker).await?;
    assert!(found.iter().any(|(name, value)| name == "process_resident_memory_bytes" && *value > 1e6), "{found:?}");
    assert!(
        found.iter().any(|(name, _)| name.starts_with("wa_send_total")),
        "no metrics of the client library: {found:?}"
    );
    assert!(!found.iter().any(|(name, _)| name.contains("1555") || name.contains("shop")), "{found:?}");
    worker.stop().await
}

/// The sweep's counts are in its row, in `wa.event` and in the metrics.
#[tokio::test]
async fn h1_a4_the_sweep_is_counted() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;
    sqlx::query(
        "INSERT INTO wa.auth_key (session_id, kind, key_id, value, expires_at)
         SELECT session_id, 'tctoken', i::text, '{}', now() FROM wa.session, generate_series(1, 3) i",
    )
    .execute(world.pool())
    .await?;
    sqlx::query("SELECT wa.run_now('sweep-keys')").execute(world.pool()).await?;
    let result: Value = world.until("SELECT result FROM wa.maintenance_job WHERE status = 'done'").await?;
    assert_eq!(result["kinds"], json!({ "tctoken": 3 }));
    let event: Value = world.until("SELECT data FROM wa.event WHERE kind = 'keys_swept'").await?;
    assert_eq!(event, result);
    metric_is(&worker, r#"wagres_keys_swept_total{kind="tctoken"}"#, 3.0).await?;
    metric_is(&worker, r#"wagres_maintenance_jobs_total{kind="sweep_keys",outcome="done"}"#, 1.0).await?;
    worker.stop().await
}

#[tokio::test]
async fn h1_the_log_reports_the_resources_of_a_worker() -> Result<()> {
    let world = World::new().await?;
    let log = tempfile::NamedTempFile::new()?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__REPORT_SECONDS", "1").stderr(log.reopen()?);
    let worker = Worker::start(command).await?;
    until("the resource line", async || {
        let text = std::fs::read_to_string(log.path())?;
        let line = text.lines().find(|line| line.contains("resources")).map(str::to_owned);
        let complete =
            |line: &String| ["held", "connected", "memory_mb", "descriptors"].iter().all(|it| line.contains(it));
        Ok(if line.as_ref().is_some_and(complete) { Ok(()) } else { Err(text) })
    })
    .await?;
    worker.stop().await
}
