//! The command line: `wagres up`, refused servers, configuration, sessions, messages, jobs and campaigns.

use crate::control::Control;
use crate::support::db;
use crate::support::world::{Worker, World, clean, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;

async fn output(mut command: Command) -> Result<(Output, String)> {
    let done = tokio::time::timeout(crate::support::until::LIMIT, command.output())
        .await
        .context("the command does not end")??;
    let text = [&done.stdout, &done.stderr].map(|b| String::from_utf8_lossy(b).into_owned()).concat();
    Ok((done, text))
}

#[tokio::test]
async fn h7_up_prints_every_address_and_leaves_nothing_running() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("wagres-up-{}", std::process::id()));
    let mut command = wagres();
    command.args(["up", "--sandbox", "--json", "--http", "127.0.0.1:0", "--data"]).arg(&folder);
    let up = Worker::start(command).await?;
    let ready = up.ready.clone();
    let url = |name: &str| ready[name].as_str().map(str::to_owned).with_context(|| format!("{name}: {ready}"));
    ensure!(up.ready["ready"] == true && url("sandbox")?.starts_with("ws://127.0.0.1:"), "{}", up.ready);
    ensure!(url("sandbox_control")?.starts_with("http://127.0.0.1:"), "{}", up.ready);
    ensure!(url("web_login")?.starts_with(&format!("{}/login/wal_", url("web")?)), "{}", up.ready);
    let page = crate::control::Control::new(&url("web")?).get("/livez").await?;
    ensure!(page["alive"] == true, "{page}");
    let health = crate::control::Control::new(&url("http")?).get("/health").await?;
    ensure!(health["status"] == "ok" && health["activeClients"] == 0, "{health}");
    let pool = sqlx::PgPool::connect(&url("database_url")?).await?;
    let workers: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.worker").fetch_one(&pool).await?;
    ensure!(workers == 1, "{workers} workers");
    ensure!(folder.join("postgres/postmaster.pid").exists(), "the private server does not run");
    pool.close().await;
    let database_url = url("database_url")?;
    up.stop().await?;
    ensure!(!folder.join("postgres/postmaster.pid").exists(), "the private server still runs");
    ensure!(
        <sqlx::PgConnection as sqlx::Connection>::connect(&database_url).await.is_err(),
        "the private server still answers"
    );

    // A killed process leaves its Postgres behind; the next start takes it over.
    let start = || {
        let mut command = wagres();
        command.args(["up", "--json", "--whatsapp-url", "ws://127.0.0.1:9/", "--http", "127.0.0.1:0", "--data"]);
        command.arg(&folder);
        Worker::start(command)
    };
    start().await?.kill().await?;
    start().await?.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

#[tokio::test]
async fn h2_a_worker_serves_the_pages_too_and_writes_its_memory() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.args(["--web", "127.0.0.1:0"]);
    let worker = Worker::start(command).await?;
    let web = worker.ready["web"].as_str().with_context(|| worker.ready.to_string())?;
    ensure!(worker.ready["web_login"].is_null(), "{}", worker.ready);
    let alive = Control::new(web).get("/livez").await?;
    ensure!(alive["alive"] == true, "{alive}");
    world.holds("SELECT memory_mb > 1 FROM wa.worker").await?;
    worker.stop().await
}

