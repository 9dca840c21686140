//! Faults: setting, listing and deleting rules, and playing scenarios.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::super::faults::{self, FaultRule, Scenario};
use super::super::server::Server;
use super::Shared;
use super::request::{Body, Failure, Outcome};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/faults", get(list).post(set).delete(clear))
        .route("/faults/{id}", delete(remove))
        .route("/scenario", post(play))
}

async fn set(State(server): Shared, Body(rule): Body<Value>) -> Outcome {
    let rule = FaultRule::read(rule).map_err(Failure::bad)?;
    Ok(Json(json!({ "id": faults::set(&server, rule) })))
}

async fn list(State(server): Shared) -> Outcome {
    let (seed, rules) = server.faults.report();
    Ok(Json(json!({ "seed": seed, "faults": rules })))
}

async fn remove(State(server): Shared, Path(id): Path<String>) -> Outcome {
    let number = id.parse().map_err(|_| Failure::bad(format!("id: {id:?} is not a fault's id, which is a number")))?;
    if server.faults.delete(number) {
        return Ok(Json(json!({ "deleted": 1 })));
    }
    Err(Failure::missing(format!("id: no fault has the id {id}; GET /faults lists them")))
}

async fn clear(State(server): Shared) -> Outcome {
    Ok(Json(json!({ "deleted": server.faults.clear() })))
}

async fn play(State(server): Shared, body: Bytes) -> Outcome {
    let text = std::str::from_utf8(&body).map_err(|_| Failure::bad("the scenario: is not UTF-8"))?;
    let scenario = Scenario::read(text).map_err(|error| Failure::bad(error.to_string()))?;
    let phones = scenario.phones().to_vec();
    let (seed, faults) = scenario.play(&server)?;
    Ok(Json(json!({ "seed": seed, "phones": phones, "faults": faults })))
}
