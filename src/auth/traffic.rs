//! What a session's client is about, as far as its store has to know to leave out what is not needed.
//!
//! The client library writes ratchets some 25 ms after they were turned, and may send with them before. Only what comes in
//! turns them so that somebody's answer depends on it; most of the time nothing has come in, and then a send need not wait
//! until everything is written, nor a write for what is on its way to its row.
//!
//! It also keeps each message that it sends, for those who ask for it again. Of one that a row of `wa.outbound` says all of,
//! no second copy is written; whoever asks at once, as most do, gets it from memory.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A stanza that came longer ago has been decrypted. One that took longer counts again when it has been ([`Traffic::came`]).
const MOMENT: Duration = Duration::from_secs(1);
/// So many messages that have a row are remembered.
const MOST: usize = 32;

/// See the module. Times are in microseconds since this was made, and 0 stands for never.
#[derive(Debug)]
pub struct Traffic {
    since: Instant,
    last: AtomicU64,
    kept: AtomicU64,
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    /// Ids of messages that are being sent.
    sending: HashSet<Arc<str>>,
    /// What was sent, by chat and id; the oldest first.
    sent: VecDeque<(String, Vec<u8>)>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { since: Instant::now(), last: AtomicU64::new(0), kept: AtomicU64::new(0), rows: Mutex::default() }
    }
}

impl Traffic {
    /// A message has come, or was decrypted.
    pub fn came(&self) {
        self.last.fetch_max(self.now(), Ordering::SeqCst);
    }

    /// Whether a message may be between its decryption and its row.
    #[must_use]
    pub fn recent(&self) -> bool {
        let last = self.last.load(Ordering::SeqCst);
        last > 0 && self.now() < last + micros(MOMENT)
    }

    /// What to give to [`Traffic::kept`] when all ratchets are written; `None` when no message has come since that can
    /// have turned one.
    #[must_use]
    pub fn unkept(&self) -> Option<u64> {
        let last = self.last.load(Ordering::SeqCst);
        let kept = self.kept.load(Ordering::SeqCst);
        (last > 0 && kept < last + micros(MOMENT)).then(|| self.now())
    }

    /// All ratchets are written that were turned before `unkept` was asked for.
    pub fn kept(&self, asked: u64) {
        self.kept.fetch_max(asked, Ordering::SeqCst);
    }

    /// A message is being sent of which a row says all, until what this gives back is dropped.
    #[must_use]
    pub fn sending_row(&self, message_id: &Arc<str>) -> SendingRow<'_> {
        self.rows().sending.insert(message_id.clone());
        SendingRow { traffic: self, message_id: message_id.clone() }
    }

    /// Remembers what is sent, if it is such a message; false when it has to be written.
    pub(super) fn keep(&self, message_id: &str, key_id: &str, payload: &[u8]) -> bool {
        let mut rows = self.rows();
        let has_row = rows.sending.contains(message_id);
        if has_row {
            if rows.sent.len() >= MOST {
                rows.sent.pop_front();
            }
            rows.sent.push_back((key_id.to_owned(), payload.to_vec()));
        }
        has_row
    }

    /// What was sent, once.
    pub(super) fn take(&self, key_id: &str) -> Option<Vec<u8>> {
        let sent = &mut self.rows().sent;
        let place = sent.iter().position(|(id, _)| id == key_id)?;
        sent.remove(place).map(|(_, payload)| payload)
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        micros(self.since.elapsed()) + 1
    }
}

/// See [`Traffic::sending_row`].
#[derive(Debug)]
pub struct SendingRow<'a> {
    traffic: &'a Traffic,
    message_id: Arc<str>,
}

impl Drop for SendingRow<'_> {
    fn drop(&mut self) {
        self.traffic.rows().sending.remove(&self.message_id);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_m7_what_has_a_row_is_remembered_and_not_written() {
        let traffic = Traffic::default();
        assert!(!traffic.keep("M1", "chat|M1", b"one"), "nobody said that it has a row");
        let id: Arc<str> = "M1".into();
        let sending = traffic.sending_row(&id);
        assert!(traffic.keep("M1", "chat|M1", b"one"));
        drop(sending);
        assert!(!traffic.keep("M1", "chat|M1", b"again"), "it is not being sent any more");
        assert_eq!(traffic.take("other|M1"), None, "another chat gets nothing");
        assert_eq!(traffic.take("chat|M1").as_deref(), Some(&b"one"[..]));
        assert_eq!(traffic.take("chat|M1"), None);
        for number in 0..=MOST {
            let id: Arc<str> = format!("N{number}").into();
            let _sending = traffic.sending_row(&id);
            assert!(traffic.keep(&id, &id, b"many"));
        }
        assert_eq!((traffic.take("N0"), traffic.rows().sent.len()), (None, MOST));
    }

    #[test]
    fn r4_ratchets_count_as_unkept_for_a_moment_after_they_were_kept() {
        let traffic = Traffic::default();
        assert_eq!((traffic.unkept(), traffic.recent()), (None, false), "nothing has come");
        traffic.came();
        assert!(traffic.recent());
        // What came just before may be decrypted just after.
        let asked = traffic.unkept().unwrap_or_default();
        assert!(asked > 0);
        traffic.kept(asked);
        assert!(traffic.unkept().is_some());
        traffic.kept(asked + micros(MOMENT));
        assert_eq!(traffic.unkept(), None);
    }
}
