//! Numbers over time (H2): what happened in each session, by minute, for `wa.numbers`.
//!
//! The statements that write what happened return what is new, and the moment by the database's clock; here it is added
//! up in memory, and once a minute one statement adds it to the rows. So nobody who asks for a sum reads the messages,
//! and no message is written for it. What a worker has added up since the last minute is lost if it is killed. An outage
//! of the database loses nothing: counts belong to the process, which keeps them until they are written, if need be in
//! its next life. A batch of counts has a number, so that one whose answer was lost is not added twice.

use super::failure::FailureClass;
use super::retry_loop::RetryLoop;
use crate::db::Db;
use crate::db::backoff::spread;
use crate::db::outage::Failure;
use crate::telemetry;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How often counts are written.
const EVERY: Duration = Duration::from_mins(1);
/// Most campaigns of a session that are counted by name within an hour. The others are counted together, so that names
/// that are used once make no row each.
const CAMPAIGNS: usize = 100;
/// The name under which they are counted. No campaign has it.
const OTHERS: &str = "";
/// Most minutes of sessions in memory. Beyond that, while the database does not take them, counts go into the first minute
/// of their hour.
const MINUTES: usize = 50_000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Messages that left the queue for the first time.
    Queued,
    /// Messages that the server accepted.
    Sent,
    /// Messages that a device of a recipient received.
    Delivered,
    /// The same, within an hour; in the minute of [`Count::Sent`].
    DeliveredSoon,
    /// Messages that a recipient read.
    Read,
    /// Messages that a recipient played.
    Played,
    /// Messages that failed.
    Failed,
    /// Messages that expired.
    Expired,
    /// Messages that were stored in the inbox.
    Received,
    /// New chats of sessions with a limit on them.
    FirstContacts,
    /// Messages that did not fit their ratchet.
    BadMacs,
    /// App state that did not fit its key.
    BadDecrypts,
}

impl Count {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Sent,
        Self::Delivered,
        Self::DeliveredSoon,
        Self::Read,
        Self::Played,
        Self::Failed,
        Self::Expired,
        Self::Received,
        Self::FirstContacts,
        Self::BadMacs,
        Self::BadDecrypts,
    ];

    /// The column of `wa.numbers`.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::DeliveredSoon => "delivered_soon",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Received => "received",
            Self::FirstContacts => "first_contacts",
            Self::BadMacs => "bad_macs",
            Self::BadDecrypts => "bad_decrypts",
        }
    }
}

/// What `new` of a statement says, as the sum of these numbers.
const NEW: [(i32, Count); 6] = [
    (1, Count::Queued),
    (SENT, Count::Sent),
    (4, Count::Delivered),
    (8, Count::Read),
    (16, Count::Played),
    (64, Count::Expired),
];
const SENT: i32 = 2;
const SOON: i32 = 32;
/// The place of the class of a failure comes above the others, from 1; 0 is no failure.
const FAILED: i32 = 128;

/// What a statement changed of one message.
#[derive(Debug, Clone)]
pub struct News {
    /// The session of the message.
    pub session_id: i64,
    /// `wa.outbound.campaign`.
    pub campaign: Option<String>,
    /// What is new, as `sql/jobs/record_progress.sql` says.
    pub new: i32,
    /// Of a message that is sent now: its INSERT, or `send_at`. Of one that is delivered within an hour: when it was sent.
    pub since: Option<DateTime<Utc>>,
}

impl News {
    /// The place of its class in [`FailureClass::ALL`], if it failed.
    fn failure(&self) -> Option<usize> {
        let place = usize::try_from(self.new / FAILED).ok()?.checked_sub(1)?;
        (place < FailureClass::ALL.len()).then_some(place)
    }
}

/// The counts of one worker process that are not written yet. Clones share them.
#[derive(Debug, Clone)]
pub struct Numbers {
    process: Uuid,
    kept: Arc<Mutex<Kept>>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { process: Uuid::new_v4(), kept: Arc::default() }
    }
}

#[derive(Debug, Default)]
struct Kept {
    sums: HashMap<Key, Sums>,
    /// The campaigns that are counted by name, and in which hour.
    campaigns: HashMap<i64, (i64, HashSet<Arc<str>>)>,
    /// A batch that is on its way, and how many there were before.
    sending: Option<Value>,
    sent: i64,
    latest: Option<DateTime<Utc>>,
}

/// A session and a minute, counted from 1970; of a campaign, the first minute of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    session_id: i64,
    minute: i64,
    campaign: Option<Arc<str>>,
}

/// The upper bounds of `Sums::latency` in seconds, as in `wa.latency_bounds()`.
pub const LATENCY_BOUNDS: [f64; 11] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

#[derive(Debug, Default)]
struct Sums {
    counts: [u32; Count::ALL.len()],
    failures: [u32; FailureClass::ALL.len()],
    /// The last minute in which something was counted; of a campaign it is not that of the key.
    last_minute: i64,
    latency_seconds: f64,
    /// Messages that took up to each of the bounds, and longer.
    latency: [u32; LATENCY_BOUNDS.len() + 1],
}

impl Numbers {
    /// Counts what a statement changed at that moment.
    pub fn changed(&self, at: DateTime<Utc>, news: impl IntoIterator<Item = News>) {
        let mut kept = self.kept(at);
        for it in news.into_iter().filter(|it| it.new != 0) {
            if let Some(class) = it.failure() {
                telemetry::message_failed(FailureClass::ALL[class].name());
            }
            kept.add(at, &it, None);
            if let Some(campaign) = it.campaign.as_deref() {
                let campaign = kept.campaign(it.session_id, minute(at) / 60, campaign);
                kept.add(at, &it, Some(&campaign));
            }
        }
    }

