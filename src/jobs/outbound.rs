//! Claims messages for the sessions that are connected here, lane by lane.
//!
//! A *look* goes through the queued messages of a session once, in order of priority and age, some hundred rows at a time,
//! and takes what follows in its lane on nothing or on what is in hand. What it passes over, because its lane is full or
//! waits, is asked for when all that was in hand of the lane is written. So a look is needed only when rows may have come
//! from outside, and a backlog of one busy chat is not gone through again for every message of it.

use super::lanes::{LaneKey, Lanes, MOST, MOST_OF_LANE, MOST_OF_SESSION};
use super::{OutboundJob, Ready};
use crate::db::Db;
use crate::db::fence::Fence;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Rows of one session that one statement looks through: not many more than there is room for, since what cannot be taken is
/// looked at again.
const LOOK: std::ops::RangeInclusive<usize> = 32..=500;
/// Most messages of one claim.
const CLAIM: usize = 1000;
/// Waiting messages of a session that one statement lets go.
const DUE: i64 = 200;
/// A look through many pages of which nothing can go takes as long as the backlog is deep; the next one waits this many times
/// as long as these have taken.
const REST: u32 = 4;

/// See the module.
#[derive(Debug)]
pub struct Outbound {
    pool: Db,
    worker_id: Uuid,
    ready: Ready,
    lanes: Lanes,
    /// Sessions that are being looked through.
    looks: HashMap<i64, Look>,
    /// Sessions of which the last look passed over messages that can go when a lane has ended.
    passed: HashSet<i64>,
    /// Sessions that are to be looked through, when their present look and their rest are over.
    wanted: HashSet<i64>,
    rests: HashMap<i64, Instant>,
    /// Somebody asked for a look.
    look_wanted: bool,
    /// Lanes to go on with.
    ended: Vec<LaneKey>,
    /// When messages were last taken, and when a session was last among those that could take some.
    took: Instant,
    asked_at: HashMap<i64, Instant>,
    /// When what little room there is will be used for what is known to be there.
    little: Option<Instant>,
    /// When the next moment comes that a message is known to wait for.
    due: Option<Instant>,
    /// Sessions whose waiting messages were asked for.
    asked: HashSet<i64>,
    /// There may be a moment that is not known yet.
    ask: bool,
}

/// A claim costs the more the more is in hand, so less than this part of the room is used only every so often: what is in
/// hand keeps everybody busy meanwhile.
const ENOUGH: usize = 4;
const PATIENCE: Duration = Duration::from_millis(100);

/// A look at one session. Each has its own, so that one without room holds up no other.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// How far it has come (negative priority, id).
    mark: (i32, i64),
    /// For how long it has gone through what cannot go.
    in_vain: Duration,
    /// Statements that it has taken.
    pages: u32,
}

/// What came of a page of a look.
#[derive(Debug, Default)]
struct Page {
    /// Whether there may be more, and how far it came, if anything was gone past.
    more: bool,
    mark: Option<(i32, i64)>,
    /// Messages taken.
    taken: usize,
}

impl Look {
    /// Before the first row.
    const START: Self = Self { mark: (i32::MIN, 0), in_vain: Duration::ZERO, pages: 0 };
}

impl Outbound {
    /// Nothing claimed yet.
    #[must_use]
    pub fn new(pool: Db, worker_id: Uuid, ready: Ready, lanes: Lanes) -> Self {
        let now = Instant::now();
        Self {
            pool,
            worker_id,
            ready,
            lanes,
            looks: HashMap::new(),
            passed: HashSet::new(),
            wanted: HashSet::new(),
            rests: HashMap::new(),
            look_wanted: true,
            ended: vec![],
            took: now,
            asked_at: HashMap::new(),
            little: None,
            due: Some(now),
            asked: HashSet::new(),
            ask: true,
        }
    }

    /// Rows may have come.
    pub fn look(&mut self) {
        self.look_wanted = true;
        // What came may be due before what was known.
        self.ask = true;
    }

