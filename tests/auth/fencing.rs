//! S3: the store writes nothing under an epoch that is no longer held.

use super::*;

fn is_stale<T>(done: Result<T, StoreError>) -> bool {
    done.is_err_and(|error| AuthError::is_stale(&error))
}

/// Runs every write of the store; true: it was refused as stale.
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
    refused.push(("quarantine_all", s.quarantine_all("a test").await.is_err_and(|error| AuthError::is_stale(&error))));
    refused
}

#[tokio::test]
async fn s3_a_stale_epoch_is_refused_on_every_write() {
    let held = Held::new().await;
    let all = writes(&held.store).await;
    assert!(all.iter().all(|(_, refused)| !refused), "a holder may write: {all:?}");
    assert!(!held.hold.lost.is_cancelled());
    held.store.save(&full_device()).await.unwrap();
    held.store.store_sent_message("c", "m", b"p").await.unwrap();
    let before = held.rows().await;

    sqlx::query("UPDATE wa.lease SET epoch = epoch + 1").execute(&held.db.pool).await.unwrap();
    for (name, refused) in writes(&held.store).await {
        assert!(refused, "{name} was accepted under an old epoch");
    }
    assert!(held.hold.lost.is_cancelled(), "the hold has ended");
    assert_eq!(held.rows().await, before, "nothing was written or deleted");
    assert!(held.store.load().await.unwrap().is_some(), "a stale holder may read");

    sqlx::query("UPDATE wa.lease SET epoch = 1, holder = NULL").execute(&held.db.pool).await.unwrap();
    for (name, refused) in writes(&held.store).await {
        assert!(refused, "{name} was accepted without a holder");
    }
    assert_eq!(held.rows().await, before);
}

#[tokio::test]
async fn s3_a_write_with_nothing_to_do_is_not_stale() {
    let held = Held::new().await;
    held.store.delete_session("nobody").await.unwrap();
    held.store.mark_prekeys_uploaded(&[1]).await.unwrap();
    assert_eq!(held.store.take_sent_message("c", "m").await.unwrap(), None);
    assert!(!held.hold.lost.is_cancelled());
}

#[tokio::test]
async fn s3_a_takeover_waits_for_a_write_under_way() {
    let held = Held::new().await;
    held.store.put_session("a", b"old").await.unwrap();
    // Locks the key's row, so that the write waits while it share-locks the lease.
    let mut block = held.db.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM wa.auth_key FOR UPDATE").execute(&mut *block).await.unwrap();
    let store = Arc::new(AuthStore::new(held.hold.clone(), Arc::default()));
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
    let store = AuthStore::new(held.hold.clone(), Arc::default());
    let write = tokio::spawn(async move { store.put_session("a", b"late").await });
    waiting(&held.db, 1).await;
    takeover.commit().await.unwrap();
    assert!(is_stale(write.await.unwrap()));
    assert_eq!(held.rows().await, 0);
}

/// Waits until `count` statements wait for a lock.
pub(super) async fn waiting(db: &TestDb, count: i64) {
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
    panic!("fewer than {count} statements wait for a lock");
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
