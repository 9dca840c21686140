//! The statements of the progress writer: changes of messages, folded into one line each, and receipts of participants.

use super::announcements::Announcements;
use super::change::{Attempt, Change, Reached, Update};
use super::failure::FailureClass;
use super::numbers::{News, Numbers};
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::{is_outage, outlast};
use crate::db::pieces::Pieces;
use crate::db::quarantine::{self, Source};
use crate::db::storable::Storable;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Messages that were left out because their row is locked: session ids and message ids.
pub(super) type LeftOut = HashSet<(i64, String)>;

/// All changes of one message in a batch, because one UPDATE changes a row once.
#[derive(Debug, Clone, Default)]
struct Line {
    reached: Option<Reached>,
    /// When it was sent, delivered, read, played.
    at: [Option<DateTime<Utc>>; 4],
    attempt: Option<Attempt>,
    error: Option<Storable>,
    failure: Option<FailureClass>,
    /// The number of the attempt.
    number: Option<i32>,
    duration: Option<Duration>,
    /// `wa.outbound.id`, if it is known.
    id: Option<i64>,
}

impl Line {
    /// Takes one more change in.
    fn fold(&mut self, change: &Change) {
        self.error = self.error.take().or_else(|| change.error.clone());
        self.failure = self.failure.or(change.failure);
        self.number = self.number.or(change.attempt);
        self.duration = self.duration.max(change.duration);
        self.id = self.id.or(change.done);
        match change.update {
            Update::Reached(reached, moment) => {
                self.reached = self.reached.max(Some(reached));
                let at = &mut self.at[reached as usize];
                *at = match (*at, moment) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            Update::Attempt(attempt) => self.attempt = self.attempt.max(Some(attempt)),
        }
    }

    /// Whether it goes as expected: an ack of this hold's own attempt, or a receipt.
    fn is_plain(&self) -> bool {
        self.at[0].is_none() && self.reached.is_some_and(|reached| self.id.is_some() || reached > Reached::Sent)
    }

    /// The state and the outcome alone, without anything that came from outside.
    fn bare(&self) -> Self {
        let Self { reached, attempt, failure, number, id, .. } = *self;
        Self { reached, attempt, failure, number, id, ..Self::default() }
    }

    fn json(&self, message_id: &Storable) -> Value {
        json!({
            "message_id": message_id.as_str(),
            "id": self.id,
            "reached": self.reached.map(Reached::name),
            "at": self.at,
            "attempt": self.attempt.map(Attempt::name),
            "error": self.error.as_ref().map(Storable::as_str),
            "failure": self.failure.map(FailureClass::name),
        })
    }
}

/// Takes what became of a piece, as soon as it is written.
pub(super) trait Ended: Sync {
    /// These changes are written, except for those of the messages that were left out.
    fn ended(&self, changes: Vec<Change>, left_out: &LeftOut);
}

/// The lines or the receipts of a batch, which are written in pieces. Each piece ends by itself: the others may wait for
/// a lock for a long time.
pub(super) struct InPieces<'a, Of, To> {
    pub(super) of: Of,
    /// The changes of which they were made.
    pub(super) batch: &'a [Change],
    pub(super) to: &'a To,
}

/// The changes of a batch, one line for each message.
pub(super) struct Lines {
    db: Db,
    numbers: Numbers,
    /// A moment before the first try, if one is known.
    before: Option<DateTime<Utc>>,
    /// The answer to a try was lost, so nobody knows whether it was written.
    unanswered: AtomicBool,
    /// What the short statement has left, once it is written.
    plain: OnceLock<Plain>,
    /// Where the messages that were changed are announced.
    announce: Announcements,
    of_messages: Vec<Entry>,
}

/// What the short statement has not written.
#[derive(Debug, Default)]
struct Plain {
    /// Messages for the long statement.
    rest: LeftOut,
    /// Messages whose lease is locked.
    left_out: LeftOut,
}

/// The changes of a message.
type Entry = ((Fence, Storable), Line);

