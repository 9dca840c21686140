//! The phone's copy of the collections: it verifies and reads the patches of devices, and builds those of the owner.
//!
//! The phone refuses an invalid patch, as the official app does, and `GET /phones/{n}/app-state` shows it. The running
//! hash still follows the server's records, so that one bad patch does not break those after it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use wacore::appstate::encode::encode_record;
use wacore::appstate::hash::{HashState, generate_index_mac, generate_patch_mac};
use wacore::appstate::{Mutation, process_patch, process_snapshot};
use waproto::whatsapp::syncd_mutation::SyncdOperation;
use waproto::whatsapp::{Conversation, KeyId, SyncActionValue, SyncdMutation, SyncdPatch, SyncdSnapshot};

use super::super::super::app_state::Update;
use super::keys::SyncKeys;

/// A change by the owner: `None` deletes the setting.
pub(super) struct Change {
    pub(super) collection: &'static str,
    pub(super) index: Vec<String>,
    pub(super) value: Option<SyncActionValue>,
    pub(super) schema: i32,
}

/// A decrypted setting.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) collection: &'static str,
    pub(super) value: SyncActionValue,
}

/// A patch or snapshot that failed verification.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    collection: String,
    version: u64,
    error: String,
}

/// One collection: its running hash, and each record's MAC by the MAC of its index.
#[derive(Default)]
pub(super) struct LocalCollection {
    pub(super) hash: HashState,
    pub(super) macs: HashMap<Vec<u8>, Vec<u8>>,
}

pub(in super::super) struct Replica {
    pub(super) keys: SyncKeys,
    pub(super) collections: BTreeMap<&'static str, LocalCollection>,
    /// By index: the kind of setting, then the chat, message or contact.
    pub(super) settings: BTreeMap<Vec<String>, Setting>,
    pub(super) refused: Vec<Refused>,
}

impl Replica {
    pub(in super::super) fn new() -> Self {
        Self { keys: SyncKeys::new(), collections: BTreeMap::new(), settings: BTreeMap::new(), refused: vec![] }
    }

    pub(super) fn version(&self, collection: &str) -> u64 {
        self.collections.get(collection).map_or(0, |local| local.hash.version)
    }

