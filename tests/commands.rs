//! Commands at their edges: readers that have gone, servers that do not answer, a folder that is in use, passwords that
//! must not be shown.

use crate::control::Control;
use crate::support::db;
use crate::support::until::{LIMIT, until};
use crate::support::world::{Worker, World, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, PgPool};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

async fn output(command: &mut Command) -> Result<Output> {
    tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")?.map_err(Into::into)
}

/// The error output of a command that must fail.
async fn refused(command: &mut Command) -> Result<String> {
    let done = output(command).await?;
    ensure!(!done.status.success(), "{command:?}: accepted");
    Ok(String::from_utf8(done.stderr)?)
}

/// Waits until `query` gives true.
async fn holds(pool: &PgPool, query: &'static str) -> Result<()> {
    let look = async || {
        let holds: Option<bool> = sqlx::query_scalar(query).fetch_optional(pool).await?;
        Ok(if holds == Some(true) { Ok(()) } else { Err("false") })
    };
    until(query, look).await
}

/// `wagres up` in a folder; sessions cannot connect.
fn up(folder: &Path, more: &[&str]) -> Command {
    let mut command = wagres();
    command.args(["up", "--json", "--http", "127.0.0.1:0", "--data"]).arg(folder).args(more);
    command
}

const NOWHERE: [&str; 2] = ["--whatsapp-url", "ws://127.0.0.1:9/"];

fn text_of<'a>(ready: &'a Value, name: &str) -> Result<&'a str> {
    ready[name].as_str().with_context(|| format!("{name}: {ready}"))
}

#[tokio::test]
async fn h7_a_log_that_is_no_terminal_has_no_colours() -> Result<()> {
    let db = db::fresh().await;
    let mut command = wagres();
    command.args(["--database-url", &db.url, "worker", "--http", "127.0.0.1:0"]).args(NOWHERE);
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(worker.stderr.take().context("no log")?).lines();
    let line = tokio::time::timeout(LIMIT, async {
        loop {
            match lines.next_line().await? {
                Some(line) if line.contains("INFO") => return Ok(line),
                Some(_) => {}
                None => anyhow::bail!("the log has ended"),
            }
        }
    });
    let line = line.await.context("no line of the log")??;
    ensure!(!line.contains('\u{1b}'), "{line:?}");
    worker.kill().await?;
    Ok(())
}

