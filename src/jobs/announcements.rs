//! Notifies applications of messages whose status has changed (Q11), after the transaction that changed them.
//!
//! A NOTIFY in that transaction would hold the lock that all notifying transactions share until its commit is on the disk.
//! So a notification is a hint that a crash may lose; the rows have the truth. What changes while one statement runs goes
//! with the next.

use crate::db::Db;
use tokio::sync::mpsc;

/// Where changed messages are announced. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Announcements(mpsc::UnboundedSender<Changed>);

/// Session ids and ids of messages, as parallel arrays.
type Changed = (Vec<i64>, Vec<i64>);

impl Announcements {
    /// Starts it. The future ends when every clone is dropped, after the last notification.
    pub(super) fn start(db: Db) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), run(db, receiver))
    }

    /// Announces messages: session ids and ids.
    pub(super) fn push(&self, sessions: &[i64], ids: &[i64]) {
        if self.0.send((sessions.to_vec(), ids.to_vec())).is_err() {
            tracing::debug!("messages changed after the end; not announced");
        }
    }
}

async fn run(db: Db, mut changed: mpsc::UnboundedReceiver<Changed>) {
    while let Some((mut sessions, mut ids)) = changed.recv().await {
        while let Ok(more) = changed.try_recv() {
            sessions.extend(more.0);
            ids.extend(more.1);
        }
        if let Err(error) = sqlx::query_file!("sql/jobs/notify_status.sql", &sessions, &ids).fetch_one(&db).await {
            tracing::debug!(%error, messages = ids.len(), "changed messages not announced");
        }
    }
}
