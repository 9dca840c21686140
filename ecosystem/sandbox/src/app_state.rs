//! App state as the server keeps it: for each account five collections of settings, in records that the server cannot
//! read.
//!
//! What it promises is one order of patches in each collection. A patch built on the newest version becomes the next
//! version; any other patch is a conflict. The server folds the patches into the records that remain, so that a device
//! without any state gets a snapshot. The snapshot's MAC is the one that came with the newest patch, over the state
//! that all devices must compute from it. The server checks no MAC, because it has no key.

use std::collections::{BTreeMap, HashMap, VecDeque};

use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp::syncd_mutation::SyncdOperation;
use waproto::whatsapp::{
    ExternalBlobReference, KeyId, SyncdMutation, SyncdPatch, SyncdRecord, SyncdSnapshot, SyncdVersion,
};

use super::account::DeviceId;
use super::node::{server_jid, unix_now};
use super::server::Server;

/// The collections that exist.
pub(super) const COLLECTIONS: [&str; 5] =
    ["critical_block", "critical_unblock_low", "regular_low", "regular_high", "regular"];

/// The static name of a collection, or `None` when there is no such collection.
pub(super) fn collection_name(name: &str) -> Option<&'static str> {
    COLLECTIONS.into_iter().find(|known| *known == name)
}

/// How many patches are kept for devices that were offline; a device that missed more gets a snapshot.
const KEPT: usize = 200;
/// How many patches go into one answer.
const PAGE: usize = 50;

/// The app state of one account.
#[derive(Debug, Default)]
pub(super) struct AppState(pub(super) BTreeMap<&'static str, Collection>);

#[derive(Debug, Default)]
pub(super) struct Collection {
    pub(super) version: u64,
    /// The newest patches, each with its version.
    pub(super) patches: VecDeque<SyncdPatch>,
    /// The records that remain after all patches, in the order in which they were written.
    pub(super) records: BTreeMap<u64, SyncdRecord>,
    /// From a record's index MAC to its key in `records`.
    pub(super) places: HashMap<Vec<u8>, u64>,
    pub(super) written: u64,
    /// The snapshot stored last: its version and its place on the media server.
    pub(super) stored: Option<(u64, ExternalBlobReference)>,
}

/// The part of a collection that a device lacks.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) name: &'static str,
    /// The newest version of the collection.
    pub(super) version: u64,
    pub(super) snapshot: Option<SyncdSnapshot>,
    /// In order, following the snapshot or the version that the device named.
    pub(super) patches: Vec<SyncdPatch>,
    /// Whether there are more patches than these.
    pub(super) more: bool,
}

/// Why a patch was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatchRefusal {
    #[error("there is no such collection")]
    Unknown,
    #[error("the patch is malformed")]
    Malformed,
    #[error("the patch is not built on the newest version")]
    Conflict,
}

impl AppState {
    /// What a device with version `since` lacks. `want_snapshot` says that the device prefers a snapshot. `None` when
    /// there is no such collection.
    pub(super) fn update(&self, name: &str, since: u64, want_snapshot: bool) -> Option<Update> {
        let name = collection_name(name)?;
        let mut update = Update { name, version: 0, snapshot: None, patches: vec![], more: false };
        let Some(collection) = self.0.get(name) else { return Some(update) };
        update.version = collection.version;
        let missing = collection.version.saturating_sub(since);
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        // Patches that fit into one answer are cheaper than a snapshot.
        if missing > collection.patches.len() || (want_snapshot && missing > PAGE) {
            update.snapshot = Some(collection.snapshot());
            return Some(update);
        }
        let start = collection.patches.len().saturating_sub(missing);
        update.patches = collection.patches.iter().skip(start).take(PAGE).cloned().collect();
        update.more = missing > PAGE;
        Some(update)
    }

    /// The place of a version's snapshot on the media server, if it has been stored.
    pub(super) fn stored(&self, name: &str, version: u64) -> Option<ExternalBlobReference> {
        let (of, reference) = self.0.get(name)?.stored.as_ref()?;
        (*of == version).then(|| reference.clone())
    }

