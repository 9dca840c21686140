//! Claims messages for the sessions that are connected here, lane by lane.
//!
//! A *look* is one pass through a session's queued messages, page by page, in order of priority and age. It takes
//! messages that are first in their lane or follow messages in hand. It passes over messages whose lane is full or
//! waits; the claim asks for those when everything that was in hand of the lane is written. So a look is needed only
//! when others may have inserted or changed rows, and the backlog of one busy chat is not read again for every message
//! of it.

use super::lanes::{LaneKey, Lanes, MAX_IN_HAND_OF_LANE};
use super::look::{Look, LookPage};
use super::numbers::{Count, News, Numbers};
use super::reading::{Asked, Read, Reader, Request, after};
use super::rooms::{Rooms, SMALL_ROOM_INTERVAL};
use super::{Ready, read_paced, read_plain};
use crate::db::Db;
use crate::db::fence::Fence;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Most messages of one claim.
const CLAIM: usize = 1000;
/// Waiting messages of a session that one statement releases.
const DUE: i64 = 200;
/// A look through many pages without a message to take costs time in proportion to the backlog. The next look at the
/// session waits this many times as long as those pages took.
const REST: u32 = 4;

/// Claims the messages of one worker, see the module.
#[derive(Debug)]
pub struct Outbound {
    reader: Reader,
    numbers: Numbers,
    /// Looks under way, by session.
    looks: HashMap<i64, Look>,
    /// Sessions whose last look passed over messages that can go when a lane has ended.
    passed: HashSet<i64>,
    /// Sessions whose next look waits for the end of the present look or of its rest.
    wanted: HashSet<i64>,
    /// Sessions that were found to have a pacing, since the last look at all of them.
    paced: HashSet<i64>,
    rests: HashMap<i64, Instant>,
    /// A look at every session is requested.
    look_at_all: bool,
    /// Ended lanes whose next messages are to be claimed.
    ended_lanes: Vec<LaneKey>,
    rooms: Rooms,
    /// When small room will be used, if messages are known to wait for it.
    small_room_at: Option<Instant>,
    /// The next moment for which a message is known to wait.
    next_due: Option<Instant>,
    /// Sessions whose waiting messages count in `next_due`.
    due_known: HashSet<i64>,
    /// A message may wait for a moment that is not known yet.
    due_unknown: bool,
}

impl Outbound {
    /// Nothing claimed yet. First contacts, and messages that expire, are counted in `numbers`.
    #[must_use]
    pub fn new(pool: Db, worker_id: Uuid, ready: Ready, lanes: Lanes, numbers: Numbers) -> Self {
        let now = Instant::now();
        Self {
            rooms: Rooms::new(lanes.clone()),
            reader: Reader { pool, worker_id, ready, lanes },
            numbers,
            looks: HashMap::new(),
            passed: HashSet::new(),
            wanted: HashSet::new(),
            paced: HashSet::new(),
            rests: HashMap::new(),
            look_at_all: true,
            ended_lanes: vec![],
            small_room_at: None,
            next_due: Some(now),
            due_known: HashSet::new(),
            due_unknown: true,
        }
    }

    /// Rows may have been inserted or changed: the next claim looks at every session.
    pub fn look(&mut self) {
        self.look_at_all = true;
        // A new row may be due before the known moment.
        self.due_unknown = true;
    }

    /// The same for one session.
    pub fn look_at(&mut self, session_id: i64) {
        self.wanted.insert(session_id);
        self.due_unknown = true;
    }

