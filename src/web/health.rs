//! For load balancers in front of the pages (H1): whether the process lives, and whether it can answer. No figures and no
//! sessions, because everybody may ask here; the workers' private listener has those.

use super::Web;
use super::identity::begin;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// 200 as long as the process lives: a restart does not bring the database back.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// 200 while pages can be shown: the database answers, and nobody has asked the process to stop.
pub(super) async fn health(State(web): State<Web>) -> (StatusCode, Json<Value>) {
    let answers = async {
        let transaction = begin(&web.pool).await?;
        transaction.commit().await
    };
    let status = if web.hub.is_over() {
        "shutting_down"
    } else if matches!(tokio::time::timeout(PATIENCE, answers).await, Ok(Ok(()))) {
        "ok"
    } else {
        "waiting"
    };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "status": status })))
}
