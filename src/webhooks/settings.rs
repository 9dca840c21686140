//! What the rows say about the webhooks that a worker holds.

use super::queue::Sharing;
use crate::db::Db;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// What makes a write for a webhook valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// `wa.webhook.webhook_id`.
    pub webhook_id: i64,
    /// `wa.webhook_lease.epoch`.
    pub epoch: i64,
    /// The holder.
    pub worker_id: Uuid,
}

/// Settings of a webhook, and what it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `wa.webhook.name`.
    pub name: String,
    /// The receiver's address.
    pub url: String,
    /// Whether the events of a chat go in their order.
    pub ordered: bool,
    /// `wa.webhook.format`.
    pub format: String,
    /// Which events share a request.
    pub sharing: Sharing,
    /// When the webhook was last enabled.
    pub enabled_at: DateTime<Utc>,
    /// Whether there is a replay to do.
    pub replays: bool,
    /// Its secrets, as rows.
    pub secrets: Value,
}

/// A webhook that the worker holds.
#[derive(Debug)]
pub struct Held {
    /// What makes its writes valid.
    pub fence: Fence,
    /// Its settings.
    pub settings: Settings,
    /// Whether somebody has disabled it.
    pub disabled: bool,
    /// Failures in a row.
    pub failures: u32,
    /// For how long nothing is posted.
    pub rest: Option<Duration>,
    /// Since when every attempt fails.
    pub failing_for: Option<Duration>,
}

/// Reads the webhooks that a worker holds.
///
/// # Errors
/// The database's.
pub async fn held(db: &Db, worker_id: Uuid) -> sqlx::Result<Vec<Held>> {
    let rows = sqlx::query_file!("sql/webhooks/settings.sql", worker_id).fetch_all(db).await?;
    let seconds = |time: Option<f64>| time.and_then(|time| Duration::try_from_secs_f64(time).ok());
    let held = rows.into_iter().map(|row| Held {
        fence: Fence { webhook_id: row.webhook_id, epoch: row.epoch, worker_id },
        disabled: row.disabled,
        failures: u32::try_from(row.failures).unwrap_or_default(),
        rest: seconds(row.rest),
        failing_for: seconds(row.failing_for),
        settings: Settings {
            name: row.name,
            url: row.url,
            ordered: row.lanes == "chat",
            format: row.format,
            sharing: Sharing {
                most: usize::try_from(row.batch_size).unwrap_or(1),
                wait: Duration::from_millis(u64::try_from(row.batch_wait_ms).unwrap_or_default()),
            },
            enabled_at: row.enabled_at,
            replays: row.replays,
            secrets: row.secrets,
        },
    });
    Ok(held.collect())
}
