//! The limit of an account: for a time it may start no new chats.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::json;

use super::super::node::unix_now;
use super::super::server::Server;
use super::super::settings::Limit;
use super::super::stanza::notify_limit;
use super::Shared;
use super::request::{Body, Failure, Outcome, digits};

/// The longest limit, in seconds: a year.
const LONGEST: u64 = 365 * 24 * 60 * 60;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/phones/{number}/limit", get(limit).post(set_limit).delete(end_limit))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLimit {
    seconds: u64,
    /// In the protocol's words.
    #[serde(default = "usual")]
    kind: String,
}

fn usual() -> String {
    "WEB_COMPANION_ONLY".into()
}

async fn limit(State(server): Shared, Path(number): Path<String>) -> Outcome {
    shown(&server, &digits("number", &number)?)
}

async fn set_limit(State(server): Shared, Path(number): Path<String>, Body(body): Body<NewLimit>) -> Outcome {
    if !(1..=LONGEST).contains(&body.seconds) {
        return Err(Failure::bad(format!("seconds: {} is out of range; use 1 to {LONGEST}", body.seconds)));
    }
    change(&server, &number, Some(Limit { kind: body.kind, until: unix_now() + body.seconds }))
}

async fn end_limit(State(server): Shared, Path(number): Path<String>) -> Outcome {
    change(&server, &number, None)
}

fn change(server: &Server, number: &str, limit: Option<Limit>) -> Outcome {
    let number = digits("number", number)?;
    server.state().accounts.get_mut(&number).ok_or_else(|| Failure::no_phone(&number))?.settings.limit = limit;
    notify_limit(server, &number);
    shown(server, &number)
}

fn shown(server: &Server, number: &str) -> Outcome {
    let state = server.state();
    let account = state.accounts.get(number).ok_or_else(|| Failure::no_phone(number))?;
    let until = |limit: &Limit| DateTime::from_timestamp(i64::try_from(limit.until).ok()?, 0);
    let limit = account.settings.limit_at(unix_now());
    Ok(Json(json!({ "limit": limit.map(|limit| json!({ "kind": limit.kind, "until": until(limit) })) })))
}
