//! What happened to messages, written in batches: acks, receipts, failures, retries.
//!
//! One UPDATE for whatever came in the last few milliseconds; changes of one message fold into one line of it. When the
//! database is away the batch is kept and tried again until it is back or the lease is lost; the queue is bounded, so a
//! long outage slows the sockets down instead of filling memory.
//!
//! That a message is being sent is written only when it takes its time: most that are sent at once never need that write.

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
/// How long the first change of a batch waits for company.
const LINGER: Duration = Duration::from_millis(2);
/// How long a message is under way before its row says so.
const LASTING: Duration = Duration::from_millis(250);

/// How far a message has come. A later one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// The server has it.
    Sent,
    /// A device of the recipient has it.
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

/// What became of an attempt to send a message. Of several that are written at once, the last in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    /// It takes its time.
    Sending,
    /// Nothing was tried; the message goes back into the queue.
    Release,
    /// It failed; the next one comes after a backoff.
    Retry,
    /// It came too late.
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

/// What a change says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The message has come so far, at a time by WhatsApp's clock in whole seconds; `None` is now, by the database's.
    Reached(Reached, Option<DateTime<Utc>>),
    /// An attempt to send it went so.
    Attempt(Attempt),
}

impl News {
    /// The name of what it says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reached(reached, _) => reached.name(),
            Self::Attempt(attempt) => attempt.name(),
        }
    }
}

/// One thing that happened to one message.
#[derive(Debug, Clone)]
pub struct Change {
    /// The hold under which it was learnt.
    pub fence: Fence,
    /// The WhatsApp message id.
    pub message_id: Arc<str>,
    /// What happened.
    pub news: News,
    /// Why, for failures.
    pub error: Option<String>,
    /// `wa.outbound.id`, when with this change the message is in hand no more.
    pub done: Option<i64>,
    /// For how long it has been under way.
    pub lasted: Option<Duration>,
    /// Who got it, where it goes to more than one.
    pub participant: Option<Arc<str>>,
}

impl Change {
    /// WhatsApp says how far a message has come, at that time.
    #[must_use]
    pub fn learnt(fence: Fence, message_id: &str, reached: Reached, at: Option<DateTime<Utc>>) -> Self {
        Self::new(fence, message_id.into(), News::Reached(reached, at))
    }

    fn new(fence: Fence, message_id: Arc<str>, news: News) -> Self {
        Self { fence, message_id, news, error: None, done: None, lasted: None, participant: None }
    }
}

/// Where changes go in.
#[derive(Debug, Clone)]
pub struct Progress(mpsc::Sender<Change>);

impl Progress {
    /// Starts the writer. It ends when every `Progress` is dropped or `stop` is cancelled, with all changes written that
    /// came before. `freed` is rung after each batch, because lanes and room have become free.
    pub fn start(
        pool: Db,
        lanes: Lanes,
        freed: Arc<Notify>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(4 * BATCH);
        (Self(sender), Writer { pool, lanes, freed }.run(receiver, stop))
    }

    /// Hands a change over; waits while the queue is full.
    pub async fn push(&self, change: Change) {
        if self.0.send(change).await.is_err() {
            tracing::debug!("a change came after the end and is dropped; the next holder finds the row in flight");
        }
    }
}

/// Writes what came of attempts, and keeps the lanes going.
#[derive(Debug, Clone)]
pub struct Attempts {
    /// Where changes go.
    pub progress: Progress,
    /// Where the messages stand.
    pub lanes: Lanes,
}

impl Record<OutboundJob> for Attempts {
    fn span(&self, job: &OutboundJob) -> tracing::Span {
        let OutboundJob { fence, session, kind, id, .. } = job;
        tracing::info_span!("job", kind, id, session = &**session, epoch = fence.epoch)
    }

    fn begun(&self, job: &OutboundJob) {
        self.lanes.began(job);
    }

    async fn record(&self, job: OutboundJob, outcome: Result<(), JobError>) {
        let (news, error) = match outcome {
            Ok(()) => (News::Reached(Reached::Sent, None), None),
            Err(error) => {
                let attempt = match &error {
                    JobError::Permanent(_) => Attempt::Failed,
                    JobError::Retry(_) => Attempt::Retry,
                    JobError::Release(_) => Attempt::Release,
                    JobError::Expired => Attempt::Expired,
                };
                (News::Attempt(attempt), Some(error.to_string()))
            }
        };
        if let Some(error) = &error {
            tracing::info!(attempt = job.attempts, outcome = news.name(), error, "message not sent");
        }
        let (behind, lasted) = self.lanes.over(&job, is_given_back(news));
        telemetry::message(news.name(), lasted);
        let done = |job: &OutboundJob, news| Change {
            done: Some(job.id),
            ..Change::new(job.fence, job.message_id.clone(), news)
        };
        self.progress.push(Change { error, lasted, ..done(&job, news) }).await;
        for job in behind {
            self.progress.push(done(&job, News::Attempt(Attempt::Release))).await;
        }
    }
}

/// Whether the message is queued again.
const fn is_given_back(news: News) -> bool {
    matches!(news, News::Attempt(Attempt::Retry | Attempt::Release))
}

struct Writer {
    pool: Db,
    lanes: Lanes,
    freed: Arc<Notify>,
}

impl Writer {
    async fn run(self, mut changes: mpsc::Receiver<Change>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut look = tokio::time::interval(2 * LASTING);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                count = changes.recv_many(&mut batch, BATCH) => if count == 0 { return },
                _ = look.tick() => {}
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
            batch.extend(self.lanes.lasting(LASTING).into_iter().map(|it| Change {
                lasted: Some(it.since),
                ..Change::new(it.fence, it.message_id, News::Attempt(Attempt::Sending))
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
                    change.done.map(|id| (change.fence.session_id, id, is_given_back(change.news)))
                }),
            );
            self.freed.notify_one();
        }
    }
}

/// What happened to one message, all of it.
#[derive(Debug, Default)]
struct Line<'a> {
    reached: Option<Reached>,
    /// When it was sent, delivered, read, played.
    at: [Option<DateTime<Utc>>; 4],
    attempt: Option<Attempt>,
    error: Option<&'a str>,
    lasted: Option<Duration>,
    /// `wa.outbound.id`, where it is known.
    id: Option<i64>,
}

/// One line for each message, because one UPDATE changes a row once.
fn fold(batch: &[Change]) -> HashMap<(Fence, &str), Line<'_>> {
    let mut lines: HashMap<(Fence, &str), Line<'_>> = HashMap::with_capacity(batch.len());
    for change in batch {
        let line = lines.entry((change.fence, &change.message_id)).or_default();
        line.error = line.error.or(change.error.as_deref());
        line.lasted = line.lasted.max(change.lasted);
        line.id = line.id.or(change.done);
        match change.news {
            News::Reached(reached, moment) => {
                line.reached = line.reached.max(Some(reached));
                let at = &mut line.at[reached as usize];
                *at = match (*at, moment) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            News::Attempt(attempt) => line.attempt = line.attempt.max(Some(attempt)),
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
    let lasted: Vec<Option<f64>> = lines.values().map(|line| line.lasted.map(|time| time.as_secs_f64())).collect();
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
        &lasted as &[Option<f64>],
        &row_ids as &[Option<i64>]
    )
    .fetch_optional(pool)
    .await?;
    Ok(())
}

async fn flush_receipts(pool: &Db, batch: &[Change]) -> sqlx::Result<()> {
    let receipt = |change: &'_ Change| match (change.news, &change.participant) {
        (News::Reached(reached, at), Some(participant)) => Some((reached, at, participant.to_string())),
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
