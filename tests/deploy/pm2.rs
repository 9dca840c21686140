//! Workers under the real PM2.

use super::files::{longest_drain, npm, path, run};
use crate::support::until::until;
use crate::support::world::{WAGRES, World, clean};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::process::Command;

/// A PM2 with a daemon of its own, which ends with this.
struct Pm2 {
    program: PathBuf,
    home: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Pm2 {
    async fn new(world: &World) -> Result<Self> {
        let environment = vec![
            ("PM2_WAGRES_BIN", WAGRES.to_owned()),
            ("WAGRES_HTTP", "127.0.0.1:0".to_owned()),
            ("WAGRES_WHATSAPP_URL", world.sandbox.ws_url()),
            ("DATABASE_URL", world.db.url.clone()),
        ];
        Ok(Self { program: npm().await?.join("node_modules/.bin/pm2"), home: tempfile::tempdir()?, environment })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        clean(&mut command);
        command.env("PM2_HOME", self.home.path()).env("PM2_DISABLE_VERSION_CHECK", "true").env("CI", "true");
        command.envs(self.environment.iter().cloned());
        command
    }

    async fn call(&self, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8(run(self.command().args(arguments)).await?.stdout)?)
    }

    /// Name, status and process id of each worker.
    async fn list(&self) -> Result<Vec<(String, String, u64)>> {
        let text = self.call(&["jlist"]).await?;
        let start = text.find('[').context("no list")?;
        let apps: Vec<Value> = serde_json::from_str(&text[start..])?;
        let field = |app: &Value, at: &str| app.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let one = |app: &Value| (field(app, "/name"), field(app, "/pm2_env/status"), app["pid"].as_u64().unwrap_or(0));
        Ok(apps.iter().map(one).collect())
    }
}

impl Drop for Pm2 {
    fn drop(&mut self) {
        let mut kill = std::process::Command::new(&self.program);
        // Nobody can be told here, and the daemon keeps nothing of the tests.
        let _ = kill.arg("kill").env("PM2_HOME", self.home.path()).stdout(std::process::Stdio::null()).status();
    }
}

#[tokio::test]
async fn h9_pm2_starts_workers_reloads_them_without_a_lost_message_and_stops_them() -> Result<()> {
    let world = World::new().await?;
    let pm2 = Pm2::new(&world).await?;
    let config = path("deploy/ecosystem.config.cjs");
    let config = config.to_str().context("a path")?;
    let workers = async |count: i64| {
        world.holds(&format!("SELECT count(*) = {count} FROM wa.worker WHERE lease_until > now()")).await
    };
    pm2.call(&["start", config]).await?;
    workers(2).await?;
    let before: BTreeSet<u64> = pm2.list().await?.into_iter().map(|(.., pid)| pid).collect();
    ensure!(before.len() == 2, "{before:?}");
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;

    // Messages go on from before the reload until after it, some of them under way at each moment.
    let is_over = Cell::new(false);
    let sending = async {
        let mut expected = vec![];
        while !is_over.get() {
            let text = format!("message {}", expected.len());
            world.send("shop", "15550002", &text).await?;
            expected.push(text);
            world.holds("SELECT count(*) < 5 FROM wa.outbound_queue").await?;
        }
        anyhow::Ok(expected)
    };
    let reloading = async {
        world.holds("SELECT count(*) > 5 FROM wa.outbound").await?;
        pm2.call(&["reload", config]).await?;
        is_over.set(true);
        anyhow::Ok(())
    };
    let (expected, ()) = tokio::try_join!(sending, reloading)?;
    workers(2).await?;
    until("every message once and in order", async || {
        let seen = world.seen_by("15550002").await?;
        Ok(if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) })
    })
    .await?;
    let after: BTreeSet<u64> = pm2.list().await?.into_iter().map(|(.., pid)| pid).collect();
    ensure!(after.len() == 2 && after.is_disjoint(&before), "{before:?} became {after:?}");

    pm2.call(&["stop", config]).await?;
    // They drained: a killed worker leaves its row behind until its lease expires.
    ensure!(world.count("SELECT count(*) FROM wa.worker").await? == 0, "a worker did not drain");
    ensure!(pm2.list().await?.iter().all(|(_, status, _)| status == "stopped"), "{:?}", pm2.list().await?);
    Ok(())
}

#[tokio::test]
async fn h9_pm2_waits_for_the_drain_and_leaves_room_for_a_thousand_sessions() -> Result<()> {
    npm().await?;
    let config = path("deploy/ecosystem.config.cjs");
    let script = "console.log(JSON.stringify(require(process.argv[1])))";
    let mut node = Command::new("node");
    node.env_remove("PM2_WAGRES_BIN").env_remove("PM2_WAGRES_WORKERS").env_remove("WAGRES_HTTP");
    let found: Value = serde_json::from_slice(&run(node.args(["-e", script]).arg(config)).await?.stdout)?;
    let apps = found["apps"].as_array().context("apps")?;
    ensure!(apps.len() == 2, "{apps:?}");
    for app in apps {
        ensure!(app["kill_timeout"].as_u64().is_some_and(|limit| limit > longest_drain() * 1000), "{app}");
        ensure!(app["max_memory_restart"] == "512M" && app["script"] == "/usr/bin/wagres", "{app}");
    }
    ensure!(apps[0]["env"]["WAGRES_HTTP"] != apps[1]["env"]["WAGRES_HTTP"], "{apps:?}");
    Ok(())
}
