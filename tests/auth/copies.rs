//! Copies of the auth state (A5, R7): backups and exports.

use super::import::{all_sent_once, imported};
use crate::baileys::{Baileys, Library};
use crate::support::db;
use crate::support::world::{Worker, World, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub(super) const DEVICE: &str = "15550001";
pub(super) const FRIEND: &str = "15550002";

/// Runs a command on that database. Returns its JSON, or its error output.
async fn run(database_url: &str, arguments: &[&str]) -> Result<Result<Value, String>> {
    let mut command = wagres();
    let output = command.args(["--json", "--database-url", database_url]).args(arguments).output().await?;
    if output.status.success() {
        return Ok(Ok(serde_json::from_slice(&output.stdout)?));
    }
    Ok(Err(String::from_utf8(output.stderr)?))
}

async fn done(database_url: &str, arguments: &[&str]) -> Result<Value> {
    run(database_url, arguments).await?.map_err(|said| anyhow::anyhow!("{arguments:?}: {said}"))
}

async fn refused(database_url: &str, arguments: &[&str], said: &str) -> Result<()> {
    let error = run(database_url, arguments).await?.err().with_context(|| format!("{arguments:?} was done"))?;
    ensure!(error.contains(said), "{error}");
    Ok(())
}

pub(super) fn path(file: &Path) -> Result<&str> {
    file.to_str().context("a path")
}

/// Sends messages both ways; each is shown once.
pub(super) async fn talks(world: &World, text: &str) -> Result<()> {
    world.session_is("shop", "connected").await?;
    let id = world.send("shop", FRIEND, text).await?;
    world.message_is(id, "read").await?;
    let answer = format!("{text}?");
    world.control.post(&format!("/phones/{FRIEND}/send"), json!({ "to": DEVICE, "text": answer })).await?;
    world.holds(&format!("SELECT count(*) = 1 FROM wa.inbox WHERE body = '{answer}'")).await?;
    let seen = world.seen_by(FRIEND).await?;
    ensure!(seen.iter().filter(|it| *it == text).count() == 1, "{seen:?}");
    Ok(())
}

pub(super) async fn close(world: &World) -> Result<()> {
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.holds("SELECT holder IS NULL FROM wa.lease").await
}

pub(super) async fn connect(world: &World) -> Result<()> {
    sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
    world.session_is("shop", "connected").await
}

pub(super) async fn no_key_was_used_twice(world: &World) -> Result<()> {
    let verdict = world.control.until("/verdict", |it| (it["counts"]["pending"] == 0).then(|| it.clone())).await?;
    ensure!(verdict["counts"]["key_reuse"] == 0 && verdict["counts"]["lost"] == 0, "{verdict:#}");
    Ok(())
}

pub(super) async fn linked() -> Result<(World, Worker)> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    links(&world).await?;
    Ok((world, worker))
}

/// Links the session shop, which then has a chat with a friend.
pub(super) async fn links(world: &World) -> Result<()> {
    world.link("shop", DEVICE).await?;
    world.phone(FRIEND).await?;
    talks(world, "before").await
}

