//! H9: the programs of `ecosystem/examples`, each with a login of its own that has the rights of an application.

mod bots;
mod bridge;
mod orms;
mod rest;
mod short;

use crate::support::programs::missing;
use crate::support::world::World;
use crate::support::{npm, server};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The login of the examples, which is a member of `wa_app` and sees the tenant `default`.
pub(super) struct Login {
    pub(super) name: String,
    pub(super) url: String,
}

/// A file of the examples.
pub(super) fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ecosystem/examples").join(path)
}

/// Makes the login, which may also create tables of its own in `public`.
pub(super) async fn login(world: &World) -> Result<Login> {
    let mut url = url::Url::parse(&world.db.url)?;
    let name = format!("example_of_{}", url.path().trim_start_matches('/'));
    crate::support::logins::run(
        world.pool(),
        &format!(
            "CREATE ROLE {name} LOGIN IN ROLE wa_app; GRANT CREATE ON SCHEMA public TO {name};
             SELECT wa.grant_tenant('{name}', 'default')"
        ),
    )
    .await?;
    url.set_username(&name).map_err(|()| anyhow::anyhow!("no user name"))?;
    Ok(Login { name, url: url.into() })
}

/// Runs a file with psql as this login, and returns what it prints.
pub(super) async fn psql(login: &Login, file: &Path) -> Result<String> {
    let mut psql = server::client("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &login.url, "-f"]).arg(file);
    finished(&mut psql).await
}

/// Runs a program to its end, and returns what it prints.
pub(super) async fn finished(command: &mut Command) -> Result<String> {
    let done =
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.with_context(|| format!("{command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// The error of a test unless this program ends well.
pub(super) async fn needs(what: &str, command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    ensure!(status.is_ok_and(|status| status.success()), missing(what));
    Ok(())
}

/// Copies a program in JavaScript to a folder in which it finds its packages.
pub(super) async fn with_packages(path: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples");
    npm::install(&home).await?;
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(home.join("node_modules"), folder.path().join("node_modules"))?;
    let program = folder.path().join("program.mjs");
    std::fs::copy(example(path), &program)?;
    Ok((folder, program))
}
