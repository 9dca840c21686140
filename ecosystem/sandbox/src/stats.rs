//! Counters: what the sandbox received, and above all what it did not understand.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::changes::{Changes, Watched};
use super::media::MediaCounters;

/// All counters since the start.
#[derive(Debug)]
pub(super) struct Stats(Watched<Counters>);

/// The answer of `GET /stats`.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Counters {
    /// Noise handshakes by kind: `xx`, `ik`, `fallback`.
    pub(super) handshakes: BTreeMap<&'static str, u64>,
    /// Logins refused because the device is not linked.
    pub(super) logins_refused: u64,
    /// Devices connected now.
    pub(super) connected_devices: usize,
    pub(super) messages_routed: u64,
    /// Receipts handed to a device or a phone.
    pub(super) receipts_routed: u64,
    /// Senders with an old device list that received the right checksum in the ack.
    pub(super) lists_corrected: u64,
    /// What the media server did.
    pub(super) media: MediaCounters,
    /// Stanzas received, by signature.
    pub(super) stanzas: BTreeMap<String, u64>,
    /// Stanzas that the sandbox does not understand, by signature.
    pub(super) unknown: BTreeMap<String, u64>,
}

impl Stats {
    pub(super) fn new(changes: &Arc<Changes>) -> Self {
        Self(Watched::new(Counters::default(), changes, ["/stats", "/verdict"]))
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.0.lock());
    }

    /// Counts a stanza of this signature.
    pub(super) fn stanza(&self, signature: &str) {
        self.count(|counters| {
            if let Some(count) = counters.stanzas.get_mut(signature) {
                *count += 1;
            } else {
                counters.stanzas.insert(signature.to_owned(), 1);
            }
        });
    }

    /// Counts a stanza that the sandbox does not understand.
    pub(super) fn unknown(&self, signature: String) {
        tracing::info!(target: super::LOG, %signature, "unknown stanza");
        self.count(|counters| *counters.unknown.entry(signature).or_default() += 1);
    }

    /// A copy of the counters, with the number of connected devices.
    pub(super) fn snapshot(&self, connected_devices: usize) -> Counters {
        let mut counters = self.0.lock().clone();
        counters.connected_devices = connected_devices;
        counters
    }
}
