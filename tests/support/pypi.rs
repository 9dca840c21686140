//! Programs with packages from `PyPI`, each in an environment of its own in the target folder.

use super::programs::missing;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Makes an environment with the packages of `requirements.txt`, once for all test processes, and returns its interpreter.
///
/// # Errors
/// Python or its module venv is missing, or the packages cannot be installed.
pub(crate) async fn install() -> Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/requirements.txt");
    let mut venv = Command::new("python3");
    venv.args(["-c", "import ensurepip, venv"]).stderr(Stdio::null());
    ensure!(venv.status().await.is_ok_and(|status| status.success()), missing("Python (python3, python3-venv)"));
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pypi");
    let guard = home.with_extension("lock");
    let lock = tokio::task::spawn_blocking(move || -> Result<std::fs::File> {
        let file = std::fs::File::create(guard)?;
        file.lock()?;
        Ok(file)
    })
    .await??;
    let (python, installed) = (home.join("bin/python3"), home.join(".installed"));
    let wanted = tokio::fs::read(&requirements).await?;
    // A copy of the list marks a complete install of that list.
    if tokio::fs::read(&installed).await.ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).await?;
        let options =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "-r"];
        run(Command::new(&python).args(options).arg(&requirements)).await?;
        tokio::fs::write(&installed, wanted).await?;
    }
    drop(lock);
    Ok(python)
}

async fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().await?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
