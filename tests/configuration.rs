//! H8: `docs/configuration.md` has each setting that `wagres config` shows, with its default, its limits and its meaning, taken
//! from the source.

use crate::support::docs;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use wagres::config::Config;

/// The settings and their defaults, by their names with the section.
fn settings(section: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) if section.is_empty() || !fields.is_empty() => {
            for (name, value) in fields {
                let dot = if section.is_empty() { "" } else { "." };
                settings(&format!("{section}{dot}{name}"), value, found);
            }
        }
        value => found.push((section.to_owned(), value.clone())),
    }
}

/// The documentation of a field, in one line.
fn meaning(source: &str, field: &str) -> Result<String> {
    let at = source.find(&format!("\n    pub {field}: ")).with_context(|| format!("no field {field}"))?;
    let comment: Vec<&str> =
        source[..at].lines().rev().map_while(|line| line.trim().strip_prefix("///")).map(str::trim).collect();
    // Attributes stand between the comment and the field.
    let comment = if comment.is_empty() {
        let skipped = source[..at].lines().rev().skip_while(|line| line.trim().starts_with("#["));
        skipped.map_while(|line| line.trim().strip_prefix("///")).map(str::trim).collect()
    } else {
        comment
    };
    ensure!(!comment.is_empty(), "{field} has no comment");
    Ok(comment.into_iter().rev().collect::<Vec<_>>().join(" ").replace('|', "\\|"))
}

/// A bound as the source writes it: `60_000`, `1 << 20`.
fn bound(text: &str) -> Result<u64> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().with_context(|| text.to_owned());
    match text.split_once("<<") {
        Some((value, bits)) => Ok(number(value)? << number(bits)?),
        None => number(text),
    }
}

/// The limits of a number, if it has any.
fn limits(source: &str, key: &str) -> Result<String> {
    let Some((_, rest)) = source.split_once(&format!("within(\"{key}\", ")) else { return Ok(String::new()) };
    let range = rest.split_once("&(").and_then(|(_, rest)| rest.split_once("), \"")).context("a range")?;
    let (from, to) = range.0.split_once("..=").context("a range with both ends")?;
    let unit = range.1.split('"').next().context("a unit")?;
    Ok(format!("{} to {} {unit}", bound(from)?, bound(to)?))
}

#[test]
fn h8_every_setting_is_documented_with_its_default() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut found = vec![];
    settings("", &serde_json::to_value(Config::default())?, &mut found);
    let mut table =
        String::from("| key | environment | default | accepted | meaning |\n| --- | --- | --- | --- | --- |\n");
    for (key, default) in &found {
        let (section, field) = key.split_once('.').unwrap_or(("mod", key));
        let source = std::fs::read_to_string(folder.join(format!("{section}.rs"))).with_context(|| key.clone())?;
        let default = match default {
            Value::Null => "none".to_owned(),
            Value::Array(list) if list.is_empty() => "none".to_owned(),
            Value::Object(map) if map.is_empty() => "none".to_owned(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let environment = format!("WAGRES_{}", key.to_uppercase().replace('.', "__"));
        let environment = if key == "database_url" { "DATABASE_URL" } else { &environment };
        let meaning = meaning(&source, field).with_context(|| key.clone())?;
        writeln!(table, "| `{key}` | `{environment}` | {default} | {} | {meaning} |", limits(&source, key)?)?;
    }
    ensure!(found.len() > 40, "only {} settings", found.len());
    docs::table("docs/configuration.md", "settings", &table)
}
