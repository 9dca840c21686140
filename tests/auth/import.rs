//! A linked device moves from Baileys to wagres (A5): a real Baileys links it on the sandbox, and it continues here.

use crate::baileys::{Baileys, Library};
use crate::support::world::{World, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use wacore::store::Device;
use wacore_binary::Jid;
use wagres::auth;

const DEVICE: &str = "15550001";
const FRIEND: &str = "15550002";

async fn import(world: &World, folder: &Path, more: &[&str]) -> Result<Output> {
    let mut command = wagres();
    command.args(["import", "baileys", "--session", "shop", "--json", "--database-url", &world.db.url]);
    Ok(command.arg(folder).args(more).output().await?)
}

pub(super) async fn imported(world: &World, folder: &Path, more: &[&str]) -> Result<Value> {
    let output = import(world, folder, more).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn refusal(world: &World, folder: &Path) -> Result<String> {
    let output = import(world, folder, &[]).await?;
    ensure!(!output.status.success(), "the import was accepted");
    Ok(String::from_utf8(output.stderr)?)
}

/// Checks that every message was sent once: a phone requests a message that it cannot decrypt, and it is sent again.
pub(super) async fn all_sent_once(world: &World) -> Result<()> {
    let ledger = world.control.get("/ledger?from=1&limit=1000").await?;
    let messages = ledger["messages"].as_array().context("messages")?;
    ensure!(!messages.is_empty() && messages.iter().all(|it| it["given"] == 1), "{ledger:#}");
    Ok(())
}

/// A Baileys that has exchanged messages with a phone, one to one (with a message that was overtaken) and perhaps in a
/// group, becomes a session: both directions continue, and no phone requests a message again.
async fn continues_here(library: Library, in_group: bool) -> Result<()> {
    let world = World::new().await?;
    world.phone(DEVICE).await?;
    world.phone(FRIEND).await?;
    let mut baileys = Baileys::start(library, &world.sandbox.ws_url(), &world.control).await?;
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
    let mut group = String::new();
    if in_group {
        let made = json!({ "method": "groupCreate", "args": ["Shop", [format!("{FRIEND}@s.whatsapp.net")]] });
        let made = baileys.command("call", made).await?;
        group.push_str(made["id"].as_str().context("no group")?);
        baileys.send(&group, "in the group").await?;
        world.control.shown(FRIEND, "in the group").await?;
        say(&group, "heard").await?;
        baileys.wait_message("heard").await?;
    }
    // A message that the next ones overtake; the server delivers it again to whichever program is this device then.
    let late =
        json!({ "fault": { "late": { "ms": 600_000 } }, "stanza": "message", "direction": "out", "number": DEVICE });
    world.control.post("/faults", late).await?;
    say(DEVICE, "overtaken").await?;
    say(DEVICE, "first").await?;
    baileys.wait_message("first").await?;
    // The server would deliver messages that Baileys has not acknowledged again, too.
    world.control.until("/verdict", |it| (it["counts"]["pending"] == 1).then_some(())).await?;
    let folder = tempfile::tempdir()?;
    baileys.command("save", json!({ "folder": folder.path() })).await?;
    baileys.command("stop", json!({})).await?;
    all_sent_once(&world).await?;

    let dry = imported(&world, folder.path(), &["--dry-run"]).await?;
    ensure!(dry["imported"] == false && world.count("SELECT count(*) FROM wa.session").await? == 0, "{dry}");
    let done = imported(&world, folder.path(), &[]).await?;
    ensure!(done["report"] == dry["report"], "{done:#} {dry:#}");
    for (kind, count) in done["report"].as_object().context("a report")? {
        ensure!(count["failed"].is_null(), "{kind}: {count:#}");
    }
    let of_groups: &[_] = if in_group { &["sender-key", "sender-key-memory"] } else { &[] };
    for kind in ["creds", "pre-key", "session"].iter().chain(of_groups) {
        ensure!(done["report"][kind]["converted"].as_u64() > Some(0), "no {kind}: {done:#}");
    }
    // No connection has used the session, so the same import is accepted again.
    imported(&world, folder.path(), &[]).await?;

    let worker = world.worker().await?;
    sqlx::query("SELECT wa.connect('shop')").execute(world.pool()).await?;
    world.session_is("shop", "connected").await?;
    ensure!(refusal(&world, folder.path()).await?.contains("held by a worker"));
    let hello = world.send("shop", FRIEND, "from wagres").await?;
    world.message_is(hello, "read").await?;
    world.control.shown(FRIEND, "from wagres").await?;
    say(DEVICE, "to wagres").await?;
    if in_group {
        say(&group, "still heard").await?;
    }
    let heard = if in_group { "{overtaken,still heard,to wagres}" } else { "{overtaken,to wagres}" };
    world.holds(&format!("SELECT array_agg(body ORDER BY body) = '{heard}' FROM wa.inbox")).await?;
    let verdict = world.control.until("/verdict", |it| (it["counts"]["pending"] == 0).then(|| it.clone())).await?;
    ensure!(verdict["counts"]["key_reuse"] == 0 && verdict["counts"]["lost"] == 0, "{verdict:#}");

    all_sent_once(&world).await?;
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.holds("SELECT holder IS NULL FROM wa.lease").await?;
    // The session has been used: an import now would roll ratchets back.
    ensure!(refusal(&world, folder.path()).await?.contains("has been connected"));
    worker.stop().await
}

#[tokio::test]
async fn a5_a_device_of_baileys_7_continues_here() -> Result<()> {
    continues_here(Library::V7, true).await
}

/// Not in a group: Baileys 6.7 keeps two sessions with a person who writes to it under the number and to a group under
/// the LID, and cannot decrypt some of the messages then itself.
#[tokio::test]
async fn a5_a_device_of_baileys_6_continues_here() -> Result<()> {
    continues_here(Library::V6, false).await
}

/// Credentials as Baileys writes them, of a device that was never linked.
fn creds() -> Value {
    let mut device = Device::new();
    device.pn = Some(Jid::pn_device(DEVICE, 3));
    let mut creds = auth::creds::to_json(&device).unwrap();
    creds.as_object_mut().unwrap().remove("wagres");
    creds["firstUnuploadedPreKeyId"] = json!(100_000);
    creds["accountSyncCounter"] = json!(7);
    creds
}

#[tokio::test]
async fn a5_r5_a_damaged_folder_is_imported_and_unreadable_keys_are_quarantined() -> Result<()> {
    let world = World::new().await?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let pair =
        r#"{"public":{"type":"Buffer","data":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},"private":{"0":1}}"#;
    file(
        "pre-key-1.json",
        &pair.replace(r#"{"0":1}"#, r#"{"type":"Buffer","data":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}"#),
    )?;
    file("pre-key-2.json", pair)?;
    file("pre-key-x.json", pair)?;
    file("session-15550002.0.json", r#"{"_sessions":{"BQ==":{"registrationId":1}},"version":"v1"}"#)?;
    file("session-15550003_7.0.json", "{}")?;
    file("session-15550004.0.json", r#"{"_sessions":{"#)?;
    file("sender-key-1-2@g.us--15550002--0.json", r#"{"type":"Buffer","data":"WzFd"}"#)?;
    file("sender-key-memory-1-2@g.us.json", r#"{"15550002@s.whatsapp.net":true}"#)?;
    file(
        "app-state-sync-version-regular.json",
        r#"{"version":1,"hash":{"type":"Buffer","data":"AQ=="},"indexValueMap":{}}"#,
    )?;
    file("lid-mapping-15550002.json", r#""99\u00001""#)?;
    file("lid-mapping-15550003.json", "17")?;
    file("device-list-15550002.json", r#"["0","many"]"#)?;
    file("tctoken-__index.json", "[]")?;
    file("notes.txt", "buy milk")?;

    let missing = refusal(&world, folder.path()).await?;
    let path = folder.path().join("creds.json").display().to_string();
    ensure!(missing.contains(&path) && missing.contains("creds: found nothing"), "{missing}");
    file("creds.json", r#"{"noiseKey":{"private":"secret of the shop"}}"#)?;
    let unreadable = refusal(&world, folder.path()).await?;
    ensure!(unreadable.contains(&path) && unreadable.contains("noiseKey.private"), "{unreadable}");
    ensure!(!unreadable.contains("secret of the shop"), "{unreadable}");
    let mut unlinked = creds();
    unlinked["me"] = Value::Null;
    file("creds.json", &unlinked.to_string())?;
    ensure!(refusal(&world, folder.path()).await?.contains("me.id"));
    ensure!(world.count("SELECT count(*) FROM wa.session").await? == 0, "a session was added");

    file("creds.json", &creds().to_string())?;
    let report = imported(&world, folder.path(), &[]).await?["report"].clone();
    for (kind, converted, failed) in [
        ("pre-key", 1, vec!["2", "x"]),
        ("session", 0, vec!["15550002.0", "15550003_7.0"]),
        ("sender-key", 0, vec!["1-2@g.us::15550002::0"]),
        ("sender-key-memory", 0, vec![]),
        ("app-state-sync-version", 0, vec!["regular"]),
        ("lid-mapping", 1, vec!["15550003"]),
        ("device-list", 0, vec!["15550002"]),
        ("unreadable", 0, vec!["session-15550004.0.json"]),
    ] {
        ensure!(report[kind]["converted"] == converted, "{kind}: {report:#}");
        let found: Vec<_> =
            report[kind]["failed"].as_object().into_iter().flatten().map(|(id, _)| id.as_str()).collect();
        ensure!(found == failed, "{kind}: {report:#}");
    }
    ensure!(report["foreign"]["skipped"]["does not belong to an auth state"] == 1, "{report:#}");
    ensure!(world.count("SELECT count(*) FROM wa.auth_quarantine").await? == 9, "not every failed key is quarantined");
    // No device counts as having the key of a group whose own sender key is missing.
    ensure!(world.count("SELECT count(*) FROM wa.auth_key WHERE kind = 'sender-key-memory'").await? == 0);
    world.holds("SELECT creds->>'accountSyncCounter' = '7' FROM wa.auth").await
}

#[tokio::test]
async fn a5_damaged_credentials_are_refused_with_their_path_place_and_reason() -> Result<()> {
    let world = World::new().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("creds.json");
    let whole = serde_json::to_string_pretty(&creds())?;
    let lines = whole.lines().count();
    let half: String = whole.lines().take(lines / 2).collect::<Vec<_>>().join("\n");
    for (content, place, reason) in [
        (half.clone(), format!("line {}, column ", lines / 2), "the file ends in the middle"),
        (String::new(), "line 1, column 0".to_owned(), "the file is empty"),
        ("\0\0\0\0".to_owned(), "line 1, column 1".to_owned(), "expected value"),
        (format!("{whole}}}"), format!("line {lines}, column 2"), "trailing characters"),
    ] {
        std::fs::write(&path, &content)?;
        let said = refusal(&world, folder.path()).await?;
        ensure!(said.contains(&path.display().to_string()) && said.contains(&place) && said.contains(reason), "{said}");
        ensure!(said.matches("creds.json").count() <= 3 && !said.contains("Buffer"), "{said}");
    }
    std::fs::remove_file(&path)?;
    std::fs::create_dir(&path)?;
    let said = refusal(&world, folder.path()).await?;
    ensure!(said.contains(&path.display().to_string()) && said.contains("not a file"), "{said}");
    ensure!(world.count("SELECT count(*) FROM wa.session").await? == 0, "a session was added");
    Ok(())
}

#[tokio::test]
async fn a5_r10_unreadable_key_files_are_named_and_do_not_stop_the_import() -> Result<()> {
    let world = World::new().await?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    let mut whole = creds();
    whole.as_object_mut().context("an object")?.remove("account");
    file("creds.json", &whole.to_string())?;
    file("session-15550004.0.json", r#"{"_sessions":{"#)?;
    // Reading its beginning is an error of the system, also for root.
    std::os::unix::fs::symlink("/proc/self/mem", folder.path().join("pre-key-7.json"))?;
    std::fs::create_dir(folder.path().join("session-15550005.0.json"))?;
    file("lid-mapping-15550002.json", r#""915550002""#)?;
    let done = imported(&world, folder.path(), &[]).await?;
    let failed = &done["report"]["unreadable"]["failed"];
    ensure!(failed["session-15550004.0.json"].as_str().is_some_and(|it| it.contains("ends in the middle")), "{done:#}");
    ensure!(failed["session-15550005.0.json"] == "not a file", "{done:#}");
    ensure!(failed["pre-key-7.json"].is_string(), "{done:#}");
    ensure!(done["report"]["lid-mapping"]["converted"] == 1, "{done:#}");
    let kept =
        "SELECT count(*) = 1 AND bool_and(kind = 'session' AND key_id = '15550004.0' AND value->>'type' = 'Buffer'
                    AND convert_from(decode(value->>'data', 'base64'), 'UTF8') = '{\"_sessions\":{')
                FROM wa.auth_quarantine";
    world.holds(kept).await?;
    ensure!(done["warnings"][0].as_str().is_some_and(|it| it.starts_with("account: missing")), "{done:#}");
    Ok(())
}

/// Tables as other programs make them.
#[tokio::test]
async fn a5_tables_of_two_shapes_are_read_with_a_hundred_thousand_keys() -> Result<()> {
    let world = World::new().await?;
    let twice = serde_json::to_string(&creds().to_string())?;
    sqlx::raw_sql(
        "CREATE SCHEMA old;
         CREATE TABLE old.whatsapp_auth (company_id int, creds text);
         CREATE TABLE old.whatsapp_keys (company_id int, key_type text, key_id text, value jsonb, expires_at timestamptz);
         CREATE TABLE old.\"Auth State\" (phone text, key text, value text);
         CREATE TABLE old.odd (slot text, payload bytea, until_ms bigint)",
    )
    .execute(world.pool())
    .await?;
    let pair = r#"{"public":{"type":"Buffer","data":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},"private":{"type":"Buffer","data":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}}"#;
    for insert in [
        "INSERT INTO old.whatsapp_auth VALUES (41, '{}'), (42, $1)",
        "INSERT INTO old.\"Auth State\" VALUES ('15550001', 'creds', $1), ('15550002', 'creds', '{}')",
    ] {
        sqlx::query(insert).bind(&twice).execute(world.pool()).await?;
    }
    for insert in [
        "INSERT INTO old.whatsapp_keys SELECT 42, 'pre-key', n, $1::jsonb FROM generate_series(1, 100000) n",
        "INSERT INTO old.whatsapp_keys VALUES (42, 'pre-key', 'gone', $1::jsonb, now() - interval '1 day'), (41, 'pre-key', 'other', $1::jsonb, NULL)",
        "INSERT INTO old.\"Auth State\" VALUES ('15550001', 'pre-key-7', $1), ('15550001', 'lid-mapping-15550002', '\"992\"'), ('15550001', 'else', '1')",
    ] {
        sqlx::query(insert).bind(pair).execute(world.pool()).await?;
    }
    let import = async |session: &str, more: &[&str]| -> Result<Output> {
        let mut command = wagres();
        command.args(["import", "baileys-postgres", "--json", "--session", session, "--from", &world.db.url]);
        Ok(command.args(["--database-url", &world.db.url]).args(more).output().await?)
    };
    let tables = ["--auth-table", "old.whatsapp_auth", "--keys-table", "old.whatsapp_keys"];
    for (arguments, said) in [
        (tables.to_vec(), "2 rows of credentials"),
        (vec!["--auth-table", "old.nothing"], "there is no table"),
        (vec!["--auth-table", "old.whatsapp_auth"], "no column for the name of the key"),
        ([&tables[..], &["--owner", "salon=1"]].concat(), "no column for the device"),
    ] {
        let refused = import("shop", &arguments).await?;
        let error = String::from_utf8(refused.stderr)?;
        ensure!(!refused.status.success() && error.contains(said), "{arguments:?}: {error}");
    }
    let output = import("shop", &[&tables[..], &["--owner", "company_id=42"]].concat()).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["report"]["pre-key"] == json!({ "converted": 100_000 }), "{report:#}");
    ensure!(world.count("SELECT count(*) FROM wa.auth_key WHERE value->'uploaded' = 'true'").await? == 99_999);

    let output = import("salon", &["--auth-table", "old.\"Auth State\"", "--owner", "phone=15550001"]).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice::<Value>(&output.stdout)?["report"].clone();
    ensure!(report["pre-key"]["converted"] == 1 && report["lid-mapping"]["converted"] == 1, "{report:#}");
    ensure!(report["foreign"]["skipped"]["does not belong to an auth state"] == 1, "{report:#}");

    // Columns with other names, JSON as bytes, and times in milliseconds.
    for (slot, value, until) in
        [("creds", twice.as_str(), 0), ("pre-key-7", pair, 4_000_000_000_000_i64), ("pre-key-8", pair, 1_000)]
    {
        let insert = "INSERT INTO old.odd VALUES ($1, $2, $3)";
        sqlx::query(insert).bind(slot).bind(value.as_bytes()).bind(until).execute(world.pool()).await?;
    }
    let named = ["--column", "name=slot", "--column", "value=payload", "--column", "expiry=until_ms"];
    let output = import("odd", &[&["--auth-table", "old.odd"], &named[..]].concat()).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_slice::<Value>(&output.stdout)?["report"].clone();
    ensure!(report["pre-key"] == json!({ "converted": 1 }), "{report:#}");
    for (column, said) in
        [("value=nothing", "no column for the value; looked for nothing"), ("cell=x", "is none of creds, name")]
    {
        let refused = import("odd2", &["--auth-table", "old.odd", "--column", "name=slot", "--column", column]).await?;
        let error = String::from_utf8(refused.stderr)?;
        ensure!(!refused.status.success() && error.contains(said), "{error}");
    }
    world.holds("SELECT bool_and(status = 'disconnected' AND phone = '15550001') FROM wa.session").await
}
