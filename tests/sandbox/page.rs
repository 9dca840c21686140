//! X3: the page that plays the phones, in a real browser; and which browser requests the control API accepts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use wacore::pair_code::PairCodeOptions;
use wacore::store::InMemoryBackend;
use wacore::types::events::Event;

use crate::support::browser::Browser;
use crate::support::linked::{Linked, sandbox};

pub(super) const ALICE: &str = "15550001";
pub(super) const BOB: &str = "15550002";
/// Sets `window.struck` if a browser treats it as more than text.
pub(super) const HOSTILE: &str = "<img src=x onerror=\"window.struck=1\"><script>window.struck=1</script>";

fn qr_code(event: &Event) -> Option<String> {
    match event {
        Event::PairingQrCode(code) => Some(code.code.clone()),
        _ => None,
    }
}

/// Opens the page with a phone and one of its chats.
pub(super) async fn open(browser: &Browser, url: &str, number: &str, with: &str) -> Result<()> {
    // A change of the fragment alone would not load the page again.
    browser.open("about:blank").await?;
    browser.open(&format!("{url}/#{number}/{with}@s.whatsapp.net")).await
}

#[tokio::test]
async fn x3_a_client_links_and_talks_to_the_page() -> Result<()> {
    let browser = Browser::start(1280, 800).await?;
    let (sandbox, control) = sandbox().await?;
    let url = sandbox.control_url();
    browser.open(&format!("{url}/")).await?;
    for number in [BOB, ALICE] {
        browser.write("#new-number", &format!("{number}\u{E007}")).await?;
        browser.shows("#account", number).await?;
    }

    // The pasted QR code of a client.
    let mut alice = Linked::start(&sandbox, Arc::new(InMemoryBackend::new())).await?;
    let qr = alice.wait("a QR code", qr_code).await?;
    browser.click("#open-devices").await?;
    browser.write("#qr", &qr).await?;
    browser.click("#devices section .fields .button").await?;
    alice.connected().await?;
    browser.shows("#device-list", "connected").await?;

    // Both directions, on Bob's phone.
    open(&browser, &url, BOB, ALICE).await?;
    let id = alice.send(BOB, "hello page").await?;
    browser.shows(&format!("#m-{id} .words"), "hello page").await?;
    browser.write("#words", "hello client\u{E007}").await?;
    let (_, hello) = alice.text("hello client").await?;
    browser.until(&format!("document.querySelector('#m-{hello}.mine .ticks.read')")).await?;

    // Reply, react, edit, delete.
    let tool = |id: &str, name: &str| format!("#m-{id} [data-act={name}]");
    browser.click(&tool(&id, "bubble")).await?;
    browser.click(&tool(&id, "reply")).await?;
    browser.write("#words", "an answer\u{E007}").await?;
    let (_, answer) = alice.text("an answer").await?;
    browser.shows(&format!("#m-{answer} .quote"), "hello page").await?;
    browser.click(&tool(&id, "bubble")).await?;
    browser.click(&tool(&id, "react")).await?;
    browser.click(&tool(&id, "👍")).await?;
    browser.shows(&format!("#m-{id} .reactions"), "👍").await?;
    browser.write("#words", "\u{E013}!\u{E007}").await?;
    browser.shows(&format!("#m-{answer} .words"), "an answer!").await?;
    browser.click(&tool(&hello, "bubble")).await?;
    browser.click(&tool(&hello, "revoke")).await?;
    browser.shows(&format!("#m-{hello}"), "deleted").await?;
    let known = |id: &str| {
        let path = format!("/phones/{ALICE}/messages/{id}");
        let control = control.clone();
        async move { Ok::<Value, anyhow::Error>(control.get(&path).await?["message"].clone()) }
    };
    control
        .until(&format!("/phones/{ALICE}/messages/{hello}"), |it| (it["message"]["revoked"] == true).then_some(()))
        .await?;
    assert_eq!(known(&answer).await?["text"], "an answer!");
    assert_eq!(known(&id).await?["reactions"][format!("{BOB}@s.whatsapp.net")], "👍");

    // Unlinked from the page, by two presses.
    open(&browser, &url, ALICE, BOB).await?;
    browser.click("#open-devices").await?;
    for _ in 0..2 {
        browser.click("#device-list [data-act=Unlink]").await?;
    }
    alice.wait("LoggedOut", |event| matches!(event, Event::LoggedOut(_)).then_some(())).await?;
    browser.shows("#device-list", "None yet").await?;

    // Linked again by a typed code; and a second client by an offered QR code.
    let mut alice = Linked::start(&sandbox, Arc::new(InMemoryBackend::new())).await?;
    alice.wait("a QR code", qr_code).await?;
    let options = PairCodeOptions { phone_number: ALICE.into(), ..Default::default() };
    let code = alice.client.pair_with_code(options).await?;
    browser.write("#code", &format!("{code}\u{E007}")).await?;
    alice.connected().await?;
    browser.shows("#device-list", "Device 2").await?;
    let mut second = Linked::start(&sandbox, Arc::new(InMemoryBackend::new())).await?;
    let qr = second.wait("a QR code", qr_code).await?;
    control.post("/qr", json!({ "qr": qr, "label": "second" })).await?;
    browser.shows("#codes", "second").await?;
    browser.click("#codes [data-act=scan]").await?;
    second.connected().await?;
    browser.shows("#device-list", "Device 3").await?;
    assert_eq!(browser.log().await?, Vec::<String>::new());
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x3_received_text_is_never_markup_and_fits_a_phone() -> Result<()> {
    let browser = Browser::start(360, 740).await?;
    let (sandbox, control) = sandbox().await?;
    for number in [ALICE, BOB] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    let send = |text: String| control.post("/phones/15550001/send", json!({ "to": BOB, "text": text }));
    let fits = "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth";
    send("x".repeat(500)).await?;
    send(HOSTILE.into()).await?;
    browser.open(&format!("{}/#{BOB}", sandbox.control_url())).await?;
    browser.shows("#chat-list", HOSTILE).await?;
    browser.until(fits).await?;
    browser.click("#chat-list button").await?;
    browser.shows("#log .words", HOSTILE).await?;
    browser.until(fits).await?;
    // As a quote, in the announcement, and as an unknown name in the page's address.
    let id = control.shown(BOB, HOSTILE).await?["id"].clone();
    control.post("/phones/15550001/send", json!({ "to": BOB, "reply": { "id": id, "text": HOSTILE } })).await?;
    browser.shows("#log .quote", HOSTILE).await?;
    browser.until("document.getElementById('announce').textContent.includes('<img')").await?;
    browser.click("#back").await?;
    browser.click("#open-devices").await?;
    browser.shows("#side", "Link a device").await?;
    browser.until(fits).await?;
    assert_eq!(
        browser.run("return [window.struck, document.querySelectorAll('#app img[onerror]').length]").await?,
        json!([null, 0])
    );
    assert_eq!(browser.log().await?, Vec::<String>::new());
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x3_the_page_survives_a_restart_of_the_sandbox() -> Result<()> {
    let browser = Browser::start(1280, 800).await?;
    let (first, control) = sandbox().await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    let url: String = first.control_url();
    browser.open(&format!("{url}/#{ALICE}")).await?;
    browser.shows("#account", ALICE).await?;
    first.shutdown().await;
    browser.shows("#status", "does not answer").await?;
    let address = url.trim_start_matches("http://").parse()?;
    let options = wagres_sandbox::Options { control: address, ..Default::default() };
    let second = wagres_sandbox::Sandbox::start(options).await?;
    browser.shows("#toasts", "was restarted").await?;
    browser.shows("#conversation", "Add a phone").await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    browser.shows("#phone-list", BOB).await?;
    second.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x3_events_name_the_paths_that_changed_and_end_with_the_sandbox() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    for number in [ALICE, BOB] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    let address = sandbox.control_url().trim_start_matches("http://").to_owned();
    let mut socket = tokio::net::TcpStream::connect(&address).await?;
    socket.write_all(format!("GET /events HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut lines = BufReader::new(socket).lines();
    let mut until = async |words: &[&str]| {
        let reading = async {
            loop {
                let line = lines.next_line().await?.context("the events ended")?;
                if words.iter().all(|words| line.contains(words)) {
                    return Ok::<_, anyhow::Error>(());
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reading).await.with_context(|| format!("no {words:?}"))?
    };
    until(&["\"sandbox\":"]).await?;
    control.post("/phones/15550001/send", json!({ "to": BOB, "text": "hi" })).await?;
    until(&["data:", "\"/phones/15550002/messages\""]).await?;
    control.post("/phones/15550001/typing", json!({ "to": BOB, "state": "composing" })).await?;
    until(&["data:", "\"/phones/15550002/presence\""]).await?;
    control.post("/faults", json!({ "fault": { "lose": {} } })).await?;
    until(&["data:", "\"/faults\""]).await?;
    // Well before the sandbox gives up waiting for its tasks.
    tokio::time::timeout(Duration::from_secs(4), sandbox.shutdown())
        .await
        .context("an open event stream delays the shutdown")
}

#[tokio::test]
async fn x3_requests_of_other_pages_are_refused() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let host = sandbox.control_url().trim_start_matches("http://").to_owned();
    let ask = async |head: &str| control.exchange(&format!("{head}\r\nconnection: close"), "").await;
    let refused = [
        "GET /phones HTTP/1.1\r\nhost: rebound.example".to_owned(),
        "GET / HTTP/1.1\r\nhost: rebound.example".to_owned(),
        format!("POST /phones HTTP/1.1\r\nhost: {host}\r\norigin: http://evil.example"),
        format!("POST /phones HTTP/1.1\r\nhost: {host}\r\norigin: null"),
        format!(
            "GET /phones/1/messages/2/media HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: cross-site\r\nsec-fetch-dest: image"
        ),
        format!(
            "OPTIONS /phones HTTP/1.1\r\nhost: {host}\r\norigin: http://evil.example\r\naccess-control-request-method: POST"
        ),
    ];
    for head in refused {
        let answer = ask(&head).await?;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("is not accepted"), "{head}: {answer}");
        assert!(!answer.to_lowercase().contains("access-control-allow"), "{answer}");
    }
    let answer =
        ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: none\r\nsec-fetch-dest: document")).await?;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("script-src 'self'"), "{answer}");
    let answer =
        ask(&format!("GET /stats HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\nsec-fetch-site: same-origin"))
            .await?;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("default-src 'none'"), "{answer}");
    sandbox.shutdown().await;
    Ok(())
}
