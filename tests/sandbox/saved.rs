//! X1: the state that a sandbox keeps over its restarts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use wacore::iq::privacy::{PrivacyCategory, PrivacyValue};
use wacore::net::{HttpClient as _, HttpRequest};
use wacore::types::events::Event;
use wacore_binary::Jid;
use wagres::session::http::MediaClient;
use wagres_sandbox::{Options, Running, Sandbox};
use waproto::whatsapp::Message;

use crate::control::Control;
use crate::support::linked::{Linked, until_connected};
use crate::support::world::{Worker, wagres};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";
const CAROL: &str = "15550003";

/// A state file, deleted with its media folder at the end of the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("wagres-{}-{name}.json", std::process::id())))
    }

    fn media(&self) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(".media");
        name.into()
    }

    fn read(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(self.media());
    }
}

async fn start(path: &Path) -> Result<(Running, Control)> {
    let sandbox = Sandbox::start(Options { state: Some(path.to_owned()), ..Options::default() }).await?;
    let control = Control::new(&sandbox.control_url());
    Ok((sandbox, control))
}

async fn phone_sends(control: &Control, number: &str, body: Value) -> Result<String> {
    let sent = control.post(&format!("/phones/{number}/send"), body).await?;
    sent["id"].as_str().map(str::to_owned).context("no id")
}

async fn send_text(client: &Linked, to: &Jid, text: &str) -> Result<String> {
    let message = Message { conversation: Some(text.into()), ..Default::default() };
    Ok(client.client.send_message(to.clone(), message).await?.message_id)
}

/// Checks that no message was lost and no retry receipt was sent.
async fn check_nothing_lost(control: &Control) -> Result<()> {
    let verdict = control.until("/verdict", |it| (it["counts"]["pending"] == 0).then(|| it.clone())).await?;
    assert_eq!(verdict["ok"], true, "{verdict}");
    let ledger = control.get("/ledger").await?;
    for message in ledger["messages"].as_array().context("no messages")? {
        assert_eq!(message["given"], 1, "{message}");
    }
    let stats = control.get("/stats").await?;
    assert_eq!(stats["stanzas"]["receipt retry retry"], Value::Null, "{stats}");
    Ok(())
}

