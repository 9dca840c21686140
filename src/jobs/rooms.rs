//! How many messages a claim may take, in all and of each session.

use super::lanes::Lanes;
use super::stock::{MAX_IN_HAND, MAX_IN_HAND_OF_SESSION, Stock};
use crate::db::Db;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The cost of a claim grows with the number of messages in hand. So room below one in this many is used only at
/// intervals; the messages in hand keep all senders busy meanwhile.
const SMALL_ROOM: usize = 4;
pub(super) const SMALL_ROOM_INTERVAL: Duration = Duration::from_millis(100);
/// When to try a session again that an application has locked.
const BUSY: Duration = Duration::from_millis(100);
/// Bytes of a message, before the first claim has shown how large they are.
const MESSAGE: usize = 1024;

/// The room of a worker, see the module.
#[derive(Debug)]
pub(super) struct Rooms {
    lanes: Lanes,
    /// The tenant of each session.
    tenants: HashMap<i64, Arc<str>>,
    /// Bytes of a message, as the last claim found them on average.
    message_bytes: usize,
    /// When messages were last taken, and when each session last had room in a claim.
    pub(super) last_take: Instant,
    had_room_at: HashMap<i64, Instant>,
    /// Sessions that somebody else had locked, and when to try each again.
    busy: HashMap<i64, Instant>,
}

/// Room for messages.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) all: usize,
    /// In the order in which the sessions were given.
    pub(super) of_sessions: Vec<usize>,
}

impl Rooms {
    pub(super) fn new(lanes: Lanes) -> Self {
        let (tenants, had_room_at, busy) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { lanes, tenants, message_bytes: MESSAGE, last_take: Instant::now(), had_room_at, busy }
    }

    /// Learns the tenants of new sessions, and forgets sessions that are not among these any more.
    pub(super) async fn keep(&mut self, pool: &Db, sessions: &[i64]) -> sqlx::Result<()> {
        let here: HashSet<i64> = sessions.iter().copied().collect();
        self.tenants.retain(|session, _| here.contains(session));
        self.had_room_at.retain(|session, _| here.contains(session));
        self.busy.retain(|session, _| here.contains(session));
        let new: Vec<i64> = here.into_iter().filter(|session| !self.tenants.contains_key(session)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut known: HashSet<Arc<str>> = self.tenants.values().cloned().collect();
        for row in sqlx::query_file!("sql/jobs/tenants.sql", &new).fetch_all(pool).await? {
            let tenant = known.get(&*row.tenant).cloned().unwrap_or_else(|| row.tenant.into());
            known.insert(tenant.clone());
            self.tenants.insert(row.session_id, tenant);
        }
        Ok(())
    }

    /// The tenant of a session.
    pub(super) fn tenant(&self, session: i64) -> Arc<str> {
        self.tenants.get(&session).cloned().unwrap_or_default()
    }

    /// What a claim may take now.
    pub(super) fn usable(&self, sessions: &[i64]) -> Room {
        // Asked before the clock is read: room that may be used at once may be used now.
        let now_or_none = |room: usize, at: Instant| if at <= Instant::now() { room } else { 0 };
        let Room { all, mut of_sessions } = self.free(sessions);
        for (room, session) in of_sessions.iter_mut().zip(sessions) {
            *room = now_or_none(*room, self.usable_at(*session, *room));
        }
        Room { all: now_or_none(all, self.all_usable_at(all)), of_sessions }
    }

    /// All room.
    pub(super) fn free(&self, sessions: &[i64]) -> Room {
        let stock = self.lanes.stock();
        let mut tenants: HashMap<Arc<str>, usize> = HashMap::new();
        let of_sessions = sessions.iter().zip(self.lanes.count_of(sessions)).map(|(session, held)| {
            let tenant = self.tenant(*session);
            let of_tenant = *tenants.entry(tenant).or_insert_with_key(|tenant| self.room_of(&stock, tenant));
            of_tenant.min(MAX_IN_HAND_OF_SESSION.saturating_sub(held))
        });
        let of_sessions = of_sessions.collect();
        Room { all: tenants.values().sum::<usize>().min(MAX_IN_HAND.saturating_sub(stock.all().count)), of_sessions }
    }

    fn room_of(&self, stock: &Stock, tenant: &str) -> usize {
        let room = stock.room(tenant);
        room.count.min(room.bytes.div_ceil(self.message_bytes))
    }

    /// When a session with this room may use it.
    pub(super) fn usable_at(&self, session: i64, room: usize) -> Instant {
        let usable = usable_at(room, MAX_IN_HAND_OF_SESSION, self.had_room_at.get(&session).copied());
        self.busy.get(&session).map_or(usable, |until| usable.max(*until))
    }

    /// When the room of all may be used.
    pub(super) fn all_usable_at(&self, room: usize) -> Instant {
        usable_at(room, MAX_IN_HAND, Some(self.last_take))
    }

    /// A claim has used the room of these sessions and found so many messages with so many bytes.
    pub(super) fn used(&mut self, sessions: impl Iterator<Item = i64>, messages: usize, bytes: usize) {
        let now = Instant::now();
        self.had_room_at.extend(sessions.map(|session| (session, now)));
        if let Some(average) = bytes.checked_div(messages) {
            self.last_take = now;
            self.message_bytes = average.max(1);
        }
    }

    /// Of the sessions that had room in the claim, somebody else had locked these.
    pub(super) fn wait_for(&mut self, busy: &HashSet<i64>) {
        let until = Instant::now() + BUSY;
        self.busy.extend(busy.iter().map(|session| (*session, until)));
    }
}

fn usable_at(room: usize, most: usize, last: Option<Instant>) -> Instant {
    let now = Instant::now();
    if room * SMALL_ROOM >= most { now } else { last.map_or(now, |last| last + SMALL_ROOM_INTERVAL) }
}
