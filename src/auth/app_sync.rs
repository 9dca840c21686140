//! `AppSyncStore`: keys, versions and MACs of the account's synchronised state.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use wacore::{
    appstate::{hash::HashState, processor::AppStateMutationMAC},
    store::{
        error::Result,
        traits::{AppStateSyncKey, AppSyncStore},
    },
};

use super::{
    codec::{self, DecodeError, Fields},
    key_id::{escape, join},
    kind::Kind,
    store::{AuthStore, Batch},
};

pub(super) fn version_to_json(state: &HashState) -> Value {
    let index: Map<_, _> = state
        .index_value_map
        .iter()
        .map(|(index, mac)| (escape(index).into_owned(), json!({"valueMac": codec::buffer(mac)})))
        .collect();
    json!({
        "version": state.version,
        "hash": codec::buffer(&state.hash),
        "indexValueMap": index,
        "macMismatchFatal": state.mac_mismatch_fatal,
    })
}

pub(super) fn version_from_json(value: Value) -> std::result::Result<HashState, DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    let mut index_value_map = HashMap::new();
    if let Some(index) = fields.get("indexValueMap").map(|value| (value, Fields::of(value, "indexValueMap"))) {
        index.1?;
        for (name, entry) in index.0.as_object().into_iter().flatten() {
            let mac = Fields::of(entry, "indexValueMap")?.bytes("valueMac")?;
            index_value_map.insert(super::key_id::unescape(name), mac);
        }
    }
    Ok(HashState {
        version: fields.number("version")?,
        hash: fields.fixed("hash")?,
        index_value_map,
        mac_mismatch_fatal: fields.is_true("macMismatchFatal"),
    })
}

pub(super) fn sync_key_to_json(key: &AppStateSyncKey) -> Value {
    json!({
        "keyData": codec::buffer(&key.key_data),
        "fingerprint": codec::buffer(&key.fingerprint),
        "timestamp": key.timestamp,
    })
}

pub(super) fn sync_key_from_json(value: Value) -> std::result::Result<AppStateSyncKey, DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    Ok(AppStateSyncKey {
        key_data: fields.bytes("keyData")?,
        fingerprint: fields.bytes("fingerprint")?,
        timestamp: fields.number("timestamp")?,
    })
}

pub(super) fn mac_id(name: &str, index_mac: &[u8]) -> String {
    join(&[name, &hex::encode(index_mac)])
}

#[async_trait]
impl AppSyncStore for AuthStore {
    async fn get_sync_key(&self, key_id: &[u8]) -> Result<Option<AppStateSyncKey>> {
        Ok(self.get(Kind::AppStateSyncKey, &codec::base64(key_id), sync_key_from_json).await?)
    }

    async fn set_sync_key(&self, key_id: &[u8], key: AppStateSyncKey) -> Result<()> {
        Ok(self.put(Kind::AppStateSyncKey, codec::base64(key_id), sync_key_to_json(&key)).await?)
    }

    async fn get_version(&self, name: &str) -> Result<HashState> {
        Ok(self.get(Kind::AppStateSyncVersion, &escape(name), version_from_json).await?.unwrap_or_default())
    }

    async fn set_version(&self, name: &str, state: HashState) -> Result<()> {
        Ok(self.put(Kind::AppStateSyncVersion, escape(name).into_owned(), version_to_json(&state)).await?)
    }

    async fn put_mutation_macs(&self, name: &str, _version: u64, mutations: &[AppStateMutationMAC]) -> Result<()> {
        let batch: Batch =
            mutations.iter().map(|mac| (mac_id(name, &mac.index_mac), codec::buffer(&mac.value_mac))).collect();
        Ok(self.put_many(Kind::AppStateMac, batch).await?)
    }

    async fn get_mutation_mac(&self, name: &str, index_mac: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.get_bytes(Kind::AppStateMac, &mac_id(name, index_mac)).await?)
    }

    async fn get_mutation_macs(&self, name: &str, index_macs: &[[u8; 32]]) -> Result<HashMap<[u8; 32], Vec<u8>>> {
        let wanted: HashMap<_, _> = index_macs.iter().map(|mac| (mac_id(name, mac), *mac)).collect();
        let key_ids: Vec<_> = wanted.keys().cloned().collect();
        let rows = self.get_many(Kind::AppStateMac, &key_ids).await?;
        let read = |id: &str, value| Ok((wanted.get(id).copied(), codec::bytes(&value, "value")?));
        let macs = self.decode_all(Kind::AppStateMac, rows, read).await?;
        Ok(macs.into_iter().filter_map(|(index, mac)| Some((index?, mac))).collect())
    }

    async fn delete_mutation_macs(&self, name: &str, index_macs: &[Vec<u8>]) -> Result<()> {
        let key_ids: Vec<_> = index_macs.iter().map(|mac| mac_id(name, mac)).collect();
        Ok(self.remove(Kind::AppStateMac, &key_ids).await?)
    }

    async fn clear_mutation_macs(&self, name: &str) -> Result<()> {
        Ok(self.remove_under(Kind::AppStateMac, name).await?)
    }

    async fn get_latest_sync_key_id(&self) -> Result<Option<Vec<u8>>> {
        let run = || {
            sqlx::query_file_scalar!("sql/auth/sync_key_latest.sql", self.fence().session_id)
                .fetch_optional(self.pool())
        };
        let Some(id) = self.ask(Kind::AppStateSyncKey.name(), run).await? else {
            return Ok(None);
        };
        let key = codec::from_base64(&id).ok_or_else(|| DecodeError::new("key_id", "other text", "base64"));
        Ok(Some(key.map_err(|source| self.unreadable(Kind::AppStateSyncKey, &id, source))?))
    }
}