    pub(super) fn keep(&mut self, name: &str, version: u64, reference: ExternalBlobReference) {
        if let Some(collection) = self.0.get_mut(name) {
            collection.stored = Some((version, reference));
        }
    }

    /// Takes a patch that was built on version `base`, and returns the new version.
    fn push(&mut self, name: &str, base: u64, mut patch: SyncdPatch) -> Result<u64, PatchRefusal> {
        let name = collection_name(name).ok_or(PatchRefusal::Unknown)?;
        let collection = self.0.entry(name).or_default();
        if base != collection.version {
            return Err(PatchRefusal::Conflict);
        }
        let complete =
            |patch: &SyncdPatch| patch.snapshot_mac.is_some() && patch.patch_mac.is_some() && patch.key_id.id.is_some();
        if patch.mutations.is_empty() || !complete(&patch) || !patch.mutations.iter().all(is_readable) {
            return Err(PatchRefusal::Malformed);
        }
        collection.version += 1;
        patch.version = buffa::MessageField::some(SyncdVersion { version: Some(collection.version) });
        for mutation in &patch.mutations {
            collection.write(mutation);
        }
        collection.patches.push_back(patch);
        if collection.patches.len() > KEPT {
            collection.patches.pop_front();
        }
        Ok(collection.version)
    }
}

/// Whether the server can file a mutation: it has an index, and its value is long enough for a MAC.
fn is_readable(mutation: &SyncdMutation) -> bool {
    let record = &mutation.record;
    let sized = |blob: &Option<Vec<u8>>, least: usize| blob.as_ref().is_some_and(|blob| blob.len() >= least);
    mutation.operation.is_none_or(|operation| operation.as_known().is_some())
        && sized(&record.index.blob, 32)
        && sized(&record.value.blob, 32)
        && record.key_id.id.is_some()
}

impl Collection {
    fn write(&mut self, mutation: &SyncdMutation) {
        let index = mutation.record.index.blob.clone().unwrap_or_default();
        if let Some(former) = self.places.remove(&index) {
            self.records.remove(&former);
        }
        if mutation.operation.is_none_or(|operation| operation == SyncdOperation::SET) {
            self.add((*mutation.record).clone());
        }
    }

    /// Files a record that has no earlier version, as the newest.
    pub(super) fn add(&mut self, record: SyncdRecord) {
        self.written += 1;
        self.places.insert(record.index.blob.clone().unwrap_or_default(), self.written);
        self.records.insert(self.written, record);
    }

    fn snapshot(&self) -> SyncdSnapshot {
        let newest = self.patches.back();
        SyncdSnapshot {
            version: buffa::MessageField::some(SyncdVersion { version: Some(self.version) }),
            records: self.records.values().cloned().collect(),
            mac: newest.and_then(|patch| patch.snapshot_mac.clone()),
            key_id: buffa::MessageField::some(KeyId { id: newest.and_then(|patch| patch.key_id.id.clone()) }),
        }
    }
}

