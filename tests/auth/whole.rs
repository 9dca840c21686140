//! A whole worker and its auth state: what is damaged, and what is logged.

use crate::support::world::{Worker, World};
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
async fn a2_a_session_lives_on_when_keys_of_it_cannot_be_read() -> Result<()> {
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

/// Every secret of the database in the forms in which a log might show it.
fn forms(secret: &[u8]) -> [String; 4] {
    let decimal = secret.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let base64 = codec::base64(secret);
    // A log may cut what it shows: half of a key is a key found.
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
                anyhow::bail!("a secret of {} bytes stands in the log, behind {line:?}", secret.len());
            }
        }
    }
    Ok(())
}
