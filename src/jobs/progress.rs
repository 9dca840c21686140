//! Writes what happens to messages, in batches: acks, receipts, failures, retries.
//!
//! A change is written at once, and those that come meanwhile go together with the next statement; changes of one message
//! are folded into one line. During
//! an outage of the database the batch is kept and retried until the database answers or the lease is lost. The queue
//! is bounded, so a long outage slows the sockets down instead of filling memory.
//!
//! A row that an application has locked delays only its own changes: the others of the batch are written, and those wait
//! here for the next try (R8). A batch that the database refuses for another reason holds up no other batch: a task of
//! its own writes it in pieces, and what is refused by itself goes into quarantine (R10). Each piece ends when it is
//! written, so an outcome that waits for a lock there holds up none of its batch.
//!
//! That a message is `sending` is written only for attempts that take long: most messages are sent at once and never
//! need that write.

use super::announcements::Announcements;
use super::change::{Attempt, Change, Reached, Update};
use super::lanes::Lanes;
use super::numbers::Numbers;
use super::outcomes::{Ended, InPieces, LeftOut, Lines, Receipts};
use super::record::Record;
use super::unwritten::{Unwritten, UnwrittenBatch};
use super::{JobError, OutboundJob};
use crate::db::Db;
use crate::db::outage::{Failure, is_busy, outlast};
use crate::db::pieces::{code, write_in_pieces};
use crate::db::storable::Storable;
use crate::telemetry;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Most changes in one statement.
const BATCH: usize = 1000;
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
        let (left_out, waiting) = mpsc::unbounded_channel();
        let (announce, announcing) = Announcements::start(pool.clone());
        let writer = Writer {
            own: pool.own_connection("wagres outcomes"),
            pool,
            lanes,
            numbers,
            announce,
            freed,
            unwritten: unwritten.clone(),
            careful_until: None,
            left_out,
        };
        let run = writer.run(receiver, waiting, stop);
        (Self { queue, unwritten }, async move {
            tokio::join!(run, announcing);
        })
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
        let attempt = Some(job.attempts);
        self.progress.push(Change { error, failure, attempt, duration, ..done(&job, update) }).await;
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
    /// For batches as a whole, one after the other; pieces of several are written at once.
    own: Db,
    pool: Db,
    lanes: Lanes,
    numbers: Numbers,
    announce: Announcements,
    freed: Arc<Notify>,
    unwritten: Unwritten,
    /// Until then, rows that are locked are left out at once.
    careful_until: Option<Instant>,
    /// Where a task that writes a batch in pieces sends the changes whose row is locked. Bounded by the batches that are
    /// written in pieces.
    left_out: mpsc::UnboundedSender<Vec<Change>>,
}

/// Changes whose row is locked.
#[derive(Default)]
struct Waiting {
    /// Those that were left out together, with the moment of their next try, in the order of these moments. Later ones
    /// do not move it.
    groups: VecDeque<(Instant, Vec<Change>)>,
    /// Since when some wait.
    unwritten: Option<UnwrittenBatch>,
}

impl Waiting {
    /// Adds changes that wait for the next try.
    fn add(&mut self, locked: Vec<Change>, all: &Unwritten) {
        if !locked.is_empty() {
            self.groups.push_back((Instant::now() + LOCKED, locked));
        }
        if self.groups.is_empty() {
            self.unwritten = None;
        } else {
            self.unwritten.get_or_insert_with(|| all.begin()).unblock();
        }
    }

    /// The moment of the next try.
    fn next(&self) -> Option<Instant> {
        self.groups.front().map(|(next, _)| *next)
    }

    /// Moves those whose time has come to a batch.
    fn take(&mut self, batch: &mut Vec<Change>) {
        let room = 2 * BATCH;
        while batch.len() < room && self.next().is_some_and(|next| next <= Instant::now()) {
            batch.extend(self.groups.pop_front().into_iter().flat_map(|(_, changes)| changes));
        }
    }