#[tokio::test]
async fn x1_a_restarted_sandbox_keeps_devices_and_their_queues() -> Result<()> {
    let file = File::new("restarted");
    let (sandbox, control) = start(&file.0).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let first = alice.send(BOB, "before").await?;
    control.shown(BOB, "before").await?;
    phone_sends(&control, BOB, json!({ "to": ALICE, "text": "heard" })).await?;
    alice.text("heard").await?;
    phone_sends(&control, BOB, json!({ "to": ALICE, "react": { "id": first, "emoji": "👍" } })).await?;
    let path = format!("/phones/{ALICE}/messages/{first}");
    let liked = |it: &Value| {
        let message = &it["message"];
        (message["ticks"] == "read" && message["reactions"] != json!({})).then(|| message.clone())
    };
    let liked = control.until(&path, liked).await?;
    let body = json!({ "subject": "friends", "creator": BOB, "participants": [ALICE] });
    let group: Jid = control.post("/groups", body).await?["jid"].as_str().context("no jid")?.parse()?;
    phone_sends(&control, BOB, json!({ "to": group.to_string(), "text": "welcome" })).await?;
    alice.text("welcome").await?;
    send_text(&alice, &group, "thanks").await?;
    control.shown(BOB, "thanks").await?;
    let groups = control.get("/groups").await?;
    let backend = alice.stop().await?;
    until_connected(&control, ALICE, false).await?;
    let waiting = phone_sends(&control, BOB, json!({ "to": ALICE, "text": "while you were away" })).await?;
    let root = sandbox.root_public_key();
    sandbox.shutdown().await;

    let (sandbox, control) = start(&file.0).await?;
    assert_eq!(sandbox.root_public_key(), root);
    assert_eq!(control.shown(BOB, "before").await?["arrivals"], 1);
    assert_eq!(control.get("/groups").await?, groups);
    assert_eq!(control.get(&path).await?["message"], liked);
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    let (_, id) = alice.text("while you were away").await?;
    assert_eq!(waiting, id);
    assert_eq!(control.get("/stats").await?["handshakes"], json!({ "ik": 1 }));
    // Both ratchets continue, and so do the group's sender keys.
    alice.send(BOB, "after").await?;
    control.shown(BOB, "after").await?;
    phone_sends(&control, BOB, json!({ "to": ALICE, "text": "and back" })).await?;
    alice.text("and back").await?;
    send_text(&alice, &group, "still here").await?;
    control.shown(BOB, "still here").await?;
    phone_sends(&control, BOB, json!({ "to": group.to_string(), "text": "me too" })).await?;
    alice.text("me too").await?;
    assert_eq!(alice.count("while you were away"), 1);
    check_nothing_lost(&control).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_restarted_sandbox_keeps_pictures_files_and_settings() -> Result<()> {
    let file = File::new("settings");
    let (sandbox, control) = start(&file.0).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let (picture, photo) = (b"a picture".repeat(50), b"a photo".repeat(500));
    control.post(&format!("/phones/{BOB}/picture"), json!({ "data": BASE64_STANDARD.encode(&picture) })).await?;
    control.post(&format!("/phones/{BOB}/about"), json!({ "text": "at work" })).await?;
    let image = json!({ "to": ALICE, "image": { "data": BASE64_STANDARD.encode(&photo) } });
    let id = phone_sends(&control, BOB, image).await?;
    let ready = |it: &Value| (it["message"]["media"]["state"] == "ready").then_some(());
    control.until(&format!("/phones/{ALICE}/messages/{id}"), ready).await?;
    let settings = format!("/phones/{ALICE}/app-state");
    control.post(&settings, json!({ "archive": { "chat": BOB, "on": true } })).await?;
    alice.wait("the archived chat", |event| matches!(event, Event::ArchiveUpdate(_)).then_some(())).await?;
    let set = control.get(&settings).await?;
    alice.client.set_privacy_setting(PrivacyCategory::ReadReceipts, PrivacyValue::None).await?;
    let backend = alice.stop().await?;
    sandbox.shutdown().await;
    assert_eq!(std::fs::read_dir(file.media())?.count(), 2, "expected the picture and the photo, once each");

    let (sandbox, control) = start(&file.0).await?;
    assert_eq!(control.get(&settings).await?, set);
    assert_eq!(control.get(&format!("/phones/{BOB}/about")).await?, json!({ "about": "at work" }));
    for (path, wanted) in
        [(format!("/phones/{BOB}/picture"), &picture), (format!("/phones/{ALICE}/messages/{id}/media"), &photo)]
    {
        let answer = MediaClient::new().execute(HttpRequest::get(sandbox.control_url() + &path)).await?;
        assert!(answer.status_code == 200 && answer.body == *wanted, "{path}: {}", answer.status_code);
    }
    let mut alice = Linked::start(&sandbox, backend).await?;
    alice.connected().await?;
    let privacy = alice.client.fetch_privacy_settings().await?;
    assert_eq!(privacy.get_value(&PrivacyCategory::ReadReceipts), Some(&PrivacyValue::None));
    // The media server has the picture, too, and the collections continue from their versions with the same keys.
    let found = alice.client.contacts().get_profile_picture(&Jid::pn(BOB), false).await?.context("no picture")?;
    assert!(MediaClient::new().execute(HttpRequest::get(found.url)).await?.body == picture);
    control.post(&settings, json!({ "pin": { "chat": BOB, "on": true } })).await?;
    alice.wait("the pinned chat", |event| matches!(event, Event::PinUpdate(_)).then_some(())).await?;
    alice.client.chat_actions().unarchive_chat(&Jid::pn(BOB), None).await?;
    let shown =
        control.until(&settings, |it| (it["chats"].to_string().contains("\"archived\":false")).then(|| it.clone()));
    let shown = shown.await?;
    assert_eq!((&shown["keys"], &shown["refused"]), (&set["keys"], &json!([])));
    // A file that nothing refers to is deleted from the folder.
    let (status, _) = control.request("DELETE", &format!("/phones/{BOB}/picture"), None).await?;
    assert_eq!(status, 200);
    sandbox.shutdown().await;
    assert_eq!(std::fs::read_dir(file.media())?.count(), 1);
    Ok(())
}

/// A sandbox in a process of its own.
async fn process(file: &File) -> Result<(Worker, String, Control)> {
    let mut command = wagres();
    command.args(["sandbox", "--json", "--state"]).arg(&file.0);
    let process = Worker::start(command).await?;
    let address = |name: &str| process.ready[name].as_str().map(str::to_owned).context("no address");
    let (ws, control) = (address("sandbox")?, Control::new(&address("sandbox_control")?));
    Ok((process, ws, control))
}

#[tokio::test]
async fn x1_a_killed_sandbox_loses_one_second_at_most() -> Result<()> {
    let file = File::new("killed");
    let (sandbox, ws, control) = process(&file).await?;
    let mut alice = Linked::link_at(&ws, &control, ALICE).await?;
    for number in [BOB, CAROL] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    control.post("/phones", json!({ "number": CAROL, "phone": "off" })).await?;
    phone_sends(&control, BOB, json!({ "to": CAROL, "text": "kept" })).await?;
    phone_sends(&control, BOB, json!({ "to": ALICE, "text": "first" })).await?;
    alice.text("first").await?;
    // The file is written without a request.
    let kept = || -> Option<()> {
        let saved = file.read()?;
        let phone =
            |number: &str| Some(&saved["accounts"].as_array()?.iter().find(|it| it["number"] == number)?["phone"]);
        let held = phone(CAROL)?["held"].as_array()?.len();
        (held == 1 && phone(ALICE)?["messages"].as_array()?.len() == 1).then_some(())
    };
    control.until("/stats", |_| kept()).await?;
    // The client receives a message that the file does not contain.
    phone_sends(&control, BOB, json!({ "to": ALICE, "text": "in the last second" })).await?;
    alice.text("in the last second").await?;
    sandbox.kill().await?;
    let backend = alice.stop().await?;

    let (sandbox, ws, control) = process(&file).await?;
    let phones = control.get("/phones").await?;
    assert_eq!(phones["phones"][2]["phone"], "off");
    control.post("/phones", json!({ "number": CAROL, "phone": "on" })).await?;
    control.shown(CAROL, "kept").await?;
    let mut alice = Linked::start_at(&ws, backend).await?;
    alice.connected().await?;
    assert_eq!(control.get("/stats").await?["handshakes"], json!({ "ik": 1 }));
    // The phone reuses no key, although its file is older than its last message.
    phone_sends(&control, BOB, json!({ "to": ALICE, "text": "and again" })).await?;
    alice.text("and again").await?;
    alice.send(BOB, "so it is").await?;
    control.shown(BOB, "so it is").await?;
    sandbox.stop().await
}

#[tokio::test]
async fn x1_a_damaged_state_file_is_refused_and_left_alone() -> Result<()> {
    let file = File::new("damaged");
    let (sandbox, control) = start(&file.0).await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    control.post(&format!("/phones/{ALICE}/picture"), json!({ "data": "aGk=" })).await?;
    sandbox.shutdown().await;
    let good = std::fs::read(&file.0)?;
    let half = good.get(..good.len() / 2).context("an empty file")?;
    for bad in [half, b"something else", br#"{"format":"wagres sandbox","version":99}"#] {
        std::fs::write(&file.0, bad)?;
        let error = start(&file.0).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("cannot be used") && error.contains("damaged.json"), "{error}");
        assert_eq!(std::fs::read(&file.0)?, bad);
    }
    // Another sandbox's media file in the place of ours.
    std::fs::write(&file.0, &good)?;
    let picture = std::fs::read_dir(file.media())?.next().context("no picture")??.path();
    std::fs::write(&picture, "ho")?;
    let error = start(&file.0).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("media folder"), "{error}");
    std::fs::write(&picture, "hi")?;
    start(&file.0).await?.0.shutdown().await;
    Ok(())
}
