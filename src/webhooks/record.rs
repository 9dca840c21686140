//! What became of deliveries, written in one statement for many of them.

use super::settings::Fence;
use crate::db::Db;
use crate::db::storable::Storable;
use std::time::Duration;

/// What becomes of one delivery.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `wa.delivery.id`.
    pub id: i64,
    /// Failed attempts before this one: an outcome is written once.
    pub attempts: u32,
    /// What it is.
    pub end: End,
    /// The HTTP status.
    pub code: Option<u16>,
    /// Why it failed.
    pub error: Option<Storable>,
    /// What the receiver said.
    pub said: Option<Storable>,
}

/// The end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Delivered.
    Done,
    /// To be tried again after so long.
    Retry(Duration),
    /// Out of attempts.
    Dead,
    /// Its row was deleted; nothing was tried.
    Gone,
    /// The webhook may no longer get it; nothing was tried.
    Cancelled,
    /// To wait behind another one of its chat; nothing was tried.
    Wait,
}

/// Every label of an end in the metrics.
pub const LABELS: [&str; 4] = ["done", "retry", "dead", "cancelled"];

impl End {
    /// As the statement names it, and the pause that says that there was an attempt.
    fn columns(self) -> (&'static str, Option<f64>) {
        match self {
            Self::Done => ("done", Some(0.0)),
            Self::Retry(pause) => ("retry", Some(pause.as_secs_f64())),
            Self::Dead => ("dead", Some(0.0)),
            Self::Gone => ("dead", None),
            Self::Cancelled => ("cancelled", None),
            Self::Wait => ("wait", None),
        }
    }

    /// The label of the metric; `None` when nothing has ended.
    #[must_use]
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::Done => Some("done"),
            Self::Retry(_) => Some("retry"),
            Self::Dead | Self::Gone => Some("dead"),
            Self::Cancelled => Some("cancelled"),
            Self::Wait => None,
        }
    }
}

/// How the receiver answers.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Failures in a row.
    pub failures: u32,
    /// For how long nothing is posted.
    pub rest: Option<Duration>,
    /// Whether the breaker is open.
    pub is_open: bool,
    /// Whether the last attempt failed; `None` when there was none.
    pub failed: Option<bool>,
    /// Status and error of the last failure.
    pub last: (Option<u16>, Option<Storable>),
    /// Why the webhook is disabled now.
    pub disable: Option<String>,
    /// The breaker has just opened.
    pub opened: bool,
}

/// Writes outcomes, and how the receiver answers. False when the lease is another worker's now.
///
/// # Errors
/// The database's.
pub async fn write(db: &Db, fence: Fence, outcomes: &[Outcome], health: &Health) -> sqlx::Result<bool> {
    let ids: Vec<i64> = outcomes.iter().map(|it| it.id).collect();
    let (ends, pauses): (Vec<&str>, Vec<Option<f64>>) = outcomes.iter().map(|it| it.end.columns()).unzip();
    let attempts: Vec<i32> = outcomes.iter().map(|it| i32::try_from(it.attempts).unwrap_or(i32::MAX)).collect();
    let codes: Vec<Option<i32>> = outcomes.iter().map(|it| it.code.map(i32::from)).collect();
    let errors: Vec<Option<Storable>> = outcomes.iter().map(|it| it.error.clone()).collect();
    let said: Vec<Option<Storable>> = outcomes.iter().map(|it| it.said.clone()).collect();
    sqlx::query_file_scalar!(
        "sql/webhooks/record.sql",
        fence.webhook_id,
        fence.epoch,
        fence.worker_id,
        &ids,
        &ends as &[&str],
        &codes as &[Option<i32>],
        &errors as &[Option<Storable>],
        &said as &[Option<Storable>],
        &pauses as &[Option<f64>],
        i32::try_from(health.failures).unwrap_or(i32::MAX),
        health.rest.map(|pause| pause.as_secs_f64()),
        health.failed,
        health.last.0.map(i32::from),
        health.last.1.as_ref().map(Storable::as_str),
        health.disable.as_deref(),
        health.opened,
        &attempts,
        health.is_open
    )
    .fetch_one(db)
    .await
}
