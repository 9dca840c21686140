//! X1: linking by pairing code, and QR codes offered to all phones.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use wacore::pair_code::PairCodeOptions;
use wacore::store::InMemoryBackend;
use wacore::types::events::Event;
use wagres_sandbox::Running;

use crate::control::Control;
use crate::support::linked::{Linked, sandbox};
use crate::support::world::{Worker, wagres};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";

/// An unlinked client, and its QR code.
async fn waiting(sandbox: &Running) -> Result<(Linked, String)> {
    let mut client = Linked::start(sandbox, Arc::new(InMemoryBackend::new())).await?;
    let qr = client
        .wait("a QR code", |event| match event {
            Event::PairingQrCode(code) => Some(code.code.clone()),
            _ => None,
        })
        .await?;
    Ok((client, qr))
}

async fn ask_for_code(client: &Linked, number: &str) -> Result<String> {
    let options = PairCodeOptions { phone_number: number.into(), ..Default::default() };
    Ok(client.client.pair_with_code(options).await?)
}

/// The status and the error of a refused request.
async fn refused(control: &Control, path: &str, body: serde_json::Value) -> Result<(u16, String)> {
    let (status, answer) = control.request("POST", path, Some(body)).await?;
    Ok((status, answer["error"].as_str().context("no error")?.to_owned()))
}

#[tokio::test]
async fn x1_a_device_links_by_pairing_code() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    let path = format!("/phones/{ALICE}/confirm");
    let (status, error) = refused(&control, &path, json!({ "code": "ABCD-EFGH" })).await?;
    assert_eq!(status, 409, "{error}");

    let (alice, _) = waiting(&sandbox).await?;
    let code = ask_for_code(&alice, ALICE).await?;
    let phones = control.get("/phones").await?;
    let request = &phones["phones"][0]["code_request"];
    assert_eq!(request["tries_left"], 3, "{phones}");
    assert!(request["seconds_left"].as_u64().is_some_and(|left| left > 170), "{phones}");
    assert!(request["device"].as_str().is_some_and(|device| !device.is_empty()), "{phones}");
    assert_eq!(phones["phones"][1]["code_request"], json!(null), "{phones}");

    // A malformed code, a wrong code, and then the right one as people type it.
    let (status, error) = refused(&control, &path, json!({ "code": "ABC" })).await?;
    assert!(status == 400 && error.contains("8 letters and digits"), "{status} {error}");
    let wrong = if code.starts_with('A') { "BBBBBBBB" } else { "AAAAAAAA" };
    let (status, error) = refused(&control, &path, json!({ "code": wrong })).await?;
    assert!(status == 400 && error.contains("cannot decrypt") && error.contains("tries left: 2"), "{status} {error}");
    let typed = format!("{}-{}", &code[..4], code[4..].to_lowercase());
    let linked = control.post(&path, json!({ "code": typed })).await?;
    assert_eq!(linked, json!({ "device": 1, "jid": format!("{ALICE}:1@s.whatsapp.net") }));

    alice.connected().await?;
    alice.send(BOB, "linked by code").await?;
    control.shown(BOB, "linked by code").await?;
    let phones = control.get("/phones").await?;
    assert_eq!(phones["phones"][0]["code_request"], json!(null), "{phones}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_pairing_code_is_refused_for_a_number_without_a_phone() -> Result<()> {
    let (sandbox, _control) = sandbox().await?;
    let (client, _) = waiting(&sandbox).await?;
    let error = ask_for_code(&client, BOB).await.err().context("a code for nobody")?;
    assert!(error.to_string().contains("400"), "{error:#}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_an_offered_code_is_scanned_by_its_id() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": ALICE })).await?;
    let (alice, qr) = waiting(&sandbox).await?;
    let first = control.post("/qr", json!({ "qr": qr, "label": "shop" })).await?;
    assert_eq!(control.post("/qr", json!({ "qr": qr })).await?, first, "the same code got another id");
    let codes = control.get("/qr").await?;
    assert_eq!(codes["codes"].as_array().map(Vec::len), Some(1), "{codes}");
    let code = &codes["codes"][0];
    assert!(code["qr"] == qr.as_str() && code["label"] == "shop" && code["shown"] == first["shown"], "{codes}");
    assert!(code["age_seconds"].is_u64(), "{codes}");

    let path = format!("/phones/{ALICE}/scan");
    let (status, error) = refused(&control, &path, json!({ "shown": 0 })).await?;
    assert!(status == 404 && error.contains("GET /qr"), "{status} {error}");
    assert_eq!(control.post(&path, first).await?["device"], 1);
    alice.connected().await?;
    assert_eq!(control.get("/qr").await?, json!({ "codes": [] }), "a used code is still listed");
    let (status, _) = refused(&control, "/qr", json!({ "qr": qr })).await?;
    assert_eq!(status, 409);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_up_offers_its_sessions_codes_to_the_phones() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let folder = tempfile::tempdir()?;
    let mut command = wagres();
    command.args(["up", "--sandbox", "--json", "--http", "127.0.0.1:0", "--database-url", &db.url, "--data"]);
    command.arg(folder.path());
    let up = Worker::start(command).await?;
    let control = Control::new(up.ready["sandbox_control"].as_str().context("no control API")?);
    control.post("/phones", json!({ "number": ALICE })).await?;
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(&db.pool).await?;
    let shown = control
        .until("/qr", |codes| {
            let code = codes["codes"].get(0).filter(|code| code["label"] == "shop")?;
            Some(code["shown"].clone())
        })
        .await?;
    control.post(&format!("/phones/{ALICE}/scan"), json!({ "shown": shown })).await?;
    up.stop().await
}
