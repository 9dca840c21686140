//! The files of `ecosystem/`, and the programs that read them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;
use wagres::config::Config;

/// What a worker takes to stop beyond `worker.drain_seconds`, as `docs/monitoring.md` says.
const ENDING: u64 = 75;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn path(file: &str) -> PathBuf {
    root().join("ecosystem").join(file)
}

pub(super) fn text(file: &str) -> Result<String> {
    std::fs::read_to_string(path(file)).with_context(|| file.to_owned())
}

/// The folder of the checks from npm, installed.
pub(super) async fn npm() -> Result<PathBuf> {
    let home = root().join("tests/deploy/node");
    crate::support::npm::install(&home).await?;
    Ok(home)
}

/// A file with any number of YAML documents, as JSON.
pub(super) async fn yaml(file: &Path) -> Result<Vec<Value>> {
    let python = crate::support::pypi::install().await?;
    let script =
        "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(open(sys.argv[1])) if d], sys.stdout)";
    let output = run(Command::new(python).args(["-c", script]).arg(file)).await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs a program that must succeed.
pub(super) async fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().await.with_context(|| command.as_std().get_program().display().to_string())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    Ok(output)
}

/// Seconds that a supervisor has to wait at least for a worker with the default settings before it kills it.
pub(super) fn longest_drain() -> u64 {
    u64::from(Config::default().worker.drain_seconds) + ENDING
}
