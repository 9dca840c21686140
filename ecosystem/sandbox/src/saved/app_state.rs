//! The server's side of app state in the state file.

use std::collections::BTreeMap;

use buffa::Message as _;
use serde::{Deserialize, Serialize};
use waproto::whatsapp::{SyncdPatch, SyncdRecord};

use super::super::app_state::{AppState, Collection, collection_name};
use super::{Blob, StateError};

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SavedAppState(BTreeMap<String, SavedCollection>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedCollection {
    version: u64,
    patches: Vec<Blob>,
    /// In the order in which they were written.
    records: Vec<Blob>,
}

impl SavedAppState {
    pub(super) fn of(app_state: &AppState) -> Self {
        let collections = app_state.0.iter().map(|(name, collection)| {
            let saved = SavedCollection {
                version: collection.version,
                patches: collection.patches.iter().map(|patch| Blob(patch.encode_to_vec())).collect(),
                records: collection.records.values().map(|record| Blob(record.encode_to_vec())).collect(),
            };
            ((*name).to_owned(), saved)
        });
        Self(collections.collect())
    }

    pub(super) fn restore(self) -> Result<AppState, StateError> {
        let mut app_state = AppState::default();
        for (name, saved) in self.0 {
            let name = collection_name(&name).ok_or(StateError::Collection(name))?;
            let mut collection = Collection { version: saved.version, ..Collection::default() };
            for patch in saved.patches {
                collection.patches.push_back(SyncdPatch::decode_from_slice(&patch.0)?);
            }
            for record in saved.records {
                collection.add(SyncdRecord::decode_from_slice(&record.0)?);
            }
            app_state.0.insert(name, collection);
        }
        Ok(app_state)
    }
}