    fn count(&self) -> usize {
        self.groups.iter().map(|(_, changes)| changes.len()).sum()
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
    async fn run(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut left_out_later: mpsc::UnboundedReceiver<Vec<Change>>,
        stop: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut waiting = Waiting::default();
        // Dropping this set, with this future, aborts its tasks.
        let mut settling = JoinSet::new();
        let mut check_long = tokio::time::interval(2 * LONG_ATTEMPT);
        check_long.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(ended) = settling.join_next(), if !settling.is_empty() => {
                    report(ended);
                    continue;
                }
                Some(locked) = left_out_later.recv() => {
                    waiting.add(locked, &self.unwritten);
                    continue;
                }
                count = changes.recv_many(&mut batch, BATCH) => if count == 0 { break },
                _ = check_long.tick() => {}
                () = sleep_until(waiting.next()), if waiting.next().is_some() => {}
                () = stop.cancelled(), if !changes.is_closed() => {
                    changes.close();
                    continue;
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
            waiting.add(take_left_out(&mut batch, &left_out), &self.unwritten);
            if !refused.lines {
                self.end(&batch);
            }
            if !refused.lines && !refused.receipts {
                batch.clear();
                continue;
            }
            while settling.len() >= SETTLING
                && let Some(ended) = settling.join_next().await
            {
                report(ended);
            }
            unwritten.unblock();
            let batch = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            settling.spawn(self.clone().settle(batch, refused, unwritten));
        }
        // Whoever stops the writer waits for its last batches.
        while let Some(ended) = settling.join_next().await {
            report(ended);
        }
        while let Ok(locked) = left_out_later.try_recv() {
            waiting.add(locked, &self.unwritten);
        }
        let count = waiting.count();
        if count > 0 {
            tracing::warn!(count, "rows still locked; the next holder finds their messages in flight");
        }
    }

    /// Writes a batch, as soon as the database answers, except for messages whose row is locked. When it finds a locked
    /// row, it starts over and leaves out all that are locked.
    async fn write(&mut self, batch: &[Change]) -> Written {
        let never = CancellationToken::new();
        let (lines, receipts) =
            (Lines::of(&self.own, &self.numbers, &self.announce, batch), Receipts::of(&self.own, batch));
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

    /// Writes what was refused of a batch in pieces, each as soon as it can be written.
    async fn settle(self, batch: Vec<Change>, refused: Refused, unwritten: UnwrittenBatch) {
        // A change has two parts, the row of its message and the receipt of a participant. From here on they are apart,
        // so that neither waits for the other.
        let (mut lines, mut receipts) = (vec![], vec![]);
        for change in batch {
            if refused.receipts && change.participant.is_some() {
                receipts.push(Change { receipt_only: true, ..change.clone() });
            }
            // Later changes may be written before these, and after the end of an attempt its row must not say `sending`.
            if refused.lines && !change.receipt_only && !is_sending(&change) {
                lines.push(Change { participant: None, ..change });
            }
        }
        let never = CancellationToken::new();
        let lines =
            InPieces { of: Lines::of(&self.pool, &self.numbers, &self.announce, &lines), batch: &lines, to: &self };
        let receipts = InPieces { of: Receipts::of(&self.pool, &receipts), batch: &receipts, to: &self };
        let written = tokio::join!(
            write_in_pieces(&lines, lines.of.count(), &never, None),
            write_in_pieces(&receipts, receipts.of.count(), &never, None)
        );
        for error in [written.0.err(), written.1.err()].into_iter().flatten() {
            let closed = Failure::of(&error) == Failure::Closed;
            tracing::debug!(closed, "changes dropped; the next holder finds the rows in flight");
        }
        drop(unwritten);
    }

    /// The messages whose outcomes are written are no longer in hand.
    fn end(&self, written: &[Change]) {
        let done = |change: &Change| Some((change.fence.session_id, change.done?, is_requeued(change.update)));
        self.lanes.written(written.iter().filter_map(done));
        self.freed.notify_one();
    }
}

impl Ended for Writer {
    fn ended(&self, mut changes: Vec<Change>, left_out: &LeftOut) {
        let locked = take_left_out(&mut changes, left_out);
        self.end(&changes);
        if !locked.is_empty() && self.left_out.send(locked).is_err() {
            tracing::debug!("changes dropped after the end; the next holder finds the rows in flight");
        }
    }
}

/// Takes the changes out of a batch whose messages were left out, and returns those that are worth another try.
fn take_left_out(batch: &mut Vec<Change>, left_out: &LeftOut) -> Vec<Change> {
    if left_out.is_empty() {
        return vec![];
    }
    let is_left_out =
        |change: &mut Change| left_out.contains(&(change.fence.session_id, change.message_id.to_string()));
    let mut locked: Vec<Change> = batch.extract_if(.., is_left_out).collect();
    // After the end of an attempt its row must not say `sending`.
    locked.retain(|change| !is_sending(change));
    locked
}

fn is_sending(change: &Change) -> bool {
    change.update == Update::Attempt(Attempt::Sending)
}

async fn sleep_until(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment.into()).await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "task of the progress writer failed; its changes are lost");
    }
}