#[tokio::test]
async fn h7_a_closed_pipe_ends_a_command_quietly() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop');
         INSERT INTO wa.outbound (session, recipient, body, campaign)
         SELECT 'shop', '+15550009', 'x', 'c' || n FROM generate_series(1, 50) n",
    )
    .execute(&db.pool)
    .await?;
    for arguments in [
        ["campaign", "list"].as_slice(),
        &["--json", "campaign", "list"],
        &["jobs", "list", "--limit", "50"],
        &["jobs", "show", "1"],
        &["schedule", "list"],
        &["schedule", "show", "retention"],
        &["session", "list"],
        &["config"],
        &["doctor"],
    ] {
        let mut command = wagres();
        command.args(["--database-url", &db.url]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // Before the first line: the process still has to start.
        drop(child.stdout.take());
        let done =
            tokio::time::timeout(LIMIT, child.wait_with_output()).await.context("the command does not end")??;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success() && !said.contains("panicked") && !said.contains("pipe"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_a_worker_whose_reader_has_gone_works_on() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    world.holds("SELECT count(*) = 1 FROM wa.worker").await?;
    world.link("shop", "15550001").await?;
    let pid = child.id().context("the worker has ended")?.to_string();
    ensure!(Command::new("kill").args(["-s", "TERM", &pid]).status().await?.success());
    ensure!(tokio::time::timeout(LIMIT, child.wait()).await??.success(), "the worker failed");
    Ok(())
}

#[tokio::test]
async fn h7_a_server_that_refuses_is_reported_at_once_by_its_cause() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("postgres://wagres:hunter2@127.0.0.1:{}/wagres", free.local_addr()?.port());
    drop(free);
    for arguments in [["jobs", "queue"].as_slice(), &["migrate"], &["worker", "--http", "127.0.0.1:0"], &["console"]] {
        let mut command = wagres();
        command.args(["--log", "error", "--database-url", &url]).args(arguments);
        command.env("WAGRES_WHATSAPP_URL", "ws://127.0.0.1:9/");
        let begun = Instant::now();
        let said = refused(&mut command).await?;
        // A pool would go on trying for ten seconds.
        ensure!(begun.elapsed() < Duration::from_secs(8), "{arguments:?}: after {:?}", begun.elapsed());
        ensure!(said.matches("Connection refused").count() == 1, "{arguments:?}: {said}");
        ensure!(said.matches("cannot connect to the database").count() == 1, "{arguments:?}: {said}");
        ensure!(!said.contains("hunter2"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_an_error_is_printed_once_without_lines_of_the_server_s_source() -> Result<()> {
    let db = db::fresh().await;
    let mut elsewhere = url::Url::parse(&db.url)?;
    elsewhere.set_path("postgres");
    let mut missing = elsewhere.clone();
    missing.set_path("there_is_no_such_database");
    for (url, arguments, once) in [
        (db.url.as_str(), ["send", "nobody", "+15550002", "x"].as_slice(), "nobody"),
        (&db.url, &["jobs", "cancel", "--session", "nobody"], "nobody"),
        (&db.url, &["session", "close", "nobody"], "nobody"),
        (&db.url, &["schedule", "set", "x", "--cron", "nonsense", "--kind", "retention"], "cron: "),
        // A database without the schema.
        (elsewhere.as_str(), &["jobs", "queue"], "does not exist"),
        (missing.as_str(), &["jobs", "queue"], "does not exist"),
    ] {
        let said = refused(wagres().args(["--log", "error", "--database-url", url]).args(arguments)).await?;
        let error = said.lines().next().unwrap_or_default();
        ensure!(error.starts_with("wagres: ") && error.matches(once).count() == 1, "{arguments:?}: {said}");
        ensure!(!error.contains(" at line ") && !error.contains("error returned"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_a_second_up_in_a_folder_is_refused_and_the_first_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let data = folder.path().join("data");
    let first = Worker::start(up(&data, &NOWHERE)).await?;
    let pool = PgPool::connect(text_of(&first.ready, "database_url")?).await?;
    for more in [NOWHERE.as_slice(), &["--sandbox"]] {
        let said = refused(&mut up(&data, more)).await?;
        ensure!(said.contains(&format!("process {}", first.pid()?)) && said.contains("--data"), "{said}");
        ensure!(said.contains(&data.display().to_string()), "{said}");
    }
    let workers: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.worker").fetch_one(&pool).await?;
    ensure!(workers == 1, "{workers} workers");
    pool.close().await;
    first.stop().await?;
    Worker::start(up(&data, &NOWHERE)).await?.stop().await
}

#[tokio::test]
async fn h7_up_with_a_sandbox_keeps_addresses_phones_and_links_over_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let data = folder.path().join("data");
    let first = Worker::start(up(&data, &["--sandbox"])).await?;
    let ready = first.ready.clone();
    let control = Control::new(text_of(&ready, "sandbox_control")?);
    let pool = PgPool::connect(text_of(&ready, "database_url")?).await?;
    control.post("/phones", json!({ "number": "15550001" })).await?;
    control.post("/phones", json!({ "number": "15550002" })).await?;
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(&pool).await?;
    holds(&pool, "SELECT qr IS NOT NULL FROM wa.session").await?;
    let qr: String = sqlx::query_scalar("SELECT qr FROM wa.session").fetch_one(&pool).await?;
    control.post("/phones/15550001/scan", json!({ "qr": qr })).await?;
    holds(&pool, "SELECT status = 'connected' FROM wa.session").await?;
    pool.close().await;
    first.stop().await?;

    let second = Worker::start(up(&data, &["--sandbox"])).await?;
    for name in ["database_url", "database_tcp_url", "pgpassfile", "sandbox", "sandbox_control"] {
        ensure!(second.ready[name].is_string() && second.ready[name] == ready[name], "{name}: {}", second.ready);
    }
    let pool = PgPool::connect(text_of(&ready, "database_url")?).await?;
    holds(&pool, "SELECT status = 'connected' FROM wa.session").await?;
    let links = "SELECT count(*) = 1 FROM wa.session_job WHERE kind = 'link'";
    holds(&pool, links).await?;
    sqlx::query("SELECT wa.send_text('shop', '+15550002', 'still here')").execute(&pool).await?;
    control.shown("15550002", "still here").await?;
    pool.close().await;
    second.stop().await
}

/// In the folder in which `wagres up` was started, and from elsewhere by `WAGRES_DATA_DIR`.
#[tokio::test]
async fn h7_commands_find_the_wagres_up_that_runs_in_the_data_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let data = folder.path().join("wagres-data");
    let running = Worker::start(up(&data, &["--sandbox"])).await?;
    let beside = |arguments: &[&str]| {
        let mut command = wagres();
        command.current_dir(folder.path()).args(["--json", "--log", "error"]).args(arguments);
        command
    };
    let said = async |mut command: Command| {
        let done = output(&mut command).await?;
        let text = String::from_utf8(done.stdout)?;
        ensure!(done.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
        anyhow::Ok(text)
    };
    let doctor = said(beside(&["doctor"])).await?;
    let lines = doctor.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    for (what, found) in [("whatsapp", "sandbox"), ("database", "database_url")] {
        let line = lines.iter().find(|line| line["what"] == what).with_context(|| doctor.clone())?;
        ensure!(line["state"] == "ok", "{line}");
        ensure!(
            line["found"].as_str().is_some_and(|it| it.contains(running.ready[found].as_str().unwrap_or("?"))),
            "{line}"
        );
    }
    said(beside(&["session", "add", "shop"])).await?;
    for arguments in [["jobs", "queue"], ["worker", "list"], ["session", "list"]] {
        said(beside(&arguments)).await?;
    }
    let mut elsewhere = wagres();
    elsewhere.args(["--json", "session", "list"]).env("WAGRES_DATA_DIR", &data);
    ensure!(said(elsewhere).await?.contains("\"shop\""));
    // Whoever names a database means that one.
    let other = db::fresh().await;
    ensure!(said(beside(&["session", "list", "--database-url", &other.url])).await?.is_empty());
    // And whoever names this one means its WhatsApp, too.
    let tcp = text_of(&running.ready, "database_tcp_url")?.to_owned();
    let mut by_tcp = beside(&["doctor", "--database-url", &tcp]);
    by_tcp.env("PGPASSFILE", text_of(&running.ready, "pgpassfile")?);
    ensure!(said(by_tcp).await?.contains(text_of(&running.ready, "sandbox")?));

    running.stop().await?;
    let text = refused(&mut beside(&["session", "list"])).await?;
    for word in ["database_url: missing", "DATABASE_URL", "WAGRES_DATA_DIR", &data.display().to_string()] {
        ensure!(text.contains(word), "{word}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_a_port_that_is_taken_is_reported_with_its_remedy() -> Result<()> {
    let db = db::fresh().await;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let mut command = wagres();
    command.args(["--log", "error", "--database-url", &db.url, "worker", "--http", &address]).args(NOWHERE);
    let said = refused(&mut command).await?;
    for word in [address.as_str(), "--http 127.0.0.1:0", "http = ", "WAGRES_HTTP"] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn q14_the_database_of_up_lets_in_who_owns_the_folder_or_knows_the_password() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let data = folder.path().join("data");
    let running = Worker::start(up(&data, &NOWHERE)).await?;
    let mode = |path: &Path| anyhow::Ok(std::fs::metadata(path)?.permissions().mode() & 0o777);
    ensure!(mode(&data.join("postgres"))? == 0o700, "others may enter the folder of the socket");
    let pass_file = text_of(&running.ready, "pgpassfile")?;
    ensure!(mode(Path::new(pass_file))? == 0o600, "others may read the password");
    let kept = std::fs::read_to_string(pass_file)?;
    let password = kept.lines().next().and_then(|line| line.rsplit(':').next()).context("no password")?;
    ensure!(password.len() == 64 && !running.ready.to_string().contains(password), "{}", running.ready);

    // By the socket without a password, by TCP with it alone.
    PgConnection::connect(text_of(&running.ready, "database_url")?).await?.close().await?;
    let mut tcp = url::Url::parse(text_of(&running.ready, "database_tcp_url")?)?;
    for wrong in ["", "wagres"] {
        tcp.set_password(Some(wrong)).ok().context("a URL")?;
        ensure!(PgConnection::connect(tcp.as_str()).await.is_err(), "anybody is let in with {wrong:?}");
    }
    tcp.set_password(Some(password)).ok().context("a URL")?;
    PgConnection::connect(tcp.as_str()).await?.close().await?;
    // As psql does it.
    let mut psql = Command::new("psql");
    psql.args(["-XAtqw", "-d", text_of(&running.ready, "database_tcp_url")?, "-c", "SELECT count(*) FROM wa.worker"]);
    let done = output(psql.env("PGPASSFILE", pass_file)).await?;
    ensure!(done.stdout.trim_ascii() == b"1", "{}", String::from_utf8_lossy(&done.stderr));
    running.stop().await
}

#[tokio::test]
async fn q14_a_worker_prints_the_address_of_its_database_without_the_password() -> Result<()> {
    let world = World::new().await?;
    let mut url = url::Url::parse(&world.db.url)?;
    url.set_password(Some("hunter2")).ok().context("a URL")?;
    let worker = Worker::start(world.worker_on(url.as_str())).await?;
    ensure!(worker.ready["database_url"] == world.db.url.as_str(), "{}", worker.ready);
    ensure!(!worker.ready.to_string().contains("hunter2"), "{}", worker.ready);
    worker.stop().await
}

#[tokio::test]
async fn q13_set_pacing_keeps_what_is_left_out_and_clear_pacing_removes_a_limit() -> Result<()> {
    let db = db::fresh().await;
    let pacing = async |change: &'static str| -> Result<Value> {
        sqlx::raw_sql(change).execute(&db.pool).await?;
        Ok(sqlx::query_scalar("SELECT to_jsonb(p) - 'session_id' FROM wa.pacing p").fetch_one(&db.pool).await?)
    };
    let mut expected = pacing(
        "SELECT wa.add_session('shop');
         SELECT wa.set_pacing('shop', per_minute => 20, burst => 5, jitter => '3 s', first_contacts => 7,
             quiet_from => '22:00', quiet_until => '07:00', time_zone => 'Europe/Berlin', typing => true)",
    )
    .await?;
    ensure!(expected["per_minute"] == 20.0 && expected["typing"] == true, "{expected}");
    ensure!(pacing("SELECT wa.set_pacing('shop')").await? == expected);
    ensure!(pacing("SELECT wa.set_pacing('shop', per_minute => NULL)").await? == expected);
    expected["quiet_from"] = json!("23:00:00");
    ensure!(pacing("SELECT wa.set_pacing('shop', quiet_from => '23:00')").await? == expected);
    expected["typing"] = json!(false);
    ensure!(pacing("SELECT wa.set_pacing('shop', typing => false)").await? == expected);
    expected["per_minute"] = Value::Null;
    ensure!(pacing("SELECT wa.clear_pacing('shop', 'per_minute')").await? == expected);
    (expected["quiet_from"], expected["quiet_until"]) = (Value::Null, Value::Null);
    ensure!(pacing("SELECT wa.clear_pacing('shop', 'quiet_hours')").await? == expected);
    sqlx::raw_sql("SELECT wa.clear_pacing('shop')").execute(&db.pool).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.pacing").fetch_one(&db.pool).await?;
    ensure!(rows == 0, "{rows} rows left");
    Ok(())
}

#[tokio::test]
async fn h7_the_readmes_sql_can_be_pasted_and_closes_no_session() -> Result<()> {
    let db = db::fresh().await;
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let block = readme.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).context("no SQL")?;
    // Whoever pastes it has scanned the code in between.
    let block = block.replacen(
        "SELECT wa.close(",
        "UPDATE wa.session SET jid = '15550001:1@s.whatsapp.net' WHERE name = 'shop';\nSELECT wa.close(",
        1,
    );
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, block)?;
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &db.url, "-f"]).arg(file.path());
    let done = output(&mut psql).await?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let closing = "SELECT count(*) FROM wa.schedule WHERE kind = 'close' AND enabled";
    let closing: i64 = sqlx::query_scalar(closing).fetch_one(&db.pool).await?;
    let desired: String = sqlx::query_scalar("SELECT desired::text FROM wa.session").fetch_one(&db.pool).await?;
    ensure!(closing == 0 && desired == "connected", "{closing} schedules close a session, which should be {desired}");
    Ok(())
}
