//! `check_sessions`, `close_idle` and `resource_report`: regular checks and reports.

use super::{Batches, sql};
use crate::jobs::JobError;
use crate::telemetry::{self, Fleet};
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

/// Counts sessions, messages, jobs and workers, for the row, the log and the metrics; and what waits of each campaign, for the
/// dashboard.
pub(super) async fn resource_report(batches: &Batches<'_>) -> Result<Value, JobError> {
    sqlx::query_file!("sql/jobs/campaign_waiting.sql").execute(batches.pool()).await.map_err(sql)?;
    let report = sqlx::query_file_scalar!("sql/jobs/resource_report.sql").fetch_one(batches.pool()).await;
    let report = report.map_err(sql)?;
    // What an application can do to the server as a whole.
    let shared = sqlx::query_file!("sql/worker/watch_database.sql").fetch_one(batches.pool()).await.map_err(sql)?;
    telemetry::fleet(fleet(&report, shared.queue, shared.seconds.unwrap_or_default()));
    tracing::info!(%report, "resource report");
    Ok(report)
}

/// The report as metrics. What is left out of it is 0.
fn fleet(report: &Value, notifications: f64, transaction_age: f64) -> Fleet {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    let sessions = report["sessions"].as_object().into_iter().flatten();
    Fleet {
        workers: number("/workers"),
        sessions: sessions.map(|(status, count)| (status.clone(), count.as_f64().unwrap_or_default())).collect(),
        down: number("/down"),
        messages: ["queued", "sending"].map(|status| (status, number(&format!("/messages/{status}")))).to_vec(),
        message_age: number("/oldest_message_seconds"),
        jobs: vec![("session_job", number("/session_jobs")), ("maintenance_job", number("/maintenance_jobs"))],
        notifications,
        transaction_age: transaction_age.max(0.0),
        database_bytes: number("/database_bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h10_a_report_becomes_metrics_with_zeros() {
        let report = json!({ "workers": 2, "sessions": { "banned": 0, "connected": 3 }, "down": 1, "messages": {}, "session_jobs": 4,
                             "maintenance_jobs": 5, "database_bytes": 6, "oldest_message_seconds": null });
        let found = fleet(&report, 0.5, -0.1);
        assert_eq!(found.sessions, [("banned".to_owned(), 0.0), ("connected".to_owned(), 3.0)]);
        assert_eq!(found.messages, [("queued", 0.0), ("sending", 0.0)]);
        assert_eq!(found.jobs, [("session_job", 4.0), ("maintenance_job", 5.0)]);
        let others = [found.workers, found.down, found.message_age, found.notifications, found.transaction_age];
        assert!(
            others.iter().zip([2.0, 1.0, 0.0, 0.5, 0.0]).all(|(one, other)| one.total_cmp(&other).is_eq()),
            "{others:?}"
        );
    }
}
