//! A6: encryption at rest.

use super::*;

#[tokio::test]
async fn a6_a_store_with_a_key_writes_no_bytes_in_the_clear() {
    let held = Held::sealed().await;
    let s = &held.store;
    let device = full_device();
    s.save(&device).await.unwrap();
    s.put_session("1@lid.0", b"ratchet").await.unwrap();
    s.put_identity("1@lid.0", [7; 32]).await.unwrap();
    s.put_sender_key("g:1@lid.0", b"chain").await.unwrap();
    s.store_signed_prekey(1, b"signed").await.unwrap();
    let record = proto::pre_key_record_to_vec(&new_pre_key_record(5, &KeyPair::generate(&mut rand::rng())));
    s.store_prekey(5, &record, false).await.unwrap();
    s.set_sync_key(&[1], AppStateSyncKey { key_data: vec![3; 32], fingerprint: vec![4], timestamp: 5 }).await.unwrap();
    s.set_version("regular", HashState { version: 3, hash: [9; 128], ..HashState::default() }).await.unwrap();
    s.store_received_tc_token("a", b"token", 5).await.unwrap();
    s.put_tc_token("b", &TcTokenEntry { token: b"token".to_vec(), token_timestamp: 1, sender_timestamp: None })
        .await
        .unwrap();
    s.store_sent_message("c", "m", b"words").await.unwrap();
    s.store_pending_inbound("c", "s", "m", b"words").await.unwrap();
    let secret = MsgSecretEntry {
        chat: arc("c"),
        sender: arc("s"),
        msg_id: arc("m"),
        secret: [8; 32],
        expires_at: 0,
        message_ts: 1,
    };
    s.put_msg_secrets(vec![secret]).await.unwrap();
    let clear: Vec<String> = sqlx::query_scalar(
        r#"SELECT kind FROM wa.auth_key WHERE value::text ~ '"Buffer"' UNION ALL SELECT 'creds' FROM wa.auth
           WHERE creds - 'wagres' #- '{account,deviceSignature}' @? '$.** ? (@.type == "Buffer")'"#,
    )
    .fetch_all(&held.db.pool)
    .await
    .unwrap();
    assert_eq!(clear, Vec::<String>::new());
    // Empty bytes stay as they are, and every value reads as it was written.
    assert_eq!(form(&s.load().await.unwrap().unwrap()), form(&device));
    s.mark_prekeys_uploaded(&[5]).await.unwrap();
    assert_eq!(s.load_prekey(5).await.unwrap().unwrap(), record);
    assert_eq!(held.value("session", "1@lid.0").await["key"], "k1");
}

