//! The memory of keys that were read ahead (A3).
//!
//! A session, an identity or a device list is given once, because the library keeps it from then on. A token, or the
//! fact that there is none, is given as often as it is asked for.
//!
//! Only the holder writes these keys, so what was read stays true until a write of this store. A write forgets the keys
//! that it concerns before it begins and when it has ended, and what was being read meanwhile is not remembered either.
//! Nothing stays for longer than a minute.

use super::write::Write;
use crate::auth::kind::Kind;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const MAX_PEOPLE: usize = 2048;
const MAX_TOKENS: usize = 512;
const LIFETIME: Duration = Duration::from_mins(1);

/// The part of the cache that keys of a kind are in.
enum Part {
    People,
    Tokens,
}

/// The part that `kind` is in, if any. Both reading and forgetting ask here, so that no kind is read and never
/// forgotten.
const fn part_of(kind: Kind) -> Option<Part> {
    match kind {
        Kind::Session | Kind::IdentityKey | Kind::DeviceList => Some(Part::People),
        Kind::TcToken => Some(Part::Tokens),
        _ => None,
    }
}

/// Whose key it is: ids are `user`, `user@server.0` or `user:device@server.0`.
fn person_of(key_id: &str) -> &str {
    key_id.split([':', '@']).next().unwrap_or(key_id)
}

/// The cache's answer about a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Value(Value),
    /// The key does not exist.
    Absent,
    /// The database has to be asked.
    Unknown,
}

enum Slot {
    Read(Value),
    /// The key exists, and was given to the library.
    Given,
}

/// All keys of one person that are read ahead.
type PersonKeys = HashMap<(Kind, String), Slot>;

#[derive(Default)]
struct Inner {
    people: HashMap<String, PersonKeys>,
    /// `None`: there is no token.
    tokens: HashMap<String, Option<Value>>,
    /// When the oldest entry was read.
    since: Option<Instant>,
    /// Reads of people under way, and whose keys were written since the first of them began.
    reading: usize,
    written: HashSet<String>,
    all_written: bool,
    /// A write was given up before its end was known, and may still happen; nothing is remembered any more.
    in_doubt: bool,
    /// How many writes of tokens have begun or ended.
    token_writes: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
    waiting: Mutex<Vec<(String, oneshot::Sender<Option<Value>>)>>,
    /// The task that has it asks the database for all that wait.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Cache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.since.is_some_and(|since| since.elapsed() > LIFETIME) {
            (inner.people, inner.tokens, inner.since) = (HashMap::new(), HashMap::new(), None);
        }
        inner
    }

    /// Looks up a session, an identity or a device list, and gives it once.
    pub(super) fn take(&self, kind: Kind, key_id: &str) -> Lookup {
        let Some(Part::People) = part_of(kind) else { return Lookup::Unknown };
        let mut inner = self.inner();
        let Some(keys) = inner.people.get_mut(person_of(key_id)) else { return Lookup::Unknown };
        match keys.get_mut(&(kind, key_id.to_owned())) {
            None => Lookup::Absent,
            Some(slot) => match std::mem::replace(slot, Slot::Given) {
                Slot::Read(value) => Lookup::Value(value),
                Slot::Given => Lookup::Unknown,
            },
        }
    }

    /// Whether a session, an identity or a device list exists, if that is known.
    pub(super) fn has(&self, kind: Kind, key_id: &str) -> Option<bool> {
        let Some(Part::People) = part_of(kind) else { return None };
        let inner = self.inner();
        Some(inner.people.get(person_of(key_id))?.contains_key(&(kind, key_id.to_owned())))
    }

    /// Looks up a token.
    pub(super) fn token(&self, key_id: &str) -> Lookup {
        match self.inner().tokens.get(key_id) {
            Some(Some(value)) => Lookup::Value(value.clone()),
            Some(None) => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// To be asked before a token is read, for [`Cache::remember_token`].
    pub(super) fn token_writes(&self) -> u64 {
        self.inner().token_writes
    }

    /// Remembers a token that was read, unless tokens were written since `writes` was asked for.
    pub(super) fn remember_token(&self, writes: u64, key_id: &str, found: Option<Value>) {
        let mut inner = self.inner();
        if inner.token_writes != writes || inner.in_doubt {
            return;
        }
        if inner.tokens.len() >= MAX_TOKENS {
            inner.tokens.clear();
        }
        inner.tokens.insert(key_id.to_owned(), found);
        inner.since.get_or_insert_with(Instant::now);
    }

    /// Forgets what `write` concerns. To be called before the write; [`Writing::end`] after the answer.
    pub(super) fn writing(&self, write: Write<'_>) -> Writing<'_> {
        let scope = Scope::of(write);
        self.inner().forget(&scope);
        Writing { cache: self, scope, ended: false }
    }

    /// Frees entries older than [`LIFETIME`].
    pub(super) fn drop_expired(&self) {
        drop(self.inner());
    }

    /// Joins the tasks that wait for somebody's devices.
    pub(super) fn ask(&self, person: &str) -> oneshot::Receiver<Option<Value>> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((person.to_owned(), answer));
        answered
    }

    /// Takes all that wait; for the task that has the turn. [`Reading::end`] answers them.
    pub(super) fn begin(&self) -> Reading<'_> {
        self.inner().reading += 1;
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        Reading { cache: self, waiting }
    }
}

