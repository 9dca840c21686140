//! X1: app state between the phone and its devices: settings travel both ways, conflicts are resolved, keys change.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wacore::store::traits::AppSyncStore as _;
use wacore::types::events::Event;
use wacore_binary::Jid;

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";
const BOB_JID: &str = "15550002@s.whatsapp.net";

/// The path of the phone's settings.
fn settings() -> String {
    format!("/phones/{ALICE}/app-state")
}

async fn until_shown(control: &Control, pointer: &str, wanted: Value) -> Result<()> {
    let found = control.until(&settings(), |shown| (shown.pointer(pointer) == Some(&wanted)).then_some(())).await;
    found.with_context(|| format!("{pointer} did not become {wanted}"))
}

async fn archived(linked: &mut Linked, on: bool) -> Result<()> {
    linked
        .wait(&format!("an archive event {on}"), |event| match event {
            Event::ArchiveUpdate(update) if update.action.archived == Some(on) => Some(()),
            _ => None,
        })
        .await
}

/// Whether an event is the expected one.
type Seen = fn(&Event) -> bool;

#[tokio::test]
async fn x1_a_devices_settings_reach_the_phone_and_the_other_device() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let first = Linked::link(&sandbox, &control, ALICE).await?;
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = Jid::pn(BOB);

    // Each change is seen before the next is made: the library drops a notification that arrives while it still reads
    // an answer.
    let actions = first.client.chat_actions();
    actions.archive_chat(&bob, None).await?;
    archived(&mut second, true).await?;
    actions.pin_chat(&bob).await?;
    second.wait("a pin", |event| matches!(event, Event::PinUpdate(_)).then_some(())).await?;
    actions.mute_chat_until(&bob, 1_900_000_000_000).await?;
    let muted_until = second
        .wait("a mute", |event| match event {
            Event::MuteUpdate(update) => Some(update.action.mute_end_timestamp),
            _ => None,
        })
        .await?;
    assert_eq!(muted_until, Some(1_900_000_000_000));
    actions.mark_chat_as_read(&bob, false, None).await?;
    second.wait("an unread chat", |event| matches!(event, Event::MarkChatAsReadUpdate(_)).then_some(())).await?;
    actions.star_message(&bob, None, "3EB0STAR", true).await?;
    second.wait("a star", |event| matches!(event, Event::StarUpdate(_)).then_some(())).await?;
    actions.save_contact(&bob, Some("Bob Builder".into()), None, true).await?;
    until_shown(&control, "/contacts", json!({ BOB_JID: "Bob Builder" })).await?;
    let shown = control.get(&settings()).await?;
    assert_eq!(
        shown["chats"][BOB_JID],
        json!({ "archived": true, "pinned": true, "muted": true, "muted_until": 1_900_000_000_000_i64, "read": false })
    );
    assert_eq!(shown["starred"], json!(["3EB0STAR"]));
    assert_eq!(shown["versions"], json!({ "critical_unblock_low": 1, "regular_high": 2, "regular_low": 3 }));
    assert_eq!(shown["refused"], json!([]), "every MAC is valid");
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_the_owners_settings_reach_every_device() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut first = Linked::link(&sandbox, &control, ALICE).await?;
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": "look" })).await?;
    let id = control.shown(ALICE, "look").await?["id"].as_str().context("no id")?.to_owned();

    let steps: [(Value, Seen); 9] = [
        (
            json!({ "archive": { "chat": BOB, "on": true } }),
            |event| matches!(event, Event::ArchiveUpdate(update) if update.action.archived == Some(true)),
        ),
        (
            json!({ "archive": { "chat": BOB, "on": false } }),
            |event| matches!(event, Event::ArchiveUpdate(update) if update.action.archived == Some(false)),
        ),
        (json!({ "pin": { "chat": BOB, "on": true } }), |event| matches!(event, Event::PinUpdate(_))),
        (json!({ "mute": { "chat": BOB, "on": true } }), |event| matches!(event, Event::MuteUpdate(_))),
        (json!({ "read": { "chat": BOB, "on": true } }), |event| matches!(event, Event::MarkChatAsReadUpdate(_))),
        (
            json!({ "star": { "id": id, "on": true } }),
            |event| matches!(event, Event::StarUpdate(update) if !update.from_me && update.chat_jid.user == BOB),
        ),
        (
            json!({ "contact": { "chat": BOB, "name": "Bob Builder" } }),
            |event| matches!(event, Event::ContactUpdate(update) if update.action.full_name.as_deref() == Some("Bob Builder")),
        ),
        (
            json!({ "push_name": { "name": "Alice Liddell" } }),
            |event| matches!(event, Event::SelfPushNameUpdated(update) if update.new_name == "Alice Liddell"),
        ),
        (json!({ "delete_chat": { "chat": BOB } }), |event| matches!(event, Event::DeleteChatUpdate(_))),
    ];
    for (action, seen) in steps {
        assert_eq!(control.post(&settings(), action.clone()).await?, json!({ "set": true }), "{action}");
        // Before the next change: the library drops a notification that arrives while it still reads an answer.
        for device in [&mut first, &mut second] {
            device.wait(&action.to_string(), |event| seen(event).then_some(())).await?;
        }
    }
    control.post(&settings(), json!({ "locale": { "locale": "de" } })).await?;
    let shown = control.get(&settings()).await?;
    assert_eq!((&shown["push_name"], &shown["locale"]), (&json!("Alice Liddell"), &json!("de")));
    assert_eq!(shown["starred"], json!([id]));
    // A deleted contact is gone from the collection.
    control.post(&settings(), json!({ "contact": { "chat": BOB } })).await?;
    until_shown(&control, "/contacts", json!({})).await?;
    assert_eq!(control.get(&settings()).await?["refused"], json!([]));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_patch_on_an_old_version_is_built_again() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let first = Linked::link(&sandbox, &control, ALICE).await?;
    let second = Linked::link(&sandbox, &control, ALICE).await?;
    let (bob, actions) = (Jid::pn(BOB), [first.client.chat_actions(), second.client.chat_actions()]);

    // Both devices and the phone at the same time: the second uploads a patch on an old version.
    let path = settings();
    let phone = async {
        for on in [true, false, true, false] {
            control.post(&path, json!({ "read": { "chat": BOB, "on": on } })).await?;
        }
        anyhow::Ok(())
    };
    let devices = async {
        for _ in 0..3 {
            tokio::try_join!(actions[0].archive_chat(&bob, None), actions[1].pin_chat(&bob))?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(phone, devices)?;
    until_shown(&control, "/versions", json!({ "regular_low": 10 })).await?;
    let shown = control.get(&settings()).await?;
    assert_eq!(shown["chats"][BOB_JID], json!({ "archived": true, "pinned": true, "read": false }));
    assert_eq!(shown["refused"], json!([]), "every patch was built on its predecessor");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_reconnected_device_continues_from_its_version() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": true } })).await?;
    archived(&mut alice, true).await?;
    let backend = alice.stop().await?;

    // More patches than fit into one answer.
    for step in 0..60 {
        control.post(&settings(), json!({ "pin": { "chat": BOB, "on": step % 2 == 0 } })).await?;
    }
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": false } })).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    archived(&mut alice, false).await?;
    let archives = alice.seen.iter().filter(|event| matches!(event.as_ref(), Event::ArchiveUpdate(_))).count();
    assert_eq!(archives, 1, "earlier changes were sent again");
    let pins = alice.seen.iter().filter(|event| matches!(event.as_ref(), Event::PinUpdate(_))).count();
    assert_eq!(pins, 60);
    assert_eq!(alice.backend.get_version("regular_low").await?.version, 62);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_new_app_state_key_is_used_and_the_old_one_still_read() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut first = Linked::link(&sandbox, &control, ALICE).await?;
    let old = first.backend.get_latest_sync_key_id().await?.context("no key")?;
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": true } })).await?;
    archived(&mut first, true).await?;

    control.post(&format!("{}/rotate-key", settings()), json!({})).await?;
    let keys = control.get(&settings()).await?["keys"].clone();
    assert_eq!(keys, json!([hex::encode(&old), "000000000002"]));
    // The phone's next patch removes the record under the old key and sets it under the new one.
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": false } })).await?;
    archived(&mut first, false).await?;
    let new = first.backend.get_latest_sync_key_id().await?.context("no key")?;
    assert_eq!(hex::encode(new), "000000000002");
    first.client.chat_actions().pin_chat(&Jid::pn(BOB)).await?;
    until_shown(&control, &format!("/chats/{BOB_JID}"), json!({ "archived": false, "pinned": true })).await?;

    // A device that is linked now gets all settings, under whatever key.
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    second.wait("a pin", |event| matches!(event, Event::PinUpdate(_)).then_some(())).await?;
    archived(&mut second, false).await?;
    assert_eq!(control.get(&settings()).await?["refused"], json!([]));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_device_missing_too_many_patches_gets_a_snapshot() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": true } })).await?;
    archived(&mut alice, true).await?;
    let backend = alice.stop().await?;

    // More patches than the server keeps.
    for step in 0..=200 {
        control.post(&settings(), json!({ "pin": { "chat": BOB, "on": step % 2 == 0 } })).await?;
    }
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": false } })).await?;
    let pins =
        |linked: &Linked| linked.seen.iter().filter(|event| matches!(event.as_ref(), Event::PinUpdate(_))).count();
    let mut alice = Linked::start(&sandbox, backend).await?;
    archived(&mut alice, false).await?;
    // A device without any state gets the same snapshot, and both continue from there.
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    archived(&mut second, false).await?;
    for device in [&mut alice, &mut second] {
        device.wait("the last pin", |event| matches!(event, Event::PinUpdate(_)).then_some(())).await?;
        assert_eq!(pins(device), 1, "the remaining records, not every patch");
        assert_eq!(device.backend.get_version("regular_low").await?.version, 203);
    }
    second.client.chat_actions().archive_chat(&Jid::pn(BOB), None).await?;
    let mutes = json!({ "mute": { "chat": BOB, "on": true } });
    until_shown(&control, &format!("/chats/{BOB_JID}/archived"), json!(true)).await?;
    // Before the next change: the library drops a notification that arrives while it still reads an answer.
    archived(&mut alice, true).await?;
    control.post(&settings(), mutes).await?;
    for device in [&mut alice, &mut second] {
        device.wait("a mute", |event| matches!(event, Event::MuteUpdate(_)).then_some(())).await?;
    }
    assert_eq!(control.get(&settings()).await?["refused"], json!([]));
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_an_unlinked_device_does_not_get_the_next_app_state_key() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let first = Linked::link(&sandbox, &control, ALICE).await?;
    let mut second = Linked::link(&sandbox, &control, ALICE).await?;
    let shown = control.get(&settings()).await?;
    assert_eq!(shown["keys"].as_array().map(Vec::len), Some(1), "{shown}");
    first.client.logout().await;
    control.until(&settings(), |shown| (shown["keys"].as_array()?.len() == 2).then_some(())).await?;
    // The other device has the new key, and reads settings encrypted with it.
    control.post(&settings(), json!({ "archive": { "chat": BOB, "on": true } })).await?;
    archived(&mut second, true).await?;
    let newest = second.backend.get_latest_sync_key_id().await?.context("no key")?;
    assert_eq!(hex::encode(newest), "000000000002");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_wrong_settings_are_refused_with_a_reason() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    for (body, status, says) in [
        (json!({ "archive": { "chat": "bob", "on": true } }), 400, "chat: "),
        (json!({ "archive": { "chat": BOB } }), 400, "missing field `on`"),
        (json!({ "frobnicate": {} }), 400, "unknown variant `frobnicate`, expected one of `archive`"),
        (json!({}), 400, "action: "),
        (json!({ "push_name": { "name": "" } }), 400, "name: must not be empty"),
        (json!({ "star": { "id": "3EB0", "on": true } }), 404, "id: the phone has no message 3EB0"),
    ] {
        let (found, answer) = control.request("POST", &settings(), Some(body.clone())).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(found == status && error.contains(says), "{body} gave {found} {answer}");
    }
    assert_eq!(control.request("GET", "/phones/15559999/app-state", None).await?.0, 404);
    sandbox.shutdown().await;
    Ok(())
}
