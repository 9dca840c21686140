//! R1: the client library's own scenario of reservation, crash and reload, over our store. A process uses keys of
//! ratchets, writes the reservations before a key leaves the process, and is killed at any moment. The next process
//! uses no key again.

use super::{Held, fresh, hold};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;
use wacore::libsignal::protocol::consts::SENDER_CHAIN_RESERVATION_BATCH;
use wacore::libsignal::protocol::{
    ChainKey, IdentityKey, KeyPair, ProtocolAddress, RootKey, SenderKeyRecord, SenderKeyStore, SessionRecord,
    SessionState, SignalProtocolError, create_sender_key_distribution_message, group_encrypt,
};
use wacore::libsignal::store::sender_key_name::SenderKeyName;
use wacore::store::signal_cache::SignalStoreCache;
use wagres::auth::{AuthStore, RatchetWriter};
use wagres::db::fence::Fence;
use wagres::db::hold::Hold;

const URL: &str = "WAGRES_DURABILITY_URL";
const SESSION: &str = "WAGRES_DURABILITY_SESSION";

struct SenderKeys<'a> {
    cache: &'a SignalStoreCache,
    store: &'a AuthStore,
}

#[async_trait::async_trait]
impl SenderKeyStore for SenderKeys<'_> {
    async fn store_sender_key(
        &mut self,
        name: &SenderKeyName,
        record: SenderKeyRecord,
    ) -> Result<(), SignalProtocolError> {
        self.cache.put_sender_key(name, record).await;
        Ok(())
    }

    async fn load_sender_key(&self, name: &SenderKeyName) -> Result<Option<SenderKeyRecord>, SignalProtocolError> {
        let found = self.cache.get_sender_key(name, self.store).await;
        let found = found.map_err(|error| SignalProtocolError::BackendError("our store", error.into()))?;
        Ok(found.map(|record| (*record).clone()))
    }
}

fn new_session() -> SessionRecord {
    let mut rng = rand::rng();
    let mut public = || KeyPair::generate(&mut rng).public_key;
    let (local, remote, base) = (IdentityKey::new(public()), IdentityKey::new(public()), public());
    let mut state = SessionState::new(3, &local, &remote, &RootKey::new([7; 32]), &base);
    state.set_sender_chain(&KeyPair::generate(&mut rand::rng()), &ChainKey::new([11; 32], 0));
    SessionRecord::new(state)
}

/// Uses the next key of the chain and returns its number.
fn spend(record: &mut SessionRecord) -> Result<u32> {
    let chain = record.session_state().context("a state")?.get_sender_chain_key().map_err(SignalProtocolError::from)?;
    let next = chain.next_chain_key()?;
    record.session_state_mut().context("a state")?.set_sender_chain_key(&next).map_err(SignalProtocolError::from)?;
    if chain.index() >= record.reserved_sender_chain_index() {
        record.reserve_sender_chain_counters(chain.index());
    }
    Ok(chain.index())
}

/// The process that is killed. It prints the keys that it has used.
#[tokio::test]
#[ignore = "a part of r1_keys_of_a_killed_process_are_never_used_again"]
async fn the_process_that_is_killed() -> Result<()> {
    let Ok(url) = std::env::var(URL) else { return Ok(()) };
    let fence = Fence { session_id: std::env::var(SESSION)?.parse()?, epoch: 1 };
    let pool = sqlx::PgPool::connect(&url).await?;
    let (ratchets, run) = RatchetWriter::start(pool.clone().into(), CancellationToken::new());
    tokio::spawn(run);
    let store = AuthStore::new(Hold::new(pool.into(), fence, "shop"), Arc::default()).with_ratchets(ratchets);
    let cache = SignalStoreCache::new();
    let address = ProtocolAddress::new("15550008001", 1.into());
    let group = SenderKeyName::from_parts("120363000000080001@g.us", "15550008002@s.whatsapp.net:0");
    let mut keys = SenderKeys { cache: &cache, store: &store };
    if let Some(session) = cache.get_session(&address, &store).await? {
        cache.put_session(&address, session).await;
    } else {
        cache.put_session(&address, new_session()).await;
        create_sender_key_distribution_message(&group, &mut keys, &mut rand::rng()).await?;
        cache.flush(&store).await?;
    }
    for round in 0.. {
        let mut session = cache.get_session(&address, &store).await?.context("a session")?;
        let one = spend(&mut session)?;
        cache.put_session(&address, session).await;
        let all = group_encrypt(&mut keys, &group, b"x", &mut rand::rng()).await?.iteration();
        // A reservation in the database has to cover every key that leaves; the ratchet itself may be written later.
        if cache.needs_pre_wire_flush().await || round % 23 == 22 {
            cache.flush(&store).await?;
        }
        println!("\nspent {one} {all}");
        tokio::task::yield_now().await;
    }
    Ok(())
}

