//! Claims messages for the sessions that are connected here, lane by lane.
//!
//! A *look* is one pass through a session's queued messages, page by page, in order of priority and age. It takes
//! messages that are first in their lane or follow messages in hand. It passes over messages whose lane is full or
//! waits; the claim asks for those when everything that was in hand of the lane is written. So a look is needed only
//! when others may have inserted or changed rows, and the backlog of one busy chat is not read again for every message
//! of it.

use super::gate::{Gate, Place, State, gate};
use super::lanes::{LaneKey, Lanes, MAX_IN_HAND_OF_LANE};
use super::look::{Look, LookPage};
use super::numbers::{Count, News, Numbers};
use super::reading::{Asked, Read, Request};
use super::rooms::{Rooms, SMALL_ROOM_INTERVAL};
use super::stock::{Stock, bytes_of};
use super::{OutboundJob, Ready};
use crate::db::Db;
use crate::db::fence::Fence;
use futures::TryStreamExt as _;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Rows of one paced session that one page reads. Not many more than there is room for, because rows that cannot be taken
/// are read again.
const LOOK: std::ops::RangeInclusive<usize> = 32..=500;
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
    pool: Db,
    worker_id: Uuid,
    ready: Ready,
    lanes: Lanes,
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
            pool,
            worker_id,
            ready,
            rooms: Rooms::new(lanes.clone()),
            lanes,
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
        let look = if self.look_at_all { Some(now) } else { look };
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
        let (sessions, epochs) = self.ready.snapshot();
        let here: HashSet<i64> = sessions.iter().copied().collect();
        self.looks.retain(|session, _| here.contains(session));
        self.wanted.retain(|session| here.contains(session));
        self.rests.retain(|session, _| here.contains(session));
        let ended = self.lanes.ended().into_iter();
        self.ended_lanes
            .extend(ended.filter(|lane| lane.requeued || self.passed.contains(&lane.key.0)).map(|lane| lane.key));
        // Once each: a lane that is asked for twice would give the same message twice.
        let mut asked = HashSet::new();
        self.ended_lanes.retain(|lane| here.contains(&lane.0) && asked.insert(lane.clone()));
        if release_unsent(&self.pool, self.worker_id, &self.lanes).await? {
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
        self.rooms.keep(&self.pool, &sessions).await?;
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
            Some(Asked { fence, room: *pending.get(session_id)?, mark })
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
        for asked in sessions.iter_mut().filter(|_| !paced) {
            asked.room = asked.room.min(share);
        }
        let request = Request { sessions, lanes: ended, room };
        let began = Instant::now();
        let read = if paced { self.read_paced(&request).await } else { self.read(&request, of_lane).await };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.ended_lanes.extend(request.lanes);
                return Err(error);
            }
        };
        if !read.over.is_empty() {
            tracing::warn!(count = read.over.len(), "messages that are over left the queue");
            let (sessions, ids): (Vec<i64>, Vec<i64>) = read.over.iter().copied().unzip();
            sqlx::query_file!("sql/jobs/forget_over.sql", &sessions, &ids).execute(&self.pool).await?;
        }
        let mut claimed = self.taken(&request, read, began.elapsed());
        claimed.more |= more_ended;
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
        let mut more = !read.paced.is_empty() || !read.over.is_empty();
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
            self.lanes.give_back(fence);
        }
        for key in read.ask {
            self.passed.insert(key.0);
            self.ended_lanes.push(key);
        }
        let claimed = Claimed { jobs: read.jobs.len(), more, gate: read.gate };
        self.lanes.take(read.jobs);
        claimed
    }

    /// Claims for sessions without a pacing, at most `of_lane` messages of each ended lane.
    async fn read(&self, request: &Request, of_lane: usize) -> sqlx::Result<Read> {
        let (ids, epochs, (ranks, marks)) = (request.ids(), request.epochs(), request.marks());
        let (lane_sessions, lane_chats) = request.lane_keys();
        let now = self.lanes.claiming(&ids, &epochs);
        let rooms: Vec<i32> =
            request.sessions.iter().map(|asked| i32::try_from(asked.room).unwrap_or(i32::MAX)).collect();
        let (from, to): (Vec<i32>, Vec<i32>) = ids.iter().map(|session| now.range_of(*session)).unzip();
        let mut rows = sqlx::query_file!(
            "sql/jobs/claim_outbound.sql",
            self.worker_id,
            &ids,
            &epochs,
            &rooms,
            &ranks as &[Option<i16>],
            &marks as &[Option<i64>],
            &from,
            &to,
            &now.in_hand.1,
            &lane_sessions,
            &lane_chats,
            to_bigint(of_lane),
            &now.full.0,
            &now.full.1
        )
        .fetch(&self.pool);
        let (mut read, mut stock) = (Read::default(), self.lanes.stock());
        let held: HashSet<i64> = now.in_hand.1.iter().copied().collect();
        let mut of_sessions: HashMap<i64, Vec<Row>> = HashMap::new();
        while let Some(row) = rows.try_next().await? {
            let session = row.session_id;
            if row.paced {
                read.paced.insert(session);
            }
            if row.busy {
                read.busy.insert(session);
            }
            let (Some(id), Some(rank), Some(chat)) = (row.id, row.rank, row.chat) else { continue };
            if row.looked {
                let page = read.pages.entry(session).or_default();
                (page.mark, page.read) = (Some((rank, id)), page.read + 1);
            }
            let body = row.kind.zip(row.message_id).map(|(kind, message_id)| Queued {
                kind,
                message_id,
                body: row.body,
                content: row.content,
                attempts: row.attempts.unwrap_or(0) + 1,
                deadline: row.expires_in.map(|left| after(Instant::now(), left)),
                timer: row.timer.and_then(|seconds| u32::try_from(seconds).ok()),
            });
            let entry = Row { id, rank, chat, before: row.before, state: State::PassedOver, message: None };
            let entry = match body {
                _ if !row.took && held.contains(&id) => Row { state: State::InHand, ..entry },
                Some(message) => self.admit(entry, message, session, &mut stock, &mut read),
                None if row.took => {
                    read.over.push((session, id));
                    Row { state: State::Refused, ..entry }
                }
                None => entry,
            };
            of_sessions.entry(session).or_default().push(entry);
        }
        drop(rows);
        let mut turns = Vec::new();
        for asked in &request.sessions {
            let session = asked.fence.session_id;
            if let Some(page) = read.pages.get_mut(&session) {
                page.more = page.read >= asked.room;
            }
            let Some(rows) = of_sessions.remove(&session) else { continue };
            let gated = gate(&Row::places(&rows), |id| held.contains(&id), MAX_IN_HAND_OF_LANE, asked.room);
            self.pass(asked.fence, rows, gated, &mut read, &mut turns);
        }
        // Sessions take turns.
        turns.sort_by_key(|(turn, _)| *turn);
        read.jobs = turns.into_iter().map(|(_, job)| job).collect();
        Ok(read)
    }

    /// Measures a message as it arrives: one for which its tenant has no room is not kept.
    fn admit(&self, row: Row, message: Queued, session: i64, stock: &mut Stock, read: &mut Read) -> Row {
        let bytes = bytes_of(message.body.as_deref(), message.content.as_ref());
        read.messages += 1;
        read.bytes += bytes;
        if stock.admit(&self.rooms.tenant(session), bytes) {
            Row { state: State::Claimed, message: Some((message, bytes)), ..row }
        } else {
            Row { state: State::Refused, ..row }
        }
    }

    /// Makes jobs of the messages that go, each with its turn, and notes what is returned.
    fn pass(
        &self,
        fence: Fence,
        mut rows: Vec<Row>,
        gated: Gate,
        read: &mut Read,
        turns: &mut Vec<(usize, OutboundJob)>,
    ) {
        let session = fence.session_id;
        if gated.passed {
            read.passed.insert(session);
        }
        if !gated.returned.is_empty() {
            read.returned.insert(fence);
        }
        read.ask.extend(gated.ask.iter().map(|at| (session, rows[*at].chat.as_str().into())));
        let (name, tenant) = (self.ready.name(session), self.rooms.tenant(session));
        for (turn, at) in gated.go.into_iter().enumerate() {
            let row = &mut rows[at];
            let Some((message, bytes)) = row.message.take() else { continue };
            if let Some(page) = read.pages.get_mut(&session) {
                page.taken += 1;
            }
            let chat = std::mem::take(&mut row.chat).into();
            turns.push((turn, message.into_job(fence, row.id, chat, name.clone(), tenant.clone(), bytes)));
        }
    }

    /// Claims for sessions with a pacing. Messages are measured as they arrive: those for which their tenant has no room
    /// are not kept, and neither are those behind them in their lane. They are returned to the queue.
    async fn read_paced(&self, request: &Request) -> sqlx::Result<Read> {
        let (ids, epochs, (ranks, marks)) = (request.ids(), request.epochs(), request.marks());
        let (lane_sessions, lane_chats) = request.lane_keys();
        let now = self.lanes.claiming(&ids, &epochs);
        let most: Vec<i32> =
            request.sessions.iter().map(|asked| i32::try_from(asked.room).unwrap_or(i32::MAX)).collect();
        let look = (request.room / request.looking().max(1)).clamp(*LOOK.start(), *LOOK.end());
        let mut rows = sqlx::query_file!(
            "sql/jobs/claim_paced.sql",
            self.worker_id,
            &ids,
            &epochs,
            &most,
            &ranks as &[Option<i16>],
            &marks as &[Option<i64>],
            to_bigint(look),
            to_bigint(MAX_IN_HAND_OF_LANE),
            to_bigint(request.room),
            &now.in_hand.0,
            &now.in_hand.1,
            &lane_sessions,
            &lane_chats,
            &now.full.0,
            &now.full.1
        )
        .fetch(&self.pool);
        let (mut read, mut stock) = (Read::default(), self.lanes.stock());
        while let Some(row) = rows.try_next().await? {
            let (now, session) = (Instant::now(), row.session_id);
            if row.busy {
                read.busy.insert(session);
                continue;
            }
            if let Some(at) = row.met_at {
                read.met.push((session, at));
                continue;
            }
            let page = read.pages.entry(session).or_default();
            if let Some(more) = row.more {
                (page.more, page.mark) = (more, row.rank.zip(row.seen));
            }
            if row.passed == Some(true) {
                read.passed.insert(session);
            }
            read.gate = read.gate.into_iter().chain(row.wait.map(|wait| after(now, wait))).min();
            let (Some(id), Some(chat), Some(kind), Some(message_id)) = (row.id, row.chat, row.kind, row.message_id)
            else {
                continue;
            };
            let (key, fence): (LaneKey, _) = ((session, chat.into()), Fence { session_id: session, epoch: row.epoch });
            let (tenant, bytes) = (self.rooms.tenant(session), bytes_of(row.body.as_deref(), row.content.as_ref()));
            page.taken += 1;
            read.messages += 1;
            read.bytes += bytes;
            if read.ask.contains(&key) || !stock.admit(&tenant, bytes) {
                read.returned.insert(fence);
                read.ask.insert(key);
                continue;
            }
            let message = Queued {
                kind,
                message_id,
                body: row.body,
                content: row.content,
                attempts: row.attempts.unwrap_or(0) + 1,
                deadline: row.expires_in.map(|left| after(now, left)),
                timer: row.timer.and_then(|seconds| u32::try_from(seconds).ok()),
            };
            let typing = row.typing.unwrap_or(false);
            let job = message.into_job(fence, id, key.1, self.ready.name(session), tenant, bytes);
            read.jobs.push(OutboundJob { typing, ..job });
        }
        Ok(read)
    }

    /// Expires at most `most` messages, of any session, whose time is over and that nobody has in hand.
    pub async fn expire(&self, most: i64) -> sqlx::Result<()> {
        if let Some(ended) = sqlx::query_file!("sql/jobs/expire.sql", most).fetch_optional(&self.pool).await? {
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
        let due = sqlx::query_file!("sql/jobs/release_due.sql", sessions, DUE).fetch_one(&self.pool).await?;
        let known = self.next_due.filter(|due| *due > now);
        self.next_due = known.into_iter().chain(due.wait.map(|wait| after(now, wait))).min();
        self.due_known = sessions.iter().copied().collect();
        self.due_unknown = false;
        self.look_at_all |= due.gone > 0;
        Ok(due.gone > 0)
    }
}