    /// When [`Outbound::claim`] has something to do without being told.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let wanted = self.wanted.iter().filter(|session| !self.looks.contains_key(session));
        let look = wanted.map(|session| self.rests.get(session).copied().unwrap_or(now)).min();
        let look = if self.look_wanted { Some(now) } else { look };
        look.into_iter().chain(self.little).chain(self.due).chain(self.ask.then_some(now)).min()
    }

    /// Whether messages are known to be there that will soon have room.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        self.took.elapsed() < 2 * PATIENCE && !(self.looks.is_empty() && self.ended.is_empty())
    }

    /// One claim.
    pub async fn claim(&mut self) -> sqlx::Result<Claimed> {
        let (sessions, epochs) = self.ready.snapshot();
        let here: HashSet<i64> = sessions.iter().copied().collect();
        self.looks.retain(|session, _| here.contains(session));
        self.wanted.retain(|session| here.contains(session));
        self.rests.retain(|session, _| here.contains(session));
        let ended = self.lanes.ended().into_iter();
        self.ended
            .extend(ended.filter(|lane| lane.came_back || self.passed.contains(&lane.key.0)).map(|lane| lane.key));
        self.ended.retain(|(session, _)| here.contains(session));
        if put_down(&self.pool, self.worker_id, &self.lanes).await? {
            // Those that failed wait for their retry.
            self.ask = true;
        }
        if sessions.is_empty() {
            self.asked.clear();
            (self.due, self.ask, self.little) = (None, false, None);
            return Ok(Claimed::default());
        }
        self.asked.retain(|session| here.contains(session));
        let due = self.due.is_some_and(|due| self.ask || due <= Instant::now());
        if due || sessions.iter().any(|session| !self.asked.contains(session)) {
            // What has waited goes before what came.
            self.let_go(&sessions).await?;
        }
        if std::mem::take(&mut self.look_wanted) {
            self.wanted.clone_from(&here);
        }
        self.begin_looks();
        self.asked_at.retain(|session, _| here.contains(session));
        let room = usable(self.lanes.room(), MOST, Some(self.took)).min(CLAIM);
        let rooms = self.lanes.room_of(&sessions);
        let rooms: Vec<usize> = sessions
            .iter()
            .zip(rooms)
            .map(|(session, room)| usable(room, MOST_OF_SESSION, self.asked_at.get(session).copied()))
            .collect();
        let mut claimed = Claimed::default();
        if room > 0 && self.pending(&sessions, &rooms).next().is_some() {
            claimed = self.take(&sessions, &epochs, &rooms, room).await?;
        }
        self.little = self.next_little(&sessions);
        self.due = self.due.into_iter().chain(claimed.gate).min();
        // Where nothing is known to wait, what came does not wait for this.
        if self.ask {
            claimed.more |= self.let_go(&sessions).await?;
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

    /// Sessions with something to look for and room for it.
    fn pending<'a>(&self, sessions: &'a [i64], rooms: &'a [usize]) -> impl Iterator<Item = (i64, usize)> {
        let ended: HashSet<i64> = self.ended.iter().map(|(session, _)| *session).collect();
        let with_room = sessions.iter().copied().zip(rooms.iter().copied()).filter(|(_, room)| *room > 0);
        with_room.filter(move |(session, _)| self.looks.contains_key(session) || ended.contains(session))
    }

    fn next_little(&self, sessions: &[i64]) -> Option<Instant> {
        let (room, rooms) = (self.lanes.room(), self.lanes.room_of(sessions));
        if room == 0 {
            return None;
        }
        let when = self
            .pending(sessions, &rooms)
            .map(|(session, room)| usable_at(room, MOST_OF_SESSION, self.asked_at.get(&session).copied()))
            .min()?;
        Some(when.max(usable_at(room, MOST, Some(self.took))))
    }

    async fn take(&mut self, sessions: &[i64], epochs: &[i64], rooms: &[usize], room: usize) -> sqlx::Result<Claimed> {
        let mark = |(session, room): (&i64, &usize)| {
            self.looks.get(session).filter(|_| *room > 0).map(|look| look.mark).unzip()
        };
        let (ranks, ids): (Vec<Option<i32>>, Vec<Option<i64>>) = sessions.iter().zip(rooms).map(mark).unzip();
        let looking = ranks.iter().flatten().count().max(1);
        let look = (room / looking).clamp(*LOOK.start(), *LOOK.end());
        let full: HashSet<i64> =
            sessions.iter().zip(rooms).filter(|(_, room)| **room == 0).map(|(session, _)| *session).collect();
        let (later, mut ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ended).into_iter().partition(|(session, _)| full.contains(session));
        let beyond = ended.split_off(ended.len().min(room));
        let more_ended = !beyond.is_empty();
        self.ended.extend(later.into_iter().chain(beyond));
        let most: Vec<i32> = rooms.iter().map(|room| i32::try_from(*room).unwrap_or(i32::MAX)).collect();
        let (lane_sessions, lane_chats): (Vec<i64>, Vec<String>) =
            ended.iter().map(|(session, chat)| (*session, chat.to_string())).unzip();
        let now = self.lanes.claiming(sessions, epochs);
        let began = Instant::now();
        let rows = sqlx::query_file!(
            "sql/jobs/claim_outbound.sql",
            self.worker_id,
            sessions,
            epochs,
            &most,
            &ranks as &[Option<i32>],
            &ids as &[Option<i64>],
            many(look),
            many(MOST_OF_LANE),
            many(room),
            &now.in_hand.0,
            &now.in_hand.1,
            &lane_sessions,
            &lane_chats,
            &now.full.0,
            &now.full.1
        )
        .fetch_all(&self.pool)
        .await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                self.ended.extend(ended);
                return Err(error);
            }
        };
        let now = Instant::now();
        let with_room = sessions.iter().zip(rooms).filter(|(_, room)| **room > 0);
        self.asked_at.extend(with_room.map(|(session, _)| (*session, now)));
        let mut pages: HashMap<i64, Page> = HashMap::new();
        let mut jobs = Vec::new();
        let mut gate: Option<Instant> = None;
        for row in rows {
            let page = pages.entry(row.session_id).or_default();
            if let Some(more) = row.more {
                (page.more, page.mark) = (more, row.rank.zip(row.seen));
            }
            if row.passed == Some(true) {
                self.passed.insert(row.session_id);
            }
            gate = gate.into_iter().chain(row.wait.map(|wait| after(now, wait))).min();
            let (Some(id), Some(chat), Some(kind), Some(message_id)) = (row.id, row.chat, row.kind, row.message_id)
            else {
                continue;
            };
            page.taken += 1;
            jobs.push(OutboundJob {
                fence: Fence { session_id: row.session_id, epoch: row.epoch },
                id,
                session: self.ready.name(row.session_id),
                chat: chat.into(),
                kind,
                body: row.body,
                content: row.content,
                message_id: message_id.into(),
                attempts: row.attempts.unwrap_or(0) + 1,
                deadline: row.expires_in.map(|left| after(now, left)),
                typing: row.typing.unwrap_or(false),
            });
        }
        if !jobs.is_empty() {
            self.took = now;
        }
        let full = jobs.len() >= room;
        let mut more = false;
        let each = began.elapsed() / u32::try_from(looking).unwrap_or(u32::MAX);
        for ((session, room), _) in sessions.iter().zip(rooms).zip(&ranks).filter(|(_, rank)| rank.is_some()) {
            let page = pages.remove(session).unwrap_or_default();
            more |= page.more && !full && page.taken < *room;
            self.looked(*session, &page, each);
        }
        let claimed = Claimed { jobs: jobs.len(), more: more || more_ended, gate };
        self.lanes.take(jobs);
        Ok(claimed)
    }

    /// A page of a session's look is done, and has taken so long.
    fn looked(&mut self, session: i64, page: &Page, time: Duration) {
        let Some(look) = self.looks.get_mut(&session) else { return };
        look.pages += 1;
        if page.taken == 0 {
            look.in_vain += time;
        }
        // Without a mark, nothing was gone past.
        look.mark = page.mark.unwrap_or(look.mark);
        if page.more {
            return;
        }
        if look.pages > 1 {
            self.rests.insert(session, Instant::now() + look.in_vain.min(Duration::from_secs(1)) * REST);
        }
        self.looks.remove(&session);
    }

    /// Messages whose moment has come are queued like any other. True when there were any.
    async fn let_go(&mut self, sessions: &[i64]) -> sqlx::Result<bool> {
        let now = Instant::now();
        let due = sqlx::query_file!("sql/jobs/release_due.sql", sessions, DUE).fetch_one(&self.pool).await?;
        let known = self.due.filter(|due| *due > now);
        self.due = known.into_iter().chain(due.wait.map(|wait| after(now, wait))).min();
        self.asked = sessions.iter().copied().collect();
        self.ask = false;
        self.look_wanted |= due.gone > 0;
        Ok(due.gone > 0)
    }
}

