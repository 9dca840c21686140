//! The messages that this worker has in hand, in their lanes.
//!
//! A claim takes runs of messages; their rows stay queued until the outcome of the attempt is written. Until then a
//! message is *in hand*: no claim takes it again and nobody can cancel it. Each lane (session, chat) has one message
//! under way and keeps the others waiting in order. A message that goes back to the queue, for a retry or because it
//! was not tried, takes those behind it in its lane along (Q6). All of this is memory: if the worker dies, the rows are
//! unchanged, and `wa.sending` shows the next holder which messages this worker had.

use super::OutboundJob;
use super::places::Places;
use super::stock::{Amount, Stock};
use crate::db::fence::Fence;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Session id and chat.
pub type LaneKey = (i64, Arc<str>);

/// Files that a worker fetches and uploads at a time.
pub const FILES: usize = 16;
/// Most messages that one claim adds to a lane. A lane with this many in hand gets no more until all of them are
/// written.
pub const MAX_IN_HAND_OF_LANE: usize = 32;

/// The lanes of a worker. Clones share them.
#[derive(Debug, Clone)]
pub struct Lanes {
    inner: Arc<Mutex<Inner>>,
}

/// What a worker has for messages.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages that are being sent at a time.
    pub sending: usize,
    /// Files that are fetched and uploaded at a time, each before its message is sent.
    pub files: usize,
    /// Bytes of the messages in hand.
    pub bytes: usize,
}

#[derive(Debug)]
struct Inner {
    places: Places,
    lanes: HashMap<LaneKey, Lane>,
    in_hand: HashMap<i64, HashMap<i64, InHand>>,
    stock: Stock,
    ended: Vec<EndedLane>,
    released: HashSet<Fence>,
    /// Lanes whose messages went back to the queue since the present claim started: the claim may not have seen that.
    requeued: HashSet<LaneKey>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The epoch under which its messages were claimed.
    epoch: i64,
    under_way: bool,
    waiting: VecDeque<OutboundJob>,
    in_hand: usize,
    /// A message went back to the queue and has to go first: nothing may be added until the lane has ended.
    requeued: bool,
}

/// A lane with nothing in hand any more.
#[derive(Debug)]
pub struct EndedLane {
    /// Session id and chat.
    pub key: LaneKey,
    /// Whether messages of the lane went back to the queue.
    pub requeued: bool,
}

/// What a claim has to leave out.
#[derive(Debug)]
pub struct Claiming {
    /// Session ids and ids of all messages in hand, as parallel arrays, in the order of sessions.
    pub in_hand: (Vec<i64>, Vec<i64>),
    /// Session ids and chats of lanes that take no more, as parallel arrays.
    pub full: (Vec<i64>, Vec<String>),
}

impl Claiming {
    /// The places of a session's messages in [`Claiming::in_hand`], as a slice of an array in SQL.
    #[must_use]
    pub fn range_of(&self, session_id: i64) -> (i32, i32) {
        let place = |found: usize| i32::try_from(found).unwrap_or(i32::MAX - 1);
        let sessions = &self.in_hand.0;
        let (from, to) =
            (sessions.partition_point(|id| *id < session_id), sessions.partition_point(|id| *id <= session_id));
        (place(from) + 1, place(to))
    }
}

#[derive(Debug)]
struct InHand {
    tenant: Arc<str>,
    bytes: usize,
    chat: Arc<str>,
    message_id: Arc<str>,
    epoch: i64,
    started: Option<Instant>,
    reported: bool,
}

/// An attempt that has been under way for a while.
#[derive(Debug)]
pub struct LongAttempt {
    /// The session, and the epoch of the claim.
    pub fence: Fence,
    /// The WhatsApp message id.
    pub message_id: Arc<str>,
    /// How long the attempt has been under way.
    pub elapsed: Duration,
}

