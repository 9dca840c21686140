//! Writes what happens to messages, in batches: acks, receipts, failures, retries.
//!
//! One UPDATE writes the changes of the last few milliseconds; changes of one message are folded into one line. During
//! an outage of the database the batch is kept and retried until the database answers or the lease is lost. The queue
//! is bounded, so a long outage slows the sockets down instead of filling memory.
//!
//! That a message is `sending` is written only for attempts that take long: most messages are sent at once and never
//! need that write.

use super::lanes::Lanes;
use super::record::Record;
use super::{JobError, OutboundJob};
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::insist;
use crate::telemetry;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Most changes in one statement.
const BATCH: usize = 1000;
/// How long the first change of a batch waits for others.
const LINGER: Duration = Duration::from_millis(2);
/// How long an attempt lasts before the row says `sending`.
const LONG_ATTEMPT: Duration = Duration::from_millis(250);

/// How far a message has come. Each state includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// The server has acknowledged it.
    Sent,
    /// A device of the recipient has received it.
    Delivered,
    /// The recipient has seen it.
    Read,
    /// The recipient has played it.
    Played,
}

impl Reached {
    /// Its name in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
        }
    }
}

/// The outcome of an attempt to send a message. Of several in one batch, the last in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// The attempt takes long and is still under way.
    Sending,
    /// Nothing was tried; the message goes back to the queue.
    Release,
    /// The attempt failed; the next one follows after a backoff.
    Retry,
    /// The message expired before the attempt.
    Expired,
    /// The message cannot be sent.
    Failed,
}

impl Attempt {
    /// Its name in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }
}

/// What a change reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// WhatsApp reported this state, at a time by its clock in whole seconds; `None` is now, by the database's clock.
    Reached(Reached, Option<DateTime<Utc>>),
    /// The outcome of an attempt.
    Attempt(Attempt),
}

impl Update {
    /// The name of the state or the outcome in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reached(reached, _) => reached.name(),
            Self::Attempt(attempt) => attempt.name(),
        }
    }
}

/// A change of one message.
#[derive(Debug, Clone)]
pub struct Change {
    /// The session, and the epoch under which the change was received.
    pub fence: Fence,
    /// The WhatsApp message id.
    pub message_id: Arc<str>,
    /// The state or the outcome.
    pub update: Update,
    /// The text for `wa.outbound.last_error`, if the attempt failed.
    pub error: Option<String>,
    /// `wa.outbound.id`, if the message is no longer in hand once this change is written.
    pub done: Option<i64>,
    /// How long the attempt has taken.
    pub duration: Option<Duration>,
    /// The recipient's JID, if the message went to more than one.
    pub participant: Option<Arc<str>>,
}

impl Change {
    /// WhatsApp reports how far a message has come, and when.
    #[must_use]
    pub fn reported(fence: Fence, message_id: &str, reached: Reached, at: Option<DateTime<Utc>>) -> Self {
        Self::new(fence, message_id.into(), Update::Reached(reached, at))
    }

    fn new(fence: Fence, message_id: Arc<str>, update: Update) -> Self {
        Self { fence, message_id, update, error: None, done: None, duration: None, participant: None }
    }
}

/// The sending end of the queue of changes.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<Change>);

impl Progress {
    /// Starts the writer. It ends when every `Progress` is dropped or `stop` is cancelled, after writing all changes
    /// that were pushed before. It rings `freed` after each batch, because lanes and room are free again.
    pub fn start(
        pool: Db,
        lanes: Lanes,
        freed: Arc<Notify>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        (Self(sender), Writer { pool, lanes, freed }.run(receiver, stop))
    }

    /// Queues a change; waits while the queue is full.
    pub async fn push(&self, change: Change) {
        if self.0.send(change).await.is_err() {
            tracing::debug!("change dropped after the end; the next holder finds the row in flight");
        }
    }
}

