//! `wagres-bench auth`: loading and writing the auth state of a session, beside the client library's SQLite store and
//! Baileys' store of files (A7, P7).
//!
//! Each side has a session of the same kinds of keys in the same proportion: of ten keys six pre-keys, two Signal
//! sessions of 650 bytes, a sender key of 400 and a LID mapping. A load reads credentials and every key in the form
//! that the client needs: ours with one statement, SQLite's by the calls of its interface, Baileys' by its `keys.get`
//! for all ids of each kind. Writes are one Signal session, as for a message to one device, and a batch of a hundred.
//! Our commits and SQLite's reach the disk; Baileys does not wait for the disk. Before each write of ratchets our store
//! waits 3 ms for received messages that are not in their row yet.

use super::figure::{self, Better, Figure, median};
use super::server::{self, Database, ServerArgs};
use anyhow::{Context, ensure};
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;
use tokio::process::Command;
use wacore::libsignal::protocol::KeyPair;
use wacore::libsignal::store::record_helpers::new_pre_key_record;
use wacore::store::Device;
use wacore::store::traits::{Backend, LidPnMappingEntry, SignalStore as _};
use wacore_binary::Jid;
use wagres::auth::{AuthStore, codec, creds, snapshot};
use wagres::db::{self, Db, fence::Fence, hold::Hold};
use waproto::codec as proto;
use whatsapp_rust_sqlite_storage::{SqliteStore, SqliteStoreConfig, Synchronous};

/// P7: limit for the load of 335 keys.
const BUDGET_MS: f64 = 3.0;
const BUDGET_KEYS: u32 = 335;

/// Ids of the sessions that a round writes, as a pattern of LIKE.
const WRITTEN: &str = "8%@lid.0";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keys of a session, one or several sizes
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [335, 5000])]
    keys: Vec<u32>,
    /// Measurements of each time; the figure is their median
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Program of ecosystem/bench/peers/install.sh that measures Baileys
    #[arg(long, value_name = "FILE", default_value = "ecosystem/bench/peers/.installed/bin/baileys-store")]
    baileys: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// Milliseconds: the load, the write of one, the write of a hundred.
type Times = [f64; 3];

const NAMES: [&str; 3] = ["load", "write of 1 session", "write of 100 sessions"];

pub(super) async fn run(args: Args, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let figures = server::with(&args.server, given, async |server| {
        let mut figures = vec![];
        for keys in &args.keys {
            tracing::info!(keys, "measuring");
            figures.extend(measure(&server.database().await?, &args, *keys).await?);
        }
        Ok(figures)
    })
    .await?;
    figure::print(&figures, json)
}

async fn measure(database: &Database, args: &Args, keys: u32) -> anyhow::Result<Vec<Figure>> {
    let (ours, statements) = ours(database, args, keys).await?;
    let sqlite = sqlite(args, keys).await?;
    let baileys = baileys(args, keys).await;
    let mut figures = vec![];
    for (at, what) in NAMES.iter().enumerate() {
        let own = || Figure::new(if at == 0 { "P7" } else { "A3" }, format!("{what}, {keys} keys"), ours[at], "ms");
        if at == 0 && keys == BUDGET_KEYS {
            figures.push(own().beside("the budget", BUDGET_MS, Better::Less).budget(1.0));
        }
        figures.push(own().beside("SQLite store of the library", sqlite[at], Better::Less));
        figures.push(match &baileys {
            Ok(times) => own().beside("Baileys' files", times[at], Better::Less),
            Err(error) => own().without("Baileys' files", format!("{error:#}")),
        });
    }
    for (name, count) in ["load", "write"].into_iter().zip(statements) {
        let figure = Figure::new("A3", format!("{name}, {keys} keys"), count, "statements");
        figures.push(figure.beside("one round trip", 1.0, Better::Less));
    }
    Ok(figures)
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::make_rng::<StdRng>().fill_bytes(&mut bytes);
    bytes
}

fn sessions(count: u32) -> Vec<(Arc<str>, Bytes)> {
    (0..count).map(|n| (Arc::from(format!("8{n}@lid.0")), Bytes::from(random(650)))).collect()
}

/// Fills a store with credentials and `keys` keys.
async fn fill(store: &dyn Backend, device: &Device, keys: u32) -> anyhow::Result<()> {
    store.save(device).await?;
    let mut rng = rand::make_rng::<StdRng>();
    let (mut pre_keys, mut ratchets, mut sender_keys, mut lids) = (vec![], vec![], vec![], vec![]);
    for n in 0..keys {
        match n % 10 {
            0..6 => {
                let record = new_pre_key_record(n, &KeyPair::generate(&mut rng));
                pre_keys.push((n, Bytes::from(proto::pre_key_record_to_vec(&record))));
            }
            6 | 7 => ratchets.push((Arc::from(format!("9{n}@lid.0")), Bytes::from(random(650)))),
            8 => sender_keys.push((Arc::from(format!("1203630000000{n}@g.us:9{n}@lid.0")), Bytes::from(random(400)))),
            _ => lids.push(LidPnMappingEntry {
                lid: format!("9{n}"),
                phone_number: format!("1555{n}"),
                created_at: 1,
                updated_at: 1,
                learning_source: "usync".into(),
            }),
        }
    }
    store.store_prekeys_batch(&pre_keys, true).await?;
    store.put_sessions_batch(&ratchets).await?;
    store.put_sender_keys_batch(&sender_keys).await?;
    store.put_lid_mappings(&lids).await?;
    Ok(())
}

