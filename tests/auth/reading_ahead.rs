//! A3: no write of the store leaves an old value in what it has read ahead.

use super::*;

const USER: &str = "900";
const ADDRESS: &str = "900:3@lid.0";
const JID: &str = "900@lid";

fn list(timestamp: i64) -> DeviceListRecord {
    let devices = vec![DeviceInfo::new(3, None)];
    DeviceListRecord { user: USER.into(), devices, timestamp, phash: None, raw_id: None }
}

fn token(byte: u8) -> TcTokenEntry {
    TcTokenEntry { token: vec![byte], token_timestamp: 1, sender_timestamp: None }
}

/// Every cached key of the user, as the store reads it now.
async fn view(s: &AuthStore) -> Value {
    let has = s.has_session(ADDRESS).await.unwrap();
    let session = s.get_session(ADDRESS).await.unwrap().map(|bytes| bytes.to_vec());
    let identity = s.load_identity(ADDRESS).await.unwrap();
    let devices = s.get_devices(USER).await.unwrap().map(|list| serde_json::to_value(list).unwrap());
    let token = s.get_tc_token(JID).await.unwrap();
    let token = token.map(|entry| (entry.token, entry.token_timestamp, entry.sender_timestamp));
    json!({ "has": has, "session": session, "identity": identity, "devices": devices, "token": token })
}

/// Writes one key of each cached kind, and returns a store that has read them ahead.
async fn read_ahead(held: &Held) -> Arc<AuthStore> {
    let s = held.restarted();
    s.put_session(ADDRESS, b"old").await.unwrap();
    s.put_identity(ADDRESS, [1; 32]).await.unwrap();
    s.update_device_list(list(1)).await.unwrap();
    s.put_tc_token(JID, &token(1)).await.unwrap();
    let s = held.restarted();
    s.get_devices(USER).await.unwrap();
    s.get_tc_token(JID).await.unwrap();
    s
}

#[tokio::test]
async fn a3_no_write_leaves_an_old_value_that_was_read_ahead() {
    let held = Held::new().await;
    let s = read_ahead(&held).await;
    let statements = s.statements();
    let before = view(&s).await;
    assert_eq!(s.statements(), statements, "everything was read ahead");
    macro_rules! each {
        ($($name:ident($($argument:expr),*))*) => { $(
            let s = read_ahead(&held).await;
            s.$name($($argument),*).await.unwrap();
            let (seen, stored) = (view(&s).await, view(&held.restarted()).await);
            assert_eq!(seen, stored, "{} left an old value", stringify!($name));
            assert_ne!(stored, before, "{} changed nothing", stringify!($name));
        )* };
    }
    each! {
        put_session(ADDRESS, b"new")
        put_sessions_batch(&[(arc(ADDRESS), Bytes::from_static(b"new"))])
        delete_session(ADDRESS)
        put_identity(ADDRESS, [2; 32])
        put_identities_batch(&[(arc(ADDRESS), [2; 32])])
        delete_identity(ADDRESS)
        update_device_list(list(2))
        update_device_lists(vec![list(2)])
        delete_devices(USER)
        put_tc_token(JID, &token(2))
        delete_tc_token(JID)
        delete_expired_tc_tokens(9, 9)
        touch_tc_token_sender_timestamp(JID, 5)
        store_received_tc_token(JID, b"new", 5)
        delete_all()
        quarantine_all("a test")
    }
}
