//! The Debian package: built, installed, used and removed in a copy of this machine's root that nobody else sees.

use super::files::{path, run};
use crate::support::db;
use anyhow::{Context, Result};
use tokio::process::Command;

/// Of `make soak`: it needs root, overlay file systems and cargo-deb.
#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn h10_in_long_the_debian_package_installs_runs_and_leaves_nothing_behind() -> Result<()> {
    let db = db::fresh().await;
    let binary = std::env::var("PLAIN_WAGRES").context("ecosystem/dev/test.sh names the binary without the sandbox")?;
    run(Command::new(path("deploy/test-deb.sh")).arg(binary).env("DATABASE_URL", &db.url)).await?;
    Ok(())
}
