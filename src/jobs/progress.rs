//! Writes what happens to messages, in batches: acks, receipts, failures, retries.
//!
//! One UPDATE writes the changes of the last few milliseconds; changes of one message are folded into one line. During
//! an outage of the database the batch is kept and retried until the database answers or the lease is lost. The queue
//! is bounded, so a long outage slows the sockets down instead of filling memory.
//!
//! A row that an application has locked delays only its own changes: the others of the batch are written, and those wait
//! here for the next try (R8). A batch that the database refuses for another reason holds up no other batch: a task of
//! its own writes it in pieces, and what is refused by itself goes into quarantine (R10).
//!
//! That a message is `sending` is written only for attempts that take long: most messages are sent at once and never
//! need that write.

use super::change::{Attempt, Change, Reached, Update};
use super::lanes::Lanes;
use super::numbers::Numbers;
use super::outcomes::{LeftOut, Lines, Receipts};
use super::record::Record;
use super::unwritten::{Unwritten, UnwrittenBatch};
use super::{JobError, OutboundJob};
use crate::db::Db;
use crate::db::outage::{Failure, is_busy, outlast};
use crate::db::pieces::{code, write_in_pieces};
use crate::db::storable::Storable;
use crate::telemetry;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most changes in one statement.
const BATCH: usize = 1000;
/// How long the first change of a batch waits for others.
const LINGER: Duration = Duration::from_millis(2);
/// Most batches that are written in pieces at the same time. The next one waits, and so does the queue behind it.
const SETTLING: usize = 8;
/// How long an attempt lasts before the row says `sending`.
const LONG_ATTEMPT: Duration = Duration::from_millis(250);
/// When to try changes again whose row was locked.
const LOCKED: Duration = Duration::from_millis(200);
/// How long rows that are locked are left out, after one was found: to find one costs a tenth of a second.
const CAREFUL: Duration = Duration::from_secs(10);

/// The sending end of the queue of changes.
#[derive(Debug, Clone)]
pub struct Progress {
    queue: mpsc::Sender<Change>,
    unwritten: Unwritten,
}

impl Progress {
    /// Starts the writer. It ends when every `Progress` is dropped or `stop` is cancelled, after writing all changes
    /// that were pushed before. It rings `freed` after each batch, because lanes and room are free again. What is new is
    /// counted in `numbers`.
    pub fn start(
        pool: Db,
        lanes: Lanes,
        numbers: Numbers,
        freed: Arc<Notify>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (queue, receiver) = mpsc::channel(4 * BATCH);
        let unwritten = Unwritten::default();
        let writer = Writer { pool, lanes, numbers, freed, unwritten: unwritten.clone(), careful_until: None };
        (Self { queue, unwritten }, writer.run(receiver, stop))
    }

    /// What the writer has in hand.
    #[must_use]
    pub fn unwritten(&self) -> Unwritten {
        self.unwritten.clone()
    }

