//! `wagres schedule`.

use super::Scheduled;
use crate::support::world::wagres;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[tokio::test]
async fn h7_q10_the_command_line_manages_schedules() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    let schedule = async |args: &[&str]| -> Result<(bool, String)> {
        let mut command = wagres();
        command.args(["--json", "--database-url", &world.db.url, "schedule"]).args(args);
        let done = command.output().await?;
        let text = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
        Ok((done.status.success(), text))
    };
    let json = |text: &str| serde_json::from_str::<Value>(text.trim()).with_context(|| text.to_owned());

    let set = ["set", "old-rows", "--cron", "0 4 * * *", "--kind", "retention", "--args", r#"{"dry_run": true}"#];
    let (done, text) = schedule(&[&set[..], &["--time-zone", "Europe/Berlin", "--missed", "skip"]].concat()).await?;
    ensure!(done && json(&text)?["set"] == true, "{text}");
    let (done, text) = schedule(&["set", "old-rows", "--cron", "0 5 * * *"]).await?;
    ensure!(done, "{text}");
    let (_, text) = schedule(&["list"]).await?;
    let row = json(&text)?;
    ensure!(row["cron"] == "0 5 * * *" && row["time_zone"] == "Europe/Berlin" && row["enabled"] == true, "{row}");

    let (done, text) = schedule(&["run", "old-rows"]).await?;
    ensure!(done && json(&text)?["job"].is_i64(), "{text}");
    let args: Value = world.one("SELECT args FROM wa.maintenance_job").await?;
    ensure!(args["dry_run"] == true, "{args}");
    let _running = world.cron();
    world.settled().await?;
    world.clock("2026-01-01T04:00:10Z").await?;
    world.settled().await?;
    let (_, text) = schedule(&["show", "old-rows"]).await?;
    let row = json(&text)?;
    ensure!(row["missed"] == "skip" && row["ticks"][0]["outcome"] == "folded" && row["next_tick"].is_string(), "{row}");

    for (verb, enabled) in [("disable", false), ("enable", true)] {
        let (done, text) = schedule(&[verb, "old-rows"]).await?;
        ensure!(done && world.one::<bool>("SELECT enabled FROM wa.schedule").await? == enabled, "{text}");
    }
    for (args, words) in [
        (&["set", "x", "--cron", "* * *", "--kind", "retention"][..], "cron: 3 fields"),
        (&["set", "x", "--cron", "* * * * *", "--kind", "retention", "--args", "[]"], "args:"),
        (&["set", "x", "--missed", "never"], "skip, once, all"),
        (&["run", "nothing"], "no schedule is named"),
    ] {
        let (done, text) = schedule(args).await?;
        ensure!(!done && text.contains(words), "{args:?}: {text}");
    }
    let (done, text) = schedule(&["delete", "old-rows"]).await?;
    ensure!(done && world.one::<i64>("SELECT count(*) FROM wa.schedule").await? == 0, "{text}");
    Ok(())
}
