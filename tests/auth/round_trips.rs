//! A3: how many statements the client library needs over our store.

use super::{Held, vault};
use crate::support::linked::{Linked, sandbox};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use wacore::store::traits::{DeviceStore as _, SignalStore as _};
use wacore_binary::Jid;
use wagres::auth::AuthStore;
use waproto::whatsapp::Message;

const OWN: &str = "15550001";

/// Runs `work` and counts the statements of the store meanwhile.
async fn counted<T>(store: &AuthStore, work: impl Future<Output = Result<T>>) -> Result<(T, u64)> {
    let before = store.statements();
    let done = work.await?;
    Ok((done, store.statements() - before))
}

async fn text(client: &Linked<AuthStore>, to: &Jid, text: &str) -> Result<()> {
    let message = Message { conversation: Some(text.into()), ..Default::default() };
    client.client.send_message(to.clone(), message).await.map(drop).context("sending")
}

#[tokio::test]
async fn a3_a_group_message_to_hundreds_of_devices_takes_a_few_statements() -> Result<()> {
    const PEOPLE: u64 = 500;
    let (running, control) = sandbox().await?;
    let held = Held::new().await;
    let store = held.restarted();
    let mut client = Linked::link_on(&running.ws_url(), &control, OWN, store).await?;
    let numbers: Vec<String> = (0..PEOPLE).map(|n| (15_551_000 + n).to_string()).collect();
    let made = stream::iter(&numbers).map(|number| control.post("/phones", json!({ "number": number })));
    made.buffer_unordered(16).try_for_each(|_| async { Ok(()) }).await?;
    let group = json!({ "subject": "everybody", "creator": OWN, "participants": numbers });
    let group: Jid = control.post("/groups", group).await?["jid"].as_str().context("a group")?.parse()?;
    text(&client, &group, "the first, to strangers").await?;
    client.stop().await?;

    // A new process, to which no device is known to have our key; all Signal sessions exist.
    sqlx::query("DELETE FROM wa.auth_key WHERE kind = 'sender-key-memory'").execute(&held.db.pool).await?;
    let sessions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM wa.auth_key WHERE kind = 'session'").fetch_one(&held.db.pool).await?;
    ensure!(sessions >= i64::try_from(PEOPLE)?, "{sessions} sessions");
    let store = held.restarted();
    let mut client = Linked::start_at(&running.ws_url(), store.clone()).await?;
    client.connected().await?;
    let ((), cold) = counted(&store, text(&client, &group, "to all, with our key")).await?;
    let ((), warm) = counted(&store, text(&client, &group, "to all")).await?;
    eprintln!("a group message to {PEOPLE} devices: {cold} statements in a new process, {warm} later");
    // Without reading ahead: a device list, a session and an identity for each person.
    ensure!(cold < PEOPLE / 5, "{cold} statements for a first message to a group of {PEOPLE}");
    ensure!(warm < 12, "{warm} statements for a message to a group");
    for number in [&numbers[0], &numbers[499]] {
        control.shown(number, "to all").await?;
    }
    client.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a3_a7_a_connection_and_a_message_take_few_statements() -> Result<()> {
    const FRIEND: &str = "15550002";
    let (running, control) = sandbox().await?;
    let held = Held::new().await;
    let mut client = Linked::link_on(&running.ws_url(), &control, OWN, held.restarted()).await?;
    control.post("/phones", json!({ "number": FRIEND })).await?;
    client.send(FRIEND, "the first").await?;
    control.shown(FRIEND, "the first").await?;
    client.stop().await?;

    let store = held.restarted();
    let (mut client, connecting) = counted(&store, async {
        let client = Linked::start_at(&running.ws_url(), store.clone()).await?;
        client.connected().await?;
        Ok(client)
    })
    .await?;
    let (_, cold) = counted(&store, client.send(FRIEND, "after a restart")).await?;
    control.shown(FRIEND, "after a restart").await?;
    let mut warm = 0;
    for n in 0..10 {
        warm += counted(&store, client.send(FRIEND, &format!("warm {n}"))).await?.1;
    }
    eprintln!("connected after {connecting} statements, the first message took {cold}, ten more {warm}");
    ensure!(connecting < 30 && cold < 15 && warm < 80, "{connecting} {cold} {warm}");
    client.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a7_a_session_with_335_keys_is_loaded_in_one_statement() -> Result<()> {
    let held = Held::with(vault("k1")).await;
    held.store.save(&super::full_device()).await?;
    for n in 0..335 {
        held.store.put_session(&format!("{n}@lid.0"), &[7; 700]).await?;
    }
    let mut connection = held.db.pool.acquire().await?;
    let state = wagres::auth::snapshot::state(&mut connection, &vault("k2"), held.fence.session_id).await?;
    ensure!(state.context("credentials")?.keys.len() == 335);
    Ok(())
}

/// Each read gives the last write, however much is read ahead meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a3_reading_ahead_never_gives_an_old_ratchet() -> Result<()> {
    let held = Held::new().await;
    let store = held.restarted();
    let user = |n: u64| format!("{}", 900 + n % 3);
    let stop = tokio_util::sync::CancellationToken::new();
    let readers = (0..6_u64).map(|n| {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move {
            use wacore::store::traits::ProtocolStore as _;
            while !stop.is_cancelled() {
                store.get_devices(&user(n)).await?;
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        })
    });
    let readers: Vec<_> = readers.collect();
    let writers = (0..3_u64).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..150_u64 {
                let (address, value) = (format!("{}:{n}@lid.0", user(n)), round.to_be_bytes());
                store.put_session(&address, &value).await?;
                let found = store.get_session(&address).await?.context("it is gone")?;
                ensure!(found[..] == value, "round {round}: an old value");
                if round % 10 == 9 {
                    store.delete_session(&address).await?;
                    ensure!(!store.has_session(&address).await?, "round {round}: it is still there");
                    ensure!(store.get_session(&address).await?.is_none(), "round {round}: it is still there");
                }
            }
            anyhow::Ok(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    stop.cancel();
    for reader in readers {
        reader.await??;
    }
    Ok(())
}
