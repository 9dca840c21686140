//! The deliveries of one webhook that its holder has in hand, and which of them may go next.
//!
//! With lanes, events of one chat go one after the other. The first of a chat that fails blocks it: it is a *head*, which
//! is tried again when it is due, and whatever else the chat has waits in the database, not here. Once the head has
//! ended, the holder queues what waits, and only then is the chat free again. So memory holds a few pages, however much
//! waits.
//!
//! All that is here comes from rows: after a restart, heads are read again, and nothing else has to be known.

use super::event::Event;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most bytes of the events that share a request, about.
const MOST_BYTES: usize = 256 << 10;

/// What keeps an order: a chat of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// `wa.delivery.session_id`.
    pub session_id: Option<i64>,
    /// `wa.delivery.chat`.
    pub chat: Arc<str>,
}

/// One delivery.
#[derive(Debug)]
pub struct Item {
    /// `wa.delivery.id`.
    pub id: i64,
    /// Its chat.
    pub lane: Lane,
    /// Failed attempts so far.
    pub attempts: u32,
    /// What to deliver.
    pub event: Event,
}

/// What one request delivers.
#[derive(Debug)]
pub struct Parcel {
    /// The id of a request that several deliveries share; `None` delivers one by itself.
    pub batch: Option<String>,
    /// The deliveries, in their order.
    pub items: Vec<Item>,
}

impl Parcel {
    /// The ids of its deliveries.
    #[must_use]
    pub fn ids(&self) -> Vec<i64> {
        self.items.iter().map(|item| item.id).collect()
    }

    /// Failed attempts so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.items.iter().map(|item| item.attempts).max().unwrap_or_default()
    }
}

/// Which new deliveries may share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Most of them; 1 is none.
    pub most: usize,
    /// How long one waits for others.
    pub wait: Duration,
}

#[derive(Debug, Default)]
struct LaneState {
    /// One of the lane is under way for the first time.
    busy: bool,
    /// Those that are tried again, for which the others wait.
    heads: BTreeSet<i64>,
    /// The last head has ended, and what waits is being queued.
    clearing: bool,
    /// New ones in hand.
    fresh: BTreeSet<i64>,
}

impl LaneState {
    fn is_open(&self) -> bool {
        !self.busy && !self.is_blocked()
    }

    fn is_blocked(&self) -> bool {
        self.clearing || !self.heads.is_empty()
    }
}

/// What has changed by the end of a parcel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Deliveries in hand that have to wait now, behind a head.
    pub wait: Vec<i64>,
    /// Lanes whose last head has ended: what waits there has to be queued, then [`Queue::cleared`].
    pub clear: Vec<Lane>,
}

/// The deliveries in hand.
#[derive(Debug)]
pub struct Queue {
    ordered: bool,
    /// Ids of all that are in hand, until their outcomes are written.
    in_hand: HashSet<i64>,
    /// New ones, in their order, and since when they are here.
    fresh: BTreeMap<i64, (Item, Instant)>,
    /// Of the new ones those that may go.
    open: BTreeSet<i64>,
    /// Those that are tried again.
    again: VecDeque<Parcel>,
    lanes: HashMap<Lane, LaneState>,
    /// Lanes that were cleared, and after how many clearings: a page that was read before has what is older behind what
    /// is newer.
    cleared: Vec<(u64, Lane)>,
    clearings: u64,
}

impl Queue {
    /// An empty queue, with lanes or without.
    #[must_use]
    pub fn new(ordered: bool) -> Self {
        Self {
            ordered,
            in_hand: HashSet::new(),
            fresh: BTreeMap::new(),
            open: BTreeSet::new(),
            again: VecDeque::new(),
            lanes: HashMap::new(),
            cleared: vec![],
            clearings: 0,
        }
    }

    /// A delivery, in hand or not, that its lane waits for.
    pub fn add_head(&mut self, id: i64, lane: Lane) {
        if self.ordered {
            self.lanes.entry(lane).or_default().heads.insert(id);
        }
    }

    /// What to remember when a page is read, for [`Self::add_fresh`].
    #[must_use]
    pub const fn clearings(&self) -> u64 {
        self.clearings
    }

    /// A new delivery, of a page that was read after so many clearings. False when it has to wait behind a head.
    pub fn add_fresh(&mut self, item: Item, read_after: u64, now: Instant) -> bool {
        if self.in_hand.contains(&item.id) {
            return true;
        }
        if !self.ordered {
            self.in_hand.insert(item.id);
            self.open.insert(item.id);
            self.fresh.insert(item.id, (item, now));
            return true;
        }
        if self.cleared.iter().any(|(clearing, lane)| *clearing > read_after && *lane == item.lane) {
            // It is read again.
            return true;
        }
        let lane = self.lanes.entry(item.lane.clone()).or_default();
        if lane.clearing {
            return true;
        }
        self.in_hand.insert(item.id);
        if !lane.heads.is_empty() {
            return false;
        }
        lane.fresh.insert(item.id);
        if lane.is_open() {
            if let Some(second) = lane.fresh.iter().nth(1) {
                self.open.remove(second);
            }
            self.open.extend(lane.fresh.first());
        }
        self.fresh.insert(item.id, (item, now));
        true
    }