fn device() -> Device {
    Device { pn: Some(Jid::pn_device("15550001", 1)), ..Device::new() }
}

async fn timed<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(f64, T)> {
    let began = Instant::now();
    let done = work.await?;
    Ok((began.elapsed().as_secs_f64() * 1000.0, done))
}

/// Our times, and the numbers of statements of a load and of a write.
async fn ours(database: &Database, args: &Args, keys: u32) -> anyhow::Result<(Times, [f64; 2])> {
    db::migrate::migrate(&database.pool).await?;
    let session_id =
        sqlx::query_scalar!(r#"SELECT wa.add_session($1) AS "session_id!""#, "bench").fetch_one(&database.pool).await?;
    sqlx::query_file!("sql/held_session.sql", session_id).execute(&database.pool).await?;
    let pool = Db::connect(&database.url, false, 4, "wagres-bench auth").await?;
    let fence = Fence { session_id, epoch: 1 };
    let store = AuthStore::new(Hold::new(pool.clone(), fence, "bench"), Arc::default());
    fill(&store, &device(), keys).await?;
    database.settle().await?;
    let mut connection = pool.pool().acquire().await?;
    let load = async |connection: &mut sqlx::PgConnection| {
        let state = snapshot::state(connection, &wagres::auth::Vault::default(), session_id).await?;
        let state = state.context("no credentials")?;
        ensure!(state.keys.len() as u64 == u64::from(keys), "{} keys", state.keys.len());
        creds::from_json(state.creds)?;
        Ok(state.keys.into_iter().map(|key| bytes_in(&key.value)).sum::<usize>())
    };
    let mut times = [vec![], vec![], vec![]];
    let mut statements = 0;
    // All loads before the writes, because writes leave dead row versions behind.
    for _ in 0..=args.rounds {
        times[0].push(timed(load(&mut connection)).await?.0);
    }
    for _ in 0..=args.rounds {
        for (at, count) in [(1, 1), (2, 100)] {
            let (batch, before) = (sessions(count), store.statements());
            times[at].push(timed(async { Ok(store.put_sessions_batch(&batch).await?) }).await?.0);
            statements = store.statements() - before;
        }
        sqlx::query_file!("sql/forget_sessions.sql", WRITTEN).execute(&database.pool).await?;
    }
    drop(connection);
    pool.close().await;
    // A load is the one statement of `snapshot::state`.
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    Ok((times.map(after_the_first), [1.0, statements as f64]))
}

/// Without the first time, in which plans are made and caches filled.
fn after_the_first(times: Vec<f64>) -> f64 {
    median(times.into_iter().skip(1).collect())
}

/// Revives all bytes in a value and returns their number.
fn bytes_in(value: &Value) -> usize {
    if let Some(bytes) = codec::revive(value) {
        return bytes.len();
    }
    match value {
        Value::Object(map) => map.values().map(bytes_in).sum(),
        Value::Array(items) => items.iter().map(bytes_in).sum(),
        _ => 0,
    }
}

async fn sqlite(args: &Args, keys: u32) -> anyhow::Result<Times> {
    let parent = args.server.folder();
    let folder = parent.join(format!("wagres-bench-sqlite-{}", uuid::Uuid::new_v4()));
    tokio::fs::create_dir_all(&folder).await?;
    let measured = sqlite_in(&folder, args, keys).await;
    tokio::fs::remove_dir_all(&folder).await?;
    measured
}

async fn sqlite_in(folder: &Path, args: &Args, keys: u32) -> anyhow::Result<Times> {
    let path = folder.join("wa.db");
    let config = SqliteStoreConfig { synchronous: Synchronous::Full, ..SqliteStoreConfig::default() };
    let store = SqliteStore::with_config(path.to_str().context("a path")?, config).await?;
    let store: &dyn Backend = &store;
    store.create().await?;
    fill(store, &device(), keys).await?;
    let load = async || {
        store.load().await?.context("no device")?;
        let numbers: Vec<_> = (0..keys).filter(|n| n % 10 < 6).collect();
        let mut found = store.load_prekeys_batch(&numbers).await?.len() + store.get_all_lid_mappings().await?.len();
        for n in 0..keys {
            found += match n % 10 {
                6 | 7 => usize::from(store.get_session(&format!("9{n}@lid.0")).await?.is_some()),
                8 => {
                    let name = format!("1203630000000{n}@g.us:9{n}@lid.0");
                    usize::from(store.get_sender_key(&name).await?.is_some())
                }
                _ => 0,
            };
        }
        ensure!(found as u64 == u64::from(keys), "{found} keys");
        Ok(())
    };
    let mut times = [vec![], vec![], vec![]];
    for _ in 0..=args.rounds {
        times[0].push(timed(load()).await?.0);
    }
    for _ in 0..=args.rounds {
        for (at, count) in [(1, 1), (2, 100)] {
            let batch = sessions(count);
            times[at].push(timed(async { Ok(store.put_sessions_batch(&batch).await?) }).await?.0);
        }
    }
    Ok(times.map(after_the_first))
}

async fn baileys(args: &Args, keys: u32) -> anyhow::Result<Times> {
    let program = std::path::absolute(&args.baileys)?;
    ensure!(program.exists(), "not installed: ecosystem/bench/peers/install.sh baileys");
    let mut command = Command::new(program);
    command.args([keys.to_string(), args.rounds.to_string()]).arg(args.server.folder());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "{}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let time = |name: &str| report[name].as_f64().with_context(|| format!("no {name}"));
    Ok([time("load_ms")?, time("one_ms")?, time("hundred_ms")?])
}