/// A row of the queue that a claim has read, with its message if that was claimed, and the bytes of it.
struct Row {
    id: i64,
    rank: i16,
    chat: String,
    before: Option<i64>,
    state: State,
    message: Option<(Queued, usize)>,
}

impl Row {
    fn places(rows: &[Self]) -> Vec<Place<'_>> {
        rows.iter()
            .map(|Self { id, rank, chat, before, state, .. }| Place {
                chat,
                id: *id,
                rank: *rank,
                before: *before,
                state: *state,
            })
            .collect()
    }
}

/// The message of a row.
struct Queued {
    kind: String,
    message_id: String,
    body: Option<String>,
    content: Option<serde_json::Value>,
    attempts: i32,
    deadline: Option<Instant>,
    timer: Option<u32>,
}

impl Queued {
    fn into_job(
        self,
        fence: Fence,
        id: i64,
        chat: Arc<str>,
        session: Arc<str>,
        tenant: Arc<str>,
        bytes: usize,
    ) -> OutboundJob {
        let Self { kind, message_id, body, content, attempts, deadline, timer } = self;
        let message_id = message_id.into();
        OutboundJob {
            fence,
            id,
            session,
            tenant,
            bytes,
            chat,
            kind,
            body,
            content,
            message_id,
            attempts,
            deadline,
            typing: false,
            timer,
        }
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

fn to_bigint(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The moment `seconds` after `now`.
fn after(now: Instant, seconds: f64) -> Instant {
    // A day stands for never: every look asks again.
    now + Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}
