//! X3: images, groups, faults and typing on the page, with real clients on the other side.

use anyhow::{Context, Result};
use serde_json::json;
use wacore::download::MediaType;
use wacore::types::events::Event;
use wacore::types::presence::ChatPresence;
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp::Message;
use waproto::whatsapp::message::{DocumentMessage, ImageMessage};
use whatsapp_rust::upload::UploadOptions;

use super::page::{ALICE, BOB, HOSTILE, open};
use crate::support::browser::Browser;
use crate::support::linked::{Linked, sandbox};

const CAROL: &str = "15550003";
/// Like `HOSTILE`, but valid as a file name.
const FILE: &str = "<img src=x onerror=window.struck=1>.png";

/// Checks that no injected script ran and the browser logged no error.
async fn check_no_script_ran(browser: &Browser) -> Result<()> {
    assert_eq!(browser.run("return window.struck ?? null").await?, json!(null));
    assert_eq!(browser.log().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn x3_images_go_both_ways_and_names_of_files_are_text() -> Result<()> {
    let browser = Browser::start(1000, 700).await?;
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    open(&browser, &sandbox.control_url(), BOB, ALICE).await?;
    browser.shows("#with", ALICE).await?;

    // Picked, and sent with a caption.
    let image = browser.picture().await?;
    let folder = std::env::temp_dir().join(format!("wagres-image-{}", uuid::Uuid::new_v4()));
    tokio::fs::create_dir(&folder).await?;
    let path = folder.join(FILE);
    tokio::fs::write(&path, &image).await?;
    browser.write("#file", path.to_str().context("the folder has an odd name")?).await?;
    browser.shows(".preview", FILE).await?;
    browser.write("#words", "a caption\u{E007}").await?;
    let received = |event: &Event| {
        let mut messages = event.messages();
        messages.find_map(|it| Some((it.info.id.clone(), it.message.image_message.as_option()?.clone())))
    };
    let (id, got) = alice.wait("an image", received).await?;
    assert_eq!(got.caption.as_deref(), Some("a caption"));
    assert!(alice.client.download(&got).await? == image, "the bytes differ from the picked image");
    let drawn = |id: &str| format!("document.querySelector('#m-{id} .picture img')?.naturalWidth === 1000");
    browser.until(&drawn(&id)).await?;
    tokio::fs::remove_dir_all(&folder).await?;

    // From the client: an image, and a file.
    let up = alice.client.upload(image, MediaType::Image, UploadOptions::new()).await?;
    let shown = ImageMessage {
        url: Some(up.url),
        direct_path: Some(up.direct_path),
        media_key: Some(up.media_key.to_vec()),
        file_enc_sha256: Some(up.file_enc_sha256.to_vec()),
        file_sha256: Some(up.file_sha256.to_vec()),
        file_length: Some(up.file_length),
        mimetype: Some("image/png".into()),
        ..Default::default()
    };
    let message = Message { image_message: Some(shown).into(), ..Default::default() };
    let id = alice.client.send_message(Jid::pn(BOB), message).await?.message_id;
    browser.until(&drawn(&id)).await?;
    let named = DocumentMessage { file_name: Some(FILE.into()), ..Default::default() };
    let message = Message { document_message: Some(named).into(), ..Default::default() };
    let id = alice.client.send_message(Jid::pn(BOB), message).await?.message_id;
    browser.shows(&format!("#m-{id} .kind"), FILE).await?;
    browser.shows(&format!("#m-{id} .kind"), "cannot be read").await?;

    // Pasted, and dropped.
    let give = async |event: &str, to: &str, kind: &str| {
        let script = format!(
            "const data = new DataTransfer(); data.items.add(new File(['x'], '{event}.png', {{ type: '{kind}' }})); \
             const given = {{ bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data }}; \
             const made = '{event}' === 'paste' ? new ClipboardEvent('paste', given) : new DragEvent('drop', given); \
             document.querySelector('{to}').dispatchEvent(made);"
        );
        browser.run(&script).await
    };
    give("paste", "#words", "image/png").await?;
    browser.shows(".preview", "paste.png").await?;
    browser.write("#words", "\u{E00C}").await?;
    browser.until("document.querySelector('#context').hidden").await?;
    give("drop", "#log", "image/png").await?;
    browser.shows(".preview", "drop.png").await?;
    give("drop", "#log", "text/plain").await?;
    browser.shows("#toasts", "Only images").await?;
    check_no_script_ran(&browser).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x3_a_group_made_on_the_page_carries_text() -> Result<()> {
    let browser = Browser::start(1000, 700).await?;
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    for number in [BOB, CAROL] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    browser.open(&format!("{}/#{BOB}", sandbox.control_url())).await?;
    browser.click("#new-group").await?;
    browser.write("#subject", HOSTILE).await?;
    browser.click("dialog .button").await?;
    browser.shows("#with h2", HOSTILE).await?;
    browser.shows("#chat-list", HOSTILE).await?;
    browser.write("#words", "hello group\u{E007}").await?;
    let (group, _) = alice.text("hello group").await?;
    assert!(group.is_group(), "{group}");
    let message = Message { conversation: Some("hello all".into()), ..Default::default() };
    let id = alice.client.send_message(group, message).await?.message_id;
    browser.shows(&format!("#m-{id} .words"), "hello all").await?;
    browser.shows(&format!("#m-{id} .author"), ALICE).await?;
    control.shown(CAROL, "hello all").await?;
    check_no_script_ran(&browser).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x3_a_fault_set_on_the_page_strikes_and_is_counted() -> Result<()> {
    let browser = Browser::start(1360, 900).await?;
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    open(&browser, &sandbox.control_url(), ALICE, BOB).await?;
    browser.click("#open-faults").await?;

    // Chosen by its label, because the options are drawn by the browser.
    let choose = async |words: &str| {
        let words = json!(words);
        let script = format!(
            "const kind = document.getElementById('fault'); \
             kind.value = [...kind.options].find((it) => it.text === {words}).value; \
             kind.dispatchEvent(new Event('change'));"
        );
        browser.run(&script).await
    };
    choose("Lose").await?;
    browser.click("#new-fault .button").await?;
    browser.shows("#fault-list", "active: struck 0 of 1").await?;
    browser.shows("#fault-count", "1").await?;
    for text in ["lost", "arrived"] {
        control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "text": text })).await?;
    }
    alice.text("arrived").await?;
    assert_eq!(alice.count("lost"), 0);
    browser.shows("#fault-list", "spent: struck 1 of 1").await?;
    browser.until("document.querySelector('#fault-count').hidden").await?;

    // The closed connection is reopened, and the lost message arrives with it.
    choose("Close the connection").await?;
    browser.click("#new-fault .button").await?;
    alice.wait("Disconnected", |event| matches!(event, Event::Disconnected(_)).then_some(())).await?;
    alice.text("lost").await?;
    browser.until("document.querySelectorAll('#fault-list .spent').length === 2").await?;
    browser.click("#clear-faults").await?;
    browser.shows("#fault-list", "None").await?;
    assert_eq!(control.get("/faults").await?["faults"], json!([]));
    check_no_script_ran(&browser).await?;
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x3_typing_is_shown_and_sent() -> Result<()> {
    let browser = Browser::start(1000, 700).await?;
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    alice.send(BOB, "first").await?;
    open(&browser, &sandbox.control_url(), BOB, ALICE).await?;
    browser.shows("#log", "first").await?;

    alice.client.presence().set_available().await?;
    browser.shows("#with", "online").await?;
    alice.client.chatstate().send_composing(&Jid::pn(BOB)).await?;
    browser.until("document.querySelector('#log > :last-child .typing')").await?;
    browser.shows("#with", "typing…").await?;
    browser.shows("#chat-list", "typing…").await?;
    alice.send(BOB, "second").await?;
    browser.shows("#log", "second").await?;
    browser.until("!document.querySelector('#log .typing')").await?;

    let chat_presence = |state: ChatPresence| {
        move |event: &Event| match event {
            Event::ChatPresence(update) if update.state == state => Some(()),
            _ => None,
        }
    };
    browser.write("#words", "half a").await?;
    alice.wait("typing", chat_presence(ChatPresence::Composing)).await?;
    assert_eq!(alice.count("half a"), 0);
    // A pause in typing, and then the rest.
    alice.wait("a pause", chat_presence(ChatPresence::Paused)).await?;
    alice.seen.clear();
    browser.write("#words", " word").await?;
    alice.wait("typing again", chat_presence(ChatPresence::Composing)).await?;
    browser.write("#words", "\u{E007}").await?;
    alice.wait("no more typing", chat_presence(ChatPresence::Paused)).await?;
    alice.text("half a word").await?;
    check_no_script_ran(&browser).await?;
    sandbox.shutdown().await;
    Ok(())
}
