//! The phone's copy of app state in the state file.

use std::collections::BTreeMap;

use buffa::Message as _;
use serde::{Deserialize, Serialize};
use wacore::appstate::hash::HashState;
use waproto::whatsapp::SyncActionValue;

use super::super::super::app_state::collection_name;
use super::super::super::saved::{Blob, StateError};
use super::keys::{SavedKey, SyncKeys};
use super::replica::{LocalCollection, Refused, Replica, Setting};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SavedReplica {
    keys: Vec<SavedKey>,
    collections: BTreeMap<String, SavedLocal>,
    settings: Vec<SavedSetting>,
    refused: Vec<Refused>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedLocal {
    version: u64,
    hash: Blob,
    /// By the MAC of the index, sorted, so that the same state gives the same file.
    macs: Vec<(Blob, Blob)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedSetting {
    index: Vec<String>,
    collection: String,
    value: Blob,
}

impl Replica {
    pub(in super::super) fn save(&self) -> SavedReplica {
        let collections = self.collections.iter().map(|(name, local)| {
            let macs: BTreeMap<_, _> = local.macs.iter().collect();
            let macs = macs.into_iter().map(|(index, mac)| (Blob(index.clone()), Blob(mac.clone()))).collect();
            let saved = SavedLocal { version: local.hash.version, hash: Blob(local.hash.hash.to_vec()), macs };
            ((*name).to_owned(), saved)
        });
        let settings = self.settings.iter().map(|(index, setting)| SavedSetting {
            index: index.clone(),
            collection: setting.collection.to_owned(),
            value: Blob(setting.value.encode_to_vec()),
        });
        SavedReplica {
            keys: self.keys.save(),
            collections: collections.collect(),
            settings: settings.collect(),
            refused: self.refused.clone(),
        }
    }
}

impl SavedReplica {
    pub(in super::super) fn restore(self) -> Result<Replica, StateError> {
        let known = |name: &str| collection_name(name).ok_or_else(|| StateError::Collection(name.to_owned()));
        let (mut collections, mut settings) = (BTreeMap::new(), BTreeMap::new());
        for (name, local) in self.collections {
            let mut hash = HashState { version: local.version, ..HashState::default() };
            hash.hash = local.hash.0.try_into().map_err(|_| StateError::Collection(name.clone()))?;
            let macs = local.macs.into_iter().map(|(index, mac)| (index.0, mac.0)).collect();
            collections.insert(known(&name)?, LocalCollection { hash, macs });
        }
        for SavedSetting { index, collection, value } in self.settings {
            let value = SyncActionValue::decode_from_slice(&value.0)?;
            settings.insert(index, Setting { collection: known(&collection)?, value });
        }
        Ok(Replica { keys: SyncKeys::restore(self.keys), collections, settings, refused: self.refused })
    }
}