#[tokio::test]
async fn a5_r7_a_backup_restores_its_ratchets_or_resets_them() -> Result<()> {
    let (world, worker) = linked().await?;
    let folder = tempfile::tempdir()?;
    let [file, connected, passphrase, other] =
        ["shop.backup", "live.backup", "word", "other"].map(|name| folder.path().join(name));
    std::fs::write(&passphrase, "correct horse\n")?;
    std::fs::write(&other, "battery staple")?;
    let url = world.db.url.as_str();
    let outcome = done(url, &["backup", "shop", path(&connected)?]).await?;
    ensure!(outcome["held"] == true && outcome["encrypted"] == false, "{outcome}");
    refused(url, &["restore", path(&connected)?], "is held by a worker").await?;
    close(&world).await?;
    let sealed = ["--passphrase-file", path(&passphrase)?];
    let outcome = done(url, &["backup", "shop", path(&file)?, sealed[0], sealed[1]]).await?;
    ensure!(
        outcome["held"] == false && outcome["encrypted"] == true && outcome["keys"].as_u64() > Some(20),
        "{outcome}"
    );
    refused(url, &["backup", "shop", path(&file)?], "File exists").await?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(!text.contains("noiseKey") && text.lines().count() == 2, "the file is not encrypted");
    ensure!(std::fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600);

    // Nobody has used the session since: the ratchets are restored, and no phone notices.
    refused(url, &["restore", path(&file)?], "a passphrase is needed").await?;
    refused(url, &["restore", path(&file)?, "--passphrase-file", path(&other)?], "does not open").await?;
    let dry = done(url, &["restore", path(&file)?, sealed[0], sealed[1], "--dry-run"]).await?;
    sqlx::query("DELETE FROM wa.auth_key").execute(world.pool()).await?;
    let outcome = done(url, &["restore", path(&file)?, sealed[0], sealed[1]]).await?;
    ensure!(outcome["report"]["ratchets_reset"].is_null() && outcome["report"] == dry["report"], "{outcome}");
    connect(&world).await?;
    talks(&world, "after a restore").await?;
    all_sent_once(&world).await?;

    // The ratchets have advanced: those of the file are left out.
    close(&world).await?;
    refused(url, &["restore", path(&file)?, sealed[0], sealed[1]], "has been connected").await?;
    let outcome = done(url, &["restore", path(&file)?, sealed[0], sealed[1], "--replace"]).await?;
    ensure!(outcome["report"]["ratchets_reset"].as_i64() > Some(0), "{outcome}");
    let reason =
        "SELECT data->>'reason' LIKE 'restored from a backup of 20%' FROM wa.event WHERE kind = 'ratchets_reset'";
    world.holds(reason).await?;
    ensure!(world.count("SELECT count(*) FROM wa.auth_key WHERE kind = 'session'").await? == 0);
    connect(&world).await?;
    talks(&world, "after a roll back").await?;
    close(&world).await?;
    worker.stop().await?;

    // Another database cannot know whether the ratchets have advanced.
    let elsewhere = World { db: db::fresh().await, ..world };
    let outcome = done(&elsewhere.db.url, &["restore", path(&connected)?]).await?;
    ensure!(outcome["report"]["ratchets_reset"].as_i64() > Some(0), "{outcome}");
    let worker = elsewhere.worker().await?;
    connect(&elsewhere).await?;
    talks(&elsewhere, "elsewhere").await?;
    no_key_was_used_twice(&elsewhere).await?;
    worker.stop().await
}

