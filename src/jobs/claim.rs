//! Claims due rows for this worker, and sleeps without missing any.
//!
//! The doorbell: an inserter rings (`NOTIFY wa_work`) only when some worker says that it is parked, so busy workers cost
//! inserters nothing. The race in that is an inserter that looked before the worker parked and commits after the
//! worker's last look. So after parking the worker looks again at short intervals until every transaction that ran at
//! that moment has ended, and for ever after at the slow, jittered poll, which also serves rows that become due and
//! databases behind poolers where LISTEN does not work.

use super::{MaintenanceJob, OutboundJob, Ready, SessionJob, rung};
use crate::db::fence::Fence;
use rand::RngExt;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Most rows of one claim.
const BATCH: usize = 500;

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    /// Where the tables are.
    pub pool: PgPool,
    /// For whom to claim.
    pub worker_id: Uuid,
    /// Rung by the listener, by finished work, by sessions that become connected.
    pub wake: Arc<Notify>,
    /// Whose outbound rows may be claimed.
    pub ready: Ready,
    /// Where claimed messages go.
    pub outbound: mpsc::Sender<OutboundJob>,
    /// Where claimed session jobs go.
    pub session: mpsc::Sender<SessionJob>,
    /// Where claimed maintenance jobs go.
    pub maintenance: mpsc::Sender<MaintenanceJob>,
    /// The slow poll.
    pub poll: Duration,
}

impl Dispatcher {
    /// Claims until `stop`. Errors of the database are logged and waited out.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = Duration::from_millis(100);
        loop {
            let turn = tokio::select! {
                () = stop.cancelled() => return,
                turn = self.turn() => turn,
            };
            match turn {
                Ok(()) => pause = Duration::from_millis(100),
                Err(error) => {
                    tracing::warn!(%error, "cannot claim, trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
                    }
                }
            }
        }
    }

    /// Works until there is nothing to claim, then sleeps until there may be.
    async fn turn(&self) -> sqlx::Result<()> {
        while self.claim().await? > 0 {}
        // Work that is under way often rings in a moment; parking for each message would cost two writes.
        rung(&self.wake, Duration::from_millis(10)).await;
        if self.claim().await? > 0 {
            return Ok(());
        }
        let horizon = sqlx::query_file_scalar!("sql/jobs/park.sql", self.worker_id).fetch_one(&self.pool).await?;
        self.sleep(horizon).await?;
        sqlx::query_file!("sql/jobs/unpark.sql", self.worker_id).execute(&self.pool).await?;
        Ok(())
    }

    /// Sleeps, parked, until a claim found something or somebody rang. After a ring the worker is awake for a moment even
    /// when there is nothing for it, so that inserters for a session that cannot send now do not ring at every row.
    async fn sleep(&self, horizon: i64) -> sqlx::Result<()> {
        let mut pause = Duration::from_millis(2);
        loop {
            if self.claim().await? > 0 {
                return Ok(());
            }
            if sqlx::query_file_scalar!("sql/jobs/oldest_running.sql").fetch_one(&self.pool).await? >= horizon {
                break;
            }
            if rung(&self.wake, pause).await {
                return Ok(());
            }
            pause = (pause * 2).min(self.poll);
        }
        while self.claim().await? == 0 {
            let jitter = rand::rng().random_range(0.75..1.25);
            if rung(&self.wake, self.poll.mul_f64(jitter)).await {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One claim from each table, as far as there is room. Returns how many rows came.
    async fn claim(&self) -> sqlx::Result<usize> {
        Ok(self.claim_session().await? + self.claim_outbound().await? + self.claim_maintenance().await?)
    }

    async fn claim_outbound(&self) -> sqlx::Result<usize> {
        let (sessions, epochs) = self.ready.snapshot();
        let room = room(&self.outbound);
        if room == 0 || sessions.is_empty() {
            return Ok(0);
        }
        let rows = sqlx::query_file!("sql/jobs/claim_outbound.sql", self.worker_id, &sessions, &epochs, room)
            .fetch_all(&self.pool)
            .await?;
        let claimed = rows.len();
        for row in rows {
            let job = OutboundJob {
                fence: Fence { session_id: row.session_id, epoch: row.epoch },
                id: row.id,
                chat: row.chat,
                kind: row.kind,
                body: row.body,
                message_id: row.message_id,
                attempts: row.attempts,
            };
            give(&self.outbound, job).await;
        }
        Ok(claimed)
    }

    async fn claim_session(&self) -> sqlx::Result<usize> {
        let room = room(&self.session);
        if room == 0 {
            return Ok(0);
        }
        let rows = sqlx::query_file!("sql/jobs/claim_session.sql", self.worker_id, room).fetch_all(&self.pool).await?;
        let claimed = rows.len();
        for row in rows {
            let job = SessionJob {
                fence: Fence { session_id: row.session_id, epoch: row.epoch },
                id: row.id,
                session: row.session,
                kind: row.kind,
                reason: row.reason,
                attempts: row.attempts,
            };
            give(&self.session, job).await;
        }
        Ok(claimed)
    }

    async fn claim_maintenance(&self) -> sqlx::Result<usize> {
        let room = room(&self.maintenance);
        if room == 0 {
            return Ok(0);
        }
        let rows =
            sqlx::query_file!("sql/jobs/claim_maintenance.sql", self.worker_id, room).fetch_all(&self.pool).await?;
        let claimed = rows.len();
        for row in rows {
            give(&self.maintenance, MaintenanceJob { id: row.id, kind: row.kind, attempts: row.attempts }).await;
        }
        Ok(claimed)
    }
}

fn room<J>(feed: &mpsc::Sender<J>) -> i64 {
    i64::try_from(feed.capacity().min(BATCH)).unwrap_or(0)
}

/// There is room, because this is the only sender and it asked before it claimed.
async fn give<J>(feed: &mpsc::Sender<J>, job: J) {
    if feed.send(job).await.is_err() {
        tracing::debug!("claimed while stopping; the row falls free with the lease");
    }
}
