//! The keys that encrypt an account's app state. The phone creates them and sends them to each device.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wacore::appstate::{AppStateError, ExpandedAppStateKeys, expand_app_state_keys};
use waproto::whatsapp::message::{
    AppStateSyncKey, AppStateSyncKeyData, AppStateSyncKeyFingerprint, AppStateSyncKeyId, AppStateSyncKeyShare,
};

use super::super::super::node::unix_now;
use super::super::super::saved::Blob;

/// All keys that the phone has created, the newest last. An old one is needed as long as a record uses it.
pub(super) struct SyncKeys(Vec<SyncKey>);

struct SyncKey {
    id: Vec<u8>,
    data: [u8; 32],
    made: u64,
    expanded: Arc<ExpandedAppStateKeys>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedKey {
    id: Blob,
    data: [u8; 32],
    made: u64,
}

impl SyncKeys {
    pub(super) fn save(&self) -> Vec<SavedKey> {
        self.0.iter().map(|key| SavedKey { id: Blob(key.id.clone()), data: key.data, made: key.made }).collect()
    }

    /// The keys of the state file; a new one if there are none.
    pub(super) fn restore(saved: Vec<SavedKey>) -> Self {
        let keys = saved.into_iter().map(|SavedKey { id, data, made }| {
            let expanded = Arc::new(expand_app_state_keys(&data));
            SyncKey { id: id.0, data, made, expanded }
        });
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() { Self::new() } else { Self(keys) }
    }

    pub(super) fn new() -> Self {
        let mut keys = Self(vec![]);
        keys.rotate();
        keys
    }

    /// Creates a key for all further changes.
    pub(super) fn rotate(&mut self) {
        let data: [u8; 32] = rand::random();
        // Two bytes for the device that created the key, which is the phone, and an epoch that clients expect to grow.
        let epoch = u32::try_from(self.0.len()).unwrap_or(u32::MAX).saturating_add(1);
        let id = [&[0, 0], epoch.to_be_bytes().as_slice()].concat();
        let expanded = Arc::new(expand_app_state_keys(&data));
        // Some clients take the key with the latest time as the newest.
        let made = self.0.last().map_or(0, |newest| newest.made + 1).max(unix_now());
        self.0.push(SyncKey { id, data, made, expanded });
    }

    /// The key to encrypt with, and then the older ones, each with its id.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (&[u8], &Arc<ExpandedAppStateKeys>)> {
        self.0.iter().rev().map(|key| (key.id.as_slice(), &key.expanded))
    }

    pub(super) fn find(&self, id: &[u8]) -> Result<Arc<ExpandedAppStateKeys>, AppStateError> {
        let key = self.0.iter().find(|key| key.id == id);
        key.map(|key| Arc::clone(&key.expanded)).ok_or(AppStateError::KeyNotFound)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.0.iter().map(|key| hex::encode(&key.id)).collect()
    }

    /// All keys, for a device that has none.
    pub(super) fn share(&self, fingerprint: &AppStateSyncKeyFingerprint) -> AppStateSyncKeyShare {
        let keys = self.0.iter().map(|key| envelope(&key.id, Some(key), fingerprint));
        AppStateSyncKeyShare { keys: keys.collect() }
    }

    /// The requested keys; one that the phone does not have is sent without data.
    pub(super) fn answer(
        &self,
        wanted: &[AppStateSyncKeyId],
        fingerprint: &AppStateSyncKeyFingerprint,
    ) -> AppStateSyncKeyShare {
        let ids = wanted.iter().filter_map(|wanted| wanted.key_id.as_ref());
        let keys = ids.map(|id| envelope(id, self.0.iter().find(|key| key.id == *id), fingerprint));
        AppStateSyncKeyShare { keys: keys.collect() }
    }
}

fn envelope(id: &[u8], key: Option<&SyncKey>, fingerprint: &AppStateSyncKeyFingerprint) -> AppStateSyncKey {
    let data = key.map(|key| AppStateSyncKeyData {
        key_data: Some(key.data.to_vec()),
        fingerprint: buffa::MessageField::some(fingerprint.clone()),
        timestamp: i64::try_from(key.made).ok(),
    });
    AppStateSyncKey {
        key_id: buffa::MessageField::some(AppStateSyncKeyId { key_id: Some(id.to_vec()) }),
        key_data: data.into(),
    }
}