/// Takes a patch from a device or the phone, and notifies the account's other devices. Returns the patch's version.
pub(super) fn upload(
    server: &Server,
    by: &DeviceId,
    name: &str,
    base: u64,
    patch: SyncdPatch,
) -> Result<u64, PatchRefusal> {
    let mut state = server.state();
    let account = state.accounts.get_mut(&by.number).ok_or(PatchRefusal::Unknown)?;
    let version = account.app_state.push(name, base, patch)?;
    if by.device != 0 {
        account.phone.app_state_changed(name.to_owned());
    }
    let others: Vec<u16> = account.devices.keys().copied().filter(|device| *device != by.device).collect();
    for device in others {
        let collection = NodeBuilder::new("collection").attr("name", name).attr("version", version).build();
        let notification = NodeBuilder::new("notification")
            .attr("from", server_jid())
            .attr("type", "server_sync")
            .attr("id", server.stanza_id())
            .attr("t", unix_now())
            .children([collection])
            .build();
        state.deliver(&DeviceId { number: by.number.clone(), device }, notification, &server.stats);
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waproto::whatsapp::{SyncdIndex, SyncdValue};

    fn patch(index: u8, operation: SyncdOperation) -> SyncdPatch {
        let record = SyncdRecord {
            index: buffa::MessageField::some(SyncdIndex { blob: Some(vec![index; 32]) }),
            value: buffa::MessageField::some(SyncdValue { blob: Some(vec![0; 64]) }),
            key_id: buffa::MessageField::some(KeyId { id: Some(vec![1]) }),
        };
        SyncdPatch {
            mutations: vec![SyncdMutation {
                operation: Some(operation.into()),
                record: buffa::MessageField::some(record),
            }],
            snapshot_mac: Some(vec![index; 32]),
            patch_mac: Some(vec![2; 32]),
            key_id: buffa::MessageField::some(KeyId { id: Some(vec![1]) }),
            ..Default::default()
        }
    }

    fn seen(update: Option<Update>) -> Option<(usize, Option<u64>, bool, bool)> {
        let update = update?;
        let first = update.patches.first().and_then(|patch| patch.version.version);
        Some((update.patches.len(), first, update.more, update.snapshot.is_some()))
    }

    #[test]
    fn x1_a_patch_on_an_old_version_is_a_conflict() {
        let mut state = AppState::default();
        assert_eq!(state.push("regular", 0, patch(1, SyncdOperation::SET)), Ok(1));
        assert_eq!(state.push("regular", 0, patch(2, SyncdOperation::SET)), Err(PatchRefusal::Conflict));
        assert_eq!(state.push("regular", 1, patch(2, SyncdOperation::SET)), Ok(2));
        assert_eq!(state.push("irregular", 0, patch(2, SyncdOperation::SET)), Err(PatchRefusal::Unknown));
        assert_eq!(state.push("regular", 2, SyncdPatch::default()), Err(PatchRefusal::Malformed));
        assert_eq!(seen(state.update("regular", 1, false)), Some((1, Some(2), false, false)));
        assert_eq!(seen(state.update("regular", 7, false)), Some((0, None, false, false)));
    }

    #[test]
    fn x1_a_snapshot_holds_the_remaining_records() {
        let mut state = AppState::default();
        let steps = [(1, SyncdOperation::SET), (2, SyncdOperation::SET), (1, SyncdOperation::SET)];
        for (base, (index, operation)) in (0..).zip(steps) {
            assert_eq!(state.push("regular", base, patch(index, operation)), Ok(base + 1));
        }
        let indexes = |state: &AppState| -> Vec<u8> {
            let records = state.0.get("regular").map(|regular| regular.snapshot().records).unwrap_or_default();
            records.iter().filter_map(|record| record.index.blob.as_ref()?.first().copied()).collect()
        };
        assert_eq!(indexes(&state), [2, 1], "the last that was written is the last");
        assert_eq!(state.push("regular", 3, patch(2, SyncdOperation::REMOVE)), Ok(4));
        assert_eq!(indexes(&state), [1]);
    }

    #[test]
    fn x1_many_patches_are_paged_and_too_many_become_a_snapshot() {
        let mut state = AppState::default();
        for base in 0..=KEPT as u64 {
            assert_eq!(state.push("regular", base, patch(1, SyncdOperation::SET)), Ok(base + 1));
        }
        assert_eq!(seen(state.update("regular", 0, false)), Some((0, None, false, true)));
        assert_eq!(seen(state.update("regular", 1, false)), Some((PAGE, Some(2), true, false)));
        assert_eq!(seen(state.update("regular", 1, true)), Some((0, None, false, true)));
        let last = KEPT as u64 + 1 - PAGE as u64;
        assert_eq!(seen(state.update("regular", last, false)), Some((PAGE, Some(last + 1), false, false)));
    }
}
