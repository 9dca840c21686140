//! For load balancers in front of the pages (H1): whether the process lives, and whether it can answer. No figures and no
//! sessions, because everybody may ask here; the workers' private listener has those. Neither counts as a request of its
//! address, so the database is asked at most once in a while, however many ask.

use super::Web;
use super::identity::begin;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::PgPool;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer of the database counts.
const FRESH: Duration = Duration::from_millis(250);

/// The last answer of the database, and when it came.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Option<(Instant, bool)>>);

impl Answers {
    /// Whether the database answers. Those who ask at the same time wait for the same answer.
    async fn now(&self, pool: &PgPool) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, answers)) = *last
            && at.elapsed() < FRESH
        {
            return answers;
        }
        let asked = async {
            let transaction = begin(pool).await?;
            transaction.commit().await
        };
        let answers = matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(())));
        *last = Some((Instant::now(), answers));
        answers
    }
}

/// 200 as long as the process lives: a restart does not bring the database back.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// 200 while pages can be shown: the database answers, and nobody has asked the process to stop.
pub(super) async fn health(State(web): State<Web>) -> (StatusCode, Json<Value>) {
    let status = if web.hub.is_over() {
        "shutting_down"
    } else if web.answers.now(&web.pool).await {
        "ok"
    } else {
        "waiting"
    };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "status": status })))
}
