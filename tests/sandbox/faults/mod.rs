//! X2: faults on demand, and how unmodified clients react to them.

mod app_state;
mod connection;
mod groups;
mod keys;
mod media;
mod rules;
mod stanza;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::control::Control;

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// Adds a rule; returns its id.
async fn set(control: &Control, rule: Value) -> Result<u64> {
    control.post("/faults", rule).await?["id"].as_u64().context("no id")
}

/// How often a rule matched and struck.
async fn counts(control: &Control, id: u64) -> Result<(u64, u64)> {
    let rules = control.get("/faults").await?;
    let rule = rules["faults"].as_array().and_then(|rules| rules.iter().find(|rule| rule["id"] == id));
    let rule = rule.with_context(|| format!("no rule {id} in {rules}"))?;
    Ok((rule["matched"].as_u64().context("matched")?, rule["struck"].as_u64().context("struck")?))
}

async fn delete(control: &Control, path: &str) -> Result<Value> {
    let (status, answer) = control.request("DELETE", path, None).await?;
    anyhow::ensure!(status == 200, "{status} {answer}");
    Ok(answer)
}

/// Writes from a phone to a number; returns the message's id.
async fn write(control: &Control, from: &str, to: &str, text: &str) -> Result<String> {
    let sent = control.post(&format!("/phones/{from}/send"), json!({ "to": to, "text": text })).await?;
    sent["id"].as_str().map(str::to_owned).context("no id")
}