    /// Counts something that happened in a session so often.
    pub fn happened(&self, at: DateTime<Utc>, session_id: i64, count: Count, times: u32) {
        let mut kept = self.kept(at);
        if times > 0 {
            kept.sums(session_id, minute(at), None).counts[count as usize] += times;
        }
    }

    /// The latest moment, by the database's clock, at which a statement changed something. A statement that follows does
    /// so later.
    #[must_use]
    pub fn latest(&self) -> Option<DateTime<Utc>> {
        self.lock().latest
    }

    /// Writes all counts as worker `worker_id`. False when that worker is dead: the counts stay, for the next life.
    ///
    /// # Errors
    /// The counts stay, and the next call writes them.
    pub async fn write(&self, db: &Db, worker_id: Uuid) -> sqlx::Result<bool> {
        loop {
            let Some((batch, counts)) = self.lock().batch() else { return Ok(true) };
            let written =
                sqlx::query_file_scalar!("sql/jobs/write_numbers.sql", worker_id, counts, self.process, batch);
            match written.fetch_one(db).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // It would be refused for ever, and all that follow would wait behind it.
                Err(error) if Failure::of(&error) == Failure::Refusal => {
                    tracing::error!(%error, "counts for wa.numbers refused by the database; dropped");
                }
                Err(error) => return Err(error),
            }
            self.lock().sending = None;
        }
    }

    fn kept(&self, at: DateTime<Utc>) -> MutexGuard<'_, Kept> {
        let mut kept = self.lock();
        kept.latest = kept.latest.max(Some(at));
        kept
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere leaves at worst a count out.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, at: DateTime<Utc>, it: &News, campaign: Option<&Arc<str>>) {
        let sums = self.sums(it.session_id, minute(at), campaign);
        for (flag, count) in NEW {
            sums.counts[count as usize] += u32::from(it.new & flag != 0);
        }
        if let Some(class) = it.failure() {
            sums.failures[class] += 1;
            sums.counts[Count::Failed as usize] += 1;
        }
        let is_sent = it.new & SENT != 0;
        if is_sent && let Some(since) = it.since {
            let seconds = (at - since).as_seconds_f64().max(0.0);
            sums.latency_seconds += seconds;
            sums.latency[LATENCY_BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        }
        if it.new & SOON != 0 {
            let sent = it.since.filter(|_| !is_sent).unwrap_or(at);
            self.sums(it.session_id, minute(sent), campaign).counts[Count::DeliveredSoon as usize] += 1;
        }
    }

    fn sums(&mut self, session_id: i64, minute: i64, campaign: Option<&Arc<str>>) -> &mut Sums {
        let full = self.sums.len() >= MINUTES;
        let first = if campaign.is_some() || full { minute / 60 * 60 } else { minute };
        let sums = self.sums.entry(Key { session_id, minute: first, campaign: campaign.cloned() }).or_default();
        sums.last_minute = sums.last_minute.max(minute);
        sums
    }

    /// The name under which a campaign is counted in this hour.
    fn campaign(&mut self, session_id: i64, hour: i64, campaign: &str) -> Arc<str> {
        let (known_hour, known) = self.campaigns.entry(session_id).or_default();
        if std::mem::replace(known_hour, hour) != hour {
            known.clear();
        }
        if let Some(name) = known.get(campaign) {
            return name.clone();
        }
        if known.len() >= CAMPAIGNS {
            return OTHERS.into();
        }
        let name: Arc<str> = campaign.into();
        known.insert(name.clone());
        name
    }

    /// The next batch to write, with its number: the one that is on its way, or all counts. `None` when there are none.
    fn batch(&mut self) -> Option<(i64, Value)> {
        if self.sending.is_none() && !self.sums.is_empty() {
            self.sending = Some(std::mem::take(&mut self.sums).iter().map(|(key, sums)| sums.json(key)).collect());
            self.sent += 1;
        }
        Some((self.sent, self.sending.clone()?))
    }
}

impl Sums {
    /// An element for `sql/jobs/write_numbers.sql`: what is not 0.
    fn json(&self, key: &Key) -> Value {
        let counts = Count::ALL.iter().map(|count| (count.column().to_owned(), self.counts[*count as usize]));
        let classes = FailureClass::ALL.iter().zip(self.failures);
        let failures = classes.map(|(class, count)| (format!("failed_{}", class.name()), count));
        let counted = counts.chain(failures).filter(|(_, count)| *count > 0);
        let mut row: Map<String, Value> = counted.map(|(column, count)| (column, count.into())).collect();
        row.insert("session_id".into(), key.session_id.into());
        row.insert("minute".into(), key.minute.into());
        if let Some(campaign) = &key.campaign {
            row.insert("campaign".into(), (**campaign).into());
            row.insert("last_minute".into(), self.last_minute.into());
        }
        if self.latency.iter().any(|count| *count > 0) {
            row.insert("latency_seconds".into(), self.latency_seconds.into());
            row.insert("latency".into(), self.latency.as_slice().into());
        }
        row.into()
    }
}

fn minute(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60)
}

/// Writes the counts of a worker once a minute.
#[derive(Debug)]
pub struct NumbersWriter {
    /// The counts.
    pub numbers: Numbers,
    /// Where the table is.
    pub db: Db,
    /// The worker.
    pub worker_id: Uuid,
}

impl RetryLoop for NumbersWriter {
    const NAME: &'static str = "numbers";

    /// Waits for about a minute, so that the workers of a fleet do not write at the same moment, and writes.
    async fn pass(&mut self) -> sqlx::Result<()> {
        tokio::time::sleep(spread(EVERY)).await;
        self.numbers.write(&self.db, self.worker_id).await.map(drop)
    }
}