#[tokio::test]
async fn a6_without_the_key_nothing_is_read_moved_or_overwritten() {
    let held = Held::sealed().await;
    held.store.save(&full_device()).await.unwrap();
    held.store.put_session("1@lid.0", b"ratchet").await.unwrap();
    let plain = AuthStore::new(held.hold.clone(), Arc::default());
    let wrong = Vault::default().with_key("k1", &[9; KEY_LENGTH]).unwrap();
    let wrong = AuthStore::new(held.hold.clone(), wrong.into());
    for (store, said) in
        [(&plain, "is none of encryption.keys"), (&wrong, "the configured key of that id does not open it")]
    {
        for error in [store.load().await.err().unwrap(), store.get_session("1@lid.0").await.unwrap_err()] {
            let StoreError::Serialization(source) = &error else { panic!("{error:?}") };
            assert!(source.to_string().contains(r#"sealed with the key "k1""#), "{source}");
            assert!(source.to_string().contains(said), "{source}");
        }
    }
    assert_eq!(held.store.get_session("1@lid.0").await.unwrap(), Some(Bytes::from_static(b"ratchet")));
    assert_eq!(held.rows().await, 2, "nothing went into the quarantine");
}

#[cfg(feature = "sandbox")]
mod whole {
    use crate::support::proxy::Proxy;
    use crate::support::world::{Worker, World, wagres};
    use anyhow::{Context as _, Result, ensure};
    use serde_json::Value;
    use tokio::process::Command;
    use wagres::auth::codec;

    /// A worker whose keys come from the environment; `current` is in force.
    async fn worker(world: &World, current: Option<&str>, keys: &[(&str, u8)]) -> Result<Worker> {
        let mut command = world.worker_on(&world.db.url);
        for (id, fill) in keys {
            let name = format!("KEY_{}", id.to_uppercase());
            command.env(&name, codec::base64(&[*fill; 32]));
            command.env(format!("WAGRES_ENCRYPTION__KEYS__{}__ENV", id.to_uppercase()), name);
        }
        if let Some(current) = current {
            command.env("WAGRES_ENCRYPTION__KEY", current);
        }
        Worker::start(command).await
    }

    /// What a command with --json that must fail says at its end.
    async fn refused(mut command: Command) -> Result<String> {
        let ended = command.stderr(std::process::Stdio::piped()).output().await?;
        ensure!(!ended.status.success(), "accepted");
        let text = String::from_utf8(ended.stderr)?;
        let error: Value =
            serde_json::from_str(text.lines().last().unwrap_or_default()).with_context(|| text.clone())?;
        Ok(error["message"].as_str().with_context(|| text.clone())?.to_owned())
    }

    async fn end_sealing(world: &World) -> Result<()> {
        let mut command = wagres();
        let ended = command.args(["--database-url", &world.db.url, "auth", "plain"]).output().await?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    }

    async fn reseal(world: &World) -> Result<Value> {
        let insert = "INSERT INTO wa.maintenance_job (kind, args) VALUES ('reseal_keys', '{\"batch\": 7, \"pause_ms\": 0}') RETURNING id";
        let id = world.count(insert).await?;
        world.until(&format!("SELECT result FROM wa.maintenance_job WHERE status = 'done' AND id = {id}")).await
    }

    async fn sealed_with(world: &World) -> Result<Vec<String>> {
        let ids = sqlx::query_scalar(
            r#"SELECT DISTINCT found #>> '{}' FROM (
                   SELECT jsonb_path_query(value, '$.** ? (@.type == "Sealed").key') FROM wa.auth_key
                   UNION ALL SELECT jsonb_path_query(creds, '$.** ? (@.type == "Sealed").key') FROM wa.auth
                   UNION ALL SELECT '"clear"' FROM wa.auth_key WHERE kind IN ('session', 'identity-key', 'pre-key') AND value @? '$.** ? (@.type == "Buffer")'
                   UNION ALL SELECT '"clear"' FROM wa.auth WHERE creds->'noiseKey' @? '$.** ? (@.type == "Buffer")'
               ) AS it (found) ORDER BY 1"#,
        );
        Ok(ids.fetch_all(world.pool()).await?)
    }

    async fn talks(world: &World, body: &str) -> Result<()> {
        world.session_is("shop", "connected").await?;
        let id = world.send("shop", "+15550002", body).await?;
        world.message_is(id, "read").await
    }

    #[tokio::test]
    async fn a6_a_linked_session_is_encrypted_rotated_and_decrypted_and_continues_each_time() -> Result<()> {
        let world = World::new().await?;
        let first = worker(&world, None, &[]).await?;
        world.link("shop", "15550001").await?;
        world.phone("15550002").await?;
        talks(&world, "in the clear").await?;
        ensure!(sealed_with(&world).await? == ["clear"]);
        first.stop().await?;

        let second = worker(&world, Some("k1"), &[("k1", 1)]).await?;
        talks(&world, "side by side").await?;
        ensure!(sealed_with(&world).await? == ["clear", "k1"]);
        let counts = reseal(&world).await?;
        ensure!(counts["closed"] == 0 && counts["key"] == "k1", "{counts}");
        ensure!(sealed_with(&world).await? == ["k1"]);
        talks(&world, "encrypted").await?;
        second.stop().await?;

        let third = worker(&world, Some("k2"), &[("k1", 1), ("k2", 2)]).await?;
        talks(&world, "with a new key").await?;
        reseal(&world).await?;
        ensure!(sealed_with(&world).await? == ["k2"], "{:?}", sealed_with(&world).await?);
        let again = reseal(&world).await?;
        ensure!(again["resealed"] == 0, "nothing is left to do: {again}");
        third.stop().await?;

        let said = refused(world.worker_on(&world.db.url)).await?;
        ensure!(
            said.contains("[encryption]") && said.contains("\"k2\"") && said.contains("wagres auth plain"),
            "{said}"
        );
        // With another key of that id it starts, but opens nothing.
        let stranger = worker(&world, None, &[("k2", 3)]).await?;
        world
            .holds(
                "SELECT status = 'disconnected' AND status_reason LIKE '%sealed with the key \"k2\"%' FROM wa.session",
            )
            .await?;
        let counts = reseal(&world).await?;
        ensure!(counts["resealed"] == 0 && counts["closed"].as_i64() > Some(5), "{counts}");
        ensure!(counts["reason"].as_str().is_some_and(|it| it.contains("k2")), "{counts}");
        stranger.stop().await?;

        let back = worker(&world, None, &[("k2", 2)]).await?;
        talks(&world, "the way back").await?;
        let mut command = wagres();
        let ended =
            command.args(["--json", "--database-url", &world.db.url, "auth", "reseal", "--wait"]).output().await?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let done: Value = serde_json::from_slice(&ended.stdout)?;
        ensure!(done["result"]["resealed"].as_i64() > Some(5) && done["result"]["closed"] == 0, "{done}");
        ensure!(sealed_with(&world).await? == ["clear"]);
        back.stop().await?;
        end_sealing(&world).await?;
        let plain = worker(&world, None, &[]).await?;
        talks(&world, "in the clear again").await?;
        // Without keys the job does not say that it is done.
        let mut command = wagres();
        command.args(["--json", "--database-url", &world.db.url, "auth", "reseal", "--wait"]);
        ensure!(refused(command).await?.contains("no encryption.keys"));
        let seen = world.seen_by("15550002").await?;
        ensure!(seen.len() == 6, "each once: {seen:?}");
        ensure!(world.count("SELECT count(*) FROM wa.event WHERE kind = 'keys_resealed'").await? == 5);
        plain.stop().await
    }

    #[tokio::test]
    async fn a6_a_worker_without_its_key_does_not_start_and_says_why() -> Result<()> {
        let world = World::new().await?;
        let mut command = world.worker_on(&world.db.url);
        command.env("WAGRES_ENCRYPTION__KEY", "k1").env("WAGRES_ENCRYPTION__KEYS__K1__FILE", "/nowhere/key");
        let said = refused(command).await?;
        ensure!(said.contains("encryption.keys.k1: /nowhere/key: No such file"), "{said}");
        Ok(())
    }

    #[tokio::test]
    async fn a6_once_sealed_nothing_is_written_in_the_clear_unasked() -> Result<()> {
        let world = World::new().await?;
        // Noted before anything is linked, so that the first keys are sealed too.
        worker(&world, Some("k1"), &[("k1", 1)]).await?.stop().await?;
        ensure!(world.count("SELECT count(*) FROM wa.sealing WHERE key = 'k1'").await? == 1);
        let said = refused(world.worker_on(&world.db.url)).await?;
        ensure!(said.contains("sealed, last with the key \"k1\"") && said.contains("encryption.keys"), "{said}");

        let sealed = worker(&world, Some("k1"), &[("k1", 1)]).await?;
        world.link("shop", "15550001").await?;
        sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
        world.holds("SELECT holder IS NULL FROM wa.lease").await?;
        sealed.stop().await?;
        // A backup in the clear is not restored without the key.
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("shop.backup");
        let with_key = |arguments: &[&str]| {
            let mut command = wagres();
            command.args(["--database-url", &world.db.url]).args(arguments).arg(&file);
            command.env("KEY_K1", codec::base64(&[1; 32])).env("WAGRES_ENCRYPTION__KEYS__K1__ENV", "KEY_K1");
            command
        };
        ensure!(with_key(&["backup", "shop"]).status().await?.success());
        let mut restore = wagres();
        restore.args(["--json", "--database-url", &world.db.url, "restore", "--session", "copy"]).arg(&file);
        let said = refused(restore).await?;
        ensure!(said.contains("nothing was written") && said.contains("\"k1\""), "{said}");
        // The demand ends when nothing is sealed any more, and not before.
        let mut early = wagres();
        early.args(["--json", "--database-url", &world.db.url, "auth", "plain"]);
        let said = refused(early).await?;
        ensure!(said.contains("values are sealed"), "{said}");
        let opening = worker(&world, None, &[("k1", 1)]).await?;
        reseal(&world).await?;
        opening.stop().await?;
        end_sealing(&world).await?;
        worker(&world, None, &[]).await?.stop().await
    }

    #[tokio::test]
    async fn a6_q14_a_proxys_password_is_sealed_at_its_first_use() -> Result<()> {
        let world = World::new().await?;
        let proxy = Proxy::start().await?;
        let mut command = world.worker_on(&world.db.url);
        command.env("WAGRES_ENCRYPTION__KEY", "k1").env("WAGRES_ENCRYPTION__KEYS__K1__ENV", "KEY_K1");
        command.env("KEY_K1", codec::base64(&[1; 32])).env("WAGRES_WORKER__PROXY_ALLOW", r#"["127.0.0.1"]"#);
        let first = Worker::start(command).await?;
        let set = sqlx::query("SELECT wa.add_session('shop'), wa.set_proxy('shop', $1)").bind(proxy.url("socks5"));
        set.execute(world.pool()).await?;
        let clear = "SELECT url->>'type' = 'Buffer' FROM wa.proxy";
        world.holds(clear).await?;
        world.link("shop", "15550001").await?;
        let sealed = "SELECT url->>'type' = 'Sealed' AND url->>'key' = 'k1' FROM wa.proxy";
        world.holds(sealed).await?;
        ensure!(proxy.reached().len() >= 2, "{:?}", proxy.reached());
        // What is not used is sealed by the job.
        let set = sqlx::query("SELECT wa.add_session('other'), wa.set_proxy('other', $1)").bind(proxy.url("http"));
        set.execute(world.pool()).await?;
        reseal(&world).await?;
        world.holds("SELECT count(*) = 2 AND bool_and(url->>'type' = 'Sealed') FROM wa.proxy").await?;
        first.stop().await
    }
}
