//! How messages and sessions leave a worker: when it stops, and when another worker should have them.

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

/// How long messages under way may take when their session is handed over.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(5);
/// How often to check whether they are finished.
const CHECK: Duration = Duration::from_millis(20);
/// How long connections to the database may take to close.
const CLOSING: Duration = Duration::from_secs(2);

/// Lets messages under way finish within `limit`, and releases those behind them, while the leases still hold.
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
        tracing::warn!("drain limit reached; unfinished messages go back to the queue");
    }
    if let Err(error) = outbound::release_unsent(pool, worker_id, lanes).await {
        tracing::warn!(%error, "could not release unsent messages; their attempt will be counted");
    }
}

/// Hands sessions over to other workers, each once its messages under way are finished.
pub(super) async fn hand_over_surplus(mut surplus: mpsc::UnboundedReceiver<Fence>, sessions: Sessions, lanes: Lanes) {
    let hand_overs = TaskTracker::new();
    while let Some(fence) = surplus.recv().await {
        let (sessions, lanes) = (sessions.clone(), lanes.clone());
        hand_overs.spawn(async move {
            sessions.withdraw(fence);
            let finished = async {
                while lanes.has(fence.session_id) {
                    tokio::time::sleep(CHECK).await;
                }
            };
            if tokio::time::timeout(HAND_OVER_LIMIT, finished).await.is_err() {
                tracing::info!(
                    session_id = fence.session_id,
                    "hand-over limit reached; unfinished messages go back to the queue"
                );
            }
            if let Err(error) = sessions.hand_over(fence).await {
                tracing::debug!(session_id = fence.session_id, %error, "session not handed over");
            }
        });
    }
    hand_overs.close();
    hand_overs.wait().await;
}

/// Closes the connections to the database. A statement that was given up leaves its connection waiting for an answer,
/// and none comes if the network is cut.
pub(super) async fn close(pool: &Db) {
    if tokio::time::timeout(CLOSING, pool.close()).await.is_err() {
        tracing::warn!("database connections did not close in time; left to the operating system");
    }
}
