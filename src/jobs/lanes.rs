//! The messages that this worker has in hand, in their lanes.
//!
//! A claim takes runs of messages, and the database's rows stay queued until something came of them. Until that is
//! written, a message is *in hand*: no claim takes it again, and nobody can withdraw it. Here they stand in lanes
//! (session, chat), each of which has one message under way and keeps the others waiting in order; a message that is to
//! be tried again, or was not tried at all, sends those behind it back (Q6). All of it is memory: if the worker dies,
//! the rows are as they were, and `wa.sending` tells the next holder what this one had.

use super::OutboundJob;
use crate::db::fence::Fence;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Session id and chat.
pub type LaneKey = (i64, Arc<str>);

/// Most messages in hand at once.
pub const MOST: usize = 4096;
/// Most messages in hand of one session. What is in hand goes before what is more urgent and came later.
pub const MOST_OF_SESSION: usize = 512;
/// A lane that has so many messages in hand gets no more until it has ended; and most that one claim adds.
pub const MOST_OF_LANE: usize = 32;

/// See the module. Clones lead to the same lanes.
#[derive(Debug, Clone)]
pub struct Lanes {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// None when nothing may begin any more.
    feed: Option<mpsc::Sender<OutboundJob>>,
    /// Most messages of one session that are begun at a time.
    most_begun: usize,
    begun: HashMap<i64, Begun>,
    lanes: HashMap<LaneKey, Lane>,
    in_hand: HashMap<i64, HashMap<i64, InHand>>,
    count: usize,
    ended: Vec<Ended>,
    given_back: HashSet<Fence>,
    /// Lanes of which messages came back since the present claim began: it may not know that.
    came_back: HashSet<LaneKey>,
}

/// Messages of a session that are under way.
#[derive(Debug, Default)]
struct Begun {
    count: usize,
    /// The next of their lanes, which wait until others of the session are over.
    next: VecDeque<OutboundJob>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Of the hold under which its messages were claimed.
    epoch: i64,
    under_way: bool,
    waiting: VecDeque<OutboundJob>,
    in_hand: usize,
    /// A message came back and is to go first: nothing may be added until the lane has ended.
    came_back: bool,
}

/// A lane of which nothing is in hand any more.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub key: LaneKey,
    /// Whether messages of it were given back.
    pub came_back: bool,
}

/// What a claim has to know.
#[derive(Debug)]
pub struct Claiming {
    /// Session ids and ids of all messages in hand, side by side.
    pub in_hand: (Vec<i64>, Vec<i64>),
    /// Session ids and chats of lanes that take no more, side by side.
    pub full: (Vec<i64>, Vec<String>),
}

#[derive(Debug)]
struct InHand {
    chat: Arc<str>,
    message_id: Arc<str>,
    epoch: i64,
    began: Option<Instant>,
    marked: bool,
}

/// A message that has been under way for a while.
#[derive(Debug)]
pub struct Lasting {
    /// Its session and the hold of it.
    pub fence: Fence,
    /// Its WhatsApp message id.
    pub message_id: Arc<str>,
    /// For how long it has been under way.
    pub since: Duration,
}

