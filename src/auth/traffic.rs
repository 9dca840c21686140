//! What a session's client sends and receives, as far as its store needs to know to skip needless waits and writes.
//!
//! The client library writes ratchets some 25 ms after they advanced, and may send with them before. Only a received
//! message advances them in such a way that the sender's answers depend on it. Most of the time nothing was received;
//! then a send need not wait until all ratchets are written, nor a write of ratchets for messages on their way to their
//! rows.
//!
//! The library also stores each message that it sends, for phones that ask for it again. When a row of `wa.outbound`
//! gives the whole message, the store writes no second copy; a phone that asks at once, as most do, gets it from
//! memory.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After so long a received stanza is taken for decrypted. A stanza that took longer counts again when it was
/// ([`Traffic::message_received`]).
const MOMENT: Duration = Duration::from_secs(1);
/// How many sent messages that have a row are remembered.
const MAX_SENT: usize = 32;

/// See the module. Times are in microseconds since the value was made; 0 is never.
#[derive(Debug)]
pub struct Traffic {
    since: Instant,
    received: AtomicU64,
    flushed: AtomicU64,
    sent_rows: Mutex<SentRows>,
}

#[derive(Debug, Default)]
struct SentRows {
    /// Ids of messages that are being sent.
    sending: HashSet<Arc<str>>,
    /// Sent messages by chat and id; the oldest first.
    sent: VecDeque<(String, Vec<u8>)>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            received: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            sent_rows: Mutex::default(),
        }
    }
}

impl Traffic {
    /// A message was received, or decrypted.
    pub fn message_received(&self) {
        self.received.fetch_max(self.now(), Ordering::SeqCst);
    }

    /// Whether a message may be between its decryption and its row.
    #[must_use]
    pub fn recently_received(&self) -> bool {
        let received = self.received.load(Ordering::SeqCst);
        received > 0 && self.now() < received + micros(MOMENT)
    }

    /// The time to pass to [`Traffic::flushed`] once all ratchets are written; `None` when no message was received that
    /// can have advanced one since they were.
    #[must_use]
    pub fn needs_flush(&self) -> Option<u64> {
        let received = self.received.load(Ordering::SeqCst);
        let flushed = self.flushed.load(Ordering::SeqCst);
        (received > 0 && flushed < received + micros(MOMENT)).then(|| self.now())
    }

    /// All ratchets are written that had advanced by `time`, which [`Traffic::needs_flush`] returned.
    pub fn flushed(&self, time: u64) {
        self.flushed.fetch_max(time, Ordering::SeqCst);
    }

    /// Marks a message as being sent whose row gives the whole of it, until the returned guard is dropped.
    #[must_use]
    pub fn sending_row(&self, message_id: &Arc<str>) -> SendingRow<'_> {
        self.sent_rows().sending.insert(message_id.clone());
        SendingRow { traffic: self, message_id: message_id.clone() }
    }

    /// Remembers a message that is being sent and has a row. Returns false for any other, which has to be written.
    pub(super) fn remember_sent(&self, message_id: &str, key_id: &str, payload: &[u8]) -> bool {
        let mut rows = self.sent_rows();
        let has_row = rows.sending.contains(message_id);
        if has_row {
            if rows.sent.len() >= MAX_SENT {
                rows.sent.pop_front();
            }
            rows.sent.push_back((key_id.to_owned(), payload.to_vec()));
        }
        has_row
    }

    /// Gives a remembered message, once.
    pub(super) fn take_sent(&self, key_id: &str) -> Option<Vec<u8>> {
        let sent = &mut self.sent_rows().sent;
        let place = sent.iter().position(|(id, _)| id == key_id)?;
        sent.remove(place).map(|(_, payload)| payload)
    }

    fn sent_rows(&self) -> MutexGuard<'_, SentRows> {
        self.sent_rows.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.traffic.sent_rows().sending.remove(&self.message_id);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_m7_a_message_that_has_a_row_is_remembered_and_not_written() {
        let traffic = Traffic::default();
        assert!(!traffic.remember_sent("M1", "chat|M1", b"one"), "no row is known");
        let id: Arc<str> = "M1".into();
        let sending = traffic.sending_row(&id);
        assert!(traffic.remember_sent("M1", "chat|M1", b"one"));
        drop(sending);
        assert!(!traffic.remember_sent("M1", "chat|M1", b"again"), "it is not being sent any more");
        assert_eq!(traffic.take_sent("other|M1"), None, "another chat gets nothing");
        assert_eq!(traffic.take_sent("chat|M1").as_deref(), Some(&b"one"[..]));
        assert_eq!(traffic.take_sent("chat|M1"), None);
        for number in 0..=MAX_SENT {
            let id: Arc<str> = format!("N{number}").into();
            let _sending = traffic.sending_row(&id);
            assert!(traffic.remember_sent(&id, &id, b"many"));
        }
        assert_eq!((traffic.take_sent("N0"), traffic.sent_rows().sent.len()), (None, MAX_SENT));
    }

    #[test]
    fn r4_ratchets_need_a_flush_for_a_moment_after_a_flush() {
        let traffic = Traffic::default();
        assert_eq!((traffic.needs_flush(), traffic.recently_received()), (None, false), "nothing was received");
        traffic.message_received();
        assert!(traffic.recently_received());
        // A message received just before may be decrypted just after.
        let time = traffic.needs_flush().unwrap_or_default();
        assert!(time > 0);
        traffic.flushed(time);
        assert!(traffic.needs_flush().is_some());
        traffic.flushed(time + micros(MOMENT));
        assert_eq!(traffic.needs_flush(), None);
    }
}