    /// When [`Outbound::claim`] has something to do without being woken.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let wanted = self.wanted.iter().filter(|session| !self.looks.contains_key(session));
        let look = wanted.map(|session| self.rests.get(session).copied().unwrap_or(now)).min();
        // Without a connected session there is nothing to look at; the next one that connects rings.
        let look = if self.look_at_all && self.reader.ready.count() > 0 { Some(now) } else { look };
        look.into_iter().chain(self.small_room_at).chain(self.next_due).chain(self.due_unknown.then_some(now)).min()
    }

    /// Whether messages are known to wait for room that is soon free.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        self.rooms.last_take.elapsed() < 2 * SMALL_ROOM_INTERVAL
            && !(self.looks.is_empty() && self.ended_lanes.is_empty())
    }

    /// Makes one claim.
    pub async fn claim(&mut self) -> sqlx::Result<Claimed> {
        let (sessions, epochs) = self.reader.ready.snapshot();
        let here: HashSet<i64> = sessions.iter().copied().collect();
        self.looks.retain(|session, _| here.contains(session));
        self.wanted.retain(|session| here.contains(session));
        self.rests.retain(|session, _| here.contains(session));
        let ended = self.reader.lanes.ended().into_iter();
        self.ended_lanes
            .extend(ended.filter(|lane| lane.requeued || self.passed.contains(&lane.key.0)).map(|lane| lane.key));
        // Once each: a lane that is asked for twice would give the same message twice.
        let mut asked = HashSet::new();
        self.ended_lanes.retain(|lane| here.contains(&lane.0) && asked.insert(lane.clone()));
        if release_unsent(&self.reader.pool, self.reader.worker_id, &self.reader.lanes).await? {
            // Messages that failed wait for their retry.
            self.due_unknown = true;
        }
        if sessions.is_empty() {
            self.due_known.clear();
            (self.next_due, self.due_unknown, self.small_room_at) = (None, false, None);
            return Ok(Claimed::default());
        }
        self.due_known.retain(|session| here.contains(session));
        let due = self.next_due.is_some_and(|due| self.due_unknown || due <= Instant::now());
        if due || sessions.iter().any(|session| !self.due_known.contains(session)) {
            // Messages that have waited go before new ones.
            self.release_due(&sessions).await?;
        }
        if std::mem::take(&mut self.look_at_all) {
            self.wanted.clone_from(&here);
            self.paced.clear();
        }
        self.begin_looks();
        self.rooms.keep(&self.reader.pool, &sessions).await?;
        let room = self.rooms.usable(&sessions);
        let (room, rooms) = (room.all.min(CLAIM), room.of_sessions);
        let mut claimed = Claimed::default();
        if room > 0 {
            claimed = self.take(&sessions, &epochs, &rooms, room).await?;
        }
        self.small_room_at = self.next_small_room(&sessions);
        self.next_due = self.next_due.into_iter().chain(claimed.gate).min();
        // If no message is known to wait, new messages are claimed before this query.
        if self.due_unknown {
            claimed.more |= self.release_due(&sessions).await?;
        }
        Ok(claimed)
    }

    fn begin_looks(&mut self) {
        let now = Instant::now();
        let Self { looks, passed, wanted, rests, .. } = self;
        wanted.retain(|session| {
            let waits = looks.contains_key(session) || rests.get(session).is_some_and(|rest| *rest > now);
            if !waits {
                looks.insert(*session, Look::START);
                passed.remove(session);
            }
            waits
        });
    }

    /// Sessions with something to claim and room for it.
    fn pending<'a>(&self, sessions: &'a [i64], rooms: &'a [usize]) -> impl Iterator<Item = (i64, usize)> {
        let ended: HashSet<i64> = self.ended_lanes.iter().map(|(session, _)| *session).collect();
        let with_room = sessions.iter().copied().zip(rooms.iter().copied()).filter(|(_, room)| *room > 0);
        with_room.filter(move |(session, _)| self.looks.contains_key(session) || ended.contains(session))
    }

    fn next_small_room(&self, sessions: &[i64]) -> Option<Instant> {
        let room = self.rooms.free(sessions);
        if room.all == 0 {
            return None;
        }
        let pending = self.pending(sessions, &room.of_sessions);
        let when = pending.map(|(session, of_session)| self.rooms.usable_at(session, of_session)).min()?;
        Some(when.max(self.rooms.all_usable_at(room.all)))
    }

    /// Claims for the sessions with something to claim and room for it, first those without a pacing.
    async fn take(&mut self, sessions: &[i64], epochs: &[i64], rooms: &[usize], room: usize) -> sqlx::Result<Claimed> {
        let pending: HashMap<i64, usize> = self.pending(sessions, rooms).collect();
        let asked = sessions.iter().zip(epochs).filter_map(|(session_id, epoch)| {
            let fence = Fence { session_id: *session_id, epoch: *epoch };
            let mark = self.looks.get(session_id).map(|look| look.mark);
            let room = *pending.get(session_id)?;
            Some(Asked { fence, room, page: room, mark })
        });
        let (paced, plain): (Vec<Asked>, Vec<Asked>) =
            asked.partition(|asked| self.paced.contains(&asked.fence.session_id));
        let mut claimed = Claimed::default();
        for (sessions, paced) in [(plain, false), (paced, true)] {
            let left = room.saturating_sub(claimed.jobs);
            if !sessions.is_empty() && left > 0 {
                let more = self.take_of(sessions, paced, left).await?;
                claimed = Claimed {
                    jobs: claimed.jobs + more.jobs,
                    more: claimed.more || more.more,
                    gate: claimed.gate.into_iter().chain(more.gate).min(),
                };
            }
        }
        Ok(claimed)
    }

    async fn take_of(&mut self, mut sessions: Vec<Asked>, paced: bool, room: usize) -> sqlx::Result<Claimed> {
        let here: HashSet<i64> = sessions.iter().map(|asked| asked.fence.session_id).collect();
        let (mut ended, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ended_lanes).into_iter().partition(|(session, _)| here.contains(session));
        // Lanes get half of the room, if there are looks, too.
        let looking = sessions.iter().filter(|asked| asked.mark.is_some()).count();
        let for_lanes = if looking > 0 { room.div_ceil(2) } else { room };
        let beyond = ended.split_off(ended.len().min(for_lanes));
        let more_ended = !beyond.is_empty();
        self.ended_lanes.extend(later.into_iter().chain(beyond));
        let of_lane = (for_lanes / ended.len().max(1)).clamp(1, MAX_IN_HAND_OF_LANE);
        let for_looks = room - (of_lane * ended.len()).min(room);
        // Sessions take turns, so that none starves the others: what one does not use, the next claim gives to those that
        // have more.
        let share = (for_looks / looking.max(1)).max(1);
        for asked in &mut sessions {
            asked.page = asked.page.min(share);
        }
        let request = Request { sessions, lanes: ended, room };
        let began = Instant::now();
        let read = if paced {
            read_paced::read(&self.reader, &self.rooms, &request).await
        } else {
            read_plain::read(&self.reader, &self.rooms, &request, of_lane).await
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.ended_lanes.extend(request.lanes);
                return Err(error);
            }
        };
        let (sessions, ids): (Vec<i64>, Vec<i64>) = read.over.iter().copied().unzip();
        let mut claimed = self.taken(&request, read, began.elapsed());
        if !ids.is_empty() {
            tracing::warn!(count = ids.len(), "messages that are over left the queue");
            sqlx::query_file!("sql/jobs/forget_over.sql", &sessions, &ids).execute(&self.reader.pool).await?;
        }
        claimed.more |= more_ended || !ids.is_empty();
        Ok(claimed)
    }

    /// Takes what a claim has read, and notes how far each look came.
    fn taken(&mut self, request: &Request, mut read: Read, time: Duration) -> Claimed {
        for (session, at) in read.met.drain(..) {
            self.numbers.happened(at, session, Count::FirstContacts, 1);
        }
        self.rooms.used(request.ids().into_iter(), read.messages, read.bytes);
        self.rooms.wait_for(&read.busy);
        let unread = |session: &i64| read.busy.contains(session) || read.paced.contains(session);
        self.ended_lanes.extend(request.lanes.iter().filter(|(session, _)| unread(session)).cloned());
        let full = read.messages >= request.room;
        let mut more = !read.paced.is_empty();
        let each = time / u32::try_from(request.looking()).unwrap_or(u32::MAX).max(1);
        for asked in request.sessions.iter().filter(|asked| asked.mark.is_some()) {
            let session = asked.fence.session_id;
            if !unread(&session) {
                let page = read.pages.remove(&session).unwrap_or_default();
                more |= page.more && !full;
                self.finish_page(session, &page, each);
            }
        }
        self.paced.extend(read.paced);
        self.passed.extend(read.passed);
        for fence in read.returned {
            self.reader.lanes.give_back(fence);
        }
        for key in read.ask {
            self.passed.insert(key.0);
            self.ended_lanes.push(key);
        }
        let claimed = Claimed { jobs: read.jobs.len(), more, gate: read.gate };
        self.reader.lanes.take(read.jobs);
        claimed
    }

    /// Expires at most `most` messages, of any session, whose time is over and that nobody has in hand.
    pub async fn expire(&self, most: i64) -> sqlx::Result<()> {
        if let Some(ended) = sqlx::query_file!("sql/jobs/expire.sql", most).fetch_optional(&self.reader.pool).await? {
            let news = ended.sessions.into_iter().zip(ended.new).zip(ended.campaigns);
            let news = news.map(|((session_id, new), campaign)| News { session_id, campaign, new, since: None });
            self.numbers.changed(ended.at, news);
        }
        Ok(())
    }

    /// Records one page of a session's look and the time that the page took.
    fn finish_page(&mut self, session: i64, page: &LookPage, time: Duration) {
        let Some(look) = self.looks.get_mut(&session) else { return };
        look.pages += 1;
        if page.taken == 0 {
            look.fruitless += time;
        }
        // Without a mark, no row was read.
        look.mark = page.mark.unwrap_or(look.mark);
        if page.more {
            return;
        }
        if look.pages > 1 {
            self.rests.insert(session, Instant::now() + look.fruitless.min(Duration::from_secs(1)) * REST);
        }
        self.looks.remove(&session);
    }

    /// Queues waiting messages whose moment has come. True when there were any.
    async fn release_due(&mut self, sessions: &[i64]) -> sqlx::Result<bool> {
        let now = Instant::now();
        let due = sqlx::query_file!("sql/jobs/release_due.sql", sessions, DUE).fetch_one(&self.reader.pool).await?;
        let known = self.next_due.filter(|due| *due > now);
        self.next_due = known.into_iter().chain(due.wait.map(|wait| after(now, wait))).min();
        self.due_known = sessions.iter().copied().collect();
        self.due_unknown = false;
        self.look_at_all |= due.gone > 0;
        Ok(due.gone > 0)
    }
}

