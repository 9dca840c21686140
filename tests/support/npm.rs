//! Programs from npm, each in a folder with its lock file.

use super::programs::missing;
use anyhow::{Result, bail, ensure};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Runs `npm ci` in the folder `home`, once for all test processes.
///
/// # Errors
/// Node.js or npm is missing, or `npm ci` fails.
pub(crate) async fn install(home: &Path) -> Result<()> {
    for (program, name) in [("node", "Node.js (node)"), ("npm", "npm")] {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        ensure!(version.status().await.is_ok_and(|status| status.success()), missing(name));
    }
    let guard = home.join(".install.lock");
    let lock = tokio::task::spawn_blocking(move || -> Result<std::fs::File> {
        let file = std::fs::File::create(guard)?;
        file.lock()?;
        Ok(file)
    })
    .await??;
    let (wanted, installed) = (home.join("package-lock.json"), home.join("node_modules/.installed"));
    let wanted = tokio::fs::read(&wanted).await?;
    // A copy of the lock file marks a complete install of that lock file; npm creates its own folder earlier.
    if tokio::fs::read(&installed).await.ok().as_ref() != Some(&wanted) {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        let status = Command::new("npm").args(arguments).current_dir(home).stdout(Stdio::null()).status().await?;
        if !status.success() {
            bail!("npm ci failed in {}: {status}", home.display());
        }
        tokio::fs::write(&installed, wanted).await?;
    }
    drop(lock);
    Ok(())
}