/// Records the outcomes of attempts and keeps the lanes going.
#[derive(Debug, Clone)]
pub struct Attempts {
    /// Where changes go.
    pub progress: Progress,
    /// The messages in hand.
    pub lanes: Lanes,
}

impl Record<OutboundJob> for Attempts {
    fn span(&self, job: &OutboundJob) -> tracing::Span {
        let OutboundJob { fence, session, kind, id, .. } = job;
        tracing::info_span!("job", kind, id, session = &**session, epoch = fence.epoch)
    }

    fn started(&self, job: &OutboundJob) {
        self.lanes.started(job);
    }

    async fn record(&self, job: OutboundJob, outcome: Result<(), JobError>) {
        let (update, error) = match outcome {
            Ok(()) => (Update::Reached(Reached::Sent, None), None),
            Err(error) => {
                let attempt = match &error {
                    JobError::Permanent(_) => Attempt::Failed,
                    JobError::Retry(_) => Attempt::Retry,
                    JobError::Release(_) => Attempt::Release,
                    JobError::Expired => Attempt::Expired,
                };
                (Update::Attempt(attempt), Some(error.to_string()))
            }
        };
        if let Some(error) = &error {
            tracing::info!(attempt = job.attempts, outcome = update.name(), error, "message not sent");
        } else {
            tracing::debug!(attempt = job.attempts, "message sent");
        }
        let (behind, duration) = self.lanes.finished(&job, is_requeued(update));
        telemetry::message(update.name(), duration);
        let done = |job: &OutboundJob, update| Change {
            done: Some(job.id),
            ..Change::new(job.fence, job.message_id.clone(), update)
        };
        self.progress.push(Change { error, duration, ..done(&job, update) }).await;
        for job in behind {
            self.progress.push(done(&job, Update::Attempt(Attempt::Release))).await;
        }
    }
}

/// Whether the message goes back to the queue.
const fn is_requeued(update: Update) -> bool {
    matches!(update, Update::Attempt(Attempt::Retry | Attempt::Release))
}

struct Writer {
    pool: Db,
    lanes: Lanes,
    freed: Arc<Notify>,
}

impl Writer {
    async fn run(self, mut changes: mpsc::Receiver<Change>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut check_long = tokio::time::interval(2 * LONG_ATTEMPT);
        check_long.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                count = changes.recv_many(&mut batch, BATCH) => if count == 0 { return },
                _ = check_long.tick() => {}
                () = stop.cancelled(), if !changes.is_closed() => {
                    changes.close();
                    continue;
                }
            }
            if !batch.is_empty() {
                tokio::time::sleep(LINGER).await;
                while batch.len() < BATCH
                    && let Ok(change) = changes.try_recv()
                {
                    batch.push(change);
                }
            }
            batch.extend(self.lanes.long_attempts(LONG_ATTEMPT).into_iter().map(|it| Change {
                duration: Some(it.elapsed),
                ..Change::new(it.fence, it.message_id, Update::Attempt(Attempt::Sending))
            }));
            if batch.is_empty() {
                continue;
            }
            let lines = fold(&batch);
            // Whoever stops the writer waits for its last batch.
            insist(&CancellationToken::new(), || flush(&self.pool, &lines)).await;
            if batch.iter().any(|change| change.participant.is_some()) {
                insist(&CancellationToken::new(), || flush_receipts(&self.pool, &batch)).await;
            }
            self.lanes.written(
                batch.drain(..).filter_map(|change| {
                    change.done.map(|id| (change.fence.session_id, id, is_requeued(change.update)))
                }),
            );
            self.freed.notify_one();
        }
    }
}

/// All changes of one message in a batch.
#[derive(Debug, Default)]
struct Line<'a> {
    reached: Option<Reached>,
    /// When it was sent, delivered, read, played.
    at: [Option<DateTime<Utc>>; 4],
    attempt: Option<Attempt>,
    error: Option<&'a str>,
    duration: Option<Duration>,
    /// `wa.outbound.id`, if it is known.
    id: Option<i64>,
}

