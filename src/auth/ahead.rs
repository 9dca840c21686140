//! What was read before it is asked for (A3).
//!
//! The client library asks for the devices of people, and then, one by one, for a session and an identity with each device.
//! Asked for somebody's devices, the store reads sessions and identities along in the same statement, for everybody whose
//! devices are asked for at the same time; each is then answered from here, once.
//!
//! Trusted-contact tokens are asked for again at each message, so what was read of them, or found missing, is given as often
//! as it is asked for.
//!
//! The holder alone writes these keys, so what was read stays true until a write of ours. A write forgets the person before
//! it begins and when it has ended, and what was being read meanwhile is not remembered either. Nothing stays for longer
//! than a minute.

use super::kind::Kind;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// So many people at most are remembered.
const MOST: usize = 2048;
/// And so many tokens.
const MOST_TOKENS: usize = 512;
/// And for so long.
const KEPT: Duration = Duration::from_mins(1);

/// Whether keys of this kind are read ahead.
const fn knows(kind: Kind) -> bool {
    matches!(kind, Kind::Session | Kind::IdentityKey | Kind::DeviceList)
}

/// Whose key it is: ids are `user`, `user@server.0` or `user:device@server.0`.
fn person(key_id: &str) -> &str {
    key_id.split([':', '@']).next().unwrap_or(key_id)
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was read.
    Value(Value),
    /// It is not there.
    Absent,
    /// It has to be asked for.
    Nothing,
}

enum Slot {
    Read(Value),
    /// It is there, and was given away.
    Given,
}

/// All keys of one person.
type Person = HashMap<(Kind, String), Slot>;

#[derive(Default)]
struct Inner {
    people: HashMap<String, Person>,
    /// When the first of them was read.
    since: Option<Instant>,
    /// Statements under way, and who was written since the first of them began.
    reading: usize,
    written: HashSet<String>,
    all_written: bool,
    /// A write was given up before its end was known, and may still happen.
    in_doubt: bool,
    tokens: HashMap<String, Option<Value>>,
    /// How many writes of tokens have begun or ended.
    token_writes: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Ahead {
    inner: Mutex<Inner>,
    asking: Mutex<Vec<(String, oneshot::Sender<Option<Value>>)>>,
    /// Whoever has it asks for all that are waiting.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Ahead {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.since.is_some_and(|since| since.elapsed() > KEPT) {
            (inner.people, inner.tokens, inner.since) = (HashMap::new(), HashMap::new(), None);
        }
        inner
    }

    /// A key, once.
    pub(super) fn take(&self, kind: Kind, key_id: &str) -> Known {
        if !knows(kind) {
            return Known::Nothing;
        }
        let mut inner = self.inner();
        let Some(keys) = inner.people.get_mut(person(key_id)) else { return Known::Nothing };
        match keys.get_mut(&(kind, key_id.to_owned())) {
            None => Known::Absent,
            Some(slot) => match std::mem::replace(slot, Slot::Given) {
                Slot::Read(value) => Known::Value(value),
                Slot::Given => Known::Nothing,
            },
        }
    }

    /// Whether a key is there, if that is known.
    pub(super) fn has(&self, kind: Kind, key_id: &str) -> Option<bool> {
        if !knows(kind) {
            return None;
        }
        let inner = self.inner();
        Some(inner.people.get(person(key_id))?.contains_key(&(kind, key_id.to_owned())))
    }

    /// Before keys are written. What it gives back has to be told of the end.
    pub(super) fn writing(&self, kind: Kind, written: Written<'_>) -> Writing<'_> {
        let people = match written {
            _ if !knows(kind) => Some(vec![]),
            Written::Keys(key_ids) => Some(key_ids.iter().map(|id| person(id).to_owned()).collect()),
            Written::Any => None,
        };
        let writing = Writing { ahead: self, people, ended: false };
        writing.forget();
        writing
    }

    /// A token, as often as it is asked for.
    pub(super) fn token(&self, key_id: &str) -> Known {
        match self.inner().tokens.get(key_id) {
            Some(Some(value)) => Known::Value(value.clone()),
            Some(None) => Known::Absent,
            None => Known::Nothing,
        }
    }

    /// To be asked before a token is read, for [`Ahead::remember_token`].
    pub(super) fn token_writes(&self) -> u64 {
        self.inner().token_writes
    }

    /// What was read, unless tokens were written meanwhile.
    pub(super) fn remember_token(&self, writes: u64, key_id: &str, found: Option<Value>) {
        let mut inner = self.inner();
        if inner.token_writes != writes || inner.in_doubt {
            return;
        }
        if inner.tokens.len() >= MOST_TOKENS {
            inner.tokens.clear();
        }
        inner.tokens.insert(key_id.to_owned(), found);
        inner.since.get_or_insert_with(Instant::now);
    }

    /// Before tokens are written. What it gives back has to be told of the end.
    pub(super) fn writing_tokens(&self) -> WritingTokens<'_> {
        self.forget_tokens(false);
        WritingTokens { ahead: self, ended: false }
    }

    fn forget_tokens(&self, in_doubt: bool) {
        let mut inner = self.inner();
        inner.tokens.clear();
        inner.token_writes += 1;
        inner.in_doubt |= in_doubt;
    }

    /// Lets go of what is too old to be answered with.
    pub(super) fn tidy(&self) {
        drop(self.inner());
    }

    /// Joins those that wait for somebody's devices.
    pub(super) fn ask(&self, person: &str) -> oneshot::Receiver<Option<Value>> {
        let (answer, answered) = oneshot::channel();
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).push((person.to_owned(), answer));
        answered
    }

    /// All that wait, for whoever has the turn. What is read for them has to be given to [`Reading::end`].
    pub(super) fn begin(&self) -> Reading<'_> {
        self.inner().reading += 1;
        let asked = std::mem::take(&mut *self.asking.lock().unwrap_or_else(PoisonError::into_inner));
        Reading { ahead: self, asked }
    }
}

