//! A linked device moves from Baileys to us (A5): made by a real Baileys on the sandbox, and it goes on talking.

use crate::baileys::{Baileys, Library};
use crate::support::world::{World, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const DEVICE: &str = "15550001";
const FRIEND: &str = "15550002";

async fn import(world: &World, folder: &Path, more: &[&str]) -> Result<Output> {
    let mut command = wagres();
    command.args(["import", "baileys", "--session", "shop", "--json", "--database-url", &world.db.url]);
    Ok(command.arg(folder).args(more).output().await?)
}

async fn imported(world: &World, folder: &Path, more: &[&str]) -> Result<Value> {
    let output = import(world, folder, more).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn refusal(world: &World, folder: &Path) -> Result<String> {
    let output = import(world, folder, &[]).await?;
    ensure!(!output.status.success(), "it was imported");
    Ok(String::from_utf8(output.stderr)?)
}

/// How often anybody asked for a message again.
async fn retries(world: &World) -> Result<Value> {
    Ok(world.control.get("/stats").await?["stanzas"]["receipt retry"].clone())
}

/// A Baileys that has talked with a phone and in a group, one to one and with a message that was overtaken, becomes a
/// session: both directions go on where they were, with nobody asking for anything again.
async fn goes_on(library: Library) -> Result<()> {
    if !library.available().await? {
        return Ok(());
    }
    let world = World::new().await?;
    world.phone(DEVICE).await?;
    world.phone(FRIEND).await?;
    let mut baileys =
        Baileys::start(library, &world.sandbox.ws_url(), &world.control).await?.context("checked before")?;
    baileys.scanned(&world.control, DEVICE).await?;
    let say = async |to: &str, text: &str| {
        world.control.post(&format!("/phones/{FRIEND}/send"), json!({ "to": to, "text": text })).await
    };
    baileys.send(FRIEND, "from Baileys").await?;
    world.control.shown(FRIEND, "from Baileys").await?;
    say(DEVICE, "to Baileys").await?;
    baileys.wait_message("to Baileys").await?;
    let answer = baileys.send(FRIEND, "and back").await?;
    world.control.shown(FRIEND, "and back").await?;
    baileys.wait_status(&answer, 3).await?;
    let group = json!({ "method": "groupCreate", "args": ["Shop", [format!("{FRIEND}@s.whatsapp.net")]] });
    let group = baileys.command("call", group).await?["id"].as_str().context("no group")?.to_owned();
    baileys.send(&group, "in the group").await?;
    world.control.shown(FRIEND, "in the group").await?;
    say(&group, "heard").await?;
    baileys.wait_message("heard").await?;
    let folder = tempfile::tempdir()?;
    baileys.command("save", json!({ "folder": folder.path() })).await?;
    baileys.command("stop", json!({})).await?;
    let asked = retries(&world).await?;

    let dry = imported(&world, folder.path(), &["--dry-run"]).await?;
    ensure!(dry["imported"] == false && world.count("SELECT count(*) FROM wa.session").await? == 0, "{dry}");
    let done = imported(&world, folder.path(), &[]).await?;
    ensure!(done["report"] == dry["report"], "{done:#} {dry:#}");
    for (kind, count) in done["report"].as_object().context("a report")? {
        ensure!(count["failed"].is_null(), "{kind}: {count:#}");
    }
    for kind in ["creds", "pre-key", "session", "sender-key", "sender-key-memory"] {
        ensure!(done["report"][kind]["converted"].as_u64() > Some(0), "no {kind}: {done:#}");
    }
    // Nobody has used it, so the same again is fine.
    imported(&world, folder.path(), &[]).await?;

    let worker = world.worker().await?;
    sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
    world.session_is("shop", "connected").await?;
    ensure!(refusal(&world, folder.path()).await?.contains("held by a worker"));
    let hello = world.send("shop", FRIEND, "from wagres").await?;
    world.message_is(hello, "read").await?;
    world.control.shown(FRIEND, "from wagres").await?;
    say(DEVICE, "to wagres").await?;
    say(&group, "still heard").await?;
    world.holds("SELECT array_agg(body ORDER BY body) = '{still heard,to wagres}' FROM wa.inbox").await?;
    let now = retries(&world).await?;
    ensure!(now == asked, "asked again: {asked} before, {now} now");
    let verdict = world.control.until("/verdict", |it| (it["counts"]["pending"] == 0).then(|| it.clone())).await?;
    ensure!(verdict["counts"]["key_reuse"] == 0 && verdict["counts"]["lost"] == 0, "{verdict:#}");

    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.holds("SELECT holder IS NULL FROM wa.lease").await?;
    // It has been used: to import it now would take ratchets back.
    ensure!(refusal(&world, folder.path()).await?.contains("has been connected"));
    worker.stop().await
}

#[tokio::test]
async fn a5_a_device_of_baileys_7_goes_on_here() -> Result<()> {
    goes_on(Library::V7).await
}

#[tokio::test]
async fn a5_a_device_of_baileys_6_goes_on_here() -> Result<()> {
    goes_on(Library::V6).await
}
