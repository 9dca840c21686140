//! X1: key bundles over their whole life, waiting stanzas, and account queries.

use anyhow::{Context, Result};
use serde_json::json;
use wacore::iq::prekeys::{DigestKeyBundleSpec, PreKeyFetchSpec};
use wacore::prekeys::{compute_key_bundle_digest, extract_prekey_public_key};
use wacore::store::traits::SignalStore as _;
use wacore::types::events::Event;
use wacore_binary::Jid;

use crate::support::linked::{Linked, sandbox, until_connected};
use crate::support::until::until;

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// How many keys a test client uploads at a time.
const UPLOADED: usize = 30;

/// Waits until the server has keys of the client, and checks that they are the client's. Returns their number.
async fn keys_on_the_server(client: &Linked, wanted: impl Fn(usize) -> bool) -> Result<usize> {
    let digest = until("the keys on the server", async || {
        Ok(match client.client.execute(DigestKeyBundleSpec::new()).await {
            Ok(digest) if wanted(digest.prekey_ids.len()) => Ok(digest),
            answer => Err(format!("{answer:?}")),
        })
    })
    .await?;
    let device = client.client.persistence_manager().get_device_snapshot();
    let mut keys = vec![];
    for id in &digest.prekey_ids {
        let record = client.backend.load_prekey(*id).await?.with_context(|| format!("the client has no key {id}"))?;
        keys.push(extract_prekey_public_key(&record).context("no public key")?.to_vec());
    }
    let expected = compute_key_bundle_digest(
        device.identity_key.public_key.public_key_bytes(),
        device.signed_pre_key.public_key.public_key_bytes(),
        &device.signed_pre_key_signature,
        &keys.iter().map(Vec::as_slice).collect::<Vec<_>>(),
    );
    assert_eq!(digest.hash, expected);
    assert_eq!(digest.reg_id, device.registration_id);
    Ok(keys.len())
}

#[tokio::test]
async fn x1_a_device_is_warned_of_few_keys_and_uploads_new_ones() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = Linked::link(&sandbox, &control, BOB).await?;
    // The phone may have used one already, to share the app-state keys.
    let uploaded = keys_on_the_server(&alice, |keys| keys > 0).await?;
    assert!((UPLOADED - 1..=UPLOADED).contains(&uploaded), "{uploaded}");
    let device = Jid::pn_device(ALICE, 1);
    let fetches = (0..UPLOADED).map(|_| bob.client.execute(PreKeyFetchSpec::new(vec![device.clone()])));
    for answer in futures::future::try_join_all(fetches).await? {
        assert_eq!(answer.bundles.len(), 1);
    }
    let left = keys_on_the_server(&alice, |keys| keys >= UPLOADED).await?;

    // While offline the client cannot upload keys; others write to it without one-time keys, and it uploads new ones
    // when it reconnects.
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    let fetches = (0..left).map(|_| bob.client.execute(PreKeyFetchSpec::new(vec![device.clone()])));
    futures::future::try_join_all(fetches).await?;
    bob.send(ALICE, "without a key").await?;
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "nor here" })).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    alice.text("without a key").await?;
    alice.text("nor here").await?;
    assert!(keys_on_the_server(&alice, |keys| keys >= UPLOADED).await? >= UPLOADED);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_number_registered_again_has_a_new_identity() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    alice.send(BOB, "to the old phone").await?;
    control.shown(BOB, "to the old phone").await?;

    control.post(&format!("/phones/{BOB}/reregister"), json!({})).await?;
    let changed = |event: &Event| match event {
        Event::IdentityChange(change) => Some((change.user.clone(), change.implicit)),
        _ => None,
    };
    let (user, implicit) = alice.wait("the new identity", changed).await?;
    assert_eq!((user.to_non_ad(), implicit), (Jid::pn(BOB), false));
    bob.wait("logged out", |event| matches!(event, Event::LoggedOut(_)).then_some(())).await?;
    alice.send(BOB, "to the new phone").await?;
    assert_eq!(control.shown(BOB, "to the new phone").await?["arrivals"], 1);
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "from it" })).await?;
    alice.text("from it").await?;
    // The number can link devices again.
    let again = Linked::link(&sandbox, &control, BOB).await?;
    again.send(ALICE, "from a new device").await?;
    alice.text("from a new device").await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_device_gets_the_number_of_waiting_stanzas_first() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    for text in ["one", "two", "three"] {
        control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": text })).await?;
    }
    let mut alice = Linked::start(&sandbox, backend).await?;
    let preview = |event: &Event| match event {
        Event::OfflineSyncPreview(preview) => Some((preview.total, preview.messages)),
        _ => None,
    };
    let (total, messages) = alice.wait("the preview", preview).await?;
    assert!(messages == 3 && total >= 3, "{messages} of {total}");
    alice.text("three").await?;
    let texts = alice.seen.iter().flat_map(|event| event.messages());
    let texts: Vec<_> = texts.filter_map(|it| crate::support::linked::text_of(&it.message)).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    let first = alice.seen.iter().position(|event| matches!(&**event, Event::OfflineSyncPreview(_)));
    assert!(
        first < alice.seen.iter().position(|event| event.messages().next().is_some()),
        "the preview arrived after a message"
    );
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_contacts_are_checked() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = control.post("/phones", json!({ "number": BOB })).await?;
    let found = alice.client.contacts().is_on_whatsapp(&[Jid::pn(BOB), Jid::pn("15559999")]).await?;
    let of = |number: &str| found.iter().find(|it| it.jid == Jid::pn(number)).context("not answered");
    assert!(of(BOB)?.is_registered && !of(BOB)?.is_business);
    assert_eq!(of(BOB)?.lid.as_ref().map(ToString::to_string).as_deref(), bob["lid"].as_str());
    assert!(!of("15559999")?.is_registered);
    let info = alice.client.contacts().get_user_info(&[Jid::pn(BOB)]).await?;
    let info = info.get(&Jid::pn(BOB)).context("no information")?;
    assert_eq!(info.status.as_deref(), Some("Hey there! I am using WhatsApp."));
    assert!(alice.client.get_business_profile(&Jid::pn(BOB)).await?.is_none());
    alice.client.set_default_disappearing_mode(86_400).await?;
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}