/// Which keys of a kind are written.
#[derive(Clone, Copy)]
pub(super) enum Written<'a> {
    Keys(&'a [String]),
    Any,
}

/// A write under way.
pub(super) struct Writing<'a> {
    ahead: &'a Ahead,
    /// Whose keys; `None` is anybody's.
    people: Option<Vec<String>>,
    ended: bool,
}

impl Writing<'_> {
    /// The database has answered.
    pub(super) fn end(mut self) {
        self.forget();
        self.ended = true;
    }

    fn forget(&self) {
        let mut inner = self.ahead.inner();
        let Some(people) = &self.people else {
            inner.people.clear();
            inner.all_written |= inner.reading > 0;
            inner.tokens.clear();
            inner.token_writes += 1;
            return;
        };
        for person in people {
            inner.people.remove(person);
            if inner.reading > 0 {
                inner.written.insert(person.clone());
            }
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let concerned = self.people.as_ref().is_none_or(|people| !people.is_empty());
        if !self.ended && concerned {
            let mut inner = self.ahead.inner();
            inner.people.clear();
            inner.in_doubt = true;
        }
    }
}

/// A write of tokens under way.
pub(super) struct WritingTokens<'a> {
    ahead: &'a Ahead,
    ended: bool,
}

impl WritingTokens<'_> {
    /// The database has answered.
    pub(super) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for WritingTokens<'_> {
    fn drop(&mut self) {
        self.ahead.forget_tokens(!self.ended);
    }
}

/// A statement under way.
pub(super) struct Reading<'a> {
    ahead: &'a Ahead,
    asked: Vec<(String, oneshot::Sender<Option<Value>>)>,
}