impl Lines {
    /// What they change is counted in `numbers`, and announced.
    pub(super) fn of(db: &Db, numbers: &Numbers, announce: &Announcements, batch: &[Change]) -> Self {
        let mut lines: HashMap<(Fence, Storable), Line> = HashMap::with_capacity(batch.len());
        for change in batch.iter().filter(|change| !change.receipt_only) {
            lines.entry((change.fence, change.message_id.clone())).or_default().fold(change);
        }
        Self {
            db: db.clone(),
            numbers: numbers.clone(),
            before: numbers.latest(),
            unanswered: AtomicBool::new(false),
            plain: OnceLock::new(),
            announce: announce.clone(),
            of_messages: lines.into_iter().collect(),
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.of_messages.len()
    }

    /// Writes all of them: those that go as expected in the short statement, once, and the rest in the long one. A locked
    /// row is an error, or with `careful` left out.
    pub(super) async fn write_all(&self, careful: bool) -> sqlx::Result<LeftOut> {
        if self.plain.get().is_none() && !careful && !self.unanswered.load(Ordering::Relaxed) {
            let lines: Vec<&Entry> = self.of_messages.iter().filter(|(_, line)| line.is_plain()).collect();
            let written = if lines.is_empty() { Plain::default() } else { self.record_sent(&lines).await? };
            // Nobody else sets it: one try follows the other.
            let _ = self.plain.set(written);
        }
        let Some(plain) = self.plain.get() else {
            return self.record(&self.of_messages.iter().collect::<Vec<_>>(), careful).await;
        };
        let rest =
            |((fence, id), line): &&Entry| !line.is_plain() || plain.rest.contains(&(fence.session_id, id.to_string()));
        let rest: Vec<&Entry> = self.of_messages.iter().filter(rest).collect();
        let mut left_out = if rest.is_empty() { LeftOut::new() } else { self.record(&rest, careful).await? };
        left_out.extend(plain.left_out.iter().cloned());
        Ok(left_out)
    }

    /// Runs the short statement.
    async fn record_sent(&self, lines: &[&Entry]) -> sqlx::Result<Plain> {
        let keys = || lines.iter().map(|entry| &entry.0);
        let values = || lines.iter().map(|entry| &entry.1);
        let sessions: Vec<i64> = keys().map(|(fence, _)| fence.session_id).collect();
        let epochs: Vec<i64> = keys().map(|(fence, _)| fence.epoch).collect();
        let ids: Vec<&str> = keys().map(|(_, id)| id.as_str()).collect();
        let reached: Vec<i16> = values().map(|line| line.reached.map_or(0, |reached| reached as i16)).collect();
        let row_ids: Vec<Option<i64>> = values().map(|line| line.id).collect();
        let began = some(values().map(|line| line.duration.map(|time| time.as_secs_f64())));
        let at = |which: usize| some(values().map(|line| line.at[which]));
        let (delivered, read, played) = (at(1), at(2), at(3));
        let written = sqlx::query_file!(
            "sql/jobs/record_sent.sql",
            &sessions,
            &epochs,
            &ids as &[&str],
            &reached,
            &row_ids as &[Option<i64>],
            began.as_deref() as Option<&[Option<f64>]>,
            delivered.as_deref() as Option<&[Option<DateTime<Utc>>]>,
            read.as_deref() as Option<&[Option<DateTime<Utc>>]>,
            played.as_deref() as Option<&[Option<DateTime<Utc>>]>
        )
        .fetch_one(&self.db)
        .await
        .inspect_err(|error| self.is_unanswered(error))?;
        self.happened(written.at, written.new_sessions, written.new_ids, written.new, written.since, written.campaigns);
        let locked: HashSet<i64> = written.locked.into_iter().collect();
        let of_locked = keys().filter(|(fence, _)| locked.contains(&fence.session_id));
        Ok(Plain {
            rest: written.rest_sessions.into_iter().zip(written.rest_ids).collect(),
            left_out: of_locked.map(|(fence, id)| (fence.session_id, id.to_string())).collect(),
        })
    }

    /// Runs the long statement. Columns without a value are null as a whole, which is faster than a null for each message.
    async fn record(&self, lines: &[&Entry], careful: bool) -> sqlx::Result<LeftOut> {
        let keys = || lines.iter().map(|entry| &entry.0);
        let values = || lines.iter().map(|entry| &entry.1);
        let sessions: Vec<i64> = keys().map(|(fence, _)| fence.session_id).collect();
        let epochs: Vec<i64> = keys().map(|(fence, _)| fence.epoch).collect();
        let ids: Vec<Storable> = keys().map(|(_, id)| id.clone()).collect();
        let reached = some(values().map(|line| Some(line.reached?.name())));
        let attempts = some(values().map(|line| Some(line.attempt?.name())));
        let at = |which: usize| some(values().map(|line| line.at[which]));
        let (sent, delivered, read, played) = (at(0), at(1), at(2), at(3));
        let errors = some(values().map(|line| line.error.clone()));
        let failures = some(values().map(|line| Some(line.failure?.name())));
        let duration = some(values().map(|line| line.duration.map(|time| time.as_secs_f64())));
        let row_ids = some(values().map(|line| line.id));
        let numbers = some(values().map(|line| line.number));
        let written = sqlx::query_file!(
            "sql/jobs/record_progress.sql",
            &sessions,
            &epochs,
            &ids as &[Storable],
            reached.as_deref() as Option<&[Option<&str>]>,
            sent.as_deref() as Option<&[Option<DateTime<Utc>>]>,
            delivered.as_deref() as Option<&[Option<DateTime<Utc>>]>,
            read.as_deref() as Option<&[Option<DateTime<Utc>>]>,
            played.as_deref() as Option<&[Option<DateTime<Utc>>]>,
            attempts.as_deref() as Option<&[Option<&str>]>,
            errors.as_deref() as Option<&[Option<Storable>]>,
            duration.as_deref() as Option<&[Option<f64>]>,
            row_ids.as_deref() as Option<&[Option<i64>]>,
            careful,
            failures.as_deref() as Option<&[Option<&str>]>,
            self.before.filter(|_| self.unanswered.load(Ordering::Relaxed)) as Option<DateTime<Utc>>,
            numbers.as_deref() as Option<&[Option<i32>]>
        )
        .fetch_one(&self.db)
        .await
        .inspect_err(|error| self.is_unanswered(error))?;
        self.happened(written.at, written.new_sessions, written.new_ids, written.new, written.since, written.campaigns);
        Ok(written.sessions.into_iter().zip(written.message_ids).collect())
    }

    fn is_unanswered(&self, error: &sqlx::Error) {
        self.unanswered.fetch_or(is_outage(error), Ordering::Relaxed);
    }

    /// Counts what is new of the messages that were changed, and announces them.
    fn happened(
        &self,
        at: DateTime<Utc>,
        sessions: Option<Vec<i64>>,
        ids: Option<Vec<i64>>,
        new: Option<Vec<i32>>,
        since: Option<Vec<Option<DateTime<Utc>>>>,
        campaigns: Option<Vec<Option<String>>>,
    ) {
        let (Some(sessions), Some(ids), Some(new), Some(since), Some(campaigns)) =
            (sessions, ids, new, since, campaigns)
        else {
            return;
        };
        self.announce.push(&sessions, &ids);
        let news = sessions.into_iter().zip(new).zip(since).zip(campaigns);
        let news = news.map(|(((session_id, new), since), campaign)| News { session_id, campaign, new, since });
        self.numbers.changed(at, news);
    }
}

impl<To: Ended> InPieces<'_, Lines, To> {
    fn end(&self, part: Range<usize>, left_out: &LeftOut) {
        let messages: HashSet<(Fence, &str)> =
            self.of.of_messages[part].iter().map(|((fence, id), _)| (*fence, id.as_str())).collect();
        let of_part = |change: &&Change| messages.contains(&(change.fence, change.message_id.as_str()));
        self.to.ended(self.batch.iter().filter(of_part).cloned().collect(), left_out);
    }
}