/// Says in the database what worker `worker_id` was given back and has in hand no more. True when there was anything.
pub async fn put_down(pool: &Db, worker_id: Uuid, lanes: &Lanes) -> sqlx::Result<bool> {
    let holds = lanes.given_back();
    if holds.is_empty() {
        return Ok(false);
    }
    let (sessions, epochs): (Vec<i64>, Vec<i64>) = holds.iter().map(|hold| (hold.session_id, hold.epoch)).unzip();
    let (hand_sessions, hand_ids) = lanes.in_hand();
    let written = sqlx::query_file!("sql/jobs/set_taken.sql", worker_id, &sessions, &epochs, &hand_sessions, &hand_ids)
        .execute(pool)
        .await;
    if written.is_err() {
        lanes.still_given_back(holds);
    }
    written.map(|_| true)
}

/// What came of a claim.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claimed {
    /// So many messages were taken in hand.
    pub jobs: usize,
    /// Another claim now may find more.
    pub more: bool,
    /// When a paced session may go on.
    gate: Option<Instant>,
}

/// What of the room is used now, when some of it was used at that time.
fn usable(room: usize, most: usize, last: Option<Instant>) -> usize {
    if usable_at(room, most, last) <= Instant::now() { room } else { 0 }
}

fn usable_at(room: usize, most: usize, last: Option<Instant>) -> Instant {
    let now = Instant::now();
    if room * ENOUGH >= most { now } else { last.map_or(now, |last| last + PATIENCE) }
}

fn many(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The moment so many seconds after another.
fn after(now: Instant, seconds: f64) -> Instant {
    // A day is as good as never: every look asks anew.
    now + Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}