impl Inner {
    fn forget(&mut self, scope: &Scope) {
        if let Scope::People(people) = scope {
            for person in people {
                self.people.remove(person);
                if self.reading > 0 {
                    self.written.insert(person.clone());
                }
            }
        }
        if matches!(scope, Scope::Everybody | Scope::All) {
            self.people.clear();
            self.all_written |= self.reading > 0;
        }
        if matches!(scope, Scope::Tokens | Scope::All) {
            self.tokens.clear();
            self.token_writes += 1;
        }
    }
}

/// What a write makes the cache forget.
enum Scope {
    Nothing,
    People(Vec<String>),
    Everybody,
    Tokens,
    All,
}

impl Scope {
    fn of(write: Write<'_>) -> Self {
        let (kind, key_ids) = match write {
            Write::Credentials => return Self::Nothing,
            Write::All => return Self::All,
            Write::Keys(kind, key_ids) => (kind, Some(key_ids)),
            Write::AnyOf(kind) => (kind, None),
        };
        match (part_of(kind), key_ids) {
            (None, _) => Self::Nothing,
            (Some(Part::Tokens), _) => Self::Tokens,
            (Some(Part::People), Some(key_ids)) => {
                Self::People(key_ids.iter().map(|id| person_of(id).to_owned()).collect())
            }
            (Some(Part::People), None) => Self::Everybody,
        }
    }
}

/// A write under way.
pub(super) struct Writing<'a> {
    cache: &'a Cache,
    scope: Scope,
    ended: bool,
}

impl Writing<'_> {
    /// The database has answered.
    pub(super) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut inner = self.cache.inner();
        inner.forget(&self.scope);
        if !self.ended && !matches!(self.scope, Scope::Nothing) {
            inner.forget(&Scope::All);
            inner.in_doubt = true;
        }
    }
}

/// A read of people's keys under way.
pub(super) struct Reading<'a> {
    cache: &'a Cache,
    waiting: Vec<(String, oneshot::Sender<Option<Value>>)>,
}

impl Reading<'_> {
    /// Whose devices are asked for.
    pub(super) fn people(&self) -> Vec<String> {
        self.waiting.iter().map(|(person, _)| person.clone()).collect::<HashSet<_>>().into_iter().collect()
    }

    /// Gives every waiting task its device list, and remembers everything that was not written meanwhile. `found` has
    /// the person, the kind, the id and the value of each key.
    pub(super) fn end(mut self, found: impl Iterator<Item = (String, Kind, String, Value)>) {
        let mut people: HashMap<String, PersonKeys> =
            self.waiting.iter().map(|(person, _)| (person.clone(), PersonKeys::new())).collect();
        for (person, kind, key_id, value) in found {
            people.entry(person).or_default().insert((kind, key_id), Slot::Read(value));
        }
        for (person, answer) in self.waiting.drain(..) {
            let key = (Kind::DeviceList, person.clone());
            let list = people.get(&person).and_then(|keys| match keys.get(&key) {
                Some(Slot::Read(value)) => Some(value.clone()),
                _ => None,
            });
            // The task may have stopped waiting.
            drop(answer.send(list));
        }
        let mut inner = self.cache.inner();
        if inner.all_written || inner.in_doubt {
            return;
        }
        people.retain(|person, _| !inner.written.contains(person));
        if inner.people.len() + people.len() > MAX_PEOPLE {
            inner.people.clear();
        }
        inner.people.extend(people);
        inner.since.get_or_insert_with(Instant::now);
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.cache.inner();
        inner.reading -= 1;
        if inner.reading == 0 {
            inner.written.clear();
            inner.all_written = false;
        }
    }
}

#[cfg(test)]
mod tests;