impl<To: Ended> Pieces for InPieces<'_, Lines, To> {
    async fn write(&self, part: Range<usize>) -> sqlx::Result<()> {
        let lines: Vec<&Entry> = self.of.of_messages[part.clone()].iter().collect();
        let left_out = self.of.record(&lines, true).await?;
        self.end(part, &left_out);
        Ok(())
    }

    async fn quarantine(&self, item: usize, error: &sqlx::Error) {
        let db = &self.of.db;
        let (key, line) = &self.of.of_messages[item];
        let (fence, message_id) = key;
        let never = CancellationToken::new();
        quarantine::put(db, *fence, Source::Progress, &line.json(message_id), error, &never).await;
        let bare = (key.clone(), line.bare());
        let bare = [&bare];
        match outlast(&never, || self.of.record(&bare, true)).await {
            Ok(left_out) => self.end(item..item + 1, &left_out),
            // Another attempt would end the same way.
            Err(_) => {
                if let Some(id) = line.id {
                    tracing::error!(
                        id,
                        "outcome of a message refused; the message stays in hand until the worker ends"
                    );
                }
            }
        }
    }
}

/// The values, unless none of them is there.
fn some<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<Option<T>>> {
    let values: Vec<Option<T>> = values.collect();
    values.iter().any(Option::is_some).then_some(values)
}