/// One line for each message, because one UPDATE changes a row once.
fn fold(batch: &[Change]) -> HashMap<(Fence, &str), Line<'_>> {
    let mut lines: HashMap<(Fence, &str), Line<'_>> = HashMap::with_capacity(batch.len());
    for change in batch {
        let line = lines.entry((change.fence, &change.message_id)).or_default();
        line.error = line.error.or(change.error.as_deref());
        line.duration = line.duration.max(change.duration);
        line.id = line.id.or(change.done);
        match change.update {
            Update::Reached(reached, moment) => {
                line.reached = line.reached.max(Some(reached));
                let at = &mut line.at[reached as usize];
                *at = match (*at, moment) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            Update::Attempt(attempt) => line.attempt = line.attempt.max(Some(attempt)),
        }
    }
    lines
}

async fn flush(pool: &Db, lines: &HashMap<(Fence, &str), Line<'_>>) -> sqlx::Result<()> {
    let keys = || lines.keys();
    let sessions: Vec<i64> = keys().map(|(fence, _)| fence.session_id).collect();
    let epochs: Vec<i64> = keys().map(|(fence, _)| fence.epoch).collect();
    let ids: Vec<String> = keys().map(|(_, id)| (*id).to_owned()).collect();
    let reached: Vec<Option<String>> = lines.values().map(|line| Some(line.reached?.name().to_owned())).collect();
    let attempts: Vec<Option<String>> = lines.values().map(|line| Some(line.attempt?.name().to_owned())).collect();
    let at = |which: usize| lines.values().map(|line| line.at[which]).collect::<Vec<_>>();
    let errors: Vec<Option<String>> = lines.values().map(|line| line.error.map(str::to_owned)).collect();
    let duration: Vec<Option<f64>> = lines.values().map(|line| line.duration.map(|time| time.as_secs_f64())).collect();
    let row_ids: Vec<Option<i64>> = lines.values().map(|line| line.id).collect();
    sqlx::query_file!(
        "sql/jobs/record_progress.sql",
        &sessions,
        &epochs,
        &ids,
        &reached as &[Option<String>],
        &at(0) as &[Option<DateTime<Utc>>],
        &at(1) as &[Option<DateTime<Utc>>],
        &at(2) as &[Option<DateTime<Utc>>],
        &at(3) as &[Option<DateTime<Utc>>],
        &attempts as &[Option<String>],
        &errors as &[Option<String>],
        &duration as &[Option<f64>],
        &row_ids as &[Option<i64>]
    )
    .fetch_optional(pool)
    .await?;
    Ok(())
}

async fn flush_receipts(pool: &Db, batch: &[Change]) -> sqlx::Result<()> {
    let receipt = |change: &'_ Change| match (change.update, &change.participant) {
        (Update::Reached(reached, at), Some(participant)) => Some((reached, at, participant.to_string())),
        _ => None,
    };
    let receipts: Vec<(&Change, _)> = batch.iter().filter_map(|change| Some((change, receipt(change)?))).collect();
    let changes = || receipts.iter().map(|(change, _)| change);
    let sessions: Vec<i64> = changes().map(|change| change.fence.session_id).collect();
    let epochs: Vec<i64> = changes().map(|change| change.fence.epoch).collect();
    let ids: Vec<String> = changes().map(|change| change.message_id.to_string()).collect();
    let participants: Vec<String> = receipts.iter().map(|(_, (_, _, participant))| participant.clone()).collect();
    let reached: Vec<String> = receipts.iter().map(|(_, (reached, ..))| reached.name().to_owned()).collect();
    let times: Vec<Option<DateTime<Utc>>> = receipts.iter().map(|(_, (_, at, _))| *at).collect();
    sqlx::query_file!(
        "sql/jobs/record_receipts.sql",
        &sessions,
        &epochs,
        &ids,
        &participants,
        &reached,
        &times as &[Option<DateTime<Utc>>]
    )
    .execute(pool)
    .await?;
    Ok(())
}
