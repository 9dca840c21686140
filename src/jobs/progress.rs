//! What happened to messages, written in batches: acks, receipts, failures, retries.
//!
//! One UPDATE for whatever came in the last few milliseconds (see `sql/jobs/record_progress.sql` for how changes of one
//! message fold). When the database is away the batch is kept and tried again until it is back or the lease is lost;
//! the queue is bounded, so a long outage slows the sockets down instead of filling memory.

use crate::db::fence::Fence;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::record::Record;
use super::{JobError, OutboundJob};

/// Most changes in one statement.
const BATCH: usize = 500;
/// How long the first change of a batch waits for company.
const LINGER: Duration = Duration::from_millis(2);

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The server has it.
    Sent,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient has seen it.
    Read,
    /// The recipient has played it.
    Played,
    /// It cannot be sent.
    Failed,
    /// The attempt failed; the next one comes after a backoff.
    Retry,
    /// Nothing was tried; back into the queue.
    Release,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Retry => "retry",
            Self::Release => "release",
        }
    }
}

/// One thing that happened to one message.
#[derive(Debug, Clone)]
pub struct Change {
    /// The hold under which it was learnt.
    pub fence: Fence,
    /// The WhatsApp message id.
    pub message_id: String,
    /// What happened.
    pub what: What,
    /// When, by WhatsApp's clock in whole seconds, for what happened while we were away; `None` is now, by the database's.
    pub at: Option<DateTime<Utc>>,
    /// Why, for failures.
    pub error: Option<String>,
}

/// Where changes go in.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<Change>);

impl Progress {
    /// The sender, and the future that writes until `stop`, and then what is still queued. `wake` is rung after each
    /// batch, for a message that was sent lets the next of its lane go.
    pub fn start(
        pool: PgPool,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        (Self(sender), write(pool, wake, receiver, stop))
    }

    /// Hands a change over; waits while the queue is full.
    pub async fn push(&self, change: Change) {
        if self.0.send(change).await.is_err() {
            tracing::debug!("a change came after the end and is dropped; the next holder finds the row in flight");
        }
    }
}

impl Record<OutboundJob> for Progress {
    async fn record(&self, job: OutboundJob, outcome: Result<(), JobError>) {
        let (what, error) = match outcome {
            Ok(()) => (What::Sent, None),
            Err(JobError::Permanent(error)) => (What::Failed, Some(error)),
            Err(JobError::Retry(error)) => (What::Retry, Some(error)),
            Err(JobError::Release(error)) => (What::Release, Some(error)),
        };
        if let Some(error) = &error {
            tracing::info!(id = job.id, attempt = job.attempts, ?what, %error, "message not sent");
        }
        self.push(Change { fence: job.fence, message_id: job.message_id, what, at: None, error }).await;
    }
}

async fn write(pool: PgPool, wake: Arc<Notify>, mut changes: mpsc::Receiver<Change>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            count = changes.recv_many(&mut batch, BATCH) => count,
            () = stop.cancelled(), if !changes.is_closed() => {
                changes.close();
                continue;
            }
        };
        if count == 0 {
            return;
        }
        tokio::time::sleep(LINGER).await;
        while batch.len() < BATCH
            && let Ok(change) = changes.try_recv()
        {
            batch.push(change);
        }
        let mut pause = Duration::from_millis(100);
        while let Err(error) = flush(&pool, &batch).await {
            tracing::warn!(%error, changes = batch.len(), "progress not written, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        batch.clear();
        wake.notify_one();
    }
}

async fn flush(pool: &PgPool, batch: &[Change]) -> sqlx::Result<()> {
    let sessions: Vec<i64> = batch.iter().map(|c| c.fence.session_id).collect();
    let epochs: Vec<i64> = batch.iter().map(|c| c.fence.epoch).collect();
    let ids: Vec<String> = batch.iter().map(|c| c.message_id.clone()).collect();
    let whats: Vec<String> = batch.iter().map(|c| c.what.name().to_owned()).collect();
    let times: Vec<Option<DateTime<Utc>>> = batch.iter().map(|c| c.at).collect();
    let errors: Vec<Option<String>> = batch.iter().map(|c| c.error.clone()).collect();
    sqlx::query_file!(
        "sql/jobs/record_progress.sql",
        &sessions,
        &epochs,
        &ids,
        &whats,
        &times as &[Option<DateTime<Utc>>],
        &errors as &[Option<String>]
    )
    .execute(pool)
    .await?;
    Ok(())
}