#[tokio::test]
async fn r5_a_damaged_backup_is_refused_and_changes_nothing() -> Result<()> {
    let (world, worker) = linked().await?;
    close(&world).await?;
    let folder = tempfile::tempdir()?;
    let [file, bad] = ["shop.backup", "bad.backup"].map(|name| folder.path().join(name));
    let url = world.db.url.as_str();
    done(url, &["backup", "shop", path(&file)?]).await?;
    let text = std::fs::read_to_string(&file)?;
    let (header, state) = text.split_once('\n').context("two lines")?;
    for (text, said) in [
        (String::new(), "not a backup of a session: line 1"),
        ("{}".into(), "not a backup of a session: line 1"),
        (header.replace(r#""wagres_backup":1"#, r#""wagres_backup":2"#), "has the format 2; this version reads 1"),
        (format!("{header}\n{}", &state[..state.len() / 2]), "not a backup of a session: line 2"),
        (format!("{header}\n{}", state.replace(r#""kind":"session""#, r#""kind":"sesame""#)), "keys[].kind"),
        (format!("{header}\n{}", state.replace("registrationId", "registration")), "registrationId: found nothing"),
        (format!("{header}\n{}", state.replace(r#""noiseKey""#, r#""noise""#)), "noiseKey: found nothing"),
    ] {
        std::fs::write(&bad, text)?;
        refused(url, &["restore", path(&bad)?, "--session", "new"], said).await?;
    }
    refused(url, &["backup", "nobody", path(&bad)?], r#"there is no session \"nobody\""#).await?;
    ensure!(world.count("SELECT count(*) FROM wa.session").await? == 1, "a session was made");
    worker.stop().await
}

async fn there_and_back(library: Library, in_group: bool) -> Result<()> {
    let (world, worker) = linked().await?;
    let mut group = String::new();
    let mut baileys = Baileys::start(library, &world.sandbox.ws_url(), &world.control).await?;
    if in_group {
        let made = json!({ "subject": "Shop", "creator": FRIEND, "participants": [DEVICE] });
        let made = world.control.post("/groups", made).await?;
        group.push_str(made["jid"].as_str().context("no group")?);
        let id = world.send("shop", &group, "in the group").await?;
        world.message_is(id, "read").await?;
        world.control.post(&format!("/phones/{FRIEND}/send"), json!({ "to": group, "text": "heard" })).await?;
        world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'heard'").await?;
    }
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("auth");
    let (url, export) = (world.db.url.as_str(), ["export", "baileys", "shop", path(&target)?]);
    refused(url, &export, "is held by a worker").await?;
    close(&world).await?;
    all_sent_once(&world).await?;
    let report = done(url, &export).await?["report"].clone();
    for (kind, count) in report.as_object().context("a report")? {
        ensure!(count["failed"].is_null(), "{kind}: {report:#}");
    }
    ensure!(
        report["session"]["converted"].as_u64() > Some(0) && report["pre-key"]["converted"].as_u64() > Some(5),
        "{report:#}"
    );
    refused(url, &export, "not empty").await?;

    baileys.command("load", json!({ "folder": target })).await?;
    baileys.wait(|line| (line["event"] == "open").then_some(())).await?;
    let say = async |to: &str, text: &str| {
        world.control.post(&format!("/phones/{FRIEND}/send"), json!({ "to": to, "text": text })).await
    };
    let id = baileys.send(FRIEND, "from Baileys").await?;
    world.control.shown(FRIEND, "from Baileys").await?;
    baileys.wait_status(&id, 3).await?;
    say(DEVICE, "to Baileys").await?;
    baileys.wait_message("to Baileys").await?;
    if in_group {
        baileys.send(&group, "from Baileys to all").await?;
        world.control.shown(FRIEND, "from Baileys to all").await?;
        say(&group, "still heard").await?;
        baileys.wait_message("still heard").await?;
    }
    world.control.until("/verdict", |it| (it["counts"]["pending"] == 0).then_some(())).await?;
    all_sent_once(&world).await?;
    baileys.command("stop", json!({})).await?;

    // And back again, with all that happened meanwhile.
    imported(&world, &target, &[]).await?;
    connect(&world).await?;
    talks(&world, "home again").await?;
    all_sent_once(&world).await?;
    no_key_was_used_twice(&world).await?;
    worker.stop().await
}

#[tokio::test]
async fn a5_a_session_goes_to_baileys_7_and_back() -> Result<()> {
    there_and_back(Library::V7, true).await
}

#[tokio::test]
async fn a5_a_session_goes_to_baileys_6_and_back() -> Result<()> {
    there_and_back(Library::V6, false).await
}

#[tokio::test]
async fn a5_who_asked_for_a_message_again_gets_the_group_s_key_again_from_baileys() -> Result<()> {
    let (world, worker) = linked().await?;
    close(&world).await?;
    // The friend registered again: the library forgot it under the LID, and in this group it is known by its number.
    sqlx::raw_sql(
        r#"INSERT INTO wa.auth_key (session_id, kind, key_id, value) SELECT session_id, k.* FROM wa.session, (VALUES
               ('lid-mapping', '915550002', '{"lid": "915550002", "pn": "15550002"}'::jsonb),
               ('sender-key-memory', '1-2@g.us', '{"15550002@s.whatsapp.net": true, "915550002@lid": false,
                    "15550003@s.whatsapp.net": true}')) AS k (kind, key_id, value)
           ON CONFLICT (session_id, kind, key_id) DO UPDATE SET value = EXCLUDED.value"#,
    )
    .execute(world.pool())
    .await?;
    let folder = tempfile::tempdir()?;
    done(&world.db.url, &["export", "baileys", "shop", path(folder.path())?]).await?;
    let memory = std::fs::read(folder.path().join("sender-key-memory-1-2@g.us.json"))?;
    let memory: Value = serde_json::from_slice(&memory)?;
    let expected = json!({
        "15550002@s.whatsapp.net": false, "915550002@lid": false, "15550003@s.whatsapp.net": true,
    });
    ensure!(memory == expected, "{memory}");
    worker.stop().await
}

#[tokio::test]
async fn r7_an_exported_session_resets_its_ratchets_when_it_connects_here() -> Result<()> {
    let (world, worker) = linked().await?;
    close(&world).await?;
    let folder = tempfile::tempdir()?;
    done(&world.db.url, &["export", "baileys", "shop", path(folder.path())?]).await?;
    world.holds("SELECT exported_at IS NOT NULL FROM wa.auth").await?;
    connect(&world).await?;
    world.holds("SELECT data->>'reason' LIKE 'used by another program since 20%' FROM wa.event WHERE kind = 'ratchets_reset'").await?;
    world.holds("SELECT exported_at IS NULL FROM wa.auth").await?;
    talks(&world, "after").await?;
    no_key_was_used_twice(&world).await?;
    worker.stop().await
}
