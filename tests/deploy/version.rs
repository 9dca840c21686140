//! `wagres --version`, and the build script that writes what it says.

use super::files::{root, run};
use crate::support::world::wagres;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use tokio::process::Command;

#[tokio::test]
async fn h10_the_version_names_what_the_binary_was_built_from() -> Result<()> {
    let output = run(wagres().arg("--version")).await?;
    let expected = concat!("wagres ", env!("CARGO_PKG_VERSION"), " (development build, features: sandbox)\n");
    ensure!(output.stdout == expected.as_bytes(), "{output:?}");
    Ok(())
}

/// What the build script says of a release build in this folder.
async fn version_in(script: &Path, folder: &Path, commit: Option<&str>) -> Result<String> {
    let mut command = Command::new(script);
    command.env("CARGO_MANIFEST_DIR", folder).env("CARGO_PKG_VERSION", "1.2.3").env("PROFILE", "release");
    command.env_remove("WAGRES_COMMIT").env_remove("CARGO_FEATURE_SANDBOX");
    if let Some(commit) = commit {
        command.env("WAGRES_COMMIT", commit);
    }
    let text = String::from_utf8(run(&mut command).await?.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=VERSION_AND_BUILD="));
    Ok(line.context("no version")?.to_owned())
}

#[tokio::test]
async fn h10_a_release_names_its_commit_also_without_git() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("build-script");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "-o"]).arg(&script).arg(root().join("build.rs")).current_dir(folder.path());
    run(&mut rustc).await?;

    let repository = folder.path().join("repository");
    std::fs::create_dir_all(repository.join("inside"))?;
    let git = async |arguments: &[&str]| {
        let identity = ["-c", "user.name=wagres", "-c", "user.email=wagres@example.org"];
        run(Command::new("git").args(identity).args(arguments).current_dir(&repository)).await
    };
    git(&["init", "--quiet"]).await?;
    git(&["commit", "--quiet", "--allow-empty", "-m", "First"]).await?;
    let head = String::from_utf8(git(&["rev-parse", "HEAD"]).await?.stdout)?;
    let (short, _) = head.split_at_checked(12).context("a short commit")?;

    let found = version_in(&script, &repository, None).await?;
    ensure!(found == format!("1.2.3 (commit {short}, features: none)"), "{found}");
    // Sources that were unpacked inside of another repository are not of its commit.
    for without in [repository.join("inside"), folder.path().to_owned()] {
        let found = version_in(&script, &without, None).await?;
        ensure!(found == "1.2.3 (commit unknown, features: none)", "{found}");
    }
    let found = version_in(&script, folder.path(), Some("abc123")).await?;
    ensure!(found == "1.2.3 (commit abc123, features: none)", "{found}");
    Ok(())
}