#[tokio::test]
async fn x4_a_sandbox_build_refuses_a_server_that_is_not_loopback() -> Result<()> {
    let db = db::fresh().await;
    for server in ["wss://web.whatsapp.com/ws/chat", "ws://10.0.0.1:4000/ws/chat"] {
        let mut command = wagres();
        command.args(["worker", "--http", "127.0.0.1:0", "--database-url", &db.url, "--whatsapp-url", server]);
        let (done, text) = output(command).await?;
        ensure!(!done.status.success() && text.contains("not a loopback address"), "{server}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn x2_a_scenario_is_read_from_a_file() -> Result<()> {
    let file = std::env::temp_dir().join(format!("wagres-scenario-{}.toml", uuid::Uuid::new_v4()));
    let sandbox = |extra: &[&str]| {
        let mut command = wagres();
        command.args(["sandbox", "--json", "--seed", "5", "--scenario"]).arg(&file).args(extra);
        command
    };
    std::fs::write(&file, "phones = [\"15550001\"]\nfaults = [{ fault.lose = {}, stanza = \"ack message\" }]")?;
    let up = Worker::start(sandbox(&[])).await?;
    let control = Control::new(up.ready["sandbox_control"].as_str().context("sandbox_control")?);
    let faults = control.get("/faults").await?;
    ensure!(faults["seed"] == 5 && faults["faults"][0]["stanza"] == "ack message", "{faults}");
    ensure!(control.get("/phones").await?["phones"][0]["number"] == "15550001");
    up.stop().await?;

    std::fs::write(&file, "faults = [{ fault.loose = {} }]")?;
    let (done, text) = output(sandbox(&[])).await?;
    ensure!(!done.status.success() && text.contains("faults[0]") && text.contains("lose"), "{text}");
    std::fs::remove_file(&file)?;
    let mut command = wagres();
    command.args(["up", "--scenario", "x"]);
    let (done, text) = output(command).await?;
    ensure!(!done.status.success() && text.contains("--sandbox"), "{text}");
    Ok(())
}

/// A build without the feature `sandbox`: that of `make test`, else one made here in a folder of its own.
async fn plain_build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PLAIN_WAGRES") {
        return Ok(path.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/plain");
    let cargo = std::env::var_os("CARGO").context("run by cargo")?;
    let built = Command::new(cargo).args(["build", "--target-dir"]).arg(&target).current_dir(root).status().await?;
    ensure!(built.success(), "the default build fails");
    Ok(target.join("debug/wagres"))
}

#[tokio::test]
async fn x4_the_default_build_refuses_the_sandboxs_certificate() -> Result<()> {
    let world = World::new().await?;
    let mut command = Command::new(plain_build().await?);
    clean(&mut command);
    command.args(["worker", "--json", "--http", "127.0.0.1:0", "--database-url", &world.db.url]);
    command.args(["--whatsapp-url", &world.sandbox.ws_url()]);
    let worker = Worker::start(command).await?;
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(world.pool()).await?;
    // The client reaches the server, refuses its certificate and writes the error; no QR code is ever shown.
    world.holds("SELECT status = 'disconnected' AND qr IS NULL AND failures > 0 FROM wa.session").await?;
    let stats = world.control.get("/stats").await?;
    ensure!(stats["connected_devices"] == 0, "{stats}");
    worker.stop().await?;

    // A build that trusts the sandbox connects in the same world, so the certificate was the reason.
    let worker = world.worker().await?;
    let _qr: String = world.until("SELECT qr FROM wa.session").await?;
    worker.stop().await
}

#[tokio::test]
async fn h8_unknown_keys_and_bad_values_are_refused_by_name() -> Result<()> {
    for (name, value, words) in [
        ("WAGRES_COLOUR", "red", "colour"),
        ("WAGRES_WORKER__LEASE_SECONDS", "soon", "lease_seconds"),
        ("WAGRES_WORKER__LEASE_SECONDS", "1", "3 to 600"),
        ("WAGRES_WHATSAPP_URL", "http://example.com", "ws://"),
        ("WAGRES_HTTP", "nowhere", "http"),
        ("WAGRES_LOG", "=====", "log"),
    ] {
        let mut command = wagres();
        command.arg("config").env(name, value);
        let (done, text) = output(command).await?;
        ensure!(!done.status.success() && text.to_lowercase().contains(words), "{name}={value}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn h8_the_later_source_wins_and_secrets_are_masked() -> Result<()> {
    let file = std::env::temp_dir().join(format!("wagres-{}.toml", std::process::id()));
    std::fs::write(&file, "data_dir = \"from-file\"\nhttp = \"127.0.0.1:1\"\n[worker]\npoll_ms = 77\n")?;
    let mut command = wagres();
    command.args(["config", "--json", "--config"]).arg(&file);
    command.env("DATABASE_URL", "postgres://a:hunter2@127.0.0.1/one").env("WAGRES_HTTP", "127.0.0.1:2");
    let (done, text) = output(command).await?;
    std::fs::remove_file(&file)?;
    ensure!(done.status.success() && !text.contains("hunter2"), "{text}");
    let shown: Value = serde_json::from_str(text.trim())?;
    ensure!(shown["data_dir"] == "from-file" && shown["http"] == "127.0.0.1:2", "{shown}");
    ensure!(shown["worker"]["poll_ms"] == 77 && shown["worker"]["lease_seconds"] == 15, "{shown}");
    ensure!(shown["database_url"] == "postgres://a:***@127.0.0.1/one", "{shown}");
    Ok(())
}

#[tokio::test]
async fn h7_sessions_and_messages_from_the_command_line() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15550001").await?;
    world.phone("15550002").await?;
    let run = |args: &[&str]| {
        let mut command = wagres();
        command.args(["--json", "--database-url", &world.db.url]).args(args);
        output(command)
    };
    let (done, text) = run(&["session", "add", "shop"]).await?;
    ensure!(done.status.success(), "{text}");
    let link = run(&["session", "link", "shop"]);
    let scan = async {
        let qr: String = world.until("SELECT qr FROM wa.session").await?;
        world.control.post("/phones/15550001/scan", serde_json::json!({ "qr": qr })).await
    };
    let (link, scanned) = tokio::join!(link, scan);
    scanned?;
    let (done, text) = link?;
    ensure!(done.status.success() && text.contains(r#""qr":"#) && text.contains(r#""status":"connected""#), "{text}");
    let (done, text) = run(&["send", "shop", "+15550002", "from the shell"]).await?;
    ensure!(done.status.success() && text.contains(r#""status":"queued""#), "{text}");
    world.control.shown("15550002", "from the shell").await?;
    world.control.post("/phones/15550002/send", serde_json::json!({ "to": "15550001", "text": "thanks" })).await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox").await?;
    let (done, text) = run(&["inbox"]).await?;
    ensure!(done.status.success() && text.contains(r#""body":"thanks""#), "{text}");
    let (done, text) = run(&["session", "list"]).await?;
    ensure!(done.status.success() && text.contains(r#""phone":"15550001""#), "{text}");
    let (done, text) = run(&["session", "close", "shop", "--reason", "done"]).await?;
    ensure!(done.status.success(), "{text}");
    world.session_is("shop", "stopped").await?;
    let (done, text) = run(&["send", "shop", "nonsense", "x"]).await?;
    ensure!(!done.status.success() && text.contains("recipient:") && text.contains("Accepted:"), "{text}");
    worker.stop().await
}

/// Runs a command on a database and returns its lines of JSON.
pub(crate) async fn lines(db: &db::TestDb, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", &db.url]).args(arguments);
    let (done, text) = output(command).await?;
    ensure!(done.status.success(), "{arguments:?}: {text}");
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The output of a command that must fail.
pub(crate) async fn refusal(db: &db::TestDb, arguments: &[&str]) -> Result<String> {
    let mut command = wagres();
    command.args(["--database-url", &db.url]).args(arguments);
    let (done, text) = output(command).await?;
    ensure!(!done.status.success(), "{arguments:?}: accepted");
    Ok(text)
}

#[tokio::test]
async fn q12_h7_messages_that_have_ended_are_purged_on_demand() -> Result<()> {
    let db = db::fresh().await;
    // More than two pages. The first 2400 are 40 days old: of each ten 5 read, 2 failed, 3 queued; every other is of
    // "b".
    sqlx::raw_sql(
        "SELECT wa.add_session('a'), wa.add_session('b');
         INSERT INTO wa.outbound (session, recipient, body)
         SELECT CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END, '15550001', 'n' FROM generate_series(0, 2499) n;
         WITH numbered AS (SELECT session_id, id, row_number() OVER (ORDER BY id) - 1 AS n FROM wa.outbound)
         UPDATE wa.outbound o SET created_at = at,
             status = CASE WHEN n % 10 < 5 THEN 'read' WHEN n % 10 < 7 THEN 'failed' ELSE 'queued' END::wa.outbound_status,
             read_at = CASE WHEN n % 10 < 5 THEN at END, failed_at = CASE WHEN n % 10 IN (5, 6) THEN at END
         FROM numbered, LATERAL (SELECT now() - CASE WHEN n < 2400 THEN 40 ELSE 0 END * interval '1 day' AS at) moment
         WHERE o.session_id = numbered.session_id AND o.id = numbered.id",
    )
    .execute(&db.pool)
    .await?;
    let left = async |count: i64| {
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.outbound").fetch_one(&db.pool).await?;
        ensure!(found == count, "{found} messages left, not {count}");
        Ok(())
    };
    let purge = ["jobs", "purge", "--older-than", "30d"];
    let with = |more: &[&'static str]| [&purge, more].concat();
    ensure!(refusal(&db, &["jobs", "purge"]).await?.contains("--older-than"));
    ensure!(refusal(&db, &["jobs", "purge", "--older-than", "30"]).await?.contains("such as 12h, 30d or 4w"));
    ensure!(refusal(&db, &with(&["--status", "queued"])).await?.contains("not a status of a message that has ended"));
    ensure!(refusal(&db, &with(&["--session", "nobody"])).await?.contains("no session is named"));
    left(2500).await?;
    ensure!(lines(&db, &with(&["--dry-run"])).await? == [serde_json::json!({ "would_delete": 1680 })]);
    ensure!(lines(&db, &["jobs", "purge", "--older-than", "6w"]).await? == [serde_json::json!({ "deleted": 0 })]);
    left(2500).await?;
    let of_a = lines(&db, &with(&["--session", "a", "--status", "failed"])).await?;
    ensure!(of_a == [serde_json::json!({ "deleted": 240 })], "{of_a:?}");
    left(2260).await?;
    ensure!(lines(&db, &purge).await? == [serde_json::json!({ "deleted": 1440 })]);
    left(820).await?;
    let young = "SELECT count(*) FROM wa.outbound WHERE status IN ('read', 'failed')";
    ensure!(sqlx::query_scalar::<_, i64>(young).fetch_one(&db.pool).await? == 70, "a young message was deleted");
    Ok(())
}

#[tokio::test]
async fn h7_jobs_of_sessions_and_housekeeping_from_the_command_line() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'); SELECT wa.close('shop', 'night');
         INSERT INTO wa.maintenance_job (kind) VALUES ('sweep_keys')",
    )
    .execute(&db.pool)
    .await?;
    for (table, kind) in [("session", "close"), ("maintenance", "sweep_keys")] {
        let jobs = lines(&db, &["jobs", "list", "--table", table, "--status", "queued"]).await?;
        ensure!(jobs.len() == 1 && jobs[0]["kind"] == kind && jobs[0]["attempts"] == 0, "{jobs:?}");
        let id = jobs[0]["id"].to_string();
        ensure!(lines(&db, &["jobs", "show", "--table", table, &id]).await?[0]["status"] == "queued");
        ensure!(refusal(&db, &["jobs", "retry", "--table", table, &id]).await?.contains("status:"));
        ensure!(lines(&db, &["jobs", "cancel", "--table", table, &id]).await?[0]["done"] == true);
        let text = refusal(&db, &["jobs", "cancel", "--table", table, &id, "999"]).await?;
        ensure!(text.contains("is cancelled") && text.contains("999 does not exist"), "{text}");
        ensure!(lines(&db, &["jobs", "retry", "--table", table, &id]).await?[0]["done"] == true);
        ensure!(lines(&db, &["jobs", "list", "--table", table, "--status", "queued"]).await?.len() == 1);
        ensure!(refusal(&db, &["jobs", "show", "--table", table, "999"]).await?.contains("no job with id 999"));
    }
    ensure!(refusal(&db, &["jobs", "list", "--table", "session", "--session", "nobody"]).await?.contains("nobody"));
    let text = refusal(&db, &["jobs", "cancel", "--table", "session", "--session", "shop"]).await?;
    ensure!(text.contains("only for messages"), "{text}");
    Ok(())
}

#[tokio::test]
async fn m1_campaigns_are_listed_followed_paused_resumed_and_cancelled() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop');
         INSERT INTO wa.outbound (session, recipient, body, campaign) SELECT 'shop', '+15550009', 'x', 'may' FROM generate_series(1, 3);",
    )
    .execute(&db.pool)
    .await?;
    let of = |verb: &'static str| ["campaign", verb, "shop", "may"];
    let changed =
        |what: &str, count: i64| vec![serde_json::json!({ "session": "shop", "campaign": "may", what: count })];
    ensure!(lines(&db, &of("pause")).await? == changed("held", 3));
    let [row] = &lines(&db, &["campaign", "list", "--session", "shop"]).await?[..] else {
        anyhow::bail!("not one campaign");
    };
    ensure!(row["messages"] == 3 && row["held"] == 3 && row["paused_at"].is_string(), "{row}");
    sqlx::query("SELECT wa.add_session('other')").execute(&db.pool).await?;
    ensure!(lines(&db, &["campaign", "list", "--session", "other"]).await?.is_empty());
    ensure!(lines(&db, &of("resume")).await? == changed("resumed", 3));
    // `follow` ends when no message waits any more.
    let mut following = wagres();
    following.args(["--json", "--log", "error", "--database-url", &db.url]).args(of("follow"));
    following.stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut following = following.spawn()?;
    let mut output =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(following.stdout.take().context("no output")?));
    let first: Value = serde_json::from_str(&output.next_line().await?.context("no first line")?)?;
    ensure!(first["waiting"] == 3 && first["paused_at"].is_null(), "{first}");
    ensure!(lines(&db, &of("cancel")).await? == changed("cancelled", 3));
    let last: Value = serde_json::from_str(&output.next_line().await?.context("no last line")?)?;
    ensure!(last["waiting"] == 0 && last["withdrawn"] == 3, "{last}");
    ensure!(output.next_line().await?.is_none() && following.wait().await?.success());
    let text = refusal(&db, &["campaign", "follow", "shop", "july"]).await?;
    ensure!(text.contains("no message of campaign \"july\""), "{text}");
    let text = refusal(&db, &["campaign", "pause", "shop", ""]).await?;
    ensure!(text.contains("campaign: 0 bytes"), "{text}");
    Ok(())
}
