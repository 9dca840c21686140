//! Short runs of the benchmarks. The figures measure nothing here, but they must have the documented shape.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::{Command, Output};

const PEERS: [&str; 6] =
    ["graphile-worker-local-queue", "apalis-postgres", "awa", "pg-boss", "graphile-worker", "procrastinate"];

/// Runs a benchmark on a Postgres of its own and returns its lines.
async fn bench(arguments: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wagres-bench"));
    command.args(["--json", "--log", "warn"]).args(arguments);
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || command.output()).await??;
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{arguments:?}: {status}\n{stderr}");
    let lines: Vec<Value> = String::from_utf8(stdout)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    ensure!(!lines.is_empty(), "no line\n{stderr}");
    for line in &lines {
        for field in ["id", "name", "figure", "unit", "reference", "reference_figure", "ratio", "budget", "met"] {
            ensure!(line.get(field).is_some(), "no {field} in {line}");
        }
    }
    Ok(lines)
}

fn positive(line: &Value, field: &str) -> bool {
    line[field].as_f64().is_some_and(|value| value > 0.0)
}

fn ensure_missing_peers(lines: &[Value], id: &str) -> Result<()> {
    for peer in PEERS {
        let named = lines.iter().any(|line| {
            line["id"] == id
                && line["reference"] == peer
                && line["reference_figure"].is_null()
                && line["note"].as_str().is_some_and(|note| note.contains("not installed"))
        });
        ensure!(named, "{peer} is not named as missing: {lines:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn p1_bench_queue_drains_every_job_and_names_missing_peers() -> Result<()> {
    let none = std::env::temp_dir().join("wagres-no-peers").display().to_string();
    let lines = bench(&["queue", "--jobs", "300", "--sessions", "3", "--chats", "20", "--peers", &none]).await?;
    let own = lines.iter().find(|line| line["id"] == "P1" && line["reference"].is_null()).context("no P1")?;
    ensure!(positive(own, "figure") && own["unit"] == "jobs/s", "{own}");
    ensure_missing_peers(&lines, "P1")?;
    for name in ["transactions a job", "WAL a job", "dead row versions a job"] {
        let cost = lines.iter().find(|line| line["id"] == "P10" && line["name"] == name).context(name)?;
        ensure!(positive(cost, "figure"), "{cost}");
    }
    Ok(())
}

#[tokio::test]
async fn p2_bench_latency_stands_beside_a_bare_notify() -> Result<()> {
    let none = std::env::temp_dir().join("wagres-no-peers").display().to_string();
    let lines = bench(&["latency", "--jobs", "5", "--peers", &none]).await?;
    let floors =
        ["NOTIFY round trip", "INSERT and NOTIFY round trip"].into_iter().flat_map(|floor| [(floor, 50), (floor, 99)]);
    for (line, (floor, part)) in lines.iter().zip(floors) {
        let budget = floor.starts_with("INSERT") && part == 50;
        ensure!(line["id"] == "P2" && line["reference"] == floor, "{line}");
        ensure!(positive(line, "figure") && positive(line, "reference_figure") && positive(line, "ratio"), "{line}");
        ensure!(line["met"].is_boolean() == budget, "{line}");
    }
    ensure_missing_peers(&lines, "P2")
}

#[tokio::test]
async fn p9_bench_insert_compares_with_no_wake_up() -> Result<()> {
    let lines = bench(&["insert", "--clients", "2", "--seconds", "1", "--rounds", "1"]).await?;
    ensure!(lines.len() == 3, "{lines:#?}");
    let role = &lines[0];
    ensure!(role["id"] == "P9b" && role["reference"] == "as superuser" && role["met"].is_boolean(), "{role}");
    ensure!(positive(role, "figure") && positive(role, "ratio"), "{role}");
    for line in &lines[1..] {
        ensure!(line["id"] == "P9" && line["reference"] == "no wake-up", "{line}");
        ensure!(positive(line, "figure") && positive(line, "reference_figure"), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn p8_bench_history_compares_with_an_empty_table() -> Result<()> {
    let arguments = ["history", "--rows", "3000", "--jobs", "200", "--rounds", "1", "--sessions", "2", "--chats", "20"];
    let lines = bench(&arguments).await?;
    ensure!(lines.len() == 1 && lines[0]["id"] == "P8" && lines[0]["reference"] == "empty table", "{lines:#?}");
    ensure!(positive(&lines[0], "figure") && positive(&lines[0], "ratio"), "{lines:#?}");
    Ok(())
}

#[tokio::test]
async fn p3_bench_e2e_stands_beside_the_bare_library_and_names_a_missing_baileys() -> Result<()> {
    let none = std::env::temp_dir().join("wagres-no-baileys").display().to_string();
    let few = ["--messages", "30", "--chats", "3", "--samples", "4", "--rounds", "1", "--sessions", "2"];
    let lines = bench(&[&["e2e", "--baileys", &none][..], &few].concat()).await?;
    ensure!(lines.len() == 5 && lines.iter().all(|line| line["id"] == "P3"), "{lines:#?}");
    let [rate, baileys, rest @ ..] = &lines[..] else { anyhow::bail!("{lines:#?}") };
    ensure!(rate["reference"] == "bare library" && rate["budget"] == 0.4 && rate["met"].is_boolean(), "{rate}");
    ensure!(baileys["note"].as_str().is_some_and(|note| note.contains("not installed")), "{baileys}");
    for line in rest.iter().chain([rate]) {
        ensure!(positive(line, "figure") && positive(line, "reference_figure") && positive(line, "ratio"), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn h2_bench_pages_measures_every_screen_for_each_reader() -> Result<()> {
    let lines = bench(&["pages", "--messages", "20000", "--sessions", "200", "--rounds", "1"]).await?;
    for screen in
        ["fleet", "risk", "session", "queue", "message", "failures", "delivery", "campaigns", "inbox", "stream"]
    {
        for reader in ["admin", "large", "small"] {
            let begin = format!("{reader} /{screen}");
            let line = lines.iter().find(|line| line["name"].as_str().is_some_and(|name| name.starts_with(&begin)));
            let line = line.with_context(|| begin)?;
            ensure!(line["id"] == "H2" && line["reference"] == "limit" && positive(line, "figure"), "{line}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn h5_bench_webhook_stands_beside_the_receivers_bare_rate() -> Result<()> {
    let lines = bench(&["webhook", "--deliveries", "200", "--waiting", "500", "--rounds", "1"]).await?;
    let bare = lines.iter().find(|line| line["reference"] == "the receiver's bare rate").context("no bare rate")?;
    ensure!(positive(bare, "figure") && positive(bare, "reference_figure") && positive(bare, "ratio"), "{bare}");
    ensure!(lines.iter().filter(|line| line["reference"] == "none waiting" && positive(line, "ratio")).count() == 2);
    Ok(())
}

#[tokio::test]
async fn p12_bench_growth_prints_each_law_beside_what_is_wanted() -> Result<()> {
    let sizes =
        ["growth", "--seconds", "1", "--workers", "1", "--stopped", "10,100", "--links", "10,100", "--busy", "2,8"];
    let lines = bench(&sizes).await?;
    ensure!(lines.len() == 6, "{lines:#?}");
    for line in &lines {
        ensure!(line["figure"].is_number() && positive(line, "reference_figure") && line["met"].is_boolean(), "{line}");
    }
    Ok(())
}
