//! A1, A2, A6: credentials and keys as rows.

use super::*;

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
    assert_eq!(creds["advSecretKey"]["type"], "Buffer");
    assert!(creds::is_linked(creds.clone()));
    assert!(!creds::is_linked(creds::to_json(&Device::new()).unwrap()));
    let text = json!(json!(creds.to_string()).to_string());
    assert_eq!(form(&creds::from_json(text).unwrap()), form(&device), "JSON text in JSON text");
    let numbers = creds["wagres"].to_string();
    assert!(!numbers.contains("[7,7"), "bytes are written in one shape: {numbers}");
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
    let (pool, id) = (&held.db.pool.clone().into(), held.fence.session_id);
    assert!(!auth::session_credentials(pool, id).await.unwrap().linked);
    held.store.create().await.unwrap();
    assert!(!auth::session_credentials(pool, id).await.unwrap().linked, "created but not linked");
    held.store.save(&full_device()).await.unwrap();
    assert!(auth::session_credentials(pool, id).await.unwrap().linked);
    assert!(!auth::session_credentials(pool, id + 1).await.unwrap().linked);
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
async fn a1_values_are_written_in_the_documented_shapes() {
    let held = Held::new().await;
    let s = &held.store;
    let pair = KeyPair::generate(&mut rand::rng());
    s.store_prekey(5, &proto::pre_key_record_to_vec(&new_pre_key_record(5, &pair)), false).await.unwrap();
    let value = held.value("pre-key", "5").await;
    assert_eq!(value["uploaded"], false);
    assert_eq!(value["private"]["type"], "Buffer");
    s.mark_prekeys_uploaded(&[5, 6]).await.unwrap();
    assert_eq!(held.value("pre-key", "5").await["uploaded"], true);
    assert_eq!(held.rows().await, 1, "marking adds no row");
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
async fn a2_an_unreadable_value_is_quarantined_with_its_reason_and_an_event() {
    let held = Held::new().await;
    let mut events = sqlx::postgres::PgListener::connect(&held.db.url).await.unwrap();
    events.listen("wa_event").await.unwrap();
    let bad = json!({"type": "Buffer", "data": "hunter2!"});
    held.set("session", "1@c.us.0", bad.clone()).await;
    held.set("session", "2@c.us.0", json!({"type": "Buffer", "data": "AQID"})).await;
    assert_eq!(held.store.get_session("1@c.us.0").await.unwrap(), None, "the key counts as missing");
    assert!(!held.store.has_session("1@c.us.0").await.unwrap());
    assert_eq!(held.store.get_session("2@c.us.0").await.unwrap(), Some(Bytes::from_static(&[1, 2, 3])));

    let kept: (String, String, Value, String, bool) = sqlx::query_as(
        "SELECT kind, key_id, value, reason, expires_at > now() + interval '29 days' FROM wa.auth_quarantine",
    )
    .fetch_one(&held.db.pool)
    .await
    .unwrap();
    assert_eq!((kept.0.as_str(), kept.1.as_str(), &kept.2, kept.4), ("session", "1@c.us.0", &bad, true));
    assert!(kept.3.starts_with("value: found an object") && kept.3.contains("accepted is bytes as"), "{}", kept.3);
    let notified: Value = serde_json::from_str(events.recv().await.unwrap().payload()).unwrap();
    let event = sqlx::query_as("SELECT session, kind, data FROM wa.event WHERE session_id = $1 AND id = $2");
    let event = event.bind(notified["session_id"].as_i64()).bind(notified["id"].as_i64());
    let (session, kind, data): (String, String, Value) = event.fetch_one(&held.db.pool).await.unwrap();
    assert_eq!((session.as_str(), kind.as_str()), ("shop", "key_quarantined"));
    assert_eq!((&data["kind"], &data["key_id"]), (&json!("session"), &json!("1@c.us.0")));
    assert!(!data.to_string().contains("hunter2"));

    held.store.put_session("1@c.us.0", &[9]).await.unwrap();
    assert_eq!(held.store.get_session("1@c.us.0").await.unwrap(), Some(Bytes::from_static(&[9])), "rewritten");
}

#[tokio::test]
async fn a2_no_kind_of_key_fails_on_an_unreadable_value() {
    let held = Held::new().await;
    let s = &held.store;
    for value in [json!(1), json!("x"), json!([]), json!({"devices": [{}], "timestamp": "x"}), json!({"0": 256})] {
        for kind in auth::Kind::ALL {
            held.set(kind.name(), "1", value.clone()).await;
        }
        held.set("app-state-sync-key", "AQ==", value.clone()).await;
        held.set("app-state-mac", "a|01", value.clone()).await;
        assert_eq!(s.load_prekey(1).await.unwrap(), None);
        assert_eq!(s.load_prekeys_batch(&[1]).await.unwrap(), []);
        assert_eq!(s.load_signed_prekey(1).await.unwrap(), None);
        assert_eq!(s.load_all_signed_prekeys().await.unwrap(), []);
        assert_eq!(s.get_session("1").await.unwrap(), None);
        assert_eq!(s.load_identity("1").await.unwrap(), None);
        assert_eq!(s.get_sender_key("1").await.unwrap(), None);
        assert_eq!(
            s.get_sender_key_devices("1").await.unwrap().len(),
            value.as_object().map_or(0, serde_json::Map::len)
        );
        assert!(s.get_sync_key(&[1]).await.unwrap().is_none());
        assert_eq!(s.get_version("1").await.unwrap().version, 0);
        assert_eq!(s.get_mutation_mac("a", &[1]).await.unwrap(), None);
        assert!(s.get_lid_mapping("1").await.unwrap().is_none());
        assert!(s.get_all_lid_mappings().await.unwrap().is_empty());
        assert!(s.get_devices("1").await.unwrap().is_none());
        assert!(s.get_tc_token("1").await.unwrap().is_none());
        assert_eq!(s.get_group_metadata("1").await.unwrap(), None);
        assert_eq!(s.get_msg_secret("1", "", "").await.unwrap(), None);
    }
    let quarantined: i64 =
        sqlx::query_scalar("SELECT count(*) FROM wa.auth_quarantine").fetch_one(&held.db.pool).await.unwrap();
    assert!(quarantined > 50, "{quarantined}");
}

#[tokio::test]
async fn a2_a_rewritten_value_is_not_quarantined() {
    let held = Held::new().await;
    let (id, bad) = (held.fence.session_id, json!("hunter2"));
    held.set("session", "1@c.us.0", json!({"type": "Buffer", "data": "AQID"})).await;
    let moved: (i64, i64) = sqlx::query_as(include_str!("../../sql/auth/quarantine.sql"))
        .bind(id)
        .bind(held.fence.epoch)
        .bind("session")
        .bind("1@c.us.0")
        .bind(bad)
        .bind("unreadable")
        .fetch_one(&held.db.pool)
        .await
        .unwrap();
    assert_eq!(moved, (1, 0));
    assert!(held.store.has_session("1@c.us.0").await.unwrap());
}

#[tokio::test]
async fn a2_unreadable_credentials_are_named_not_shown_and_stay_in_place() {
    let held = Held::new().await;
    let mut creds = creds::to_json(&full_device()).unwrap();
    creds["noiseKey"]["private"] = json!("hunter2");
    let insert = "INSERT INTO wa.auth (session_id, creds) VALUES ($1, $2)";
    sqlx::query(insert).bind(held.fence.session_id).bind(&creds).execute(&held.db.pool).await.unwrap();
    let error = held.store.load().await.err().unwrap();
    let StoreError::Serialization(source) = &error else { panic!("{error:?}") };
    assert!(matches!(source.downcast_ref(), Some(AuthError::Unreadable { kind: "creds", .. })), "{source}");
    assert!(source.to_string().contains("noiseKey.private: found text of 7 bytes"), "{source}");
    assert!(!format!("{error:?} {source}").contains("hunter2"));
    let left: Value = sqlx::query_scalar("SELECT creds FROM wa.auth").fetch_one(&held.db.pool).await.unwrap();
    assert_eq!(left, creds);
}

#[tokio::test]
async fn a4_every_kind_is_written_with_its_time_to_live() {
    let held = Held::new().await;
    let s = &held.store;
    let token = TcTokenEntry { token: vec![1], token_timestamp: 1, sender_timestamp: None };
    s.put_lid_mapping(&mapping("900", "155", 2)).await.unwrap();
    let list = DeviceListRecord { user: "u".into(), devices: vec![], timestamp: 1, phash: None, raw_id: None };
    s.update_device_list(list).await.unwrap();
    s.put_tc_token("a", &token).await.unwrap();
    s.store_received_tc_token("b", &[1], 5).await.unwrap();
    s.touch_tc_token_sender_timestamp("c", 5).await.unwrap();
    s.put_group_metadata("g", b"x").await.unwrap();
    s.save_base_key("a", "m", b"k").await.unwrap();
    s.store_sent_message("c", "m", b"x").await.unwrap();
    s.store_pending_inbound("c", "s", "m", b"x").await.unwrap();
    s.put_session("1@c.us.0", b"x").await.unwrap();
    s.put_identity("1@c.us.0", [1; 32]).await.unwrap();
    s.put_sender_key("g:1@c.us.0", b"x").await.unwrap();
    s.store_prekey(1, b"x", true).await.unwrap();
    let days: Vec<(String, Option<i64>)> = sqlx::query_as(
        "SELECT DISTINCT kind, round(extract(epoch FROM expires_at - updated_at) / 86400)::bigint FROM wa.auth_key ORDER BY kind",
    )
    .fetch_all(&held.db.pool)
    .await
    .unwrap();
    let expected = [
        ("base-key", Some(7)),
        ("device-list", Some(30)),
        ("group-metadata", Some(7)),
        ("identity-key", None),
        ("lid-mapping", Some(7)),
        ("pending-inbound", Some(7)),
        ("pre-key", None),
        ("sender-key", None),
        ("sent-message", Some(1)),
        ("session", None),
        ("tctoken", Some(182)),
    ];
    assert_eq!(days, expected.map(|(kind, days)| (kind.to_owned(), days)));
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/auth.md")).unwrap();
    for kind in auth::Kind::ALL {
        let lives = kind.time_to_live().map(|ttl| ttl.as_secs() / 86400);
        let lives = match lives {
            _ if kind == auth::Kind::MessageSecret => "its own".to_owned(),
            Some(1) => "1 day".to_owned(),
            Some(days) => format!("{days} days"),
            None => "for ever".to_owned(),
        };
        assert!(table.contains(&format!("| `{}` | {lives} |", kind.name())), "docs/auth.md: {} {lives}", kind.name());
    }
}

#[tokio::test]
async fn a1_logout_deletes_everything_of_the_session_and_nothing_of_another() {
    let held = Held::new().await;
    let other = AuthStore::new(
        wagres::db::hold::Hold::new(held.db.pool.clone().into(), hold(&held.db, "other").await, "other"),
        Arc::default(),
    );
    for store in [&held.store, &other] {
        store.save(&full_device()).await.unwrap();
        store.put_session("1@c.us.0", b"x").await.unwrap();
        store.store_prekeys_batch(&[(1, Bytes::new()), (2, Bytes::new())], true).await.unwrap();
    }
    assert_eq!(held.rows().await, 8);
    assert_eq!(held.store.delete_all().await.unwrap(), 4);
    assert_eq!(held.store.delete_all().await.unwrap(), 0, "nothing to delete is not an error");
    assert_eq!(held.rows().await, 4);
    assert!(held.store.load().await.unwrap().is_none());
    assert!(other.load().await.unwrap().is_some());
}

#[tokio::test]
async fn a6_the_store_shows_no_secret() {
    let held = Held::new().await;
    assert!(!format!("{:?}", held.store).contains("postgres"));
}

#[tokio::test]
async fn m7_a_message_is_resent_only_to_its_own_chat() {
    let held = Held::new().await;
    sqlx::query("SELECT wa.send_text('shop', '15550002', 'for one')").execute(&held.db.pool).await.unwrap();
    let sent: String = sqlx::query_scalar("SELECT message_id FROM wa.outbound").fetch_one(&held.db.pool).await.unwrap();
    for (chat, given) in
        [("15550002@s.whatsapp.net", true), ("15550003@s.whatsapp.net", false), ("15550002@lid", false)]
    {
        assert_eq!(held.store.take_sent_message(chat, &sent).await.unwrap().is_some(), given, "{chat}");
    }
}
