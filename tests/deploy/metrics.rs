//! The metrics of a running worker: all are there from the start, named as `OpenMetrics` wants it, and whatever the dashboard
//! and the alerts ask for exists.

use super::files::{run, text, yaml};
use crate::sessions::telemetry::{exposition, metric_is};
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use wagres::telemetry::DESCRIPTIONS;

/// Metrics whose labels appear with the first request or company.
const LATER: [&str; 2] = ["marketplace_http_request_duration_seconds", "marketplace_whatsapp_connections"];

/// The names of the series of a worker, each with its labels' names. `le` and the endings of a histogram count.
fn series(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, _) = line.rsplit_once(' ').unwrap_or_default();
        let (name, labels) = key.split_once('{').unwrap_or((key, ""));
        let labels = labels.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned());
        found.entry(name.to_owned()).or_default().extend(labels);
    }
    found
}

/// Each series with its labels' values.
fn keys(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with("wagres_") || line.starts_with("process_"));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// A worker that has counted the fleet.
async fn counted(world: &World) -> Result<(Worker, String)> {
    let worker = world.worker().await?;
    sqlx::query("SELECT wa.run_now('resource-report')").execute(world.pool()).await?;
    metric_is(&worker, "wagres_fleet_workers", 1.0).await?;
    let text = exposition(&worker).await?;
    Ok((worker, text))
}

#[tokio::test]
async fn h10_every_series_is_there_from_the_start_at_zero() -> Result<()> {
    let world = World::new().await?;
    let (worker, first) = counted(&world).await?;
    let there = series(&first);
    for (name, _) in DESCRIPTIONS.iter().filter(|(name, _)| !LATER.contains(name)) {
        ensure!(
            there.contains_key(*name) || there.contains_key(&format!("{name}_count")),
            "{name} is absent:\n{first}"
        );
    }
    // What happens later adds to series that are there, and makes no new one.
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let sent = world.send("shop", "15550002", "one").await?;
    world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {sent}")).await?;
    let failed = world.send("shop", "15559999", "to nobody").await?;
    world.message_is(failed, "failed").await?;
    let class: String = world.until(&format!("SELECT failure FROM wa.outbound WHERE id = {failed}")).await?;
    metric_is(&worker, &format!("wagres_messages_failed_total{{class=\"{class}\"}}"), 1.0).await?;
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.session_is("shop", "stopped").await?;
    let later = exposition(&worker).await?;
    let new: Vec<_> = keys(&later).difference(&keys(&first)).cloned().collect();
    ensure!(new.is_empty(), "not there from the start: {new:?}");
    worker.stop().await
}

#[tokio::test]
async fn h10_names_and_units_are_those_of_openmetrics() -> Result<()> {
    let (worker, text) = counted(&World::new().await?).await?;
    worker.stop().await?;
    for (name, help) in DESCRIPTIONS {
        let base = name.strip_suffix("_total").unwrap_or(name);
        let unit = base.rsplit('_').next().unwrap_or_default();
        let abbreviated = ["ms", "millis", "s", "mb", "kb", "percent", "share", "milliseconds", "megabytes"];
        ensure!(!abbreviated.contains(&unit), "{name}: the base units are seconds, bytes and ratio");
        ensure!(help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
    }
    // Prometheus' own linter, on what is ours.
    let ours = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        ["wagres_", "marketplace_", "process_"].iter().any(|start| name.starts_with(start))
    };
    let lines: Vec<&str> = text.lines().filter(ours).collect();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().context("promtool is not installed; `make test` installs it")?;
    let mut input = promtool.stdin.take().context("no stdin")?;
    input.write_all(format!("{}\n", lines.join("\n")).as_bytes()).await?;
    drop(input);
    let output = promtool.wait_with_output().await?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(())
}

/// The metrics that a query names, each with the labels that it selects by.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (mut found, mut rest) = (vec![], query);
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|letter| !is_word(letter)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        rest = &rest[end..];
        if !["wagres_", "process_", "marketplace_"].iter().any(|prefix| word.starts_with(prefix)) {
            // A text in quotes names no metric.
            continue;
        }
        let mut labels = vec![];
        if let Some(inside) = rest.strip_prefix('{') {
            let (pairs, after) = inside.split_once('}').unwrap_or((inside, ""));
            labels.extend(pairs.split(',').filter_map(|pair| Some(pair.split(['=', '!']).next()?.trim().to_owned())));
            rest = after;
        }
        found.push((word.to_owned(), labels));
    }
    found
}

/// The labels by which a query groups.
fn grouped(query: &str) -> Vec<String> {
    let groups = query.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    groups.flat_map(|labels| labels.split(',')).map(|label| label.trim().to_owned()).collect()
}

/// Every query of the dashboard and of the alerts.
async fn queries() -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(&text("monitoring/grafana.json")?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut found: Vec<String> = targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect();
    ensure!(found.len() > 30, "{} queries", found.len());
    let alerts = yaml(&super::files::path("monitoring/alerts.yml")).await?;
    let rules = alerts[0]["groups"][0]["rules"].as_array().context("rules")?;
    found.extend(rules.iter().filter_map(|rule| rule["expr"].as_str().map(str::to_owned)));
    Ok(found)
}

#[tokio::test]
async fn h10_the_dashboard_and_the_alerts_ask_for_what_a_worker_shows() -> Result<()> {
    let (worker, text) = counted(&World::new().await?).await?;
    worker.stop().await?;
    let there = series(&text);
    // Prometheus itself adds these.
    let target = ["job", "instance"].map(str::to_owned);
    for query in queries().await? {
        let names = asked(&query);
        ensure!(!names.is_empty() || query.starts_with("up{"), "{query} asks for nothing of ours");
        let mut labels: BTreeSet<&String> = target.iter().collect();
        for (name, selected) in &names {
            let known = there.get(name).with_context(|| format!("{name} in {query}: no such metric"))?;
            labels.extend(known);
            for label in selected {
                ensure!(known.contains(label) || target.contains(label), "{query}: {name} has no label {label}");
            }
        }
        for label in grouped(&query) {
            ensure!(labels.contains(&label), "{query}: no label {label}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn h10_prometheus_parses_every_query_of_the_dashboard() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rule = |(n, query): (usize, String)| serde_json::json!({ "record": format!("query:{n}"), "expr": query.replace("$__rate_interval", "5m") });
    let rules: Vec<Value> = queries().await?.into_iter().enumerate().map(rule).collect();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string())?;
    run(Command::new("promtool").args(["check", "rules"]).arg(&file)).await?;
    Ok(())
}
