//! The connections over which this worker sends.

use super::acks::Acks;
use crate::auth::Traffic;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::jobs::{JobError, Ready};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use whatsapp_rust::client::Client;

/// The connection of one session, logged in.
pub struct Connection {
    /// The session's hold.
    pub hold: Hold,
    /// The client library's client.
    pub client: Arc<Client>,
    /// Senders that wait for the server's ack.
    pub acks: Acks,
    /// When messages last arrived.
    pub traffic: Arc<Traffic>,
    /// Rung when WhatsApp refuses a message because it limits the account.
    pub limit: Arc<Notify>,
    /// Set when this worker is about to end the connection.
    pub ending: AtomicBool,
}

/// The connections of a worker. Clones share them.
#[derive(Clone, Default)]
pub struct Connections {
    ready: Ready,
    open: Arc<Mutex<HashMap<i64, Arc<Connection>>>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connections").field(&self.lock().len()).finish()
    }
}

impl Connections {
    /// No connection yet. A session with a connection is marked in `ready`, so that its messages are claimed.
    #[must_use]
    pub fn new(ready: Ready) -> Self {
        Self { ready, open: Arc::default() }
    }

    /// The sessions whose messages are claimed.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Adds the connection of a session that has logged in.
    pub fn open(&self, connection: Connection) {
        let (fence, name) = (connection.hold.fence, connection.hold.session.clone());
        self.lock().insert(fence.session_id, Arc::new(connection));
        self.ready.insert(fence, name);
    }

    /// Removes the connection under this hold. Senders that wait for an ack learn that none will come.
    pub fn close(&self, fence: Fence) {
        self.withdraw(fence);
        let mut open = self.lock();
        if open.get(&fence.session_id).is_some_and(|connection| connection.hold.fence == fence)
            && let Some(connection) = open.remove(&fence.session_id)
        {
            connection.acks.connection_lost();
        }
    }

    /// Announces that this worker is about to end the connection. Attempts that it cuts off do not count.
    pub fn ending(&self, fence: Fence) {
        if let Some(connection) = self.get(fence) {
            connection.ending.store(true, Ordering::Relaxed);
        }
    }

    /// Stops claiming the session's messages; those under way continue.
    pub fn withdraw(&self, fence: Fence) {
        self.ready.remove(fence);
    }

    /// The connection under this hold.
    #[must_use]
    pub fn get(&self, fence: Fence) -> Option<Arc<Connection>> {
        self.lock().get(&fence.session_id).filter(|connection| connection.hold.fence == fence).cloned()
    }

    /// The connection that a job needs.
    ///
    /// # Errors
    /// There is none; the job goes back to the queue.
    pub fn of_job(&self, fence: Fence) -> Result<Arc<Connection>, JobError> {
        self.get(fence).ok_or_else(|| JobError::Release("the session is not connected here".into()))
    }

    /// All connections.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
