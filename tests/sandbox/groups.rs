//! X1: groups and statuses, among unmodified clients and phones.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wacore::iq::groups::{
    GroupCreateOptions, GroupDescription, GroupParticipantOptions, GroupSubject, JoinGroupResult,
};
use wacore::stanza::groups::GroupNotificationAction as Action;
use wacore::store::traits::SignalStore as _;
use wacore::types::events::Event;
use wacore::types::presence::ReceiptType;
use wacore_binary::Jid;
use wagres_sandbox::Running;
use waproto::whatsapp::{Message, MessageKey};
use whatsapp_rust::features::{PreviousDescription, StatusSendOptions};
use whatsapp_rust::send::RevokeType;

use crate::baileys::Baileys;
use crate::control::Control;
use crate::support::linked::{Linked, sandbox, until_connected};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";
const CAROL: &str = "15550003";

/// A sandbox with phones.
async fn phones(numbers: &[&str]) -> Result<(Running, Control)> {
    let (sandbox, control) = sandbox().await?;
    for number in numbers {
        control.post("/phones", json!({ "number": number })).await?;
    }
    Ok((sandbox, control))
}

/// A group that Alice's phone creates.
async fn group(control: &Control, participants: &[&str]) -> Result<Jid> {
    let body = json!({ "subject": "friends", "creator": ALICE, "participants": participants });
    let made = control.post("/groups", body).await?;
    Ok(made["jid"].as_str().context("no jid")?.parse()?)
}

fn words(text: &str) -> Message {
    Message { conversation: Some(text.into()), ..Default::default() }
}

async fn send_text(client: &Linked, to: &Jid, text: &str) -> Result<String> {
    Ok(client.client.send_message(to.clone(), words(text)).await?.message_id)
}

async fn phone_sends(control: &Control, number: &str, body: Value) -> Result<String> {
    let sent = control.post(&format!("/phones/{number}/send"), body).await?;
    sent["id"].as_str().map(str::to_owned).context("no id")
}

/// Waits for a group notification.
async fn group_event(client: &mut Linked, what: &str, pick: impl Fn(&Action) -> bool) -> Result<()> {
    client.wait(what, |event| matches!(event, Event::GroupUpdate(update) if pick(&update.action)).then_some(())).await
}