impl Reading<'_> {
    /// Whose devices are asked for.
    pub(super) fn people(&self) -> Vec<String> {
        self.asked.iter().map(|(person, _)| person.clone()).collect::<HashSet<_>>().into_iter().collect()
    }

    /// Answers everybody with what was found, and remembers the rest.
    pub(super) fn end(mut self, found: impl Iterator<Item = (String, Kind, String, Value)>) {
        let mut people: HashMap<String, Person> =
            self.asked.iter().map(|(person, _)| (person.clone(), Person::new())).collect();
        for (person, kind, key_id, value) in found {
            people.entry(person).or_default().insert((kind, key_id), Slot::Read(value));
        }
        for (person, answer) in self.asked.drain(..) {
            let key = (Kind::DeviceList, person.clone());
            let list = people.get(&person).and_then(|keys| match keys.get(&key) {
                Some(Slot::Read(value)) => Some(value.clone()),
                _ => None,
            });
            // Whoever asked may not wait any more.
            drop(answer.send(list));
        }
        let mut inner = self.ahead.inner();
        if inner.all_written || inner.in_doubt {
            return;
        }
        people.retain(|person, _| !inner.written.contains(person));
        if inner.people.len() + people.len() > MOST {
            inner.people.clear();
        }
        inner.people.extend(people);
        inner.since.get_or_insert_with(Instant::now);
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.ahead.inner();
        inner.reading -= 1;
        if inner.reading == 0 {
            inner.written.clear();
            inner.all_written = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Kind = Kind::Session;
    const ANNA: &str = "900:3@lid.0";

    fn id(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    /// Reads Anna's device list and one session.
    fn found() -> impl Iterator<Item = (String, Kind, String, Value)> {
        let row = |kind, key_id: &str, value: &str| ("900".to_owned(), kind, key_id.to_owned(), Value::from(value));
        [row(Kind::DeviceList, "900", "list"), row(SESSION, ANNA, "one")].into_iter()
    }

    fn read(ahead: &Ahead) {
        drop(ahead.ask("900"));
        ahead.begin().end(found());
    }

    #[test]
    fn a3_what_was_read_ahead_is_given_once_and_what_is_not_there_is_known() {
        let ahead = Ahead::default();
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing, "nothing was read");
        let mut answer = ahead.ask("900");
        ahead.begin().end(found());
        assert_eq!(answer.try_recv(), Ok(Some("list".into())));
        assert_eq!(ahead.has(SESSION, ANNA), Some(true));
        assert_eq!(ahead.take(SESSION, ANNA), Known::Value("one".into()));
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing, "it may have changed since");
        assert_eq!(ahead.has(SESSION, ANNA), Some(true));
        assert_eq!(ahead.take(SESSION, "900@lid.0"), Known::Absent);
        assert_eq!(ahead.take(Kind::IdentityKey, ANNA), Known::Absent);
        assert_eq!(ahead.take(SESSION, "901@lid.0"), Known::Nothing);
        assert_eq!(ahead.take(Kind::SenderKey, ANNA), Known::Nothing);
    }

    #[test]
    fn a3_a_write_forgets_before_and_after_and_during_a_read() {
        let ahead = Ahead::default();
        read(&ahead);
        let writing = ahead.writing(SESSION, Written::Keys(&id(ANNA)));
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing);
        // The old value may be read while the new one is not committed; it is forgotten when it is.
        read(&ahead);
        writing.end();
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing);
        // Read before the write, and ended after it.
        drop(ahead.ask("900"));
        let reading = ahead.begin();
        ahead.writing(SESSION, Written::Keys(&id("900:4@lid.0"))).end();
        reading.end(found());
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing);
        // Of somebody else, and of a kind that is not read ahead.
        read(&ahead);
        ahead.writing(SESSION, Written::Keys(&id("901@lid.0"))).end();
        ahead.writing(Kind::SenderKey, Written::Any).end();
        assert_eq!(ahead.has(SESSION, ANNA), Some(true));
        ahead.writing(SESSION, Written::Any).end();
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing);
    }

    #[test]
    fn a3_a_token_is_given_again_until_tokens_are_written() {
        let ahead = Ahead::default();
        assert_eq!(ahead.token("900"), Known::Nothing);
        let writes = ahead.token_writes();
        ahead.remember_token(writes, "900", Some("token".into()));
        ahead.remember_token(writes, "901", None);
        for _ in 0..2 {
            assert_eq!(ahead.token("900"), Known::Value("token".into()));
            assert_eq!(ahead.token("901"), Known::Absent);
        }
        let writing = ahead.writing_tokens();
        assert_eq!(ahead.token("900"), Known::Nothing);
        // Read before the write, or while it was under way.
        ahead.remember_token(writes, "900", Some("token".into()));
        let writes = ahead.token_writes();
        writing.end();
        ahead.remember_token(writes, "901", None);
        assert_eq!((ahead.token("900"), ahead.token("901")), (Known::Nothing, Known::Nothing));
        ahead.remember_token(ahead.token_writes(), "900", None);
        assert_eq!(ahead.token("900"), Known::Absent);
        // Everything is written, and a write of which nobody knows whether it happened.
        ahead.writing(SESSION, Written::Any).end();
        assert_eq!(ahead.token("900"), Known::Nothing);
        drop(ahead.writing_tokens());
        ahead.remember_token(ahead.token_writes(), "900", None);
        assert_eq!(ahead.token("900"), Known::Nothing);
    }

    #[test]
    fn a3_after_a_write_in_doubt_nothing_is_read_ahead_any_more() {
        let ahead = Ahead::default();
        drop(ahead.writing(Kind::SenderKey, Written::Keys(&id(ANNA))));
        read(&ahead);
        assert_eq!(ahead.has(SESSION, ANNA), Some(true));
        drop(ahead.writing(SESSION, Written::Keys(&id(ANNA))));
        read(&ahead);
        assert_eq!(ahead.take(SESSION, ANNA), Known::Nothing);
    }
}
