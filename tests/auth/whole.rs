//! A whole worker and its auth state: damaged keys, secrets in the log, and the command line.

use crate::support::world::{Worker, World, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wagres::auth::codec;

async fn talks(world: &World, there: &str, back: &str) -> Result<()> {
    let id = world.send("shop", "+15550002", there).await?;
    world.message_is(id, "read").await?;
    world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": back })).await?;
    world.holds(&format!("SELECT count(*) = 1 FROM wa.inbox WHERE session = 'shop' AND body = '{back}'")).await
}

#[tokio::test]
async fn a2_a_session_survives_unreadable_keys() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    talks(&world, "one", "eins").await?;
    worker.stop().await?;
    let damage = "UPDATE wa.auth_key SET value = '{\"type\": \"Buffer\", \"data\": \"no base64!\"}'
                  WHERE kind IN ('session', 'identity-key', 'lid-mapping', 'device-list', 'app-state-sync-version')";
    ensure!(sqlx::query(damage).execute(world.pool()).await?.rows_affected() >= 4);

    let worker = world.worker().await?;
    world.session_is("shop", "connected").await?;
    talks(&world, "two", "zwei").await?;
    ensure!(
        world.seen_by("15550002").await? == ["one", "eins", "two", "zwei"],
        "{:?}",
        world.seen_by("15550002").await?
    );
    world.holds("SELECT count(*) = 2 FROM wa.auth_quarantine WHERE kind IN ('session', 'identity-key')").await?;
    ensure!(world.count("SELECT count(*) FROM wa.session WHERE status = 'connected' AND name = 'shop'").await? == 1);
    worker.stop().await
}

/// A secret in the forms in which a log might show it.
fn forms(secret: &[u8]) -> [String; 4] {
    let decimal = secret.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let base64 = codec::base64(secret);
    // A log may truncate a value: half of a key counts as a key.
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let hex = hex::encode(secret);
    [half(&base64), half(&hex), half(&hex.to_uppercase()), half(&decimal)]
}

/// Fields of 32 bytes in a protobuf, however deep: root keys, chain keys and private keys. Public ones have 33 bytes.
fn keys_within(message: &[u8], found: &mut BTreeSet<Vec<u8>>) -> Option<()> {
    let mut rest = message;
    let varint = |rest: &mut &[u8]| -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, tail) = rest.split_first()?;
            *rest = tail;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    while !rest.is_empty() {
        match varint(&mut rest)? & 7 {
            0 => drop(varint(&mut rest)?),
            1 => rest = rest.get(8..)?,
            5 => rest = rest.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let field = rest.get(..length)?;
                rest = &rest[length..];
                if length == 32 {
                    found.insert(field.to_vec());
                } else {
                    let _ = keys_within(field, found);
                }
            }
            _ => return None,
        }
    }
    Some(())
}