/// Writes what worker `worker_id` still has in hand, for the sessions whose messages were released. True when there
/// were any such sessions.
pub async fn release_unsent(pool: &Db, worker_id: Uuid, lanes: &Lanes) -> sqlx::Result<bool> {
    let holds = lanes.take_released();
    if holds.is_empty() {
        return Ok(false);
    }
    let (sessions, epochs): (Vec<i64>, Vec<i64>) = holds.iter().map(|hold| (hold.session_id, hold.epoch)).unzip();
    let (hand_sessions, hand_ids) = lanes.in_hand();
    let written = sqlx::query_file!("sql/jobs/set_taken.sql", worker_id, &sessions, &epochs, &hand_sessions, &hand_ids)
        .fetch_all(pool)
        .await;
    match written {
        Ok(locked) => {
            let fences = locked.into_iter().map(|row| Fence { session_id: row.session_id, epoch: row.epoch });
            lanes.restore_released(fences.collect());
            Ok(true)
        }
        Err(error) => {
            lanes.restore_released(holds);
            Err(error)
        }
    }
}

/// The result of a claim.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claimed {
    /// Messages taken in hand.
    pub jobs: usize,
    /// Another claim now may find more.
    pub more: bool,
    /// When a paced session may send again.
    gate: Option<Instant>,
}
