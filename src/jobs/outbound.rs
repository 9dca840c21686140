//! Claims messages for the sessions that are connected here, lane by lane.
//!
//! A *look* goes through the queued messages of a session once, in order of priority and age, some hundred rows at a time,
//! and takes what follows in its lane on nothing or on what is in hand. What it passes over, because its lane is full or
//! waits, is asked for when all that was in hand of the lane is written. So a look is needed only when rows may have come
//! from outside, and a backlog of one busy chat is not gone through again for every message of it.

use super::lanes::{LaneKey, Lanes, MOST_OF_LANE};
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
    /// Sessions that are being looked through, and how far (negative priority, id).
    looks: HashMap<i64, (i32, i64)>,
    /// Sessions of which the last look passed over messages that can go when a lane has ended.
    passed: HashSet<i64>,
    /// For how long the present look has gone through what cannot go, and when the next may begin.
    in_vain: Duration,
    look_after: Instant,
    /// Statements that the present look has taken.
    pages: u32,
    /// Somebody asked for a look.
    look_wanted: bool,
    /// Lanes to go on with.
    ended: Vec<LaneKey>,
    /// When the next moment comes that a message is known to wait for.
    due: Option<Instant>,
    /// Sessions whose waiting messages were asked for.
    asked: HashSet<i64>,
    /// There may be a moment that is not known yet.
    ask: bool,
}

/// Before the first row.
const START: (i32, i64) = (i32::MIN, 0);

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
            in_vain: Duration::ZERO,
            look_after: now,
            pages: 0,
            look_wanted: true,
            ended: vec![],
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
        let look = self.look_wanted.then_some(self.look_after);
        look.into_iter().chain(self.due).chain(self.ask.then(Instant::now)).min()
    }

    /// One claim.
    pub async fn claim(&mut self) -> sqlx::Result<Claimed> {
        let (sessions, epochs) = self.ready.snapshot();
        self.looks.retain(|session, _| sessions.contains(session));
        let ended = self.lanes.ended().into_iter();
        self.ended
            .extend(ended.filter(|lane| lane.came_back || self.passed.contains(&lane.key.0)).map(|lane| lane.key));
        if put_down(&self.pool, self.worker_id, &self.lanes).await? {
            // Those that failed wait for their retry.
            self.ask = true;
        }
        if sessions.is_empty() {
            self.ended.clear();
            self.asked.clear();
            (self.due, self.ask) = (None, false);
            return Ok(Claimed::default());
        }
        self.asked.retain(|session| sessions.contains(session));
        let due = self.due.is_some_and(|due| self.ask || due <= Instant::now());
        if due || sessions.iter().any(|session| !self.asked.contains(session)) {
            // What has waited goes before what came.
            self.let_go(&sessions).await?;
        }
        if self.look_wanted && self.looks.is_empty() && self.look_after <= Instant::now() {
            self.look_wanted = false;
            self.in_vain = Duration::ZERO;
            self.pages = 0;
            self.looks = sessions.iter().map(|session| (*session, START)).collect();
            self.passed.clear();
        }
        let room = self.lanes.room().min(CLAIM);
        let rooms = self.lanes.room_of(&sessions);
        let looking = sessions.iter().zip(&rooms).any(|(session, room)| *room > 0 && self.looks.contains_key(session));
        let mut claimed = Claimed::default();
        if room > 0 && (looking || !self.ended.is_empty()) {
            claimed = self.take(&sessions, &epochs, &rooms, room).await?;
        }
        self.due = self.due.into_iter().chain(claimed.gate).min();
        // Where nothing is known to wait, what came does not wait for this.
        if self.ask {
            claimed.more |= self.let_go(&sessions).await?;
        }
        Ok(claimed)
    }

    async fn take(&mut self, sessions: &[i64], epochs: &[i64], rooms: &[i32], room: usize) -> sqlx::Result<Claimed> {
        let looking = !self.looks.is_empty();
        let mark = |(session, room): (&i64, &i32)| self.looks.get(session).filter(|_| *room > 0).copied().unzip();
        let (ranks, ids): (Vec<Option<i32>>, Vec<Option<i64>>) = sessions.iter().zip(rooms).map(mark).unzip();
        let look = (room / ranks.iter().flatten().count().max(1)).clamp(*LOOK.start(), *LOOK.end());
        let ended = self.ended.split_off(self.ended.len().saturating_sub(room));
        let (lane_sessions, lane_chats): (Vec<i64>, Vec<String>) =
            ended.iter().map(|(session, chat)| (*session, chat.to_string())).unzip();
        let now = self.lanes.claiming(sessions, epochs);
        let began = Instant::now();
        let rows = sqlx::query_file!(
            "sql/jobs/claim_outbound.sql",
            self.worker_id,
            sessions,
            epochs,
            rooms,
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
        let mut looked = HashMap::new();
        let mut taken: HashMap<i64, i32> = HashMap::new();
        let mut jobs = Vec::new();
        let mut gate: Option<Instant> = None;
        for row in rows {
            if let Some(more) = row.more {
                looked.insert(row.session_id, more.then_some(row.rank.zip(row.seen)));
            }
            if row.passed == Some(true) {
                self.passed.insert(row.session_id);
            }
            gate = gate.into_iter().chain(row.wait.map(|wait| after(now, wait))).min();
            let (Some(id), Some(chat), Some(kind), Some(message_id)) = (row.id, row.chat, row.kind, row.message_id)
            else {
                continue;
            };
            *taken.entry(row.session_id).or_default() += 1;
            jobs.push(OutboundJob {
                fence: Fence { session_id: row.session_id, epoch: row.epoch },
                id,
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
        let full = jobs.len() >= room;
        let mut more = false;
        for ((session, room), _) in sessions.iter().zip(rooms).zip(&ranks).filter(|(_, rank)| rank.is_some()) {
            match looked.get(session).copied().flatten() {
                Some(mark) => {
                    // Without a mark, nothing was gone past.
                    if let Some(mark) = mark {
                        self.looks.insert(*session, mark);
                    }
                    more |= !full && taken.get(session).is_none_or(|taken| taken < room);
                }
                None => {
                    self.looks.remove(session);
                }
            }
        }
        if looking {
            self.pages += 1;
            if jobs.is_empty() {
                self.in_vain += began.elapsed();
            }
            if self.looks.is_empty() && self.pages > 1 {
                self.look_after = now + self.in_vain.min(Duration::from_secs(1)) * REST;
            }
        }
        let claimed = Claimed { jobs: jobs.len(), more: more || !self.ended.is_empty(), gate };
        self.lanes.take(jobs);
        Ok(claimed)
    }

    /// Messages whose moment has come are queued like any other. True when there were any.
    async fn let_go(&mut self, sessions: &[i64]) -> sqlx::Result<bool> {
        let now = Instant::now();
        let due = sqlx::query_file!("sql/jobs/due.sql", sessions, DUE).fetch_one(&self.pool).await?;
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
    let written = sqlx::query_file!("sql/jobs/put_down.sql", worker_id, &sessions, &epochs, &hand_sessions, &hand_ids)
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

fn many(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The moment so many seconds after another.
fn after(now: Instant, seconds: f64) -> Instant {
    // A day is as good as never: every look asks anew.
    now + Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}