struct Doomed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Doomed {
    fn start(url: &str, fence: Fence) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["auth::durability::the_process_that_is_killed", "--exact", "--ignored", "--nocapture"]);
        command.env(URL, url).env(SESSION, fence.session_id.to_string());
        command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        Ok(Self { child, lines })
    }

    /// The next keys that the process has used.
    async fn spent(&mut self) -> Result<Option<(u32, u32)>> {
        while let Some(line) = self.lines.next_line().await? {
            if let Some((one, all)) = line.strip_prefix("spent ").and_then(|rest| rest.split_once(' ')) {
                return Ok(Some((one.parse()?, all.parse()?)));
            }
        }
        Ok(None)
    }
}

#[tokio::test]
async fn r1_keys_of_a_killed_process_are_never_used_again() -> Result<()> {
    let db = fresh().await;
    let fence = hold(&db, "shop").await;
    let (mut ones, mut alls) = (BTreeSet::new(), BTreeSet::new());
    let mut last = 0;
    for round in 0..8_u32 {
        let mut doomed = Doomed::start(&db.url, fence)?;
        // Killed early and late, before a reservation and after it.
        let lives = [1, 5, 64, 63, 130, 2, 97, 40][round as usize];
        let mut first = None;
        for _ in 0..lives {
            let (one, all) = doomed.spent().await?.context("the process ended by itself")?;
            first.get_or_insert(one);
            ensure!(ones.insert(one) && alls.insert(all), "round {round}: key {one} or {all} was used twice");
        }
        doomed.child.start_kill()?;
        // The keys that it used before it died.
        while let Some((one, all)) = doomed.spent().await? {
            ensure!(ones.insert(one) && alls.insert(all), "round {round}: key {one} or {all} was used twice");
        }
        let status = doomed.child.wait().await?;
        ensure!(status.signal() == Some(9), "{status}");
        let Some(first) = first else { bail!("no key was used") };
        ensure!(
            first <= last + 2 * SENDER_CHAIN_RESERVATION_BATCH,
            "more keys were skipped than reserved: {last}, {first}"
        );
        last = *ones.last().context("spent")?;
    }
    Ok(())
}

/// A stored ratchet is read byte for byte: the library keeps its reservations in fields of its own.
#[tokio::test]
async fn r1_an_orderly_reload_loses_no_key() -> Result<()> {
    let held = Held::sealed().await;
    let cache = SignalStoreCache::new();
    let address = ProtocolAddress::new("15550008001", 1.into());
    cache.put_session(&address, new_session()).await;
    for expected in 0..5 {
        let mut session = cache.get_session(&address, &held.store).await?.context("a session")?;
        ensure!(spend(&mut session)? == expected);
        cache.put_session(&address, session).await;
        cache.flush(&held.store).await?;
        cache.clear_after_flush().await;
    }
    // Another process cannot know which of the reserved keys were used.
    let next = SignalStoreCache::new();
    let mut session = next.get_session(&address, &held.store).await?.context("a session")?;
    let first = spend(&mut session)?;
    ensure!(first >= SENDER_CHAIN_RESERVATION_BATCH, "{first}");
    Ok(())
}
