//! The worker's proof of life, and the adoption of free sessions.
//!
//! One row a worker: a heartbeat moves its `lease_until` on, and every session that it holds lives by it. The beat has a
//! connection of its own and shares nothing with the work. A worker that cannot prove its life in time stops its sockets
//! before anyone may take its sessions, and starts anew under a fresh id.
//!
//! Each beat is also a turn of the reconciler (wish against state): bury dead workers, correct what they left, adopt what
//! is free and wished connected. It carries nothing from turn to turn, so a lost wake-up costs only time.

use crate::config::Secret;
use crate::db::Db;
use crate::db::DbError;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// See the module.
#[derive(Debug)]
pub struct Lease {
    pool: Db,
    worker_id: Uuid,
    ttl: Duration,
    max_sessions: u32,
}

/// The share of the lease after which a worker that was not heard gives up by itself.
const GIVE_UP: f64 = 0.8;
/// A database that answers does so in this time.
const SLOW: Duration = Duration::from_secs(2);

impl Lease {
    /// Registers a worker of a fresh id.
    pub async fn register(url: &Secret, pooler: bool, ttl: Duration, max_sessions: u32) -> Result<Self, DbError> {
        let pool = Db::connect(url, pooler, 1, "wagres lease").await?;
        let worker_id = Uuid::new_v4();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".into());
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let version = env!("CARGO_PKG_VERSION");
        let restored = sqlx::query_file_scalar!("sql/worker/come_home.sql").fetch_one(&pool).await?;
        if restored > 0 {
            tracing::warn!(sessions = restored, "the database was restored: chats begin new Signal sessions");
        }
        sqlx::query_file!("sql/worker/register.sql", worker_id, host.trim(), pid, version, ttl.as_secs_f64())
            .execute(&pool)
            .await?;
        Ok(Self { pool, worker_id, ttl, max_sessions })
    }

    /// The id under which this worker holds.
    #[must_use]
    pub const fn worker_id(&self) -> Uuid {
        self.worker_id
    }

    /// Beats until `stop`, or until the lease is lost: then `lost` is cancelled, with time left before any other worker
    /// may take a session. `held` tells how many sessions this worker holds; while `draining` none is adopted. `answers` is told whether the
    /// database does.
    pub async fn run(
        &self,
        held: impl Fn() -> usize,
        answers: impl Fn(bool),
        draining: &CancellationToken,
        lost: CancellationToken,
        stop: CancellationToken,
    ) {
        let mut proven = Instant::now();
        loop {
            let asked = Instant::now();
            let give_up = self.ttl.mul_f64(GIVE_UP).saturating_sub(proven.elapsed());
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = tokio::time::timeout(give_up, self.beat_or_say(&answers)) => beat,
            };
            answers(matches!(beat, Ok(Ok(_))));
            match beat {
                Ok(Ok(true)) => proven = asked,
                Ok(Ok(false)) => {
                    tracing::error!("the lease has run out; stopping every session");
                    return lost.cancel();
                }
                Ok(Err(error)) => tracing::warn!(%error, "heartbeat failed"),
                Err(_) => {
                    tracing::error!("no heartbeat came through in time; stopping every session");
                    return lost.cancel();
                }
            }
            if !draining.is_cancelled()
                && let Err(error) = self.reconcile(held()).await
            {
                tracing::warn!(%error, "cannot look for free sessions");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep((self.ttl / 5).min(Duration::from_secs(2))) => {}
            }
        }
    }

    /// Proves life, and says so when the database takes its time.
    async fn beat_or_say(&self, answers: &impl Fn(bool)) -> sqlx::Result<bool> {
        let beat = self.beat();
        tokio::pin!(beat);
        if let Ok(beat) = tokio::time::timeout(SLOW, &mut beat).await {
            return beat;
        }
        answers(false);
        beat.await
    }

    /// Proves life. False: too late, the lease has run out.
    async fn beat(&self) -> sqlx::Result<bool> {
        let done = sqlx::query_file!("sql/worker/heartbeat.sql", self.worker_id, self.ttl.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn reconcile(&self, held: usize) -> sqlx::Result<()> {
        let buried = sqlx::query_file!("sql/worker/bury.sql").execute(&self.pool).await?.rows_affected();
        if buried > 0 {
            tracing::info!(buried, "workers are dead; their sessions are free");
        }
        sqlx::query_file!("sql/session/reset_stale.sql").execute(&self.pool).await?;
        let room = i64::from(self.max_sessions) - i64::try_from(held).unwrap_or(i64::MAX);
        if room > 0 {
            let adopted = sqlx::query_file!("sql/session/adopt.sql", self.worker_id, room)
                .execute(&self.pool)
                .await?
                .rows_affected();
            if adopted > 0 {
                tracing::info!(adopted, "sessions adopted");
            }
        }
        Ok(())
    }

    /// Takes the worker off the list, so that nobody has to wait for its lease to run out.
    pub async fn unregister(&self) -> sqlx::Result<()> {
        sqlx::query_file!("sql/worker/unregister.sql", self.worker_id).execute(&self.pool).await?;
        self.pool.close().await;
        Ok(())
    }
}