impl Lanes {
    /// No lane yet; what may begin goes into `feed`, which must have room for [`MOST`]: of each session so many at a time,
    /// so that one whose connection has gone silent leaves the others their share of those who send.
    #[must_use]
    pub fn new(feed: mpsc::Sender<OutboundJob>, most_begun: usize) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { feed: Some(feed), most_begun, ..Inner::default() })) }
    }

    /// How many messages are in hand.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().count
    }

    /// Whether messages of a session are in hand.
    #[must_use]
    pub fn has(&self, session_id: i64) -> bool {
        self.lock().in_hand.get(&session_id).is_some_and(|ids| !ids.is_empty())
    }

    /// How many more messages there is room for, in all.
    #[must_use]
    pub fn room(&self) -> usize {
        MOST.saturating_sub(self.lock().count)
    }

    /// How many more messages of each session there is room for.
    #[must_use]
    pub fn room_of(&self, sessions: &[i64]) -> Vec<usize> {
        let inner = self.lock();
        sessions
            .iter()
            .map(|id| MOST_OF_SESSION.saturating_sub(inner.in_hand.get(id).map_or(0, HashMap::len)))
            .collect()
    }

    /// Session ids and ids of all messages in hand, side by side.
    #[must_use]
    pub fn in_hand(&self) -> (Vec<i64>, Vec<i64>) {
        self.lock().in_hand()
    }

    /// A claim begins, for these sessions under these epochs; [`Lanes::take`] ends it.
    #[must_use]
    pub fn claiming(&self, sessions: &[i64], epochs: &[i64]) -> Claiming {
        let held: HashMap<i64, i64> = sessions.iter().copied().zip(epochs.iter().copied()).collect();
        let mut inner = self.lock();
        inner.came_back.clear();
        let in_hand = inner.in_hand();
        // What an earlier hold of ours took is not written yet, so nothing may go after it.
        let full = |(key, lane): &(&LaneKey, &Lane)| {
            lane.came_back || lane.in_hand >= MOST_OF_LANE || held.get(&key.0).is_some_and(|epoch| *epoch != lane.epoch)
        };
        let full = inner.lanes.iter().filter(full).map(|(key, _)| (key.0, key.1.to_string())).unzip();
        Claiming { in_hand, full }
    }

    /// Takes claimed messages in hand, in their order within each lane; what may begin begins. Gives back those whose lane
    /// changed while they were claimed.
    pub fn take(&self, jobs: impl IntoIterator<Item = OutboundJob>) {
        let mut inner = self.lock();
        for job in jobs {
            let (session, id) = (job.fence.session_id, job.id);
            let key = (session, job.chat.clone());
            let lane = inner.lanes.get(&key);
            if lane.is_some_and(|lane| lane.came_back || lane.epoch != job.fence.epoch)
                || inner.came_back.contains(&key)
            {
                inner.given_back.insert(job.fence);
                continue;
            }
            let entry = InHand {
                chat: job.chat.clone(),
                message_id: job.message_id.clone(),
                epoch: job.fence.epoch,
                began: None,
                marked: false,
            };
            inner.in_hand.entry(session).or_default().insert(id, entry);
            inner.count += 1;
            let fresh = Lane { epoch: job.fence.epoch, ..Lane::default() };
            let lane = inner.lanes.entry(key).or_insert(fresh);
            lane.in_hand += 1;
            if lane.under_way {
                lane.waiting.push_back(job);
            } else {
                lane.under_way = true;
                inner.begin(job);
            }
        }
    }

    /// The attempt of a message begins now.
    pub fn began(&self, job: &OutboundJob) {
        if let Some(it) = self.lock().in_hand.get_mut(&job.fence.session_id).and_then(|ids| ids.get_mut(&job.id)) {
            it.began = Some(Instant::now());
        }
    }

    /// The attempt of a message is over: the next one of its lane begins, or, when this one comes `again`, those behind it
    /// are given back, and returned. Also tells for how long it was under way.
    #[must_use]
    pub fn over(&self, job: &OutboundJob, again: bool) -> (Vec<OutboundJob>, Option<Duration>) {
        let mut inner = self.lock();
        let entry = inner.in_hand.get_mut(&job.fence.session_id).and_then(|ids| ids.get_mut(&job.id));
        let lasted = entry.and_then(|it| {
            // What came of it is about to be written, so that it lasted need not be.
            it.marked = true;
            it.began.map(|began| began.elapsed())
        });
        inner.one_is_over(job.fence.session_id);
        let key = (job.fence.session_id, job.chat.clone());
        let Some(lane) = inner.lanes.get_mut(&key) else {
            return (vec![], lasted);
        };
        if again {
            lane.under_way = false;
            lane.came_back = true;
            let behind = lane.waiting.drain(..).collect();
            inner.came_back.insert(key);
            return (behind, lasted);
        }
        match lane.waiting.pop_front() {
            Some(next) => inner.begin(next),
            None => lane.under_way = false,
        }
        (vec![], lasted)
    }

    /// What came of these messages (session id, id, whether it was given back) is written, so they are in hand no more.
    pub fn written(&self, messages: impl IntoIterator<Item = (i64, i64, bool)>) {
        let mut inner = self.lock();
        for (session, id, given_back) in messages {
            inner.put_down(session, id, given_back);
        }
    }

    /// Lanes of which nothing is in hand any more since the last call.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.lock().ended)
    }

    /// Holds of sessions that were given messages back since the last call.
    #[must_use]
    pub fn given_back(&self) -> HashSet<Fence> {
        std::mem::take(&mut self.lock().given_back)
    }

    /// What [`Lanes::given_back`] told could not be written, and is to be told again.
    pub fn still_given_back(&self, holds: HashSet<Fence>) {
        self.lock().given_back.extend(holds);
    }

    /// Messages that have been under way for at least `time`; each is named once.
    #[must_use]
    pub fn lasting(&self, time: Duration) -> Vec<Lasting> {
        let mut inner = self.lock();
        let mut lasting = Vec::new();
        for (session_id, ids) in &mut inner.in_hand {
            for it in ids.values_mut().filter(|it| !it.marked) {
                let Some(since) = it.began.map(|began| began.elapsed()).filter(|since| *since >= time) else {
                    continue;
                };
                it.marked = true;
                let fence = Fence { session_id: *session_id, epoch: it.epoch };
                lasting.push(Lasting { fence, message_id: it.message_id.clone(), since });
            }
        }
        lasting
    }

    /// Nothing begins any more: what waits behind others is in hand no longer, and the feed ends with what is in it.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.feed = None;
        let mut waiting: Vec<OutboundJob> = inner.lanes.values_mut().flat_map(|lane| lane.waiting.drain(..)).collect();
        waiting.extend(inner.begun.values_mut().flat_map(|begun| begun.next.drain(..)));
        for job in waiting {
            inner.put_down(job.fence.session_id, job.id, true);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn in_hand(&self) -> (Vec<i64>, Vec<i64>) {
        self.in_hand.iter().flat_map(|(session, ids)| ids.keys().map(|id| (*session, *id))).unzip()
    }

    fn begin(&mut self, job: OutboundJob) {
        let begun = self.begun.entry(job.fence.session_id).or_default();
        if begun.count >= self.most_begun {
            begun.next.push_back(job);
            return;
        }
        begun.count += 1;
        // There is room for all that may be in hand, so only an end of the worker gets here.
        if self.feed.as_ref().is_none_or(|feed| feed.try_send(job).is_err()) {
            tracing::debug!("claimed while stopping; the message is still queued");
        }
    }

    fn one_is_over(&mut self, session: i64) {
        let Some(begun) = self.begun.get_mut(&session) else { return };
        begun.count = begun.count.saturating_sub(1);
        match begun.next.pop_front() {
            Some(next) => self.begin(next),
            None if begun.count == 0 => drop(self.begun.remove(&session)),
            None => {}
        }
    }

    fn put_down(&mut self, session: i64, id: i64, given_back: bool) {
        let Some(entry) = self.in_hand.get_mut(&session).and_then(|ids| ids.remove(&id)) else { return };
        self.count -= 1;
        if given_back {
            self.given_back.insert(Fence { session_id: session, epoch: entry.epoch });
        }
        let key = (session, entry.chat);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.in_hand -= 1;
        if lane.in_hand == 0 {
            let came_back = lane.came_back;
            self.lanes.remove(&key);
            self.ended.push(Ended { key, came_back });
        }
    }
}
