//! Linking devices to phones by QR code, pairing code and passkey, and unlinking them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use wacore_binary::Jid;

use super::super::account::DeviceId;
use super::super::pairing::{self, LinkError, Scanned};
use super::super::phone::PhoneError;
use super::super::server::Server;
use super::Shared;
use super::request::{Body, Failure, Outcome, digits};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/qr", get(shown).post(show))
        .route("/phones/{number}/scan", post(scan))
        .route("/phones/{number}/confirm", post(confirm))
        .route("/phones/{number}/passkey", post(passkey))
        .route("/phones/{number}/unlink", post(unlink))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferRequest {
    qr: String,
    label: Option<String>,
}

/// Offers a QR code to all phones.
async fn show(State(server): Shared, Body(body): Body<OfferRequest>) -> Outcome {
    Ok(Json(json!({ "shown": pairing::show(&server, &body.qr, body.label)? })))
}

/// The codes that can be scanned now, oldest first.
async fn shown(State(server): Shared) -> Outcome {
    let state = server.state();
    let mut codes: Vec<_> = state.waiting.values().filter_map(|waiting| waiting.shown.as_ref()).collect();
    codes.sort_by_key(|shown| shown.id);
    let codes: Vec<Value> = codes
        .into_iter()
        .map(|shown| {
            let age = shown.since.elapsed().as_secs();
            json!({ "shown": shown.id, "qr": shown.qr, "label": shown.label, "age_seconds": age })
        })
        .collect();
    Ok(Json(json!({ "codes": codes })))
}

/// The text of a QR code, or the id of an offered one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ScanRequest {
    Qr(String),
    Shown(u64),
}

async fn scan(State(server): Shared, Path(number): Path<String>, Body(body): Body<ScanRequest>) -> Outcome {
    let number = switched_on(&server, &number)?;
    let qr = match body {
        ScanRequest::Qr(qr) => qr,
        ScanRequest::Shown(id) => pairing::by_id(&server, id)?,
    };
    Ok(match pairing::scan(&server, &number, &qr).await? {
        Scanned::Linked(device) => linked(&device),
        Scanned::PasskeyDemanded => Json(json!({ "passkey": "requested" })),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Passkey {
    request: Value,
}

/// The owner's browser answers a device's WebAuthn request.
async fn passkey(State(server): Shared, Path(number): Path<String>, Body(body): Body<Passkey>) -> Outcome {
    let number = digits("number", &number)?;
    let state = server.state();
    let account = state.accounts.get(&number).filter(|account| account.passkey);
    let account = account.ok_or_else(|| Failure::missing(format!("number: {number} has no phone with a passkey")))?;
    Ok(Json(json!({ "assertion": pairing::assert_passkey(account, &body.request)? })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirm {
    code: String,
}

async fn confirm(State(server): Shared, Path(number): Path<String>, Body(body): Body<Confirm>) -> Outcome {
    let number = switched_on(&server, &number)?;
    Ok(linked(&pairing::confirm(&server, &number, &body.code).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlink {
    device: u16,
}

async fn unlink(State(server): Shared, Path(number): Path<String>, Body(body): Body<Unlink>) -> Outcome {
    let number = digits("number", &number)?;
    let id = DeviceId { number, device: body.device };
    if pairing::unlink(&server, &id) {
        return Ok(Json(json!({ "unlinked": true })));
    }
    Err(Failure::missing(format!("device: {} has no linked device {}", id.number, id.device)))
}

/// The digits of a number whose phone is switched on.
fn switched_on(server: &Server, number: &str) -> Result<String, Failure> {
    let number = digits("number", number)?;
    match server.state().accounts.get(&number) {
        Some(account) if account.phone.is_on() => Ok(number),
        Some(_) => Err(PhoneError::Off.into()),
        None => Err(LinkError::NoPhone(number).into()),
    }
}

fn linked(device: &DeviceId) -> Json<Value> {
    let jid = Jid::pn_device(device.number.as_str(), device.device).to_string();
    Json(json!({ "device": device.device, "jid": jid }))
}
