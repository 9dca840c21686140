//! H1: each log line of a session names the session and its epoch, and each line of a job names the job.

use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// Lines with targets that begin so belong to the session, because the test has one session only.
const OF_SESSION: [&str; 5] = ["wagres::session", "wagres::messages", "wagres::auth", "whatsapp_rust", "wacore"];

/// Exceptions: the lease is the worker's, for all its sessions; and the library's socket reads in a task that it starts by
/// itself, outside of the tasks that carry a session's span.
const OF_WORKER: [&str; 2] = ["wagres::session::lease", "whatsapp_rust_tokio_transport"];

/// Links the session `shop`, sends and receives a message, sweeps keys, closes the session, and stops the worker. Returns
/// the lines of its log, and kind and id of each job.
async fn log_of_one_session() -> Result<(Vec<Value>, Vec<(String, i64)>)> {
    let world = World::new().await?;
    let log = NamedTempFile::new()?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_LOG_FORMAT", "json").env("WAGRES_LOG", "info,wagres=debug,whatsapp_rust=debug,wacore=debug");
    command.stderr(log.reopen()?);
    let worker = Worker::start(command).await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let id = world.send("shop", "15550002", "Hello").await?;
    world.message_is(id, "read").await?;
    world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": "Hi" })).await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox").await?;
    sqlx::query("SELECT wa.run_now('sweep-keys')").execute(world.pool()).await?;
    world.holds("SELECT status = 'done' FROM wa.maintenance_job").await?;
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.session_is("shop", "stopped").await?;
    worker.stop().await?;
    let jobs = "SELECT kind, id FROM wa.session_job UNION ALL SELECT kind, id FROM wa.outbound
                UNION ALL SELECT kind, id FROM wa.maintenance_job";
    let jobs = sqlx::query_as(jobs).fetch_all(world.pool()).await?;
    let text = std::fs::read_to_string(log.path())?;
    let lines = text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned()));
    Ok((lines.collect::<Result<_>>()?, jobs))
}

fn target(line: &Value) -> &str {
    line["target"].as_str().unwrap_or_default()
}

fn spans(line: &Value) -> impl Iterator<Item = &Value> {
    line["spans"].as_array().into_iter().flatten()
}

fn names_the_session(line: &Value) -> bool {
    spans(line).any(|span| span["session"] == "shop" && span["epoch"].is_u64())
}

/// Whether a line outside of its spans mentions the session.
fn mentions_the_session(line: &Value) -> bool {
    let mut rest = line.clone();
    rest["spans"] = Value::Null;
    ["shop", "15550001"].iter().any(|name| rest.to_string().contains(name))
}

#[tokio::test]
async fn h1_every_log_line_of_a_session_names_it_and_its_epoch() -> Result<()> {
    let (lines, _) = log_of_one_session().await?;
    let belongs = |line: &Value| {
        let begins = |with: &&str| target(line).starts_with(with);
        OF_SESSION.iter().any(begins) && !OF_WORKER.iter().any(begins)
    };
    for prefix in ["wagres::session", "whatsapp_rust", "wacore"] {
        let some = lines.iter().any(|line| target(line).starts_with(prefix) && names_the_session(line));
        ensure!(some, "no line of {prefix} names the session, so the test looks at nothing");
    }
    let without: Vec<String> = lines
        .iter()
        .filter(|line| (belongs(line) || mentions_the_session(line)) && !names_the_session(line))
        .map(Value::to_string)
        .collect();
    ensure!(without.is_empty(), "{} lines without session and epoch:\n{}", without.len(), without.join("\n"));
    Ok(())
}

#[tokio::test]
async fn h1_every_job_has_log_lines_with_its_kind_and_id() -> Result<()> {
    let (lines, jobs) = log_of_one_session().await?;
    let kinds: Vec<&str> = jobs.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in ["link", "reconnect", "close", "text", "sweep_keys"] {
        ensure!(kinds.contains(&kind), "no job of kind {kind}: {kinds:?}");
    }
    for (kind, id) in &jobs {
        let of_job = |line: &&Value| {
            spans(line).any(|span| span["name"] == "job" && span["kind"] == kind.as_str() && span["id"] == *id)
        };
        let mut found = lines.iter().filter(of_job).peekable();
        ensure!(found.peek().is_some(), "no log line of the {kind} job {id}");
        let whole = |line: &Value| kind == "sweep_keys" || names_the_session(line);
        ensure!(found.all(whole), "a log line of the {kind} job {id} does not name its session");
    }
    Ok(())
}