    /// A parcel that is tried again, or was composed before.
    pub fn add_again(&mut self, mut parcel: Parcel) {
        parcel.items.retain(|item| !self.in_hand.contains(&item.id));
        if parcel.items.is_empty() {
            return;
        }
        for item in &parcel.items {
            self.in_hand.insert(item.id);
            self.add_head(item.id, item.lane.clone());
        }
        self.again.push_back(parcel);
    }

    /// The next parcel that may go: one that is tried again, else a new one. Without one, when one will have waited long
    /// enough for others.
    pub fn next(&mut self, sharing: Sharing, now: Instant) -> Result<Parcel, Option<Instant>> {
        if let Some(parcel) = self.again.pop_front() {
            return Ok(parcel);
        }
        if sharing.most > 1 {
            return self.next_shared(sharing, now);
        }
        let id = self.open.pop_first().ok_or(None::<Instant>)?;
        let item = self.start(id).ok_or(None::<Instant>)?;
        Ok(Parcel { batch: None, items: vec![item] })
    }

    /// New ones that share a request; the holder gives it an id.
    fn next_shared(&mut self, sharing: Sharing, now: Instant) -> Result<Parcel, Option<Instant>> {
        let (mut ids, mut bytes, mut full) = (vec![], 0, false);
        for (id, (item, _)) in &self.fresh {
            if self.ordered && !self.lanes.get(&item.lane).is_none_or(LaneState::is_open) {
                continue;
            }
            let size: usize = item.event.data.values().map(|value| value.to_string().len()).sum();
            if ids.len() == sharing.most || (bytes + size > MOST_BYTES && !ids.is_empty()) {
                full = true;
                break;
            }
            bytes += size;
            ids.push(*id);
        }
        let since =
            ids.iter().filter_map(|id| self.fresh.get(id)).map(|(_, since)| *since).min().ok_or(None::<Instant>)?;
        if !full && ids.len() < sharing.most && now < since + sharing.wait {
            return Err(Some(since + sharing.wait));
        }
        let items = ids.into_iter().filter_map(|id| self.start(id)).collect();
        Ok(Parcel { batch: None, items })
    }

    fn start(&mut self, id: i64) -> Option<Item> {
        let (item, _) = self.fresh.remove(&id)?;
        self.open.remove(&id);
        if let Some(lane) = self.lanes.get_mut(&item.lane) {
            lane.fresh.remove(&id);
            lane.busy = true;
        }
        Some(item)
    }

    /// A parcel has ended: `again` when it is tried again, else for good. Its deliveries stay in hand until
    /// [`Self::written`].
    pub fn ended(&mut self, parcel: &Parcel, again: bool) -> Change {
        let mut change = Change::default();
        if !self.ordered {
            return change;
        }
        let mut lanes = BTreeSet::new();
        for item in &parcel.items {
            let lane = self.lanes.entry(item.lane.clone()).or_default();
            lane.busy = false;
            if again {
                lane.heads.insert(item.id);
            } else if lane.heads.remove(&item.id) && lane.heads.is_empty() {
                lane.clearing = true;
            }
            lanes.insert(item.lane.clone());
        }
        for lane in lanes {
            let Some(state) = self.lanes.get_mut(&lane) else { continue };
            if !state.heads.is_empty() {
                let waiting = std::mem::take(&mut state.fresh);
                for id in &waiting {
                    self.fresh.remove(id);
                    self.open.remove(id);
                }
                change.wait.extend(waiting);
            } else if state.clearing {
                change.clear.push(lane);
            } else if let Some(next) = state.fresh.first() {
                self.open.insert(*next);
            } else {
                self.lanes.remove(&lane);
            }
        }
        change
    }

    /// A delivery that has no event any more; it goes nowhere, and what waits for it waits no longer.
    pub fn void(&mut self, item: &Item) -> Change {
        self.in_hand.insert(item.id);
        let mut change = Change::default();
        if let Some(state) = self.lanes.get_mut(&item.lane)
            && state.heads.remove(&item.id)
            && state.heads.is_empty()
        {
            state.clearing = true;
            change.clear.push(item.lane.clone());
        }
        change
    }

    /// What waited in a lane is queued, so the lane is free.
    pub fn cleared(&mut self, lane: Lane) {
        self.lanes.remove(&lane);
        self.clearings += 1;
        self.cleared.push((self.clearings, lane));
    }

    /// No page is being read that was begun before now.
    pub fn forget_clearings(&mut self) {
        self.cleared.clear();
    }

    /// The outcomes of these are written.
    pub fn written(&mut self, ids: &[i64]) {
        for id in ids {
            self.in_hand.remove(id);
        }
    }

    /// Ids of all that are in hand.
    #[must_use]
    pub fn in_hand(&self) -> Vec<i64> {
        self.in_hand.iter().copied().collect()
    }

    /// How many new ones wait here for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.fresh.len() + self.again.len()
    }

    /// Drops what has not gone yet, which is read again.
    pub fn put_back(&mut self) {
        for (id, (item, _)) in std::mem::take(&mut self.fresh) {
            self.in_hand.remove(&id);
            if let Some(lane) = self.lanes.get_mut(&item.lane) {
                lane.fresh.remove(&id);
            }
        }
        self.open.clear();
        for parcel in std::mem::take(&mut self.again) {
            self.written(&parcel.ids());
        }
    }
}

#[cfg(test)]
mod tests;
