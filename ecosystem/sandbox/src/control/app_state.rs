//! App state: changes by the owner of a phone, and the settings that the phone shows.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::super::phone::Action;
use super::super::server::Server;
use super::Shared;
use super::request::{Body, Failure, Outcome, chat, phone};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/phones/{number}/app-state", get(show).post(act))
        .route("/phones/{number}/app-state/rotate-key", post(rotate))
}

async fn show(State(server): Shared, Path(number): Path<String>) -> Outcome {
    let phone = phone(&server, &number)?;
    Ok(Json(phone.settings().await?))
}

/// One action, by its name.
async fn act(State(server): Shared, Path(number): Path<String>, Body(body): Body<Map<String, Value>>) -> Outcome {
    let phone = phone(&server, &number)?;
    let action = serde_json::from_value(Value::Object(body));
    let mut action: Action = action.map_err(|error| Failure::bad(format!("action: {error}")))?;
    if let Some(named) = action.chat_mut() {
        *named = chat("chat", named)?.to_string();
    }
    match &action {
        Action::PushName { name } | Action::Contact { name: Some(name), .. } if name.is_empty() => {
            return Err(Failure::bad("name: must not be empty"));
        }
        Action::Locale { locale } if locale.is_empty() => return Err(Failure::bad("locale: must not be empty")),
        _ => {}
    }
    phone.act(action).await?;
    Ok(Json(json!({ "set": true })))
}

async fn rotate(State(server): Shared, Path(number): Path<String>) -> Outcome {
    let phone = phone(&server, &number)?;
    phone.rotate_key().await?;
    Ok(Json(json!({ "rotated": true })))
}
