//! Devices: closing their connections.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use super::super::account::DeviceId;
use super::super::faults::hang_up;
use super::super::server::Server;
use super::Shared;
use super::request::{Failure, Outcome, digits};

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new().route("/devices/{number}/{device}/drop", post(drop_device))
}

async fn drop_device(State(server): Shared, Path((number, device)): Path<(String, String)>) -> Outcome {
    let device = device.parse().map_err(|_| Failure::bad(format!("device: {device:?} is not a device number")))?;
    let id = DeviceId { number: digits("number", &number)?, device };
    let link = {
        let mut state = server.state();
        let missing = || Failure::missing(format!("{} has no linked device {}", id.number, id.device));
        state.device(&id).ok_or_else(missing)?.link.clone()
    };
    let Some(link) = link else {
        return Err(Failure::conflict(format!("device {} of {} is not connected", id.device, id.number)));
    };
    hang_up(&server, &link, Some(&id));
    Ok(Json(json!({ "dropped": true })))
}
