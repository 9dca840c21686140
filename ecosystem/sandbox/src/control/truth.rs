//! The verdict on the messages, and the ledger that it is computed from.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use wacore_binary::Jid;

use super::super::account::DeviceId;
use super::super::ledger::{Filter, Whereabouts};
use super::super::parcel::Parcel;
use super::super::server::Server;
use super::super::state::State as ServerState;
use super::Shared;
use super::request::{Failure, Outcome, digits};

/// The default length of a list.
const LIMIT: usize = 100;
/// The greatest length of a list.
const LONGEST: usize = 10_000;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/verdict", get(verdict)).route("/ledger", get(ledger))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerQuery {
    from: Option<u64>,
    to: Option<u64>,
    sender: Option<String>,
    recipient: Option<String>,
    chat: Option<String>,
    id_prefix: Option<String>,
    limit: Option<usize>,
}

type ParsedQuery = Result<Query<LedgerQuery>, QueryRejection>;

async fn verdict(State(server): Shared, query: ParsedQuery) -> Outcome {
    let filter = filter(&server, query)?;
    let state = server.state();
    Ok(Json(server.ledger.verdict(&filter, &whereabouts(&state))))
}

async fn ledger(State(server): Shared, query: ParsedQuery) -> Outcome {
    let filter = filter(&server, query)?;
    let state = server.state();
    Ok(Json(json!(server.ledger.page(&filter, &whereabouts(&state)))))
}

fn filter(server: &Server, query: ParsedQuery) -> Result<Filter, Failure> {
    let Query(asked) = query.map_err(|error| Failure::bad(error.body_text()))?;
    let limit = asked.limit.unwrap_or(LIMIT);
    if limit > LONGEST {
        return Err(Failure::bad(format!("limit: {limit} is not accepted; use 0 to {LONGEST}")));
    }
    if let (Some(from), Some(to)) = (asked.from, asked.to)
        && from > to
    {
        return Err(Failure::bad(format!("from: {from} is greater than to, which is {to}")));
    }
    let device = |field, given: Option<String>| given.map(|given| device(server, field, &given)).transpose();
    Ok(Filter {
        from: asked.from,
        to: asked.to,
        sender: device("sender", asked.sender)?,
        recipient: device("recipient", asked.recipient)?,
        chat: asked.chat.map(|given| chat(server, &given)).transpose()?,
        id_prefix: asked.id_prefix,
        limit,
    })
}

/// A number or an account's address, either with an optional device: `15550001:1`.
fn device(server: &Server, field: &str, given: &str) -> Result<(String, Option<u16>), Failure> {
    if given.contains('@') {
        let number = given.parse::<Jid>().ok().and_then(|jid| Some((server.state().number_of(&jid)?, jid.device)));
        let unknown = || {
            Failure::bad(format!(
                "{field}: {given:?} is not an account; use a number, number:device, user@s.whatsapp.net or user@lid"
            ))
        };
        return number.map(|(number, device)| (number, (device != 0).then_some(device))).ok_or_else(unknown);
    }
    let (number, device) = match given.split_once(':') {
        Some((number, device)) => (number, Some(device)),
        None => (given, None),
    };
    let device = device.map(|device| {
        device.parse().map_err(|_| Failure::bad(format!("{field}: {device:?} is not a device number; 0 is the phone")))
    });
    Ok((digits(field, number)?, device.transpose()?))
}

/// A number, an account's address or a group's address, converted to the ledger's name of the chat.
fn chat(server: &Server, given: &str) -> Result<String, Failure> {
    if !given.contains('@') {
        return Ok(Jid::pn(digits("chat", given)?).to_string());
    }
    let jid: Jid = given.parse().map_err(|_| {
        Failure::bad(format!(
            "chat: {given:?} is not an address; use a number, user@s.whatsapp.net, user@lid or …@g.us"
        ))
    })?;
    Ok(server.state().chat_of(&jid))
}

/// Where unacknowledged copies may be. The state stays locked while the ledger is read, so that no copy moves in
/// between.
fn whereabouts(state: &ServerState) -> Whereabouts {
    let mut found = Whereabouts { queued: HashSet::new(), devices: HashSet::new() };
    for (number, account) in &state.accounts {
        let devices = std::iter::once(0).chain(account.devices.keys().copied());
        found.devices.extend(devices.map(|device| DeviceId { number: number.clone(), device }));
        let queues = account.devices.values().flat_map(|device| &device.queue);
        found.queued.extend(queues.filter_map(Parcel::ticket));
    }
    found
}