/// Waits for the error with which the server refused a message.
async fn refused(client: &mut Linked, id: &str) -> Result<Option<String>> {
    client
        .wait("the ack", |event| match event {
            Event::ServerAck(ack) if ack.id == id => Some(ack.error.as_ref().map(ToString::to_string)),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn x1_a_group_carries_text_between_devices_and_phones() -> Result<()> {
    let (sandbox, control) = phones(&[CAROL]).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let options = GroupCreateOptions::new("friends")
        .with_participants([BOB, CAROL].map(|it| GroupParticipantOptions::from_phone(Jid::pn(it))).to_vec());
    let group = alice.client.groups().create_group(options).await?.metadata.id;
    group_event(&mut bob, "the new group", |action| matches!(action, Action::Create { .. })).await?;

    let id = send_text(&alice, &group, "hello all").await?;
    let (chat, _) = bob.text("hello all").await?;
    assert_eq!(chat, group);
    let shown = control.shown(CAROL, "hello all").await?;
    assert_eq!(shown["chat"], group.to_string());
    assert_eq!(shown["sender"], format!("{ALICE}@s.whatsapp.net"));
    assert_eq!(control.shown(ALICE, "hello all").await?["from_me"], true);
    // Each participant's ticks, on the device and on the phone.
    for reader in [BOB, CAROL] {
        alice
            .wait(&format!("{reader} to read it"), |event| match event {
                Event::Receipt(receipt) if receipt.r#type == ReceiptType::Read => {
                    let from =
                        (receipt.source.sender.user == format!("9{reader}"), receipt.message_ids == [id.as_str()]);
                    (from == (true, true) && receipt.source.chat == group).then_some(())
                }
                _ => None,
            })
            .await?;
    }
    let path = format!("/phones/{ALICE}/messages/{id}");
    let read = |value: &Value| (value["message"]["ticks"] == "read").then(|| value["message"]["receipts"].clone());
    let ticks = control.until(&path, read).await?;
    assert_eq!(ticks, json!({ "15550002@s.whatsapp.net": "read", "15550003@s.whatsapp.net": "read" }));

    send_text(&bob, &group, "from bob").await?;
    alice.text("from bob").await?;
    let sent = phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "from a phone" })).await?;
    for client in [&mut alice, &mut bob] {
        let (chat, id) = client.text("from a phone").await?;
        assert_eq!((chat, &id), (group.clone(), &sent));
    }
    for number in [ALICE, BOB] {
        for text in ["from bob", "from a phone"] {
            assert_eq!(control.shown(number, text).await?["arrivals"], 1);
        }
    }
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    assert_eq!(stats["stanzas"]["receipt retry retry"], Value::Null, "a retry receipt was sent: {stats}");
    assert_eq!(stats["lists_corrected"], 0, "a sender had an old device list: {stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_device_linked_later_reads_only_new_group_messages() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE, BOB, CAROL]).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let group = group(&control, &[BOB, CAROL]).await?;
    send_text(&bob, &group, "before").await?;
    control.shown(ALICE, "before").await?;
    phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "also before" })).await?;
    bob.text("also before").await?;

    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let settled = |value: &Value| (value["phones"][1]["devices"][0]["unacknowledged"] == 0).then_some(());
    control.until("/phones", settled).await?;
    send_text(&bob, &group, "after").await?;
    phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "also after" })).await?;
    alice.text("after").await?;
    alice.text("also after").await?;
    assert_eq!(alice.count("before") + alice.count("also before"), 0);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_removed_member_is_notified_and_gets_no_more_messages() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE, BOB, CAROL]).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let group = group(&control, &[BOB, CAROL]).await?;
    for from in [ALICE, CAROL] {
        let text = format!("with bob, from {from}");
        phone_sends(&control, from, json!({ "to": group.to_string(), "text": text })).await?;
        bob.text(&text).await?;
    }
    send_text(&alice, &group, "with bob, from a device").await?;
    bob.text("with bob, from a device").await?;

    let removed = alice.client.groups().remove_participants(group.clone(), &[Jid::pn(BOB)]).await?;
    assert!(removed.iter().all(|it| it.error.is_none()), "{removed:?}");
    group_event(&mut bob, "his removal", |action| matches!(action, Action::Remove { .. })).await?;
    send_text(&alice, &group, "without bob").await?;
    phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "without him as well" })).await?;
    alice.text("without him as well").await?;
    control.shown(CAROL, "without bob").await?;
    // Bob cannot write to the group either, and messages outside it still arrive.
    let id = send_text(&bob, &group, "let me in").await;
    if let Ok(id) = id {
        assert_eq!(refused(&mut bob, &id).await?.as_deref(), Some("403"));
    }
    let body = json!({ "to": group.to_string(), "text": "let me in" });
    let (status, answer) = control.request("POST", &format!("/phones/{BOB}/send"), Some(body)).await?;
    assert_eq!(status, 403, "{answer}");
    alice.send(BOB, "privately").await?;
    bob.text("privately").await?;
    assert_eq!(bob.count("without bob") + bob.count("without him as well") + alice.count("let me in"), 0);

    let added = control.post(&format!("/groups/{group}/participants"), json!({ "by": ALICE, "add": [BOB] })).await?;
    assert_eq!(added, json!({ "participants": [{ "number": BOB, "error": null }] }));
    phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "welcome back" })).await?;
    bob.text("welcome back").await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_messages_of_a_group_are_answered_edited_and_revoked() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE, BOB, CAROL]).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let group = group(&control, &[BOB, CAROL]).await?;
    let to = group.to_string();
    let id = phone_sends(&control, BOB, json!({ "to": to, "text": "helo" })).await?;
    alice.text("helo").await?;
    // By the author's phone.
    phone_sends(&control, BOB, json!({ "to": to, "edit": { "id": id, "text": "hello" } })).await?;
    let key = MessageKey {
        remote_jid: Some(to.clone()),
        from_me: Some(false),
        id: Some(id.clone()),
        participant: Some(format!("9{BOB}@lid")),
    };
    // By a device, and by a phone that names the author as the group does.
    alice.client.send_reaction(group.clone(), key, "👍").await?;
    phone_sends(&control, CAROL, json!({ "to": to, "react": { "id": id, "emoji": "🎉" } })).await?;
    let target = alice
        .wait("the reaction", |event| {
            let mut keys = event.messages().filter_map(|message| {
                let reaction = message.message.reaction_message.as_option()?;
                reaction.key.as_option()?.participant.clone()
            });
            keys.next()
        })
        .await?;
    assert_eq!(target, format!("9{BOB}@lid"));
    let path = format!("/phones/{CAROL}/messages/{id}");
    let both =
        |value: &Value| (value["message"]["reactions"].as_object()?.len() == 2).then(|| value["message"].clone());
    let message = control.until(&path, both).await?;
    assert_eq!((&message["text"], &message["edited"]), (&json!("hello"), &json!(true)));

    // An admin deletes another member's message.
    let gone = |value: &Value| (value["message"]["revoked"] == true).then_some(());
    let admin = RevokeType::Admin { original_sender: Jid::lid(format!("9{BOB}")) };
    alice.client.revoke_message(group.clone(), id.clone(), admin).await?;
    control.until(&path, gone).await?;

    let own = send_text(&alice, &group, "oops").await?;
    control.shown(CAROL, "oops").await?;
    alice.client.revoke_message(group.clone(), own.clone(), RevokeType::Sender).await?;
    control.until(&format!("/phones/{CAROL}/messages/{own}"), gone).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_group_messages_wait_for_an_offline_device() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE, BOB, CAROL]).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let group = group(&control, &[BOB, CAROL]).await?;
    group_event(&mut alice, "the group", |action| matches!(action, Action::Create { .. })).await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    for (from, text) in [(BOB, "one"), (CAROL, "two"), (BOB, "three")] {
        phone_sends(&control, from, json!({ "to": group.to_string(), "text": text })).await?;
    }
    control.post(&format!("/groups/{group}/subject"), json!({ "by": BOB, "subject": "while you were out" })).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    for text in ["one", "two", "three"] {
        alice.text(text).await?;
        assert_eq!(alice.count(text), 1);
    }
    let renamed =
        |action: &Action| matches!(action, Action::Subject { subject, .. } if subject == "while you were out");
    group_event(&mut alice, "the new subject", renamed).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_an_unreadable_group_message_is_sent_again() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE, BOB, CAROL]).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let group = group(&control, &[BOB, CAROL]).await?;
    phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "by the phone" })).await?;
    send_text(&bob, &group, "by the device").await?;
    for text in ["by the phone", "by the device"] {
        alice.text(text).await?;
    }
    // The device loses the sender key of the phone, which still expects it to be there. An unacknowledged message would
    // contain the key again.
    let settled = |value: &Value| (value["phones"][0]["devices"][0]["unacknowledged"] == 0).then_some(());
    control.until("/phones", settled).await?;
    let backend = alice.stop().await?;
    backend.delete_sender_key(&format!("{group}:9{CAROL}@lid.0")).await?;
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    let sent =
        phone_sends(&control, CAROL, json!({ "to": group.to_string(), "text": "once more by the phone" })).await?;
    assert_eq!(alice.text("once more by the phone").await?.1, sent);
    let sent = send_text(&bob, &group, "once more by the device").await?;
    assert_eq!(alice.text("once more by the device").await?.1, sent);
    // A device that could read the message did not get it again.
    assert_eq!(bob.text("once more by the phone").await?.0, group);
    assert_eq!(bob.count("once more by the phone"), 1);
    assert_eq!(control.shown(CAROL, "once more by the device").await?["arrivals"], 1);
    let stats = control.get("/stats").await?;
    assert_eq!(stats["stanzas"]["receipt retry retry"], 1, "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_status_reaches_devices_and_phones() -> Result<()> {
    let (sandbox, control) = phones(&[BOB, CAROL]).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    // Both know each other before.
    alice.send(BOB, "hi").await?;
    bob.text("hi").await?;
    let recipients = [Jid::pn(BOB), Jid::pn(CAROL)];
    alice.send(CAROL, "hi carol").await?;
    control.shown(CAROL, "hi carol").await?;
    for text in ["first status", "second status"] {
        let message = alice.client.status().send_raw(words(text), &recipients, StatusSendOptions::default()).await?;
        let (chat, id) = bob.text(text).await?;
        assert_eq!((chat.to_string().as_str(), &id), ("status@broadcast", &message.message_id));
        let shown = control.shown(CAROL, text).await?;
        assert_eq!(shown["chat"], "status@broadcast");
        assert_eq!(shown["sender"], format!("{ALICE}@s.whatsapp.net"));
        alice.receipt(&id, ReceiptType::Read).await?;
    }
    // From a phone, to the people that it has a chat with.
    let status = json!({ "to": "status@broadcast", "text": "by a phone" });
    let sent = phone_sends(&control, CAROL, status).await?;
    assert_eq!(alice.text("by a phone").await?.1, sent);
    control.shown(ALICE, "by a phone").await?;
    let stranger = control.get(&format!("/phones/{BOB}/messages")).await?;
    assert!(!stranger.to_string().contains("by a phone"), "{stranger}");
    let react = json!({ "to": "status@broadcast", "react": { "id": sent, "emoji": "👍" } });
    let (status, answer) = control.request("POST", &format!("/phones/{ALICE}/send"), Some(react)).await?;
    assert_eq!(status, 400, "{answer}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_queries_about_groups_are_answered_and_refused() -> Result<()> {
    let (sandbox, control) = phones(&[CAROL]).await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let group = group(&control, &[CAROL]).await?;
    let (ours, theirs) = (alice.client.groups(), bob.client.groups());
    let metadata = ours.get_metadata(&group).await?;
    assert_eq!(metadata.subject, "friends");
    assert_eq!(metadata.creator, Some(Jid::lid(format!("9{ALICE}"))));
    let people: Vec<_> = metadata.participants.iter().map(|it| (it.jid.to_string(), it.is_super_admin())).collect();
    assert_eq!(people, [(format!("9{ALICE}@lid"), true), (format!("9{CAROL}@lid"), false)]);
    assert_eq!(ours.get_participating().await?.keys().collect::<Vec<_>>(), [&group]);
    assert!(theirs.get_participating().await?.is_empty());
    let code = |error: &whatsapp_rust::features::GroupError| format!("{error:?}");
    let error = theirs.get_metadata(&group).await.err().as_ref().map(code).unwrap_or_default();
    assert!(error.contains("403"), "{error}");
    let nowhere = Jid::group("120363000000000000");
    let error = theirs.get_metadata(&nowhere).await.err().as_ref().map(code).unwrap_or_default();
    assert!(error.contains("404"), "{error}");

    // By invitation.
    let link = ours.get_invite_link(group.clone(), false).await?;
    let invitation = link.rsplit('/').next().context("no code")?;
    assert_eq!(theirs.get_invite_info(invitation).await?.subject, "friends");
    assert_eq!(theirs.join_with_invite_code(invitation).await?, JoinGroupResult::Joined(group.clone()));
    ours.get_invite_link(group.clone(), true).await?;
    let error = theirs.get_invite_info(invitation).await.err().as_ref().map(code).unwrap_or_default();
    assert!(error.contains("410"), "{error}");

    // A member is not an admin until promoted.
    let error = theirs.set_announce(group.clone(), true).await.err().as_ref().map(code).unwrap_or_default();
    assert!(error.contains("401"), "{error}");
    theirs.set_subject(group.clone(), GroupSubject::new("ours")?).await?;
    ours.promote_participants(group.clone(), &[Jid::pn(BOB)]).await?;
    theirs.set_announce(group.clone(), true).await?;
    theirs.set_locked(group.clone(), true).await?;
    let text = GroupDescription::new("about us")?;
    theirs.set_description(group.clone(), Some(text.clone()), PreviousDescription::Absent).await?;
    assert!(theirs.set_description(group.clone(), Some(text), PreviousDescription::Absent).await.is_err());
    let metadata = ours.get_metadata(&group).await?;
    assert_eq!((metadata.subject.as_str(), metadata.description.as_deref()), ("ours", Some("about us")));
    assert!(metadata.is_announcement && metadata.is_locked);
    let demoted = theirs.demote_participants(group.clone(), &[Jid::pn(ALICE)]).await?;
    assert_eq!(demoted.first().and_then(|it| it.error.as_deref()), Some("405"), "the creator cannot be demoted");
    theirs.leave(group.clone()).await?;
    assert!(theirs.get_metadata(&group).await.is_err());
    group_event(&mut bob, "his promotion", |action| matches!(action, Action::Promote { .. })).await?;
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_the_control_api_creates_and_changes_groups() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE, BOB, CAROL]).await?;
    let body = json!({ "subject": "by number", "creator": ALICE, "participants": [BOB], "addressing": "pn" });
    let made = control.post("/groups", body).await?;
    let jid = made["jid"].as_str().context("no jid")?;
    let path = |rest: &str| format!("/groups/{jid}{rest}");
    let settings = json!({ "by": ALICE, "announce": true, "locked": true, "admins_add": true, "ephemeral": 86400 });
    let shown = control.post(&path("/settings"), settings).await?;
    assert_eq!(
        (&shown["announce"], &shown["locked"], &shown["admins_add"], &shown["ephemeral"], &shown["addressing"]),
        (&json!(true), &json!(true), &json!(true), &json!(86400), &json!("pn"))
    );
    let cases = [
        (path("/subject"), json!({ "by": BOB, "subject": "x" }), 403, "admin"),
        (path("/subject"), json!({ "by": CAROL, "subject": "x" }), 403, "not in"),
        (path("/subject"), json!({ "by": ALICE, "subject": "" }), 400, "subject"),
        (path("/participants"), json!({ "by": BOB, "add": [CAROL] }), 403, "admin"),
        (path("/participants"), json!({ "by": ALICE, "add": ["19990000"] }), 404, "19990000"),
        (path("/participants"), json!({ "by": ALICE, "invite": [CAROL] }), 400, "add"),
        (path("/participants"), json!({ "by": ALICE }), 400, "demote"),
        (format!("/phones/{BOB}/send"), json!({ "to": jid, "text": "hi" }), 403, "admins"),
        (format!("/phones/{BOB}/send"), json!({ "to": "1@g.us", "text": "hi" }), 404, "group"),
        ("/groups/1@g.us/leave".into(), json!({ "by": BOB }), 404, "group"),
        ("/groups/x/leave".into(), json!({ "by": BOB }), 400, "jid"),
        ("/groups/join".into(), json!({ "by": CAROL, "code": "x" }), 404, "group"),
        ("/groups".into(), json!({ "subject": "x", "creator": "abc", "participants": [] }), 400, "creator"),
    ];
    for (path, body, status, says) in cases {
        let (got, answer) = control.request("POST", &path, Some(body)).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(says), "{path}: {got} {answer}");
    }
    let code = control.get(&path("/invite")).await?["code"].clone();
    control.post("/groups/join", json!({ "by": CAROL, "code": code })).await?;
    control.post(&path("/participants"), json!({ "by": ALICE, "promote": [CAROL] })).await?;
    control.post(&path("/description"), json!({ "by": CAROL, "description": "words" })).await?;
    control.post(&path("/leave"), json!({ "by": BOB })).await?;
    let shown = control.get(&path("")).await?;
    let people = json!([{ "number": ALICE, "role": "superadmin" }, { "number": CAROL, "role": "admin" }]);
    assert_eq!((&shown["participants"], &shown["description"]), (&people, &json!("words")));
    assert_eq!(control.get("/groups").await?["groups"], json!([shown]));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_baileys_writes_and_reads_in_a_group() -> Result<()> {
    let (sandbox, control) = phones(&[CAROL]).await?;
    let mut baileys = Baileys::link(&sandbox.ws_url(), &sandbox.control_url(), BOB).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let group = group(&control, &[BOB, CAROL]).await?;
    let to = group.to_string();
    send_text(&alice, &group, "from whatsapp-rust").await?;
    assert_eq!(baileys.wait_message("from whatsapp-rust").await?["from"], to);
    phone_sends(&control, CAROL, json!({ "to": to, "text": "from a phone" })).await?;
    assert_eq!(baileys.wait_message("from a phone").await?["from"], to);
    let id = baileys.send(&to, "from Baileys").await?;
    assert_eq!(alice.text("from Baileys").await?, (group, id));
    assert_eq!(control.shown(CAROL, "from Baileys").await?["chat"], to);
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_large_group_receives_and_reads_messages() -> Result<()> {
    let (sandbox, control) = phones(&[ALICE]).await?;
    let members: Vec<String> = (0..100).map(|index| format!("1666{index:04}")).collect();
    for member in &members {
        control.post("/phones", json!({ "number": member })).await?;
    }
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let group = group(&control, &members).await?;
    for text in ["from a phone", "and again"] {
        phone_sends(&control, members[0], json!({ "to": group.to_string(), "text": text })).await?;
        alice.text(text).await?;
    }
    // All members have received and read it.
    let read = |value: &Value| {
        let last = value["messages"].as_array()?.last()?;
        (last["ticks"] == "read" && last["receipts"].as_object()?.len() == 100).then_some(())
    };
    control.until(&format!("/phones/{}/messages", members[0]), read).await?;
    sandbox.shutdown().await;
    Ok(())
}
