//! The HTTP control API: it plays the owners of the phones. JSON in and out; `docs/sandbox.md` describes it.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wacore_binary::Jid;

use super::LOG;
use super::account::{Addressing, DeviceId};
use super::pairing::{self, ScanError};
use super::phone::{Phone, PhoneError};
use super::server::Server;

type Shared = State<Arc<Server>>;
type Outcome = Result<Json<Value>, Failure>;

/// Serves the API until the sandbox stops.
pub(super) async fn serve(server: Arc<Server>, listener: TcpListener) {
    let stop = server.stop.clone();
    let router = Router::new()
        .route("/phones", get(list_phones).post(create_phone))
        .route("/phones/{number}/scan", post(scan))
        .route("/phones/{number}/send", post(send))
        .route("/phones/{number}/messages", get(messages))
        .route("/phones/{number}/unlink", post(unlink))
        .route("/devices/{number}/{device}/drop", post(drop_device))
        .route("/ca", get(ca))
        .route("/stats", get(stats))
        .fallback(|| async { Failure(StatusCode::NOT_FOUND, "no such path; docs/sandbox.md lists them".into()) })
        .method_not_allowed_fallback(|| async {
            Failure(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method; docs/sandbox.md lists them".into())
        })
        .with_state(server);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::warn!(target: LOG, %error, "the control API ended");
    }
}

/// A refusal: `{"error": "…"}` with its status.
struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl Failure {
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }

    fn missing(message: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, message.into())
    }

    fn no_phone(number: &str) -> Self {
        Self::missing(format!("no phone has the number {number}; create it with POST /phones"))
    }
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        let status = match error {
            ScanError::NoPhone(_) => StatusCode::NOT_FOUND,
            ScanError::Unreadable(_) => StatusCode::BAD_REQUEST,
            ScanError::Stale => StatusCode::CONFLICT,
            ScanError::Unfinished => StatusCode::GATEWAY_TIMEOUT,
            ScanError::Signature => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<PhoneError> for Failure {
    fn from(error: PhoneError) -> Self {
        let status = match error {
            PhoneError::NoAccount(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

/// A JSON body whose mistakes are answered in our own form. The content type is not insisted on: curl sends another one.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes =
            axum::body::Bytes::from_request(request, state).await.map_err(|error| Failure::bad(error.body_text()))?;
        match Json::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(Failure::bad(match error {
                // The inner error names the field; the wrapper only says that there is one.
                JsonRejection::JsonDataError(error) => format!("the body: {}", inner(&error)),
                JsonRejection::JsonSyntaxError(error) => format!("the body is not JSON: {}", inner(&error)),
                error => error.body_text(),
            })),
        }
    }
}

fn inner(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The digits of a phone number.
fn digits(field: &str, number: &str) -> Result<String, Failure> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain && (5..=15).contains(&digits.len()) {
        return Ok(digits.to_owned());
    }
    Err(Failure::bad(format!(
        "{field}: {number:?} is not a phone number; 5 to 15 digits with the country code are, with or without a leading +"
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPhone {
    number: String,
}

async fn create_phone(State(server): Shared, Body(body): Body<NewPhone>) -> Outcome {
    let number = digits("number", &body.number)?;
    let lid = Phone::create(&server, &number)?;
    Ok(Json(json!({ "number": number, "lid": Jid::lid(lid).to_string() })))
}

async fn list_phones(State(server): Shared) -> Outcome {
    let state = server.state();
    let mut phones: Vec<_> = state.accounts.values().collect();
    phones.sort_by(|a, b| a.number.cmp(&b.number));
    let phones: Vec<Value> = phones
        .into_iter()
        .map(|account| {
            let devices: Vec<Value> = account
                .devices
                .iter()
                .map(|(id, device)| {
                    json!({
                        "device": id,
                        "jid": account.jid(Addressing::Pn, *id).to_string(),
                        "connected": device.link.is_some(),
                        "unacknowledged": device.queue.len(),
                    })
                })
                .collect();
            json!({
                "number": account.number,
                "lid": account.jid(Addressing::Lid, 0).to_string(),
                "name": account.push_name,
                "devices": devices,
            })
        })
        .collect();
    Ok(Json(json!({ "phones": phones })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    qr: String,
}

async fn scan(State(server): Shared, Path(number): Path<String>, Body(body): Body<Scan>) -> Outcome {
    let number = digits("number", &number)?;
    if !server.state().accounts.contains_key(&number) {
        return Err(Failure::no_phone(&number));
    }
    let linked = pairing::scan(&server, &number, &body.qr).await?;
    let jid = Jid::pn_device(linked.number, linked.device).to_string();
    Ok(Json(json!({ "device": linked.device, "jid": jid })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outgoing {
    to: String,
    text: String,
}

async fn send(State(server): Shared, Path(number): Path<String>, Body(body): Body<Outgoing>) -> Outcome {
    let phone = phone(&server, &number)?;
    let to = if body.to.contains('@') {
        let jid = body.to.parse::<Jid>().ok().filter(|jid| jid.is_pn() || jid.is_lid());
        jid.ok_or_else(|| {
            let got = &body.to;
            Failure::bad(format!("to: {got:?} is not accepted; a phone number, user@s.whatsapp.net or user@lid is"))
        })?
    } else {
        Jid::pn(digits("to", &body.to)?)
    };
    if body.text.is_empty() {
        return Err(Failure::bad("text: must not be empty"));
    }
    Ok(Json(json!({ "id": phone.send(to, body.text).await? })))
}

async fn messages(State(server): Shared, Path(number): Path<String>) -> Outcome {
    Ok(Json(json!({ "messages": phone(&server, &number)?.messages() })))
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

async fn drop_device(State(server): Shared, Path((number, device)): Path<(String, String)>) -> Outcome {
    let device = device.parse().map_err(|_| Failure::bad(format!("device: {device:?} is not a device number")))?;
    let id = DeviceId { number: digits("number", &number)?, device };
    let mut state = server.state();
    let missing = || Failure::missing(format!("{} has no linked device {}", id.number, id.device));
    let device = state.device(&id).ok_or_else(missing)?;
    let Some(link) = device.link.take() else {
        return Err(Failure(StatusCode::CONFLICT, format!("device {} of {} is not connected", id.device, id.number)));
    };
    device.active = false;
    link.close();
    Ok(Json(json!({ "dropped": true })))
}

async fn ca(State(server): Shared) -> Outcome {
    Ok(Json(json!({ "root_public_key": hex::encode(server.authority.root_public_key()) })))
}

async fn stats(State(server): Shared) -> Outcome {
    let connected = server.state().connected();
    Ok(Json(json!(server.stats.snapshot(connected))))
}

fn phone(server: &Server, number: &str) -> Result<Phone, Failure> {
    let number = digits("number", number)?;
    let state = server.state();
    state.accounts.get(&number).map(|account| account.phone.clone()).ok_or_else(|| Failure::no_phone(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_numbers_are_digits_with_an_optional_plus() {
        for (given, kept) in [("15550001", "15550001"), ("+15550001", "15550001")] {
            assert_eq!(digits("number", given).ok().as_deref(), Some(kept));
        }
        for bad in ["", "+", "abc", "1555 0001", "0155500001", "1234", "1234567890123456", "++15550001"] {
            assert!(digits("number", bad).is_err(), "{bad:?} was accepted");
        }
    }
}
