//! Who waits for which server ack.
//!
//! The library's send returns before the server has spoken, also for a message that is then refused. Only the ack says
//! what became of it, so each sender leaves its message id here before it sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// What the server said: taken, or refused with a code.
pub type Verdict = Result<(), String>;

/// The waiting senders of one session.
#[derive(Debug, Clone, Default)]
pub struct Acks(Arc<Mutex<HashMap<String, oneshot::Sender<Verdict>>>>);

/// A place in the waiting room; leaving it (by drop) frees it.
#[derive(Debug)]
pub struct Waiting {
    acks: Acks,
    message_id: String,
    verdict: oneshot::Receiver<Verdict>,
}

impl Acks {
    /// Waits for the ack of `message_id` from now on.
    #[must_use]
    pub fn expect(&self, message_id: &str) -> Waiting {
        let (sender, verdict) = oneshot::channel();
        self.lock().insert(message_id.to_owned(), sender);
        Waiting { acks: self.clone(), message_id: message_id.to_owned(), verdict }
    }

    /// Gives the verdict to whoever waits; false when nobody does.
    #[must_use]
    pub fn resolve(&self, message_id: &str, verdict: Verdict) -> bool {
        let sender = self.lock().remove(message_id);
        sender.is_some_and(|sender| sender.send(verdict).is_ok())
    }

    /// No ack comes any more on this connection: every waiting sender is told so.
    pub fn connection_lost(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Verdict>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The verdict; `None` when the connection was lost first.
    pub async fn verdict(&mut self) -> Option<Verdict> {
        (&mut self.verdict).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.acks.lock().remove(&self.message_id);
    }
}