async fn secrets(world: &World) -> Result<BTreeSet<Vec<u8>>> {
    let mut found = BTreeSet::new();
    let creds: Value = sqlx::query_scalar("SELECT creds FROM wa.auth").fetch_one(world.pool()).await?;
    for path in ["/noiseKey/private", "/signedIdentityKey/private", "/signedPreKey/keyPair/private", "/advSecretKey"] {
        found.insert(codec::revive(creds.pointer(path).context(path)?).context(path)?);
    }
    let keys: Vec<(String, Value)> =
        sqlx::query_as("SELECT kind, value FROM wa.auth_key").fetch_all(world.pool()).await?;
    for (kind, value) in keys {
        match kind.as_str() {
            "pre-key" => drop(found.insert(codec::revive(&value["private"]).context("a pre-key")?)),
            "app-state-sync-key" => drop(found.insert(codec::revive(&value["keyData"]).context("a sync key")?)),
            "message-secret" => drop(found.insert(codec::revive(&value["secret"]).context("a message secret")?)),
            "session" | "sender-key" => {
                keys_within(&codec::revive(&value).context("a record")?, &mut found).context("a record")?;
            }
            _ => {}
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a6_a_full_log_of_a_linking_and_of_messages_shows_no_secret() -> Result<()> {
    let world = World::new().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let start = async || {
        let log = std::fs::File::options().create(true).append(true).open(&path)?;
        let mut command = world.worker_on(&world.db.url);
        command.args(["--log", "trace"]).stderr(log);
        Worker::start(command).await
    };
    let worker = start().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    talks(&world, "one", "eins").await?;
    let mut secrets_seen = secrets(&world).await?;
    worker.stop().await?;
    let worker = start().await?;
    world.session_is("shop", "connected").await?;
    talks(&world, "two", "zwei").await?;
    worker.stop().await?;
    secrets_seen.extend(secrets(&world).await?);
    ensure!(secrets_seen.len() > 20, "{} secrets", secrets_seen.len());
    let log = std::fs::read_to_string(&path)?;
    ensure!(log.contains("TRACE") && log.contains("DEBUG") && log.len() > 20_000, "{} bytes", log.len());
    for secret in &secrets_seen {
        for form in forms(secret) {
            if let Some(at) = log.find(&form) {
                let line = log[..at].lines().last().unwrap_or_default();
                anyhow::bail!("the log shows a secret of {} bytes, after {line:?}", secret.len());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a4_a6_the_command_line_shows_sizes_and_the_quarantine_and_makes_keys() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let prepare = "SELECT wa.add_session('shop');
        INSERT INTO wa.auth (session_id, creds) SELECT session_id, '{}' FROM wa.session;
        INSERT INTO wa.auth_key (session_id, kind, key_id, value, expires_at)
        SELECT session_id, k, n::text, '{\"type\": \"Buffer\", \"data\": \"AQID\"}', CASE k WHEN 'device-list' THEN now() END
        FROM wa.session, generate_series(1, 3) n, unnest(ARRAY['session', 'device-list']) k;
        INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
        SELECT session_id, 'session', 'x', '\"hunter2\"', 'value: found text of 7 bytes' FROM wa.session";
    sqlx::raw_sql(prepare).execute(&db.pool).await?;
    let output = async |arguments: &[&str]| -> Result<String> {
        let output = wagres().args(["--database-url", &db.url, "auth"]).args(arguments).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let lines = |text: &str| text.lines().map(serde_json::from_str).collect::<serde_json::Result<Vec<Value>>>();

    let sizes = lines(&output(&["stats", "--session", "shop", "--json"]).await?)?;
    let of = |kind: &str| sizes.iter().find(|line| line["kind"] == kind).context("no such kind");
    ensure!(of("session")?["keys"] == 3 && of("session")?["bytes"].as_i64() > Some(30), "{sizes:?}");
    ensure!(of("device-list")?["with_deadline"] == 3 && of("session")?["next_deadline"].is_null(), "{sizes:?}");
    ensure!(of("creds")?["keys"] == 1 && of("quarantine")?["keys"] == 1, "{sizes:?}");
    sqlx::query("SELECT wa.add_session('new')").execute(&db.pool).await?;
    ensure!(output(&["stats", "--session", "new", "--json"]).await?.is_empty());
    let table = output(&["stats"]).await?;
    ensure!(table.lines().count() == 1 + sizes.len() + 1, "{table}");

    let quarantined = lines(&output(&["quarantine", "--json"]).await?)?;
    ensure!(quarantined.len() == 2 && quarantined[0]["reason"] == "value: found text of 7 bytes", "{quarantined:?}");
    let total = serde_json::json!({ "total": 1, "reason": "value: found text of 7 bytes", "kinds": { "session": 1 } });
    ensure!(quarantined[1] == total, "{quarantined:?}");
    ensure!(!format!("{quarantined:?} {}", output(&["quarantine"]).await?).contains("hunter2"));

    // A session that was unlinked, beside the unreadable value.
    let unlinked = "SELECT wa.add_session('cafe');
        INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
        SELECT session_id, kind, id, '{\"me\": {\"id\": \"15550001:1@s.whatsapp.net\"}}', 'unlinked'
        FROM wa.session, (VALUES ('creds', ''), ('pre-key', '1'), ('pre-key', '2')) AS key (kind, id) WHERE name = 'cafe'";
    sqlx::raw_sql(unlinked).execute(&db.pool).await?;
    let all = output(&["quarantine"]).await?;
    ensure!(all.lines().count() == 7 && all.contains("total 3 (creds 1, pre-key 2): unlinked"), "{all}");
    let one = output(&["quarantine", "--session", "cafe"]).await?;
    ensure!(one.lines().count() == 5 && one.ends_with("total 3 (creds 1, pre-key 2): unlinked\n"), "{one}");
    let restored = lines(&output(&["restore", "cafe", "--json"]).await?)?;
    ensure!(restored == [serde_json::json!({ "session": "cafe", "keys": 2 })], "{restored:?}");
    ensure!(output(&["quarantine", "--session", "cafe"]).await? == "nothing of cafe is quarantined\n");
    let refused = wagres().args(["--database-url", &db.url, "auth", "restore", "cafe"]).output().await?;
    let refused = (refused.status.success(), String::from_utf8(refused.stderr)?);
    ensure!(!refused.0 && refused.1.contains("\"cafe\" is linked or being linked"), "{refused:?}");
    let restored = lines(&output(&["restored", "--json"]).await?)?;
    ensure!(restored == [serde_json::json!({ "sessions": 1 })], "{restored:?}");
    let asked: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.restore_request").fetch_one(&db.pool).await?;
    ensure!(asked == 1, "wa.restored() was not called");

    let keys = [output(&["new-key"]).await?, output(&["new-key"]).await?];
    ensure!(keys[0] != keys[1] && keys.iter().all(|key| wagres::auth::key_from_text(key).is_some()));

    let queued = lines(&output(&["reseal", "--json"]).await?)?;
    let kind: String = sqlx::query_scalar("SELECT kind FROM wa.maintenance_job WHERE id = $1")
        .bind(queued[0]["job"].as_i64())
        .fetch_one(&db.pool)
        .await?;
    ensure!(kind == "reseal_keys");
    Ok(())
}