    pub(super) fn versions(&self) -> BTreeMap<&'static str, u64> {
        self.collections.iter().map(|(name, local)| (*name, local.hash.version)).collect()
    }

    pub(super) fn settings(&self) -> &BTreeMap<Vec<String>, Setting> {
        &self.settings
    }

    pub(super) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Applies the part that the phone lacks.
    pub(super) fn apply(&mut self, update: &Update) {
        if let Some(snapshot) = &update.snapshot {
            self.restore(update.name, snapshot);
        }
        for patch in &update.patches {
            self.patch(update.name, patch);
        }
    }

    /// Copies the owner's settings of a chat into its history head.
    pub(in super::super) fn describe(&self, chat: &mut Conversation) {
        let about = |action: &str| self.settings.get([action.to_owned(), chat.id.clone()].as_slice());
        let archived = about("archive").and_then(|it| it.value.archive_chat_action.archived);
        let pinned = about("pin_v1").filter(|it| it.value.pin_action.pinned == Some(true));
        let pinned = pinned.and_then(|it| u32::try_from(it.value.timestamp? / 1000).ok());
        let muted = about("mute").and_then(|it| it.value.mute_action.mute_end_timestamp);
        let unread = about("markChatAsRead").map(|it| it.value.mark_chat_as_read_action.read == Some(false));
        let name = about("contact").and_then(|it| it.value.contact_action.full_name.clone());
        (chat.archived, chat.pinned, chat.marked_as_unread) = (archived, pinned, unread);
        chat.mute_end_time = muted.filter(|until| *until != 0).map(i64::cast_unsigned);
        chat.name = name.or(chat.name.take());
    }

    fn restore(&mut self, name: &'static str, snapshot: &SyncdSnapshot) {
        let mut hash = HashState::default();
        let done = process_snapshot(snapshot, &mut hash, |id| self.keys.find(id), true, name);
        let tail = |blob: &Vec<u8>| blob.last_chunk::<32>().map(|mac| mac.to_vec());
        let macs = snapshot
            .records
            .iter()
            .filter_map(|record| Some((record.index.blob.clone()?, record.value.blob.as_ref().and_then(tail)?)));
        self.collections.insert(name, LocalCollection { hash, macs: macs.collect() });
        self.settings.retain(|_, setting| setting.collection != name);
        match done {
            Ok(done) => done.mutations.into_iter().for_each(|mutation| self.set(name, mutation)),
            Err(error) => self.refuse(name, self.version(name), error.to_string()),
        }
    }

    fn patch(&mut self, name: &'static str, patch: &SyncdPatch) {
        let local = self.collections.entry(name).or_default();
        let known = |mac: &[u8]| local.macs.get(mac).cloned();
        let version = patch.version.version.unwrap_or_default();
        let mut hash = local.hash.clone();
        let done = process_patch(patch, &mut hash, |id| self.keys.find(id), |mac| Ok(known(mac)), true, name);
        let error = match &done {
            Err(error) => {
                hash = local.hash.clone();
                // The server refuses records that cannot be filed at all.
                let _ = hash.update_hash(&patch.mutations, |mac, _| Ok(known(mac)));
                Some(error.to_string())
            }
            Ok(_) if hash.mac_mismatch_fatal => {
                Some("snapshot MAC mismatch: the hash of all records differs".to_owned())
            }
            Ok(_) => None,
        };
        (hash.version, hash.mac_mismatch_fatal) = (version, false);
        local.hash = hash;
        for mutation in &patch.mutations {
            let Some(index) = mutation.record.index.blob.clone() else { continue };
            let mac = mutation.record.value.blob.as_ref().and_then(|blob| blob.last_chunk::<32>());
            match mac.filter(|_| mutation.operation.is_none_or(|operation| operation == SyncdOperation::SET)) {
                Some(mac) => local.macs.insert(index, mac.to_vec()),
                None => local.macs.remove(&index),
            };
        }
        if let Some(error) = error {
            self.refuse(name, version, error);
        }
        for mutation in done.map(|done| done.mutations).unwrap_or_default() {
            self.set(name, mutation);
        }
    }

    fn set(&mut self, collection: &'static str, mutation: Mutation) {
        match mutation.action_value.filter(|_| mutation.operation == SyncdOperation::SET) {
            Some(value) => self.settings.insert(mutation.index, Setting { collection, value }),
            None => self.settings.remove(&mutation.index),
        };
    }

    fn refuse(&mut self, collection: &'static str, version: u64, error: String) {
        self.refused.push(Refused { collection: collection.to_owned(), version, error });
    }

    /// The patch for a change, and the version that it is built on. `None` when there is nothing to change.
    pub(super) fn build(&self, change: &Change) -> Result<Option<(u64, SyncdPatch)>, serde_json::Error> {
        let nothing = LocalCollection::default();
        let local = self.collections.get(change.collection).unwrap_or(&nothing);
        let index = serde_json::to_vec(&change.index)?;
        let former = self.settings.get(&change.index).map(|setting| setting.value.clone()).unwrap_or_default();
        let mut mutations: Vec<SyncdMutation> = vec![];
        for (age, (id, keys)) in self.keys.newest_first().enumerate() {
            let mut add = |operation, value: &SyncActionValue| {
                let (mutation, _) = encode_record(operation, &index, value, keys, id, &rand::random(), change.schema);
                mutations.push(mutation);
            };
            let known = local.macs.contains_key(&generate_index_mac(&index, &keys.index));
            match &change.value {
                // The index differs under each key, so a record under an old key must be removed.
                Some(value) if age == 0 => add(SyncdOperation::SET, value),
                _ if known => add(SyncdOperation::REMOVE, &former),
                _ => {}
            }
        }
        // Removals go first, so that a reader ends with the new value.
        mutations.reverse();
        let Some((id, keys)) = self.keys.newest_first().next().filter(|_| !mutations.is_empty()) else {
            return Ok(None);
        };
        let (base, mut hash) = (local.hash.version, local.hash.clone());
        // Only an unknown operation would be an error.
        let _ = hash.update_hash(&mutations, |mac, _| Ok(local.macs.get(mac).cloned()));
        hash.version += 1;
        let mut patch = SyncdPatch {
            mutations,
            snapshot_mac: Some(hash.generate_snapshot_mac(change.collection, &keys.snapshot_mac)),
            key_id: buffa::MessageField::some(KeyId { id: Some(id.to_vec()) }),
            device_index: Some(0),
            ..Default::default()
        };
        patch.patch_mac = Some(generate_patch_mac(&patch, change.collection, &keys.patch_mac, hash.version));
        Ok(Some((base, patch)))
    }
}