impl Lanes {
    /// No lane yet. Messages that may start go into `feed`, which must have room for
    /// [`MAX_IN_HAND`](super::stock::MAX_IN_HAND).
    #[must_use]
    pub fn new(feed: mpsc::Sender<OutboundJob>, limits: Limits) -> Self {
        let inner = Inner {
            places: Places::new(feed, limits.sending, limits.files),
            lanes: HashMap::new(),
            in_hand: HashMap::new(),
            stock: Stock::new(limits.bytes),
            ended: vec![],
            released: HashSet::new(),
            requeued: HashSet::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The number of messages in hand, and their bytes.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.lock().stock.all()
    }

    /// Whether messages of a session are in hand.
    #[must_use]
    pub fn has(&self, session_id: i64) -> bool {
        self.lock().in_hand.get(&session_id).is_some_and(|ids| !ids.is_empty())
    }

    /// What is in hand, by tenant. Until a claim takes more it can only become less.
    #[must_use]
    pub fn stock(&self) -> Stock {
        self.lock().stock.clone()
    }

    /// How many messages of each session are in hand, in the order of `sessions`.
    #[must_use]
    pub fn count_of(&self, sessions: &[i64]) -> Vec<usize> {
        let inner = self.lock();
        sessions.iter().map(|id| inner.in_hand.get(id).map_or(0, HashMap::len)).collect()
    }

    /// Session ids and ids of all messages in hand, as parallel arrays.
    #[must_use]
    pub fn in_hand(&self) -> (Vec<i64>, Vec<i64>) {
        self.lock().pairs().unzip()
    }

    /// Starts a claim for these sessions under these epochs. [`Lanes::take`] ends it.
    #[must_use]
    pub fn claiming(&self, sessions: &[i64], epochs: &[i64]) -> Claiming {
        let held: HashMap<i64, i64> = sessions.iter().copied().zip(epochs.iter().copied()).collect();
        let mut inner = self.lock();
        inner.requeued.clear();
        let mut pairs: Vec<(i64, i64)> = inner.pairs().collect();
        pairs.sort_unstable();
        let in_hand = pairs.into_iter().unzip();
        // Messages of an earlier hold of this worker are not written yet, so nothing may go after them.
        let full = |(key, lane): &(&LaneKey, &Lane)| {
            lane.requeued
                || lane.in_hand >= MAX_IN_HAND_OF_LANE
                || held.get(&key.0).is_some_and(|epoch| *epoch != lane.epoch)
        };
        let full = inner.lanes.iter().filter(full).map(|(key, _)| (key.0, key.1.to_string())).unzip();
        Claiming { in_hand, full }
    }

    /// Takes claimed messages in hand, in their order within each lane, and starts those that may start. Releases those
    /// whose lane changed during the claim.
    pub fn take(&self, jobs: impl IntoIterator<Item = OutboundJob>) {
        let mut inner = self.lock();
        for job in jobs {
            let (session, id) = (job.fence.session_id, job.id);
            let key = (session, job.chat.clone());
            let lane = inner.lanes.get(&key);
            if lane.is_some_and(|lane| lane.requeued || lane.epoch != job.fence.epoch) || inner.requeued.contains(&key)
            {
                inner.released.insert(job.fence);
                continue;
            }
            let entry = InHand {
                tenant: job.tenant.clone(),
                bytes: job.bytes,
                chat: job.chat.clone(),
                message_id: job.message_id.clone(),
                epoch: job.fence.epoch,
                started: None,
                reported: false,
            };
            inner.in_hand.entry(session).or_default().insert(id, entry);
            inner.stock.add(&job.tenant, job.bytes);
            let fresh = Lane { epoch: job.fence.epoch, ..Lane::default() };
            let lane = inner.lanes.entry(key).or_insert(fresh);
            lane.in_hand += 1;
            if lane.under_way {
                lane.waiting.push_back(job);
            } else {
                lane.under_way = true;
                inner.places.start(job);
            }
        }
        inner.places.fill();
    }

    /// Messages of a hold that a claim has taken and that have no room here: their claim is taken back.
    pub fn give_back(&self, fence: Fence) {
        self.lock().released.insert(fence);
    }

    /// The file of a message is uploaded: waits for a place to send the message, which the message has until it is
    /// finished. False when the worker stops first.
    pub async fn uploaded(&self, job: &OutboundJob) -> bool {
        let place = self.lock().places.uploaded(job);
        place.await.is_ok()
    }

    /// The attempt to send a message starts now.
    pub fn started(&self, job: &OutboundJob) {
        if let Some(it) = self.lock().entry(job.fence.session_id, job.id) {
            it.started = Some(Instant::now());
        }
    }

    /// The attempt to send a message has ended, and the next one of its lane starts. If the message is `requeued`,
    /// those behind it are returned instead and go back to the queue, too. Also returns how long the attempt took.
    #[must_use]
    pub fn finished(&self, job: &OutboundJob, requeued: bool) -> (Vec<OutboundJob>, Option<Duration>) {
        let mut inner = self.lock();
        let took = inner.entry(job.fence.session_id, job.id).and_then(|it| {
            // The outcome is about to be written, so `sending` need not be.
            it.reported = true;
            it.started.map(|started| started.elapsed())
        });
        inner.places.finished(job);
        let behind = inner.advance(job, requeued);
        inner.places.fill();
        (behind, took)
    }

    /// The outcomes of these messages (session id, id, whether it goes back to the queue) are written, so the messages
    /// are no longer in hand.
    pub fn written(&self, messages: impl IntoIterator<Item = (i64, i64, bool)>) {
        let mut inner = self.lock();
        for (session, id, released) in messages {
            inner.remove_message(session, id, released);
        }
    }

    /// The lanes that have ended since the last call.
    #[must_use]
    pub fn ended(&self) -> Vec<EndedLane> {
        std::mem::take(&mut self.lock().ended)
    }

    /// The holds whose messages were released since the last call.
    #[must_use]
    pub fn take_released(&self) -> HashSet<Fence> {
        std::mem::take(&mut self.lock().released)
    }

    /// Keeps holds of [`Lanes::take_released`] for its next call, because the release could not be written.
    pub fn restore_released(&self, holds: HashSet<Fence>) {
        self.lock().released.extend(holds);
    }

    /// Attempts that have been under way for at least `time`; each is returned once.
    #[must_use]
    pub fn long_attempts(&self, time: Duration) -> Vec<LongAttempt> {
        let mut inner = self.lock();
        let mut long_attempts = Vec::new();
        for (session_id, ids) in &mut inner.in_hand {
            for it in ids.values_mut().filter(|it| !it.reported) {
                let Some(elapsed) = it.started.map(|started| started.elapsed()).filter(|elapsed| *elapsed >= time)
                else {
                    continue;
                };
                it.reported = true;
                let fence = Fence { session_id: *session_id, epoch: it.epoch };
                long_attempts.push(LongAttempt { fence, message_id: it.message_id.clone(), elapsed });
            }
        }
        long_attempts
    }

    /// Starts no more messages: those that wait are no longer in hand, and the feed ends after what is in it.
    pub fn close(&self) {
        let mut inner = self.lock();
        let mut waiting: Vec<OutboundJob> = inner.lanes.values_mut().flat_map(|lane| lane.waiting.drain(..)).collect();
        waiting.extend(inner.places.close());
        for job in waiting {
            inner.remove_message(job.fence.session_id, job.id, true);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pairs(&self) -> impl Iterator<Item = (i64, i64)> {
        self.in_hand.iter().flat_map(|(session, ids)| ids.keys().map(|id| (*session, *id)))
    }

    fn entry(&mut self, session: i64, id: i64) -> Option<&mut InHand> {
        self.in_hand.get_mut(&session).and_then(|ids| ids.get_mut(&id))
    }

    /// The next message of the lane may start; or, if this one is `requeued`, those behind it are returned.
    fn advance(&mut self, job: &OutboundJob, requeued: bool) -> Vec<OutboundJob> {
        let key = (job.fence.session_id, job.chat.clone());
        let Some(lane) = self.lanes.get_mut(&key) else { return vec![] };
        if requeued {
            lane.under_way = false;
            lane.requeued = true;
            let behind = lane.waiting.drain(..).collect();
            self.requeued.insert(key);
            return behind;
        }
        match lane.waiting.pop_front() {
            Some(next) => self.places.start(next),
            None => lane.under_way = false,
        }
        vec![]
    }

    fn remove_message(&mut self, session: i64, id: i64, released: bool) {
        let Some(entry) = self.in_hand.get_mut(&session).and_then(|ids| ids.remove(&id)) else { return };
        self.stock.remove(&entry.tenant, entry.bytes);
        if released {
            self.released.insert(Fence { session_id: session, epoch: entry.epoch });
        }
        let key = (session, entry.chat);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.in_hand -= 1;
        if lane.in_hand == 0 {
            let requeued = lane.requeued;
            self.lanes.remove(&key);
            self.ended.push(EndedLane { key, requeued });
        }
    }
}
