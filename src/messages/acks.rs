//! Senders that wait for a server ack.
//!
//! The library's send returns before the server has answered, also for a message that the server then refuses. Only the
//! ack shows the outcome, so each sender registers its message id here before it sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The server's answer: accepted, or refused with this code.
pub type Verdict = Result<(), String>;

/// The waiting senders of one session.
#[derive(Debug, Clone, Default)]
pub struct Acks(Arc<Mutex<HashMap<String, oneshot::Sender<Verdict>>>>);

/// One wait for an ack. Dropping it ends the wait.
#[derive(Debug)]
pub struct AckWait {
    acks: Acks,
    message_id: String,
    verdict: oneshot::Receiver<Verdict>,
}

impl Acks {
    /// Registers a wait for the ack of `message_id`.
    #[must_use]
    pub fn expect(&self, message_id: &str) -> AckWait {
        let (sender, verdict) = oneshot::channel();
        self.lock().insert(message_id.to_owned(), sender);
        AckWait { acks: self.clone(), message_id: message_id.to_owned(), verdict }
    }

    /// Passes the verdict to the sender that waits; false when none does.
    #[must_use]
    pub fn resolve(&self, message_id: &str, verdict: Verdict) -> bool {
        let sender = self.lock().remove(message_id);
        sender.is_some_and(|sender| sender.send(verdict).is_ok())
    }

    /// The connection is lost and no ack will come: every wait ends without a verdict.
    pub fn connection_lost(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Verdict>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AckWait {
    /// The verdict; `None` when the connection was lost first.
    pub async fn verdict(&mut self) -> Option<Verdict> {
        (&mut self.verdict).await.ok()
    }
}

impl Drop for AckWait {
    fn drop(&mut self) {
        self.acks.lock().remove(&self.message_id);
    }
}