    /// Queues a change; waits while the queue is full.
    pub async fn push(&self, change: Change) {
        if self.queue.send(change).await.is_err() {
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
        let failure = outcome.as_ref().err().map(JobError::class);
        let (update, error) = match outcome {
            Ok(()) => (Update::Reached(Reached::Sent, None), None),
            Err(error) => (Update::Attempt(Attempt::after(&error)), Some(Storable::error(&error.to_string()))),
        };
        if let Some(error) = &error {
            tracing::info!(attempt = job.attempts, outcome = update.name(), %error, "message not sent");
        } else {
            tracing::debug!(attempt = job.attempts, "message sent");
        }
        let (behind, duration) = self.lanes.finished(&job, is_requeued(update));
        telemetry::message(update.name(), duration);
        let done = |job: &OutboundJob, update| Change {
            done: Some(job.id),
            ..Change::new(job.fence, Storable::stored(job.message_id.clone()), update)
        };
        self.progress.push(Change { error, failure, duration, ..done(&job, update) }).await;
        for job in behind {
            self.progress.push(done(&job, Update::Attempt(Attempt::Release))).await;
        }
    }
}

/// Whether the message goes back to the queue.
const fn is_requeued(update: Update) -> bool {
    matches!(update, Update::Attempt(Attempt::Retry | Attempt::Release))
}

/// Writes batch after batch.
#[derive(Clone)]
struct Writer {
    pool: Db,
    lanes: Lanes,
    numbers: Numbers,
    freed: Arc<Notify>,
    unwritten: Unwritten,
    /// Until then, rows that are locked are left out at once.
    careful_until: Option<Instant>,
}

/// Changes whose row is locked.
struct Waiting {
    changes: Vec<Change>,
    /// The next try.
    until: Instant,
    /// Since when some wait.
    unwritten: Option<UnwrittenBatch>,
}

impl Waiting {
    /// Adds changes that wait for the next try.
    fn add(&mut self, locked: Vec<Change>, all: &Unwritten) {
        if !locked.is_empty() {
            self.until = Instant::now() + LOCKED;
            self.changes.extend(locked);
        }
        if self.changes.is_empty() {
            self.unwritten = None;
        } else {
            self.unwritten.get_or_insert_with(|| all.begin()).unblock();
        }
    }

