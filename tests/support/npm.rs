//! Programs from npm, each in a folder with its lock file.

use anyhow::{Result, bail};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Whether what is in the folder `home` can run here; installs it if it must. `false` comes with a printed reason.
pub(crate) async fn available(home: &Path) -> Result<bool> {
    for program in ["node", "npm"] {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        if !version.status().await.is_ok_and(|status| status.success()) {
            eprintln!("skipped: {program} is not installed, so {} cannot run", home.display());
            return Ok(false);
        }
    }
    install(home).await?;
    Ok(true)
}

/// `npm ci`, once, however many test processes want it at the same time.
async fn install(home: &Path) -> Result<()> {
    let guard = home.join(".install.lock");
    let lock = tokio::task::spawn_blocking(move || -> Result<std::fs::File> {
        let file = std::fs::File::create(guard)?;
        file.lock()?;
        Ok(file)
    })
    .await??;
    let (wanted, installed) = (home.join("package-lock.json"), home.join("node_modules/.installed"));
    let wanted = tokio::fs::read(&wanted).await?;
    // A copy of the lock file marks a complete install of just that; npm's own folder also exists halfway through.
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
