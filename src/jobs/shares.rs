//! The shares of tenants and sessions in what a worker has little of: places for messages under way, files and actions,
//! and the room for messages in hand, by number and by bytes (R9).
//!
//! One rule for all of it:
//!
//! * What is free goes to the tenant that has least, and within it to the session that has least. Of equals the one
//!   that has waited longest comes first.
//! * Nobody takes the rest: a tenant leaves free at least a seventh of what it then has, a session a third. So a
//!   tenant alone may have seven eighths and two tenants 7/15 each, and there is something left for the next one.
//!   Who has nothing may take the last.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// A tenant leaves free at least one in this many of what it has.
pub const TENANT: usize = 7;
/// A session leaves free at least one in this many of what it has, so that a session whose connection has gone silent
/// leaves something to the others of its tenant.
pub const SESSION: usize = 3;

/// How much of what is `free` somebody who has `held` may take, with [`TENANT`] or [`SESSION`] as `part`.
#[must_use]
pub fn room(free: usize, held: usize, part: usize) -> usize {
    // The largest n with held + n <= part * (free - n).
    let most = free.saturating_mul(part).saturating_sub(held) / (part + 1);
    if held == 0 { most.max(free.min(1)) } else { most }
}

/// A number of places, who has them, and the items that wait for one.
#[derive(Debug)]
pub struct Shares<T> {
    free: usize,
    tenants: HashMap<Arc<str>, TenantShare<T>>,
    /// Tenants with a waiting item, in the order in which they get a place.
    waiting: BTreeSet<(Turn, Arc<str>)>,
    clock: u64,
}

/// The place in the order: places held, then the moment since when it waits.
type Turn = (usize, u64);

#[derive(Debug)]
struct TenantShare<T> {
    turn: Turn,
    sessions: HashMap<i64, SessionShare<T>>,
    /// Sessions with a waiting item, in the order in which they get a place.
    waiting: BTreeSet<(Turn, i64)>,
}

#[derive(Debug)]
struct SessionShare<T> {
    turn: Turn,
    items: VecDeque<T>,
}

impl<T> Default for TenantShare<T> {
    fn default() -> Self {
        Self { turn: (0, 0), sessions: HashMap::new(), waiting: BTreeSet::new() }
    }
}

impl<T> Default for SessionShare<T> {
    fn default() -> Self {
        Self { turn: (0, 0), items: VecDeque::new() }
    }
}

impl<T> Shares<T> {
    /// `places`, all of them free.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { free: places, tenants: HashMap::new(), waiting: BTreeSet::new(), clock: 0 }
    }

    /// An item that waits for a place, behind the others of its session.
    pub fn add(&mut self, tenant: &Arc<str>, session: i64, item: T) {
        self.change(tenant, session, |share, _| share.items.push_back(item));
    }

    /// Takes a place for the item whose turn it is; `None` if none may have one now.
    pub fn take(&mut self) -> Option<T> {
        self.take_with_owner().map(|(_, _, item)| item)
    }

    /// The same, with tenant and session, for [`Shares::release`].
    pub fn take_with_owner(&mut self) -> Option<(Arc<str>, i64, T)> {
        let (turn, tenant) = self.waiting.first()?;
        let (turn_of_session, session) = self.tenants.get(tenant)?.waiting.first()?;
        // Nobody behind it is asked: they have more, and taking now would keep this one behind them.
        if room(self.free, turn.0, TENANT) == 0 || room(self.free, turn_of_session.0, SESSION) == 0 {
            return None;
        }
        let (tenant, session) = (tenant.clone(), *session);
        let item = self.change(&tenant, session, |share, held| {
            *held += 1;
            share.items.pop_front()
        })?;
        Some((tenant, session, item))
    }

    /// Takes a place for what is under way already, whatever the rule says.
    pub fn hold(&mut self, tenant: &Arc<str>, session: i64) {
        self.change(tenant, session, |_, held| *held += 1);
    }

    /// Frees a place.
    pub fn release(&mut self, tenant: &Arc<str>, session: i64) {
        self.change(tenant, session, |_, held| *held = held.saturating_sub(1));
    }

    /// Removes the items that wait.
    pub fn drain(&mut self) -> Vec<T> {
        self.waiting.clear();
        let mut items = vec![];
        self.tenants.retain(|_, tenant| {
            tenant.waiting.clear();
            tenant.sessions.retain(|_, session| {
                items.extend(session.items.drain(..));
                session.turn.0 > 0
            });
            tenant.turn.0 > 0
        });
        items
    }

    /// Changes the share of a session, and then its turn and that of its tenant.
    fn change<R>(
        &mut self,
        tenant: &Arc<str>,
        session: i64,
        change: impl FnOnce(&mut SessionShare<T>, &mut usize) -> R,
    ) -> R {
        self.clock += 1;
        let of_tenant = self.tenants.entry(tenant.clone()).or_default();
        self.waiting.remove(&(of_tenant.turn, tenant.clone()));
        let of_session = of_tenant.sessions.entry(session).or_default();
        of_tenant.waiting.remove(&(of_session.turn, session));

        let ((before, since), waited) = (of_session.turn, !of_session.items.is_empty());
        let mut held = before;
        let result = change(of_session, &mut held);
        // Who gets a place, and who begins to wait, comes last among its equals.
        let last = |waited: bool, since: u64| if held > before || !waited { self.clock } else { since };
        of_session.turn = (held, last(waited, since));
        let (of_all, since) = of_tenant.turn;
        let others_wait = !of_tenant.waiting.is_empty();
        of_tenant.turn = (of_all + held - before, last(waited || others_wait, since));
        self.free = (self.free + before).saturating_sub(held);

        if !of_session.items.is_empty() {
            of_tenant.waiting.insert((of_session.turn, session));
        } else if held == 0 {
            of_tenant.sessions.remove(&session);
        }
        if !of_tenant.waiting.is_empty() {
            self.waiting.insert((of_tenant.turn, tenant.clone()));
        } else if of_tenant.sessions.is_empty() {
            self.tenants.remove(tenant);
        }
        result
    }
}

#[cfg(test)]
mod tests;