    /// Moves those whose time has come to a batch.
    fn take(&mut self, batch: &mut Vec<Change>) {
        if Instant::now() >= self.until {
            batch.extend(self.changes.drain(..self.changes.len().min(BATCH)));
        }
    }
}

/// What became of a batch.
struct Written {
    left_out: LeftOut,
    refused: Refused,
}

/// What the database did not take of a batch.
#[derive(Clone, Copy)]
struct Refused {
    lines: bool,
    receipts: bool,
}

impl Writer {
    async fn run(mut self, mut changes: mpsc::Receiver<Change>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut waiting = Waiting { changes: vec![], until: Instant::now(), unwritten: None };
        // Dropping this set, with this future, aborts its tasks.
        let mut settling = JoinSet::new();
        let mut check_long = tokio::time::interval(2 * LONG_ATTEMPT);
        check_long.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(ended) = settling.join_next(), if !settling.is_empty() => {
                    waiting.add(locked_of(ended), &self.unwritten);
                    continue;
                }
                count = changes.recv_many(&mut batch, BATCH) => if count == 0 { break },
                _ = check_long.tick() => {}
                () = tokio::time::sleep_until(waiting.until.into()), if !waiting.changes.is_empty() => {}
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
                ..Change::new(it.fence, Storable::stored(it.message_id), Update::Attempt(Attempt::Sending))
            }));
            waiting.take(&mut batch);
            if batch.is_empty() {
                continue;
            }
            let unwritten = self.unwritten.begin();
            let Written { left_out, refused } = self.write(&batch).await;
            if !refused.lines && !refused.receipts {
                waiting.add(self.written(&mut batch, &left_out, &HashSet::new()), &self.unwritten);
                batch.clear();
                continue;
            }
            while settling.len() >= SETTLING
                && let Some(ended) = settling.join_next().await
            {
                waiting.add(locked_of(ended), &self.unwritten);
            }
            unwritten.unblock();
            let batch = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            settling.spawn(self.clone().settle(batch, left_out, refused, unwritten));
        }
        // Whoever stops the writer waits for its last batches.
        while let Some(ended) = settling.join_next().await {
            waiting.add(locked_of(ended), &self.unwritten);
        }
        if !waiting.changes.is_empty() {
            let count = waiting.changes.len();
            tracing::warn!(count, "rows still locked; the next holder finds their messages in flight");
        }
    }

    /// Writes a batch, as soon as the database answers, except for messages whose row is locked. When it finds a locked
    /// row, it starts over and leaves out all that are locked.
    async fn write(&mut self, batch: &[Change]) -> Written {
        let never = CancellationToken::new();
        let (lines, receipts) = (Lines::of(&self.pool, &self.numbers, batch), Receipts::of(&self.pool, batch));
        let mut careful = self.careful_until.is_some_and(|until| Instant::now() < until);
        let mut written = outlast(&never, || lines.write_all(careful)).await;
        if !careful && written.as_ref().is_err_and(is_busy) {
            careful = true;
            written = outlast(&never, || lines.write_all(careful)).await;
        }
        if careful && written.as_ref().is_ok_and(|left_out| !left_out.is_empty()) {
            self.careful_until = Some(Instant::now() + CAREFUL);
        }
        let receipts_written = match receipts.count() {
            0 => Ok(LeftOut::new()),
            _ => outlast(&never, || receipts.write_all()).await,
        };
        for error in [written.as_ref().err(), receipts_written.as_ref().err()].into_iter().flatten() {
            tracing::warn!(code = code(error), changes = batch.len(), "batch not written; writing it in pieces");
        }
        let refused = Refused { lines: written.is_err(), receipts: receipts_written.is_err() };
        let mut left_out = written.unwrap_or_default();
        left_out.extend(receipts_written.unwrap_or_default());
        Written { left_out, refused }
    }

    /// Writes a batch in pieces, each as soon as it can be written. Returns the changes whose row is locked.
    async fn settle(
        self,
        mut batch: Vec<Change>,
        mut left_out: LeftOut,
        refused: Refused,
        unwritten: UnwrittenBatch,
    ) -> Vec<Change> {
        // Later changes may be written before these, and after the end of an attempt its row must not say `sending`.
        batch.retain(|change| !is_sending(change));
        let never = CancellationToken::new();
        let (lines, receipts) = (Lines::of(&self.pool, &self.numbers, &batch), Receipts::of(&self.pool, &batch));
        let mut ended = Ok(());
        if refused.lines {
            ended = write_in_pieces(&lines, lines.count(), &never, None).await;
        }
        if refused.receipts && ended.is_ok() {
            ended = write_in_pieces(&receipts, receipts.count(), &never, None).await;
        }
        let locked = match ended {
            Ok(()) => {
                let (locked, stuck) = lines.ended();
                left_out.extend(locked);
                left_out.extend(receipts.ended());
                self.written(&mut batch, &left_out, &stuck)
            }
            Err(error) => {
                let closed = Failure::of(&error) == Failure::Closed;
                tracing::debug!(closed, "changes dropped; the next holder finds the rows in flight");
                vec![]
            }
        };
        drop(unwritten);
        locked
    }

    /// The messages whose outcomes are written are no longer in hand. Takes the changes out of the batch whose messages
    /// were left out, and returns those that are worth another try.
    fn written(&self, batch: &mut Vec<Change>, left_out: &LeftOut, stuck: &HashSet<i64>) -> Vec<Change> {
        let is_left_out = |change: &mut Change| {
            !left_out.is_empty() && left_out.contains(&(change.fence.session_id, change.message_id.to_string()))
        };
        let mut locked: Vec<Change> = batch.extract_if(.., is_left_out).collect();
        // After the end of an attempt its row must not say `sending`.
        locked.retain(|change| !is_sending(change));
        let done = |change: &Change| {
            let id = change.done.filter(|id| !stuck.contains(id))?;
            Some((change.fence.session_id, id, is_requeued(change.update)))
        };
        self.lanes.written(batch.iter().filter_map(done));
        self.freed.notify_one();
        locked
    }
}

fn is_sending(change: &Change) -> bool {
    change.update == Update::Attempt(Attempt::Sending)
}

/// The changes that a task left out, because their row is locked.
fn locked_of(ended: Result<Vec<Change>, tokio::task::JoinError>) -> Vec<Change> {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "task of the progress writer failed; its changes are lost");
        vec![]
    })
}
