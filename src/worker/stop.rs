//! How messages and sessions leave a worker: at its stop, and when another worker should have them.

use crate::db::Db;
use crate::db::fence::Fence;
use crate::jobs::bells::Bells;
use crate::jobs::lanes::Lanes;
use crate::jobs::outbound;
use crate::session::registry::Sessions;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::tasks::Tasks;

/// How long messages of a session that is handed over may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether they are through.
const LOOK: Duration = Duration::from_millis(20);
/// How long connections to the database may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// Lets messages that are under way finish within `limit`, and releases those behind them, while the leases still hold.
pub(super) async fn finish(
    pool: &Db,
    worker_id: Uuid,
    lanes: &Lanes,
    bells: &Bells,
    handlers: &mut Tasks,
    limit: Duration,
) {
    lanes.close();
    let in_flight = async {
        handlers.join().await;
        while !lanes.in_hand().0.is_empty() {
            bells.freed.notified().await;
        }
    };
    if tokio::time::timeout(limit, in_flight).await.is_err() {
        tracing::warn!("drain limit reached; unfinished messages go back into the queue");
    }
    if let Err(error) = outbound::put_down(pool, worker_id, lanes).await {
        tracing::warn!(%error, "could not release unsent messages; their attempt will be counted");
    }
}

/// Hands sessions over to other workers, each once the messages that are under way are through.
pub(super) async fn hand_over_surplus(mut surplus: mpsc::UnboundedReceiver<Fence>, sessions: Sessions, lanes: Lanes) {
    let handing_over = TaskTracker::new();
    while let Some(fence) = surplus.recv().await {
        let (sessions, lanes) = (sessions.clone(), lanes.clone());
        handing_over.spawn(async move {
            sessions.withdraw(fence);
            let through = async {
                while lanes.has(fence.session_id) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(PATIENCE, through).await.is_err() {
                tracing::info!(
                    session_id = fence.session_id,
                    "handing over; unfinished messages go back into the queue"
                );
            }
            if let Err(error) = sessions.hand_over(fence).await {
                tracing::debug!(session_id = fence.session_id, %error, "not handed over");
            }
        });
    }
    handing_over.close();
    handing_over.wait().await;
}

/// Closes the connections. A statement that was given up leaves its connection waiting for the answer, and with the network
/// cut none comes.
pub(super) async fn close(pool: &Db) {
    if tokio::time::timeout(CLOSING, pool.close()).await.is_err() {
        tracing::warn!("connections to the database left to the operating system");
    }
}
