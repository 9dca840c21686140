//! Phones: creating and listing them, and what their owners send.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wacore_binary::Jid;

use super::super::account::Addressing;
use super::super::pairing::{self, CodeRequest};
use super::super::phone::{Draft, History, Phone};
use super::super::server::Server;
use super::Shared;
use super::request::{Body, CHATS, Failure, Outcome, chat, digits, phone};
use crate::json::of as as_json;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/phones", get(list_phones).post(create_phone))
        .route("/phones/{number}/send", post(send))
        .route("/phones/{number}/messages", get(messages))
        .route("/phones/{number}/messages/{id}", get(message))
        .route("/phones/{number}/history", get(history))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPhone {
    number: String,
    /// Whether the phone is switched on; left out, the phone stays as it is.
    phone: Option<Switch>,
    /// The generated history of a new phone; left out, none.
    history: Option<History>,
    /// Whether linking a device requires a passkey; left out, the setting stays.
    passkey: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Switch {
    On,
    Off,
}

async fn create_phone(State(server): Shared, Body(body): Body<NewPhone>) -> Outcome {
    let number = digits("number", &body.number)?;
    if let Some(history) = body.history {
        let (chats, messages) = History::MOST;
        for (field, given, most) in [("chats", history.chats, chats), ("messages", history.messages, messages)] {
            if given > most {
                return Err(Failure::bad(format!("history.{field}: {given} is too many; at most {most}")));
            }
        }
    }
    let lid = Phone::create(&server, &number, body.history)?;
    let phone = phone(&server, &number)?;
    if let Some(switch) = body.phone {
        phone.switch(switch == Switch::On);
    }
    if let Some(account) = server.state().accounts.get_mut(&number) {
        account.passkey = body.passkey.unwrap_or(account.passkey);
    }
    Ok(Json(json!({ "number": number, "lid": Jid::lid(lid).to_string(), "phone": power(&phone) })))
}

fn power(phone: &Phone) -> &'static str {
    if phone.is_on() { "on" } else { "off" }
}

async fn list_phones(State(server): Shared) -> Outcome {
    let state = server.state();
    let mut phones: Vec<_> = state.accounts.values().collect();
    phones.sort_by(|a, b| a.number.cmp(&b.number));
    let phones: Vec<(Value, Phone)> = phones
        .into_iter()
        .map(|account| {
            let devices: Vec<Value> = account
                .devices
                .iter()
                .map(|(id, device)| {
                    json!({
                        "device": id,
                        "jid": account.jid(Addressing::Pn, *id).to_string(),
                        "name": device.properties.name,
                        "platform": device.properties.platform,
                        "connected": device.link.is_some(),
                        "unacknowledged": device.queue.len(),
                    })
                })
                .collect();
            let listed = json!({
                "number": account.number,
                "lid": account.jid(Addressing::Lid, 0).to_string(),
                "name": account.push_name,
                "phone": power(&account.phone),
                "unread": account.phone.unread(),
                "devices": devices,
                "passkey": account.passkey.then(|| passkey(&state, &account.number)),
                "code_request": pairing::request_of(&state, &account.number).and_then(|(_, request)| code_request(request)),
            });
            (listed, account.phone.clone())
        })
        .collect();
    drop(state);
    let phones = phones.into_iter().map(|(mut listed, phone)| {
        listed["received"] = phone.received().into();
        listed
    });
    Ok(Json(json!({ "phones": phones.collect::<Value>() })))
}

/// The devices that must show a passkey: how far each has come, and the code to compare.
fn passkey(state: &super::super::state::State, number: &str) -> Vec<Value> {
    let attempts = state.passkeys.values().filter(|attempt| attempt.number == number);
    attempts.map(|attempt| json!({ "stage": attempt.stage(), "code": attempt.code })).collect()
}

/// A device that waits for the owner to type its pairing code; the phone shows a notification for it.
fn code_request(request: &CodeRequest) -> Option<Value> {
    let left = request.time_left()?.as_secs();
    Some(json!({ "device": request.device, "seconds_left": left, "tries_left": request.tries_left() }))
}

/// Takes `{"to": …}` and one thing to do in that chat.
async fn send(State(server): Shared, Path(number): Path<String>, Body(mut body): Body<Map<String, Value>>) -> Outcome {
    let phone = phone(&server, &number)?;
    let to = match body.remove("to") {
        Some(Value::String(to)) => chat("to", &to)?,
        _ => return Err(Failure::bad(format!("to: missing; use {CHATS}"))),
    };
    let draft = serde_json::from_value(Value::Object(body));
    let draft: Draft = draft.map_err(|error| Failure::bad(format!("the action in the chat: {error}")))?;
    if matches!(&draft, Draft::Text(text) | Draft::Reply { text, .. } | Draft::Edit { text, .. } if text.is_empty()) {
        return Err(Failure::bad("text: must not be empty"));
    }
    Ok(Json(json!({ "id": phone.send(to, draft).await? })))
}

async fn messages(State(server): Shared, Path(number): Path<String>) -> Outcome {
    Ok(Json(json!({ "messages": phone(&server, &number)?.messages() })))
}

/// The generated history, and the chunks that devices were sent.
async fn history(State(server): Shared, Path(number): Path<String>) -> Outcome {
    let (history, sent) = phone(&server, &number)?.history();
    Ok(Json(json!({ "history": history, "sent": sent })))
}

async fn message(State(server): Shared, Path((number, id)): Path<(String, String)>) -> Outcome {
    let found = phone(&server, &number)?.content(&id);
    let (shown, content) = found.ok_or_else(|| Failure::missing(format!("id: {number} has no message {id}")))?;
    let content = as_json(&content).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(Json(json!({ "message": shown, "content": content })))
}
