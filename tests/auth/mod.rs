//! Auth state: the storage traits over the client library's own stores and over ours, and promises that only ours makes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod conformance;
#[cfg(feature = "sandbox")]
mod copies;
mod durability;
#[cfg(feature = "sandbox")]
mod failovers;
mod fencing;
#[cfg(feature = "sandbox")]
mod import;
mod reading_ahead;
#[cfg(feature = "sandbox")]
mod restores;
#[cfg(feature = "sandbox")]
mod round_trips;
mod rows;
mod sealing;
mod together;
#[cfg(feature = "sandbox")]
mod whole;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};
use wacore::{
    appstate::{hash::HashState, processor::AppStateMutationMAC},
    libsignal::{protocol::KeyPair, store::record_helpers::new_pre_key_record},
    store::{Device, InMemoryBackend, error::StoreError, traits::*},
};
use wagres::{
    auth::{self, AuthError, AuthStore, KEY_LENGTH, Vault, creds},
    db::{fence::Fence, hold::Hold},
};
use waproto::{codec as proto, whatsapp::ADVSignedDeviceIdentity};

use crate::support::db::{TestDb, fresh};

/// A session that a worker holds, and its store.
struct Held {
    db: TestDb,
    fence: Fence,
    hold: Hold,
    store: AuthStore,
}

impl Held {
    async fn new() -> Self {
        Self::with(Vault::default()).await
    }

    /// The same with a store that encrypts.
    async fn sealed() -> Self {
        Self::with(vault("k1")).await
    }

    async fn with(vault: Vault) -> Self {
        let db = fresh().await;
        let fence = hold(&db, "shop").await;
        let hold = Hold::new(db.pool.clone().into(), fence, "shop");
        let store = AuthStore::new(hold.clone(), vault.into());
        Self { db, fence, hold, store }
    }

    /// The store of a process that has just started.
    fn restarted(&self) -> Arc<AuthStore> {
        AuthStore::new(self.hold.clone(), Arc::default()).into()
    }

    async fn value(&self, kind: &str, key_id: &str) -> Value {
        sqlx::query_scalar("SELECT value FROM wa.auth_key WHERE session_id = $1 AND kind = $2 AND key_id = $3")
            .bind(self.fence.session_id)
            .bind(kind)
            .bind(key_id)
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    async fn set(&self, kind: &str, key_id: &str, value: Value) {
        sqlx::query(
            "INSERT INTO wa.auth_key (session_id, kind, key_id, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (session_id, kind, key_id) DO UPDATE SET value = EXCLUDED.value",
        )
        .bind(self.fence.session_id)
        .bind(kind)
        .bind(key_id)
        .bind(value)
        .execute(&self.db.pool)
        .await
        .unwrap();
    }

    async fn rows(&self) -> i64 {
        let sql = "SELECT (SELECT count(*) FROM wa.auth_key) + (SELECT count(*) FROM wa.auth)";
        sqlx::query_scalar(sql).fetch_one(&self.db.pool).await.unwrap()
    }
}

/// A vault with the keys k1 and k2, of which `key` is in force.
fn vault(key: &str) -> Vault {
    let vault = Vault::default().with_key("k1", &[1; KEY_LENGTH]).unwrap().with_key("k2", &[2; KEY_LENGTH]).unwrap();
    vault.writing_with(key).unwrap()
}

async fn hold(db: &TestDb, name: &str) -> Fence {
    let added: i64 = sqlx::query_scalar("SELECT wa.add_session($1)").bind(name).fetch_one(&db.pool).await.unwrap();
    let session_id = sqlx::query_scalar(
        "WITH worker AS (
             INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
             VALUES (gen_random_uuid(), 'here', 1, 'test', now() + interval '1 hour') RETURNING worker_id
         )
         UPDATE wa.lease SET holder = worker_id, epoch = 1 FROM worker WHERE session_id = $1
         RETURNING session_id",
    )
    .bind(added)
    .fetch_one(&db.pool)
    .await
    .unwrap();
    Fence { session_id, epoch: 1 }
}

fn arc(text: &str) -> Arc<str> {
    Arc::from(text)
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// A device with a distinct value in every persisted field.
fn full_device() -> Device {
    let mut device = Device::new();
    device.pn = Some("15550001:3@s.whatsapp.net".parse().unwrap());
    device.lid = Some("900100200:3@lid".parse().unwrap());
    device.account = Some(Arc::new(ADVSignedDeviceIdentity {
        details: Some(vec![8, 1]),
        account_signature_key: Some(vec![2; 32]),
        account_signature: Some(vec![3; 64]),
        device_signature: Some(vec![]),
    }));
    device.signed_pre_key_id = 42;
    device.push_name = "Лавка \0 ☕".into();
    device.app_version_last_fetched_ms = 1_700_000_000_000;
    device.edge_routing_info = Some(vec![1, 2, 3]);
    device.props_hash = Some("hash".into());
    device.next_pre_key_id = 813;
    device.first_unupload_pre_key_id = 31;
    device.server_has_prekeys = true;
    device.nct_salt = Some(vec![]);
    device.login_counter = 17;
    device.lid_migrated = true;
    device.last_signed_pre_key_rotation_ms = 5;
    device.read_receipts_disabled = true;
    let mut form = form(&device);
    form["server_cert_chain"] = json!({
        "intermediate": {"key": vec![7; 32], "not_before": 1, "not_after": 2},
        "leaf": {"key": vec![8; 32], "not_before": 3, "not_after": 4},
    });
    serde_json::from_value(form).unwrap()
}

/// All that a device persists.
fn form(device: &Device) -> Value {
    serde_json::to_value(device).unwrap()
}

fn mapping(lid: &str, phone: &str, updated_at: i64) -> LidPnMappingEntry {
    LidPnMappingEntry {
        lid: lid.into(),
        phone_number: phone.into(),
        created_at: 1,
        updated_at,
        learning_source: "usync".into(),
    }
}