/// The receipts of a batch that name a participant.
pub(super) struct Receipts {
    db: Db,
    of_participants: Vec<Receipt>,
}

struct Receipt {
    fence: Fence,
    message_id: Storable,
    participant: Storable,
    reached: Reached,
    at: Option<DateTime<Utc>>,
}

impl Receipts {
    pub(super) fn of(db: &Db, batch: &[Change]) -> Self {
        let receipt = |change: &Change| {
            let (Update::Reached(reached, at), Some(participant)) = (change.update, &change.participant) else {
                return None;
            };
            let (fence, message_id) = (change.fence, change.message_id.clone());
            Some(Receipt { fence, message_id, participant: participant.clone(), reached, at })
        };
        Self { db: db.clone(), of_participants: batch.iter().filter_map(receipt).collect() }
    }

    pub(super) const fn count(&self) -> usize {
        self.of_participants.len()
    }

    /// Writes all of them in one statement, except for messages that are locked.
    pub(super) async fn write_all(&self) -> sqlx::Result<LeftOut> {
        self.record(0..self.of_participants.len()).await
    }

    async fn record(&self, part: Range<usize>) -> sqlx::Result<LeftOut> {
        let receipts = &self.of_participants[part];
        let sessions: Vec<i64> = receipts.iter().map(|it| it.fence.session_id).collect();
        let epochs: Vec<i64> = receipts.iter().map(|it| it.fence.epoch).collect();
        let ids: Vec<Storable> = receipts.iter().map(|it| it.message_id.clone()).collect();
        let participants: Vec<Storable> = receipts.iter().map(|it| it.participant.clone()).collect();
        let reached: Vec<String> = receipts.iter().map(|it| it.reached.name().to_owned()).collect();
        let times: Vec<Option<DateTime<Utc>>> = receipts.iter().map(|it| it.at).collect();
        let written = sqlx::query_file!(
            "sql/jobs/record_receipts.sql",
            &sessions,
            &epochs,
            &ids as &[Storable],
            &participants as &[Storable],
            &reached,
            &times as &[Option<DateTime<Utc>>]
        )
        .fetch_one(&self.db)
        .await?;
        Ok(written.sessions.into_iter().zip(written.message_ids).collect())
    }
}

/// Each change of the batch has a participant, so the receipts have the order of the changes.
impl<To: Ended> Pieces for InPieces<'_, Receipts, To> {
    async fn write(&self, part: Range<usize>) -> sqlx::Result<()> {
        let left_out = self.of.record(part.clone()).await?;
        self.to.ended(self.batch[part].to_vec(), &left_out);
        Ok(())
    }

    async fn quarantine(&self, item: usize, error: &sqlx::Error) {
        let Receipt { fence, message_id, participant, reached, at } = &self.of.of_participants[item];
        let receipt = json!({
            "message_id": message_id.as_str(), "participant": participant.as_str(), "reached": reached.name(), "at": at,
        });
        quarantine::put(&self.of.db, *fence, Source::Receipt, &receipt, error, &CancellationToken::new()).await;
    }
}
