//! A3: the same cases over the library's own stores and over ours, in the clear and encrypted.

use super::*;

/// Runs each case over the stores. The cases after the semicolon are left out over SQLite.
macro_rules! conformance {
    ($($case:ident)*; $($other:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $case() { super::$case(&wacore::store::InMemoryBackend::new()).await; })*
            $(#[tokio::test] async fn $other() { super::$other(&wacore::store::InMemoryBackend::new()).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $case() { super::$case(&crate::auth::Held::new().await.store).await; })*
            $(#[tokio::test] async fn $other() { super::$other(&crate::auth::Held::new().await.store).await; })*
        }
        mod sealed {
            $(#[tokio::test] async fn $case() { super::$case(&crate::auth::Held::sealed().await.store).await; })*
            $(#[tokio::test] async fn $other() { super::$other(&crate::auth::Held::sealed().await.store).await; })*
        }
        #[cfg(feature = "sandbox")]
        mod sqlite {
            $(#[tokio::test] async fn $case() { let store = super::Sqlite::new().await; super::$case(&store.store).await; })*
        }
    };
}

/// The library's SQLite store, with the row of the device that its other tables refer to.
#[cfg(feature = "sandbox")]
struct Sqlite {
    store: whatsapp_rust_sqlite_storage::SqliteStore,
    _folder: tempfile::TempDir,
}

#[cfg(feature = "sandbox")]
impl Sqlite {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wa.db");
        let store = whatsapp_rust_sqlite_storage::SqliteStore::new(path.to_str().unwrap()).await.unwrap();
        store.create().await.unwrap();
        Self { store, _folder: folder }
    }
}

// Left out for SQLite: it takes the highest key id for the latest sync key instead of the one written last, and refuses
// a second `create`.
conformance! {
    a3_identities a3_sessions a3_signal_state_of_a_user a3_pre_keys a3_signed_pre_keys a3_sender_keys
    a3_app_state_versions a3_app_state_macs a3_sender_key_memory a3_lid_mappings a3_base_keys
    a3_device_lists a3_group_metadata a3_tc_tokens a3_tc_token_times_only_advance a3_tc_tokens_expire
    a3_sent_messages a3_pending_inbound a3_message_secrets a3_hundreds_in_one_batch a3_empty_batches
    r5_odd_ids;
    a3_app_state_keys a3_device
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
    assert_eq!(sorted(vec![one.unwrap(), two.unwrap()]), [None, Some(b"again".to_vec())], "only one takes it");
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
    assert_eq!(get("t", "1").await, Some(b"b".to_vec()), "ids are unique only within chat and sender");
    assert_eq!(get("s", "2").await, Some(b"c".to_vec()));
    assert_eq!(get("s", "2").await, Some(b"c".to_vec()), "a read deletes nothing");
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
    assert_eq!(form(&s.load().await.unwrap().unwrap()), form(&empty), "earlier fields are gone");
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

#[test]
fn a3_the_reference_is_a_backend_too() {
    fn backend<T: Backend>() {}
    backend::<InMemoryBackend>();
    backend::<AuthStore>();
}
