//! Actions of a phone's owner other than writing: going online, typing, reading, and registering again.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use wacore_binary::Jid;

use super::super::account::{Account, DeviceId};
use super::super::phone::PhoneError;
use super::super::presence::Activity;
use super::super::server::Server;
use super::Shared;
use super::request::{Body, Failure, Outcome, chat, digits, phone};

/// The longest delay that `pace` accepts.
const SLOWEST: Duration = Duration::from_hours(1);

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/phones/{number}/typing", post(typing))
        .route("/phones/{number}/presence", get(presence).post(set_presence))
        .route("/phones/{number}/read", post(read))
        .route("/phones/{number}/pace", get(pace).post(set_pace))
        .route("/phones/{number}/reregister", post(reregister))
}

/// The phone as a device of its account, if it is switched on; otherwise its owner cannot act.
fn in_use(server: &Server, number: &str) -> Result<DeviceId, Failure> {
    if phone(server, number)?.is_on() { owner(server, number) } else { Err(PhoneError::Off.into()) }
}

/// The phone as a device of its account.
fn owner(server: &Server, number: &str) -> Result<DeviceId, Failure> {
    let number = digits("number", number)?;
    if server.state().accounts.contains_key(&number) {
        return Ok(DeviceId { number, device: 0 });
    }
    Err(Failure::no_phone(&number))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typing {
    to: String,
    state: Activity,
}

async fn typing(State(server): Shared, Path(number): Path<String>, Body(body): Body<Typing>) -> Outcome {
    let (own, to) = (in_use(&server, &number)?, chat("to", &body.to)?);
    let mut state = server.state();
    if state.account_of(&to).is_none() {
        return Err(Failure::missing(format!("to: {} has no account", to.user)));
    }
    state.pass_on(&own, &to, body.state);
    Ok(Json(json!({ "to": to.to_string(), "state": body.state })))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Availability {
    Available,
    Unavailable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPresence {
    state: Availability,
}

async fn set_presence(State(server): Shared, Path(number): Path<String>, Body(body): Body<SetPresence>) -> Outcome {
    let own = in_use(&server, &number)?;
    let available = matches!(body.state, Availability::Available);
    server.state().set_available(&own, available);
    Ok(Json(json!({ "state": word(available) })))
}

fn word(available: bool) -> &'static str {
    if available { "available" } else { "unavailable" }
}

/// The presence of the people in the phone's chats, and of those who are typing to the phone.
async fn presence(State(server): Shared, Path(number): Path<String>) -> Outcome {
    let own = owner(&server, &number)?;
    let chats = phone(&server, &number)?.chats();
    let state = server.state();
    let Some(account) = state.accounts.get(&own.number) else { return Err(Failure::no_phone(&own.number)) };
    let mut seen: Vec<&str> = account.presence.active().collect();
    let chats: Vec<Jid> = chats.iter().filter_map(|chat| chat.parse().ok()).collect();
    seen.extend(chats.iter().filter(|chat| chat.is_pn()).map(|chat| chat.user.as_str()));
    seen.sort_unstable();
    seen.dedup();
    let contacts = seen.into_iter().filter(|number| *number != own.number);
    let contacts = contacts.filter_map(|number| Some(shown(account, state.accounts.get(number)?)));
    Ok(Json(json!({ "presence": contacts.collect::<Vec<Value>>() })))
}

fn shown(account: &Account, contact: &Account) -> Value {
    let hidden = contact.settings.hides_presence_from(&account.number);
    let last_seen = contact.presence.last_seen().filter(|_| !hidden && contact.settings.shows_last_seen());
    json!({
        "chat": Jid::pn(contact.number.as_str()).to_string(),
        "state": word(contact.presence.available() && !hidden),
        "last_seen": last_seen,
        "typing": account.presence.activity_of(&contact.number),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRequest {
    chat: String,
}

async fn read(State(server): Shared, Path(number): Path<String>, Body(body): Body<ReadRequest>) -> Outcome {
    let (own, chat) = (in_use(&server, &number)?, chat("chat", &body.chat)?);
    // The phone files chats under numbers.
    let filed = server.state().number_of(&chat).map_or_else(|| chat.clone(), Jid::pn);
    let read = phone(&server, &number)?.read(&server, &own, &filed);
    Ok(Json(json!({ "read": read })))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reads {
    Auto,
    Never,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPace {
    read: Option<Reads>,
    delivered_ms: Option<u64>,
    read_ms: Option<u64>,
}

async fn set_pace(State(server): Shared, Path(number): Path<String>, Body(body): Body<SetPace>) -> Outcome {
    let own = owner(&server, &number)?;
    let time = |field: &str, given: Option<u64>| match given.map(Duration::from_millis) {
        Some(time) if time > SLOWEST => {
            Err(Failure::bad(format!("{field}: at most {} milliseconds are accepted", SLOWEST.as_millis())))
        }
        time => Ok(time),
    };
    let (delivered, read) = (time("delivered_ms", body.delivered_ms)?, time("read_ms", body.read_ms)?);
    if let Some(account) = server.state().accounts.get_mut(&own.number) {
        let manner = &mut account.manner;
        manner.pace.delivered = delivered.unwrap_or(manner.pace.delivered);
        manner.pace.read = read.unwrap_or(manner.pace.read);
        manner.reads = body.read.map_or(manner.reads, |reads| matches!(reads, Reads::Auto));
    }
    pace(State(server), Path(number)).await
}

async fn pace(State(server): Shared, Path(number): Path<String>) -> Outcome {
    let own = owner(&server, &number)?;
    let manner = server.state().accounts.get(&own.number).map(|account| account.manner);
    let manner = manner.ok_or_else(|| Failure::no_phone(&own.number))?;
    Ok(Json(json!({
        "read": if manner.reads { "auto" } else { "never" },
        "delivered_ms": manner.pace.delivered.as_millis(),
        "read_ms": manner.pace.read.as_millis(),
    })))
}

/// Registers the number on a new phone: every device is unlinked, and contacts learn that the identity has changed.
async fn reregister(State(server): Shared, Path(number): Path<String>) -> Outcome {
    phone(&server, &number)?.reregister().await?;
    Ok(Json(json!({ "reregistered": true })))
}
