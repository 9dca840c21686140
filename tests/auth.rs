//! Auth state: the storage traits over the client library's in-memory store and over ours, and what is ours alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wacore::{
    appstate::{hash::HashState, processor::AppStateMutationMAC},
    libsignal::{protocol::KeyPair, store::record_helpers::new_pre_key_record},
    store::{Device, InMemoryBackend, error::StoreError, traits::*},
};
use wagres::{
    auth::{self, AuthError, AuthStore, creds},
    db::fence::Fence,
};
use waproto::{codec as proto, whatsapp::ADVSignedDeviceIdentity};

use crate::support::db::{TestDb, fresh};

/// A session that a worker holds, and its store.
struct Held {
    db: TestDb,
    fence: Fence,
    stale: CancellationToken,
    store: AuthStore,
}

impl Held {
    async fn new() -> Self {
        let db = fresh().await;
        let fence = hold(&db, "shop").await;
        let stale = CancellationToken::new();
        let store = AuthStore::new(db.pool.clone(), fence, stale.clone());
        Self { db, fence, stale, store }
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

/// Runs each case over both stores.
macro_rules! conformance {
    ($($case:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $case() { super::$case(&wacore::store::InMemoryBackend::new()).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $case() { super::$case(&super::Held::new().await.store).await; })*
        }
    };
}

conformance! {
    a3_identities a3_sessions a3_signal_state_of_a_user a3_pre_keys a3_signed_pre_keys a3_sender_keys
    a3_app_state_keys a3_app_state_versions a3_app_state_macs a3_sender_key_memory a3_lid_mappings a3_base_keys
    a3_device_lists a3_group_metadata a3_tc_tokens a3_tc_token_times_only_advance a3_tc_tokens_expire
    a3_sent_messages a3_pending_inbound a3_message_secrets a3_device a3_hundreds_in_one_batch a3_empty_batches
    r5_odd_ids
}

async fn a3_identities(s: &dyn Backend) {
    assert_eq!(s.load_identity("1@c.us.0").await.unwrap(), None);
    s.put_identity("1@c.us.0", [1; 32]).await.unwrap();
    s.put_identity("1@c.us.0", [2; 32]).await.unwrap();
    s.put_identities_batch(&[(arc("2@c.us.0"), [3; 32]), (arc("3@c.us.0"), [5; 32]), (arc("2@c.us.0"), [4; 32])])
        .await
        .unwrap();
    assert_eq!(s.load_identity("1@c.us.0").await.unwrap(), Some([2; 32]));
    assert_eq!(s.load_identity("2@c.us.0").await.unwrap(), Some([4; 32]), "the later of two in a batch");
    assert_eq!(s.load_identity("3@c.us.0").await.unwrap(), Some([5; 32]));
    s.delete_identity("1@c.us.0").await.unwrap();
    s.delete_identity("1@c.us.0").await.unwrap();
    assert_eq!(s.load_identity("1@c.us.0").await.unwrap(), None);
}

async fn a3_sessions(s: &dyn Backend) {
    assert!(!s.has_session("1:2@lid.0").await.unwrap());
    assert_eq!(s.get_session("1:2@lid.0").await.unwrap(), None);
    s.put_session("1:2@lid.0", b"one").await.unwrap();
    let batch = [(arc("3@c.us.0"), Bytes::from_static(b"")), (arc("1:2@lid.0"), Bytes::from_static(b"two"))];
    s.put_sessions_batch(&batch).await.unwrap();
    assert_eq!(s.get_session("1:2@lid.0").await.unwrap(), Some(Bytes::from_static(b"two")));
    assert_eq!(s.get_session("3@c.us.0").await.unwrap(), Some(Bytes::new()));
    assert!(s.has_session("1:2@lid.0").await.unwrap());
    s.delete_session("1:2@lid.0").await.unwrap();
    assert!(!s.has_session("1:2@lid.0").await.unwrap());
}

async fn a3_signal_state_of_a_user(s: &dyn Backend) {
    s.put_session("100:5@lid.0", b"x").await.unwrap();
    s.put_identity("200@c.us.0", [1; 32]).await.unwrap();
    s.put_sender_key("300@c.us.0", b"x").await.unwrap();
    for (user, known) in
        [("100", true), ("200", true), ("10", false), ("1000", false), ("300", false), ("20", false), ("", false)]
    {
        assert_eq!(s.has_signal_state_for_user(user).await.unwrap(), known, "{user}");
    }
}

async fn a3_pre_keys(s: &dyn Backend) {
    assert_eq!(s.get_max_prekey_id().await.unwrap(), 0);
    let real =
        |id| Bytes::from(proto::pre_key_record_to_vec(&new_pre_key_record(id, &KeyPair::generate(&mut rand::rng()))));
    let (seven, nine, ten) = (real(7), real(9), real(10));
    s.store_prekey(7, &seven, false).await.unwrap();
    s.store_prekeys_batch(&[(10, ten.clone()), (9, nine.clone()), (4, Bytes::from_static(b"no record"))], true)
        .await
        .unwrap();
    s.store_prekey(8, &seven, false).await.unwrap();
    assert_eq!(s.load_prekey(7).await.unwrap(), Some(seven.clone()));
    assert_eq!(s.load_prekey(8).await.unwrap(), Some(seven.clone()), "a record whose id is another");
    assert_eq!(s.get_max_prekey_id().await.unwrap(), 10);
    let found = sorted(s.load_prekeys_batch(&[10, 4, 77, 7]).await.unwrap());
    assert_eq!(found, [(4, Bytes::from_static(b"no record")), (7, seven), (10, ten)]);
    s.remove_prekey(7).await.unwrap();
    s.mark_prekeys_uploaded(&[7, 9]).await.unwrap();
    assert_eq!(s.load_prekey(7).await.unwrap(), None, "a consumed key stays consumed");
    assert_eq!(s.load_prekey(9).await.unwrap(), Some(nine));
}

async fn a3_signed_pre_keys(s: &dyn Backend) {
    s.store_signed_prekey(1, b"one").await.unwrap();
    s.store_signed_prekey(2, b"two").await.unwrap();
    s.store_signed_prekey(1, b"uno").await.unwrap();
    assert_eq!(s.load_signed_prekey(1).await.unwrap(), Some(b"uno".to_vec()));
    assert_eq!(sorted(s.load_all_signed_prekeys().await.unwrap()), [(1, b"uno".to_vec()), (2, b"two".to_vec())]);
    s.remove_signed_prekey(1).await.unwrap();
    assert_eq!(s.load_signed_prekey(1).await.unwrap(), None);
}

async fn a3_sender_keys(s: &dyn Backend) {
    s.put_sender_key("g@g.us:1@c.us.0", b"one").await.unwrap();
    let batch =
        [(arc("g@g.us:2@c.us.0"), Bytes::from_static(b"x")), (arc("g@g.us:1@c.us.0"), Bytes::from_static(b"two"))];
    s.put_sender_keys_batch(&batch).await.unwrap();
    assert_eq!(s.get_sender_key("g@g.us:1@c.us.0").await.unwrap(), Some(b"two".to_vec()));
    s.delete_sender_key("g@g.us:1@c.us.0").await.unwrap();
    assert_eq!(s.get_sender_key("g@g.us:1@c.us.0").await.unwrap(), None);
    assert_eq!(s.get_sender_key("g@g.us:2@c.us.0").await.unwrap(), Some(b"x".to_vec()));
}

async fn a3_app_state_keys(s: &dyn Backend) {
    assert_eq!(s.get_latest_sync_key_id().await.unwrap(), None);
    assert!(s.get_sync_key(&[1, 2]).await.unwrap().is_none());
    let key = |n: u8| AppStateSyncKey { key_data: vec![n; 32], fingerprint: vec![n], timestamp: i64::from(n) };
    s.set_sync_key(&[0, 255], key(1)).await.unwrap();
    s.set_sync_key(&[0, 1], key(2)).await.unwrap();
    assert_eq!(s.get_latest_sync_key_id().await.unwrap(), Some(vec![0, 1]));
    s.set_sync_key(&[0, 255], key(3)).await.unwrap();
    assert_eq!(s.get_latest_sync_key_id().await.unwrap(), Some(vec![0, 255]), "written again is written last");
    let found = s.get_sync_key(&[0, 255]).await.unwrap().unwrap();
    assert_eq!((found.key_data, found.fingerprint, found.timestamp), (vec![3; 32], vec![3], 3));
}

async fn a3_app_state_versions(s: &dyn Backend) {
    assert_eq!(s.get_version("critical_block").await.unwrap().version, 0);
    let state = HashState {
        version: u64::MAX,
        hash: std::array::from_fn(|i| u8::try_from(i).unwrap()),
        index_value_map: HashMap::from([("AbC=".to_owned(), vec![1, 2, 3]), ("0".to_owned(), vec![])]),
        mac_mismatch_fatal: true,
    };
    s.set_version("critical_block", state.clone()).await.unwrap();
    let found = s.get_version("critical_block").await.unwrap();
    assert_eq!(
        (found.version, found.hash, found.index_value_map, found.mac_mismatch_fatal),
        (state.version, state.hash, state.index_value_map, true)
    );
    assert_eq!(s.get_version("regular").await.unwrap().version, 0);
}

async fn a3_app_state_macs(s: &dyn Backend) {
    let mac = |index: u8, value: u8| AppStateMutationMAC { index_mac: vec![index; 32], value_mac: vec![value; 32] };
    s.put_mutation_macs("regular", 1, &[mac(1, 1), mac(2, 2), mac(1, 9)]).await.unwrap();
    s.put_mutation_macs("regular_high", 1, &[mac(1, 3)]).await.unwrap();
    assert_eq!(s.get_mutation_mac("regular", &[1; 32]).await.unwrap(), Some(vec![9; 32]));
    assert_eq!(s.get_mutation_mac("regular", &[7; 32]).await.unwrap(), None);
    let found = s.get_mutation_macs("regular", &[[1; 32], [2; 32], [7; 32]]).await.unwrap();
    assert_eq!(found, HashMap::from([([1; 32], vec![9; 32]), ([2; 32], vec![2; 32])]));
    s.delete_mutation_macs("regular", &[vec![1; 32], vec![8; 32]]).await.unwrap();
    assert_eq!(s.get_mutation_mac("regular", &[1; 32]).await.unwrap(), None);
    s.clear_mutation_macs("regular").await.unwrap();
    assert_eq!(s.get_mutation_mac("regular", &[2; 32]).await.unwrap(), None);
    assert_eq!(s.get_mutation_mac("regular_high", &[1; 32]).await.unwrap(), Some(vec![3; 32]));
}

async fn a3_sender_key_memory(s: &dyn Backend) {
    assert!(s.get_sender_key_devices("g@g.us").await.unwrap().is_empty());
    s.set_sender_key_status("g@g.us", &[("1@lid", true), ("1:2@lid", false), ("1@lid", false)]).await.unwrap();
    s.set_sender_key_status("g@g.us", &[("1:2@lid", true), ("3@lid", true)]).await.unwrap();
    s.set_sender_key_status("h@g.us", &[("3@lid", true), ("4@lid", true)]).await.unwrap();
    let devices = async |group| {
        sorted(s.get_sender_key_devices(group).await.unwrap())
            .into_iter()
            .map(|(jid, has)| format!("{jid} {has}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(devices("g@g.us").await, ["1:2@lid true", "1@lid false", "3@lid true"]);
    s.delete_sender_key_device_rows(&["3@lid", "9@lid"]).await.unwrap();
    assert_eq!(devices("g@g.us").await, ["1:2@lid true", "1@lid false"]);
    assert_eq!(devices("h@g.us").await, ["4@lid true"]);
    s.clear_sender_key_devices("g@g.us").await.unwrap();
    assert!(devices("g@g.us").await.is_empty());
    assert_eq!(devices("h@g.us").await, ["4@lid true"]);
    s.clear_all_sender_key_devices().await.unwrap();
    assert!(devices("h@g.us").await.is_empty());
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

async fn a3_lid_mappings(s: &dyn Backend) {
    assert!(s.get_lid_mapping("L1").await.unwrap().is_none());
    s.put_lid_mapping(&mapping("L1", "55", 1)).await.unwrap();
    s.put_lid_mapping(&mapping("L2", "55", 2)).await.unwrap();
    let lid = async |phone| s.get_pn_mapping(phone).await.unwrap().map(|entry| entry.lid);
    assert_eq!(lid("55").await.as_deref(), Some("L2"), "the most recent for a number");
    s.put_lid_mappings(&[mapping("L2", "66", 3), mapping("L3", "77", 3), mapping("L4", "88", 3)]).await.unwrap();
    assert_eq!(lid("66").await.as_deref(), Some("L2"));
    assert_ne!(lid("55").await.as_deref(), Some("L2"), "a LID that moved to another number");
    let entry = s.get_lid_mapping("L3").await.unwrap().unwrap();
    assert_eq!(
        (entry.phone_number.as_str(), entry.created_at, entry.updated_at, entry.learning_source.as_str()),
        ("77", 1, 3, "usync")
    );
    let all = s.get_all_lid_mappings().await.unwrap().into_iter().map(|entry| entry.lid).collect();
    assert_eq!(sorted(all), ["L1", "L2", "L3", "L4"]);
}

async fn a3_base_keys(s: &dyn Backend) {
    assert!(!s.has_same_base_key("1@c.us.0", "M", b"k").await.unwrap());
    s.save_base_key("1@c.us.0", "M", b"k").await.unwrap();
    assert!(s.has_same_base_key("1@c.us.0", "M", b"k").await.unwrap());
    assert!(!s.has_same_base_key("1@c.us.0", "M", b"l").await.unwrap());
    assert!(!s.has_same_base_key("1@c.us.0", "N", b"k").await.unwrap());
    s.delete_base_key("1@c.us.0", "M").await.unwrap();
    assert!(!s.has_same_base_key("1@c.us.0", "M", b"k").await.unwrap());
}

async fn a3_device_lists(s: &dyn Backend) {
    let list = |user: &str, timestamp| DeviceListRecord {
        user: user.into(),
        devices: vec![DeviceInfo::new(0, None), DeviceInfo::new(3, Some(7)).with_hosting(true)],
        timestamp,
        phash: Some("2:abc".into()),
        raw_id: Some(u32::MAX),
    };
    assert!(s.get_devices("55").await.unwrap().is_none());
    s.update_device_list(list("55", 1)).await.unwrap();
    s.update_device_lists(vec![list("66", 2), list("55", 3), list("66", 4)]).await.unwrap();
    let found = s.get_devices("66").await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(found).unwrap(), serde_json::to_value(list("66", 4)).unwrap());
    let bare = DeviceListRecord { user: "77".into(), devices: vec![], timestamp: -1, phash: None, raw_id: None };
    s.update_device_list(bare.clone()).await.unwrap();
    let found = s.get_devices("77").await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(found).unwrap(), serde_json::to_value(bare).unwrap());
    s.delete_devices("66").await.unwrap();
    assert!(s.get_devices("66").await.unwrap().is_none());
    assert_eq!(s.get_devices("55").await.unwrap().unwrap().timestamp, 3);
}

async fn a3_group_metadata(s: &dyn Backend) {
    assert_eq!(s.get_group_metadata("g@g.us").await.unwrap(), None);
    s.put_group_metadata("g@g.us", b"one").await.unwrap();
    s.put_group_metadata("g@g.us", b"two").await.unwrap();
    assert_eq!(s.get_group_metadata("g@g.us").await.unwrap(), Some(b"two".to_vec()));
    s.delete_group_metadata("g@g.us").await.unwrap();
    assert_eq!(s.get_group_metadata("g@g.us").await.unwrap(), None);
}

async fn token(s: &dyn Backend, jid: &str) -> Option<(Vec<u8>, i64, Option<i64>)> {
    s.get_tc_token(jid).await.unwrap().map(|entry| (entry.token, entry.token_timestamp, entry.sender_timestamp))
}

async fn a3_tc_tokens(s: &dyn Backend) {
    assert_eq!(token(s, "1@lid").await, None);
    s.store_received_tc_token("1@lid", &[1], 5000).await.unwrap();
    assert_eq!(token(s, "1@lid").await, Some((vec![1], 5000, None)));
    s.store_received_tc_token("1@lid", &[2], 3000).await.unwrap();
    assert_eq!(token(s, "1@lid").await, Some((vec![1], 5000, None)), "an older token does not win");
    s.store_received_tc_token("1@lid", &[3], 5000).await.unwrap();
    assert_eq!(token(s, "1@lid").await, Some((vec![3], 5000, None)), "one as new does");
    s.put_tc_token("2@lid", &TcTokenEntry { token: vec![9], token_timestamp: 1, sender_timestamp: Some(2) })
        .await
        .unwrap();
    assert_eq!(token(s, "2@lid").await, Some((vec![9], 1, Some(2))));
    assert_eq!(sorted(s.get_all_tc_token_jids().await.unwrap()), ["1@lid", "2@lid"]);
    s.delete_tc_token("2@lid").await.unwrap();
    assert_eq!(token(s, "2@lid").await, None);
}

async fn a3_tc_token_times_only_advance(s: &dyn Backend) {
    s.touch_tc_token_sender_timestamp("p@lid", 9000).await.unwrap();
    assert_eq!(token(s, "p@lid").await, Some((vec![], 9000, Some(9000))));
    s.touch_tc_token_sender_timestamp("p@lid", 8000).await.unwrap();
    s.store_received_tc_token("p@lid", &[4], 6000).await.unwrap();
    assert_eq!(token(s, "p@lid").await, Some((vec![4], 6000, Some(9000))), "a placeholder blocks no token");
    s.touch_tc_token_sender_timestamp("p@lid", 9500).await.unwrap();
    assert_eq!(token(s, "p@lid").await, Some((vec![4], 6000, Some(9500))));
    s.put_tc_token("q@lid", &TcTokenEntry { token: vec![1], token_timestamp: 1, sender_timestamp: None })
        .await
        .unwrap();
    s.touch_tc_token_sender_timestamp("q@lid", 5).await.unwrap();
    assert_eq!(token(s, "q@lid").await, Some((vec![1], 1, Some(5))));
}

async fn a3_tc_tokens_expire(s: &dyn Backend) {
    for (jid, token, token_timestamp, sender_timestamp) in [
        ("fresh token", vec![1], 5000, None),
        ("token at the cutoff", vec![1], 1000, None),
        ("old token", vec![1], 999, None),
        ("old token, live sender", vec![1], 1, Some(2000)),
        ("old token, old sender", vec![1], 1, Some(1999)),
        ("no token, live sender", vec![], 9000, Some(2500)),
        ("no token, old sender", vec![], 9000, Some(100)),
    ] {
        s.put_tc_token(jid, &TcTokenEntry { token, token_timestamp, sender_timestamp }).await.unwrap();
    }
    assert_eq!(s.delete_expired_tc_tokens(1000, 2000).await.unwrap(), 3);
    let left = sorted(s.get_all_tc_token_jids().await.unwrap());
    assert_eq!(left, ["fresh token", "no token, live sender", "old token, live sender", "token at the cutoff"]);
    assert_eq!(s.delete_expired_tc_tokens(1000, 2000).await.unwrap(), 0);
}

async fn a3_sent_messages(s: &dyn Backend) {
    assert_eq!(s.take_sent_message("c", "M1").await.unwrap(), None);
    for id in ["M1", "M2", "M3"] {
        s.store_sent_message("c", id, id.as_bytes()).await.unwrap();
    }
    s.store_sent_message("c", "M1", b"again").await.unwrap();
    let (one, two) = tokio::join!(s.take_sent_message("c", "M1"), s.take_sent_message("c", "M1"));
    assert_eq!(sorted(vec![one.unwrap(), two.unwrap()]), [None, Some(b"again".to_vec())], "one alone takes it");
    let now = chrono::Utc::now().timestamp();
    assert_eq!(s.delete_expired_sent_messages(now - 60).await.unwrap(), 0);
    assert_eq!(s.delete_expired_sent_messages(now + 60).await.unwrap(), 2);
    assert_eq!(s.take_sent_message("c", "M2").await.unwrap(), None);
}

async fn a3_pending_inbound(s: &dyn Backend) {
    assert_eq!(s.get_pending_inbound("c", "s", "1").await.unwrap(), None);
    s.store_pending_inbound("c", "s", "1", b"one").await.unwrap();
    let row = |sender, id, message| PendingInboundRow { chat: "c", sender, id, message };
    s.store_pending_inbound_batch(&[
        row("s", "2", b"a"),
        row("t", "1", b"b"),
        row("s", "2", b"c"),
        row("s", "3", b"d"),
    ])
    .await
    .unwrap();
    let get = async |sender, id| s.get_pending_inbound("c", sender, id).await.unwrap();
    assert_eq!(get("s", "1").await, Some(b"one".to_vec()));
    assert_eq!(get("t", "1").await, Some(b"b".to_vec()), "ids are unique within chat and sender alone");
    assert_eq!(get("s", "2").await, Some(b"c".to_vec()));
    assert_eq!(get("s", "2").await, Some(b"c".to_vec()), "reading takes nothing");
    s.delete_pending_inbound("c", "s", "1").await.unwrap();
    let key = |sender, id| PendingInboundKey { chat: "c", sender, id };
    s.delete_pending_inbound_batch(&[key("s", "2"), key("s", "9")]).await.unwrap();
    assert_eq!((get("s", "1").await, get("s", "2").await), (None, None));
    let now = chrono::Utc::now().timestamp();
    assert_eq!(s.delete_expired_pending_inbound(now - 60).await.unwrap(), 0);
    assert_eq!(s.delete_expired_pending_inbound(now + 60).await.unwrap(), 2);
}

async fn a3_message_secrets(s: &dyn Backend) {
    let entry = |id: &str, secret: u8, expires_at, message_ts| MsgSecretEntry {
        chat: arc("c"),
        sender: arc("s"),
        msg_id: arc(id),
        secret: [secret; 32],
        expires_at,
        message_ts,
    };
    let get = async |id| s.get_msg_secret_with_ts("c", "s", id).await.unwrap();
    assert_eq!(get("A").await, None);
    let batch = vec![entry("A", 1, 100, 7), entry("B", 2, 200, 0), entry("A", 3, 50, 3), entry("C", 4, 0, 0)];
    assert_eq!(s.put_msg_secrets(batch).await.unwrap(), 4);
    assert_eq!(get("A").await, Some((vec![3; 32], 7)), "the later secret, the later time");
    assert_eq!(s.delete_expired_msg_secrets(99).await.unwrap(), 0, "the later deadline");
    s.put_msg_secrets(vec![entry("B", 5, 150, 9), entry("C", 6, 10, 0), entry("D", 7, 10, 0)]).await.unwrap();
    assert_eq!(get("B").await, Some((vec![5; 32], 9)));
    s.put_msg_secrets(vec![entry("B", 5, 0, 0), entry("E", 8, i64::MAX, 0)]).await.unwrap();
    assert_eq!(get("B").await, Some((vec![5; 32], 9)), "an unknown time replaces no known one");
    s.put_msg_secret("c", "s", "F", &[9; 32]).await.unwrap();
    assert_eq!(s.delete_expired_msg_secrets(100).await.unwrap(), 2, "A and D; B and C never expire now");
    assert_eq!(s.get_msg_secret("c", "s", "A").await.unwrap(), None);
    assert_eq!(s.get_msg_secret("c", "s", "F").await.unwrap(), Some(vec![9; 32]));
    assert!(get("B").await.is_some() && get("C").await.is_some() && get("E").await.is_some());
}

async fn a3_device(s: &dyn Backend) {
    assert!(!s.exists().await.unwrap());
    assert!(s.load().await.unwrap().is_none());
    s.create().await.unwrap();
    assert!(s.exists().await.unwrap());
    let made = form(&s.load().await.unwrap().unwrap());
    s.create().await.unwrap();
    assert_eq!(form(&s.load().await.unwrap().unwrap()), made, "a second create changes nothing");
    let device = full_device();
    s.save(&device).await.unwrap();
    assert_eq!(form(&s.load().await.unwrap().unwrap()), form(&device));
    let empty = Device::new();
    s.save(&empty).await.unwrap();
    assert_eq!(form(&s.load().await.unwrap().unwrap()), form(&empty), "what was set before is gone");
}

async fn a3_hundreds_in_one_batch(s: &dyn Backend) {
    let sessions: Vec<_> = (0..500).map(|n| (arc(&format!("{n}@c.us.0")), Bytes::from(vec![7; 600]))).collect();
    s.put_sessions_batch(&sessions).await.unwrap();
    s.put_sessions_batch(&sessions).await.unwrap();
    assert!(s.has_session("499@c.us.0").await.unwrap());
    let keys: Vec<_> = (1..=812_u32).map(|id| (id, Bytes::from(id.to_string()))).collect();
    s.store_prekeys_batch(&keys, false).await.unwrap();
    let ids: Vec<_> = (1..=812).collect();
    assert_eq!(sorted(s.load_prekeys_batch(&ids).await.unwrap()), keys);
    s.mark_prekeys_uploaded(&ids).await.unwrap();
    assert_eq!(s.get_max_prekey_id().await.unwrap(), 812);
}

async fn a3_empty_batches(s: &dyn Backend) {
    s.put_identities_batch(&[]).await.unwrap();
    s.put_sessions_batch(&[]).await.unwrap();
    s.store_prekeys_batch(&[], true).await.unwrap();
    assert!(s.load_prekeys_batch(&[]).await.unwrap().is_empty());
    s.mark_prekeys_uploaded(&[]).await.unwrap();
    s.put_sender_keys_batch(&[]).await.unwrap();
    s.put_mutation_macs("x", 1, &[]).await.unwrap();
    assert!(s.get_mutation_macs("x", &[]).await.unwrap().is_empty());
    s.delete_mutation_macs("x", &[]).await.unwrap();
    s.set_sender_key_status("g", &[]).await.unwrap();
    s.delete_sender_key_device_rows(&[]).await.unwrap();
    s.put_lid_mappings(&[]).await.unwrap();
    s.update_device_lists(vec![]).await.unwrap();
    s.store_pending_inbound_batch(&[]).await.unwrap();
    s.delete_pending_inbound_batch(&[]).await.unwrap();
    assert_eq!(s.put_msg_secrets(vec![]).await.unwrap(), 0);
}

async fn r5_odd_ids(s: &dyn Backend) {
    for odd in ["", "a|b", "a%7Cb", "a\0b", "'; DROP TABLE wa.auth; --", "\u{202e}имя", "%", "a\\b\"c"] {
        s.put_session(odd, odd.as_bytes()).await.unwrap();
        assert_eq!(s.get_session(odd).await.unwrap(), Some(Bytes::copy_from_slice(odd.as_bytes())), "{odd:?}");
        s.store_pending_inbound(odd, "x", "y", odd.as_bytes()).await.unwrap();
        assert_eq!(s.get_pending_inbound(odd, "x", "y").await.unwrap(), Some(odd.as_bytes().to_vec()), "{odd:?}");
        s.set_sender_key_status(odd, &[(odd, true)]).await.unwrap();
        assert_eq!(s.get_sender_key_devices(odd).await.unwrap(), [(odd.to_owned(), true)]);
        s.put_lid_mapping(&mapping(odd, odd, 1)).await.unwrap();
        let entry = s.get_pn_mapping(odd).await.unwrap().unwrap();
        assert_eq!((entry.lid.as_str(), entry.phone_number.as_str()), (odd, odd));
        s.touch_tc_token_sender_timestamp(odd, 1).await.unwrap();
        assert!(s.get_all_tc_token_jids().await.unwrap().iter().any(|jid| jid == odd), "{odd:?}");
    }
    s.store_pending_inbound("a", "b|c", "d", b"1").await.unwrap();
    s.store_pending_inbound("a|b", "c", "d", b"2").await.unwrap();
    assert_eq!(s.get_pending_inbound("a", "b|c", "d").await.unwrap(), Some(b"1".to_vec()));
}

/// A device with every persisted field set to something of its own.
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

#[test]
fn a1_credentials_carry_every_persisted_field_under_the_names_of_baileys() {
    let device = full_device();
    let creds = creds::to_json(&device).unwrap();
    assert_eq!(form(&creds::from_json(creds.clone()).unwrap()), form(&device));
    assert_eq!(creds["me"]["id"], "15550001:3@s.whatsapp.net");
    assert_eq!(creds["me"]["lid"], "900100200:3@lid");
    assert_eq!(creds["noiseKey"]["private"]["type"], "Buffer");
    assert_eq!(creds["signedPreKey"]["keyId"], 42);
    assert_eq!(creds["nextPreKeyId"], 813);
    assert!(creds["advSecretKey"].is_string());
    assert!(creds::is_linked(creds.clone()));
    assert!(!creds::is_linked(creds::to_json(&Device::new()).unwrap()));
    let text = json!(json!(creds.to_string()).to_string());
    assert_eq!(form(&creds::from_json(text).unwrap()), form(&device), "JSON text in JSON text");
    let numbers = creds["wagres"].to_string();
    assert!(!numbers.contains("[7,7"), "bytes stand in one shape: {numbers}");
}

#[test]
fn a2_credentials_in_the_shapes_of_baileys_are_read() {
    let device = full_device();
    let mut creds = creds::to_json(&device).unwrap();
    let fields = creds.as_object_mut().unwrap();
    fields.remove("wagres");
    let private = device.noise_key.private_key.serialize();
    fields["noiseKey"]["private"] =
        private.iter().enumerate().map(|(i, b)| (i.to_string(), json!(b))).collect::<serde_json::Map<_, _>>().into();
    fields["signedPreKey"]["signature"] = json!({"type": "Buffer", "data": device.signed_pre_key_signature.to_vec()});
    fields["account"]["details"] = json!("CAE=");
    let read = creds::from_json(creds).unwrap();
    assert_eq!(read.noise_key.private_key.serialize(), private);
    assert_eq!(read.signed_pre_key_signature, device.signed_pre_key_signature);
    assert_eq!(read.account, device.account);
    assert!(read.server_has_prekeys && read.server_cert_chain.is_none());
}

#[test]
fn a2_damaged_credentials_are_named_and_not_shown() {
    let good = creds::to_json(&full_device()).unwrap();
    for field in ["noiseKey", "signedIdentityKey", "signedPreKey", "registrationId", "advSecretKey"] {
        for bad in [Value::Null, json!("hunter2"), json!(["hunter2"]), json!({"private": "hunter2", "public": {}})] {
            let mut creds = good.clone();
            creds[field] = bad;
            let error = creds::from_json(creds).err().unwrap().to_string();
            assert!(error.starts_with(field) && error.contains("accepted is") && !error.contains("hunter2"), "{error}");
        }
    }
    for bad in [json!(null), json!([]), json!("x"), json!(1), json!({}), json!({"wagres": 1})] {
        assert!(creds::from_json(bad).is_err());
    }
}

#[tokio::test]
async fn a1_a_session_has_credentials_once_it_is_linked() {
    let held = Held::new().await;
    let (pool, id) = (&held.db.pool, held.fence.session_id);
    assert!(!auth::exists(pool, id).await.unwrap());
    held.store.create().await.unwrap();
    assert!(!auth::exists(pool, id).await.unwrap(), "made but not linked");
    held.store.save(&full_device()).await.unwrap();
    assert!(auth::exists(pool, id).await.unwrap());
    assert!(!auth::exists(pool, id + 1).await.unwrap());
}

#[tokio::test]
async fn a1_fields_of_other_programs_stay_in_the_credentials() {
    let held = Held::new().await;
    let mut creds = creds::to_json(&full_device()).unwrap();
    creds["signalIdentities"] = json!([{"identifier": {"name": "x", "deviceId": 0}}]);
    sqlx::query("INSERT INTO wa.auth (session_id, creds) VALUES ($1, $2)")
        .bind(held.fence.session_id)
        .bind(&creds)
        .execute(&held.db.pool)
        .await
        .unwrap();
    let mut device = held.store.load().await.unwrap().unwrap();
    device.login_counter += 1;
    held.store.save(&device).await.unwrap();
    let stored: Value = sqlx::query_scalar("SELECT creds FROM wa.auth").fetch_one(&held.db.pool).await.unwrap();
    assert_eq!(stored["signalIdentities"], creds["signalIdentities"]);
    assert_eq!(stored["wagres"]["login_counter"], 18);
}

#[tokio::test]
async fn a1_values_stand_in_the_shapes_that_are_documented() {
    let held = Held::new().await;
    let s = &held.store;
    let pair = KeyPair::generate(&mut rand::rng());
    s.store_prekey(5, &proto::pre_key_record_to_vec(&new_pre_key_record(5, &pair)), false).await.unwrap();
    let value = held.value("pre-key", "5").await;
    assert_eq!(value["uploaded"], false);
    assert_eq!(value["private"]["type"], "Buffer");
    s.mark_prekeys_uploaded(&[5, 6]).await.unwrap();
    assert_eq!(held.value("pre-key", "5").await["uploaded"], true);
    assert_eq!(held.rows().await, 1, "marking makes no row");
    s.put_session("1:2@lid.0", &[1, 2, 3]).await.unwrap();
    assert_eq!(held.value("session", "1:2@lid.0").await, json!({"type": "Buffer", "data": "AQID"}));
    s.set_sender_key_status("g@g.us", &[("1@lid", true)]).await.unwrap();
    assert_eq!(held.value("sender-key-memory", "g@g.us").await, json!({"1@lid": true}));
    s.put_lid_mapping(&mapping("900", "155", 2)).await.unwrap();
    assert_eq!(held.value("lid-mapping", "900").await["pn"], "155");
}

#[tokio::test]
async fn a2_keys_are_read_in_every_shape() {
    let held = Held::new().await;
    for (id, value) in [
        ("1", json!({"type": "Buffer", "data": "AQI="})),
        ("2", json!({"type": "Buffer", "data": [1, 2]})),
        ("3", json!({"0": 1, "1": 2})),
        ("4", json!({"buffer": true, "data": [1, 2]})),
        ("5", json!(r#"{"type":"Buffer","data":[1,2]}"#)),
    ] {
        held.set("session", id, value).await;
        assert_eq!(held.store.get_session(id).await.unwrap(), Some(Bytes::from_static(&[1, 2])), "{id}");
    }
    let key = vec![9_u8; 32];
    held.set(
        "pre-key",
        "7",
        json!({"private": {"type": "Buffer", "data": key}, "public": {"type": "Buffer", "data": key}}),
    )
    .await;
    let record = proto::pre_key_record_decode(&held.store.load_prekey(7).await.unwrap().unwrap()).unwrap();
    assert_eq!((record.id, record.private_key), (Some(7), Some(key)));
    let mut identity = vec![5_u8];
    identity.extend([6; 32]);
    held.set("identity-key", "1@c.us.0", json!({"type": "Buffer", "data": identity})).await;
    assert_eq!(held.store.load_identity("1@c.us.0").await.unwrap(), Some([6; 32]));
}

#[tokio::test]
async fn a2_an_unreadable_value_is_named_not_shown_and_left_as_it_is() {
    let held = Held::new().await;
    let bad = json!({"type": "Buffer", "data": "hunter2!"});
    held.set("session", "1@c.us.0", bad.clone()).await;
    let error = held.store.get_session("1@c.us.0").await.unwrap_err();
    let StoreError::Serialization(source) = &error else { panic!("{error:?}") };
    let text = source.to_string();
    assert!(matches!(source.downcast_ref(), Some(AuthError::Unreadable { kind: "session", .. })), "{text}");
    assert!(text.contains("session") && text.contains("1@c.us.0") && text.contains("accepted is bytes as"), "{text}");
    assert!(!format!("{error:?} {text}").contains("hunter2"));
    assert_eq!(held.value("session", "1@c.us.0").await, bad);
    assert!(held.store.has_session("1@c.us.0").await.unwrap());
    for kind in ["pre-key", "app-state-sync-key", "app-state-sync-version", "lid-mapping", "device-list", "tctoken"] {
        for value in [json!(1), json!("x"), json!([]), json!({}), json!({"devices": [{}], "timestamp": "x"})] {
            held.set(kind, "1", value).await;
            let s = &held.store;
            let refused = match kind {
                "pre-key" => s.load_prekey(1).await.is_err(),
                "app-state-sync-version" => s.get_version("1").await.is_err(),
                "lid-mapping" => s.get_lid_mapping("1").await.is_err(),
                "device-list" => s.get_devices("1").await.is_err(),
                "tctoken" => s.get_tc_token("1").await.is_err(),
                _ => {
                    held.set(kind, "AQ==", json!([])).await;
                    s.get_sync_key(&[1]).await.is_err()
                }
            };
            assert!(refused, "{kind}");
        }
    }
}

#[tokio::test]
async fn a1_logout_deletes_everything_of_the_session_and_nothing_of_another() {
    let held = Held::new().await;
    let other = AuthStore::new(held.db.pool.clone(), hold(&held.db, "other").await, CancellationToken::new());
    for store in [&held.store, &other] {
        store.save(&full_device()).await.unwrap();
        store.put_session("1@c.us.0", b"x").await.unwrap();
        store.store_prekeys_batch(&[(1, Bytes::new()), (2, Bytes::new())], true).await.unwrap();
    }
    assert_eq!(held.rows().await, 8);
    assert_eq!(held.store.delete_all().await.unwrap(), 4);
    assert_eq!(held.store.delete_all().await.unwrap(), 0, "nothing to do is no error");
    assert_eq!(held.rows().await, 4);
    assert!(held.store.load().await.unwrap().is_none());
    assert!(other.load().await.unwrap().is_some());
}

#[tokio::test]
async fn a6_the_store_shows_no_secret() {
    let held = Held::new().await;
    assert!(!format!("{:?}", held.store).contains("postgres"));
}

fn is_stale<T>(done: Result<T, StoreError>) -> bool {
    done.is_err_and(|error| AuthError::is_stale(&error))
}

/// Every write of the backend, whether it was refused as stale.
async fn writes(s: &AuthStore) -> Vec<(&'static str, bool)> {
    let mut refused = Vec::new();
    macro_rules! each {
        ($($name:ident($($argument:expr),*))*) => { $(refused.push((stringify!($name), is_stale(s.$name($($argument),*).await)));)* };
    }
    let entry = MsgSecretEntry {
        chat: arc("c"),
        sender: arc("s"),
        msg_id: arc("m"),
        secret: [1; 32],
        expires_at: 1,
        message_ts: 1,
    };
    let list = DeviceListRecord { user: "u".into(), devices: vec![], timestamp: 1, phash: None, raw_id: None };
    let token = TcTokenEntry { token: vec![1], token_timestamp: 1, sender_timestamp: None };
    let pending = PendingInboundRow { chat: "c", sender: "s", id: "i", message: b"m" };
    let pending_key = PendingInboundKey { chat: "c", sender: "s", id: "i" };
    each! {
        put_identity("a", [1; 32])
        put_identities_batch(&[(arc("a"), [1; 32])])
        delete_identity("a")
        put_session("a", b"x")
        put_sessions_batch(&[(arc("a"), Bytes::new())])
        delete_session("a")
        store_prekey(1, b"x", true)
        store_prekeys_batch(&[(1, Bytes::new())], true)
        mark_prekeys_uploaded(&[1])
        remove_prekey(1)
        store_signed_prekey(1, b"x")
        remove_signed_prekey(1)
        put_sender_key("a", b"x")
        put_sender_keys_batch(&[(arc("a"), Bytes::new())])
        delete_sender_key("a")
        set_sync_key(&[1], AppStateSyncKey::default())
        set_version("a", HashState::default())
        put_mutation_macs("a", 1, &[AppStateMutationMAC { index_mac: vec![1], value_mac: vec![1] }])
        delete_mutation_macs("a", &[vec![1]])
        clear_mutation_macs("a")
        set_sender_key_status("g", &[("d", true)])
        clear_sender_key_devices("g")
        delete_sender_key_device_rows(&["d"])
        clear_all_sender_key_devices()
        put_lid_mapping(&mapping("l", "p", 1))
        put_lid_mappings(&[mapping("l", "p", 1)])
        save_base_key("a", "m", b"k")
        delete_base_key("a", "m")
        update_device_list(list.clone())
        update_device_lists(vec![list])
        delete_devices("u")
        put_group_metadata("g", b"x")
        delete_group_metadata("g")
        put_tc_token("j", &token)
        delete_tc_token("j")
        delete_expired_tc_tokens(9, 9)
        touch_tc_token_sender_timestamp("j", 1)
        store_received_tc_token("j", b"t", 1)
        store_sent_message("c", "m", b"p")
        take_sent_message("c", "m")
        delete_expired_sent_messages(9)
        store_pending_inbound("c", "s", "i", b"m")
        store_pending_inbound_batch(&[pending])
        delete_pending_inbound("c", "s", "i")
        delete_pending_inbound_batch(&[pending_key])
        delete_expired_pending_inbound(9)
        put_msg_secret("c", "s", "m", &[1; 32])
        put_msg_secrets(vec![entry])
        delete_expired_msg_secrets(9)
        save(&full_device())
        create()
    }
    refused.push(("delete_all", s.delete_all().await.is_err_and(|error| AuthError::is_stale(&error))));
    refused
}

#[tokio::test]
async fn s3_a_stale_epoch_is_refused_on_every_write() {
    let held = Held::new().await;
    let all = writes(&held.store).await;
    assert!(all.iter().all(|(_, refused)| !refused), "a holder may write: {all:?}");
    assert!(!held.stale.is_cancelled());
    held.store.save(&full_device()).await.unwrap();
    held.store.store_sent_message("c", "m", b"p").await.unwrap();
    let before = held.rows().await;

    sqlx::query("UPDATE wa.lease SET epoch = epoch + 1").execute(&held.db.pool).await.unwrap();
    for (name, refused) in writes(&held.store).await {
        assert!(refused, "{name} was accepted under an old epoch");
    }
    assert!(held.stale.is_cancelled(), "the client is told to stop");
    assert_eq!(held.rows().await, before, "nothing was written or deleted");
    assert!(held.store.load().await.unwrap().is_some(), "reading harms nobody");

    sqlx::query("UPDATE wa.lease SET epoch = 1, holder = NULL").execute(&held.db.pool).await.unwrap();
    for (name, refused) in writes(&held.store).await {
        assert!(refused, "{name} was accepted without a holder");
    }
    assert_eq!(held.rows().await, before);
}

#[tokio::test]
async fn s3_nothing_to_do_is_not_stale() {
    let held = Held::new().await;
    held.store.delete_session("nobody").await.unwrap();
    held.store.mark_prekeys_uploaded(&[1]).await.unwrap();
    assert_eq!(held.store.take_sent_message("c", "m").await.unwrap(), None);
    assert!(!held.stale.is_cancelled());
}

#[tokio::test]
async fn s3_a_takeover_waits_for_a_write_under_way() {
    let held = Held::new().await;
    held.store.put_session("a", b"old").await.unwrap();
    // Holds the key's row, so that the write waits with the lease share-locked.
    let mut block = held.db.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM wa.auth_key FOR UPDATE").execute(&mut *block).await.unwrap();
    let store = Arc::new(AuthStore::new(held.db.pool.clone(), held.fence, held.stale.clone()));
    let write = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.put_session("a", b"new").await }
    });
    waiting(&held.db, 1).await;
    let takeover = tokio::spawn({
        let pool = held.db.pool.clone();
        async move { sqlx::query("UPDATE wa.lease SET epoch = epoch + 1").execute(&pool).await }
    });
    waiting(&held.db, 2).await;
    assert!(!takeover.is_finished());
    block.commit().await.unwrap();
    write.await.unwrap().unwrap();
    takeover.await.unwrap().unwrap();
    assert_eq!(store.get_session("a").await.unwrap(), Some(Bytes::from_static(b"new")));
    assert!(is_stale(store.put_session("a", b"late").await));
}

#[tokio::test]
async fn s3_a_write_that_waited_for_a_takeover_is_refused() {
    let held = Held::new().await;
    let mut takeover = held.db.pool.begin().await.unwrap();
    sqlx::query("UPDATE wa.lease SET epoch = epoch + 1").execute(&mut *takeover).await.unwrap();
    let store = AuthStore::new(held.db.pool.clone(), held.fence, held.stale.clone());
    let write = tokio::spawn(async move { store.put_session("a", b"late").await });
    waiting(&held.db, 1).await;
    takeover.commit().await.unwrap();
    assert!(is_stale(write.await.unwrap()));
    assert_eq!(held.rows().await, 0);
}

/// Returns when so many statements wait for a lock.
async fn waiting(db: &TestDb, count: i64) {
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < 20 {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let found: i64 = sqlx::query_scalar(sql).fetch_one(&db.pool).await.unwrap();
        if found >= count {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("no {count} statements came to wait for a lock");
}

#[tokio::test]
async fn a3_overlapping_batches_do_not_deadlock() {
    let held = Held::new().await;
    let store = Arc::new(held.store);
    let forth: Vec<_> = (0..200).map(|n| (arc(&format!("{n}@c.us.0")), Bytes::from_static(b"x"))).collect();
    let back: Vec<_> = forth.iter().rev().cloned().collect();
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let (store, batch) = (Arc::clone(&store), if n % 2 == 0 { forth.clone() } else { back.clone() });
            tokio::spawn(async move {
                for _ in 0..10 {
                    store.put_sessions_batch(&batch).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn a3_the_reference_is_a_backend_too() {
    fn backend<T: Backend>() {}
    backend::<InMemoryBackend>();
    backend::<AuthStore>();
}
