//! The reference: the encryption alone, by the same library on the same cores, without a network or a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_lock::RwLock;
use wacore::libsignal::protocol::{
    CiphertextMessage, IdentityKey, PreKeyBundle, ProtocolAddress, UsePQRatchet, message_decrypt, message_encrypt,
    process_prekey_bundle,
};
use wacore::store::InMemoryBackend;
use wacore::store::signal_cache::SignalStoreCache;
use wacore::types::jid::JidExt as _;
use wacore_binary::Jid;
use whatsapp_rust::store::Device;
use whatsapp_rust::store::signal_adapter::SignalProtocolStoreAdapter;

use wagres::telemetry::Usage;

/// The rates of encryption on all cores.
pub(super) struct Reference {
    /// A text encrypted and decrypted.
    pub(super) pairs: Rate,
    /// The encryption of one message between two accounts with phones: encrypted for the recipient's device, the
    /// recipient's phone and the sender's phone, decrypted by the device.
    pub(super) messages: Rate,
}

/// A rate, and the CPU time of one, which is the same on a machine with other work.
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) cpu_us: f64,
}

/// Measures on all cores at once, each for the given time.
pub(super) async fn measure(time: Duration) -> anyhow::Result<Reference> {
    Ok(Reference { pairs: rate(time, 0).await?, messages: rate(time, 2).await? })
}

/// The rate of messages that are each encrypted and decrypted, and then encrypted `copies` times more.
async fn rate(time: Duration, copies: usize) -> anyhow::Result<Rate> {
    let (start, before) = (Instant::now(), Usage::now());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let running: Vec<_> = (0..cores).map(|_| tokio::spawn(exchange(time, copies))).collect();
    let mut total = 0.0;
    for counted in running {
        total += f64::from(counted.await.context("the reference")??);
    }
    let cpu_seconds = Usage::now().processor.saturating_sub(before.processor).as_secs_f64();
    Ok(Rate { per_second: total / start.elapsed().as_secs_f64(), cpu_us: 1e6 * cpu_seconds / total })
}

async fn exchange(time: Duration, copies: usize) -> anyhow::Result<u32> {
    let (mut alice, mut bob) = (Party::new("15550001"), Party::new("15550002"));
    alice.meet(&bob).await?;
    // An answer, so that the session is established and messages have their smallest size.
    let first = alice.seal(&bob.address).await?;
    bob.open(&alice.address, &first).await?;
    let answer = bob.seal(&alice.address).await?;
    alice.open(&bob.address, &answer).await?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        let sealed = alice.seal(&bob.address).await?;
        bob.open(&alice.address, &sealed).await?;
        for _ in 0..copies {
            // Stands for a copy for another device. Nothing decrypts it; the ratchet allows such small gaps.
            bob.seal(&alice.address).await?;
        }
        count += 1;
    }
    Ok(count)
}

/// One side of a session, with the stores that the client library uses.
struct Party {
    address: ProtocolAddress,
    device: Arc<RwLock<Device>>,
    stores: SignalProtocolStoreAdapter,
}

impl Party {
    fn new(number: &str) -> Self {
        let device = Arc::new(RwLock::new(Device::new(Arc::new(InMemoryBackend::new()))));
        let stores = SignalProtocolStoreAdapter::new(Arc::clone(&device), Arc::new(SignalStoreCache::new()));
        Self { address: Jid::pn_device(number, 1).to_protocol_address(), device, stores }
    }

    async fn meet(&mut self, other: &Self) -> anyhow::Result<()> {
        let theirs = other.device.read().await;
        let bundle = PreKeyBundle::new(
            theirs.core.registration_id,
            1.into(),
            None,
            theirs.core.signed_pre_key_id.into(),
            theirs.core.signed_pre_key.public_key,
            theirs.core.signed_pre_key_signature.to_vec(),
            IdentityKey::new(theirs.core.identity_key.public_key),
        )?;
        let stores = &mut self.stores;
        process_prekey_bundle(
            &other.address,
            &mut stores.session_store,
            &mut stores.identity_store,
            &bundle,
            &mut rand::make_rng::<rand::rngs::StdRng>(),
            UsePQRatchet::No,
        )
        .await?;
        Ok(())
    }

    async fn seal(&mut self, to: &ProtocolAddress) -> anyhow::Result<CiphertextMessage> {
        let stores = &mut self.stores;
        Ok(message_encrypt(&[7; 48], to, &mut stores.session_store, &mut stores.identity_store).await?)
    }

    async fn open(&mut self, from: &ProtocolAddress, sealed: &CiphertextMessage) -> anyhow::Result<()> {
        let stores = &mut self.stores;
        message_decrypt(
            sealed,
            from,
            &mut stores.session_store,
            &mut stores.identity_store,
            &mut stores.pre_key_store,
            &stores.signed_pre_key_store,
            &mut rand::make_rng::<rand::rngs::StdRng>(),
            UsePQRatchet::No,
        )
        .await?;
        Ok(())
    }
}
