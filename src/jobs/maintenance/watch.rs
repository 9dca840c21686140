//! `check_sessions`, `close_idle` and `resource_report`: regular checks and reports.

use super::{Batches, sql};
use crate::jobs::JobError;
use serde::Deserialize;
use serde_json::{Value, json};

/// Asks the workers. Each checks the sessions that it holds, because nobody else has their sockets (S9).
pub(super) async fn check_sessions(batches: &Batches<'_>) -> Result<Value, JobError> {
    let asked = sqlx::query_file!("sql/jobs/check_sessions.sql").fetch_one(batches.pool()).await.map_err(sql)?;
    Ok(json!({ "workers": asked.workers, "sessions": asked.sessions }))
}

/// The arguments of `close_idle`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Idle {
    minutes: i32,
}

impl Default for Idle {
    fn default() -> Self {
        Self { minutes: 30 }
    }
}

/// Closes sessions whose linking somebody started and nobody finished.
pub(super) async fn close_idle(batches: &Batches<'_>, idle: &Idle) -> Result<Value, JobError> {
    let closed = sqlx::query_file_scalar!("sql/jobs/close_idle.sql", idle.minutes).fetch_one(batches.pool()).await;
    Ok(json!({ "closed": closed.map_err(sql)? }))
}

/// Counts sessions, messages, jobs and workers, for the row and the log; and what waits of each campaign, for the dashboard.
pub(super) async fn resource_report(batches: &Batches<'_>) -> Result<Value, JobError> {
    sqlx::query_file!("sql/jobs/campaign_waiting.sql").execute(batches.pool()).await.map_err(sql)?;
    let report = sqlx::query_file_scalar!("sql/jobs/resource_report.sql").fetch_one(batches.pool()).await;
    let report = report.map_err(sql)?;
    tracing::info!(%report, "resource report");
    Ok(report)
}
