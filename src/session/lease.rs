//! The worker's heartbeat, and the adoption of free sessions.
//!
//! Each worker has one row. A heartbeat extends its `lease_until`, and with it the leases of all sessions that the
//! worker holds. The heartbeat has a connection of its own and waits for nothing else. A worker that cannot extend its
//! lease in time stops its sockets before another worker may take its sessions, and starts again under a fresh id.
//!
//! Each heartbeat is followed by a run of the reconciler (`desired` against `status`): it expires dead workers,
//! corrects the states that they left, adopts free sessions that should be connected, and gives away sessions beyond
//! the worker's share. Then it compares what the database says is this worker's with what the process has in hand
//! ([`Comparison`]). However long it takes, the next heartbeat is in time. The reconciler decides by rows alone, so a
//! lost wake-up or a lost answer costs only time.

use super::comparison::Comparison;
use super::witness::Witness;
use crate::config::Secret;
use crate::db::Db;
use crate::db::DbError;
use crate::db::fence::Fence;
use crate::jobs::bells::Bells;
use crate::telemetry::Usage;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The lease of one life of a worker.
#[derive(Debug)]
pub struct Lease {
    pool: Db,
    worker_id: Uuid,
    ttl: Duration,
    witness: Arc<Witness>,
}

/// The signals between the lease and the rest of the worker.
#[derive(Debug)]
pub struct LeaseSignals {
    /// Cancelled when the worker drains: it adopts no more sessions.
    pub draining: CancellationToken,
    /// Cancelled when the lease is lost, with time left before any other worker may take a session.
    pub lost: CancellationToken,
    /// Cancelled when an operator asks the worker to drain.
    pub drain_requested: CancellationToken,
    /// Ends the heartbeat.
    pub stop: CancellationToken,
    /// [`Bells::reconcile`] wakes the reconciler; a heartbeat may ring [`Bells::check`].
    pub bells: Bells,
    /// Receives the sessions that other workers should have.
    pub surplus: mpsc::UnboundedSender<Fence>,
}

/// What a heartbeat reads.
struct WorkerRequests {
    draining: bool,
    check_at: Option<DateTime<Utc>>,
    beats: i64,
}

/// Payload on the channel `wa_work` when leases become free; rings [`Bells::reconcile`].
pub const FREED: &str = "leases";
/// Most sessions that one run adopts or gives away, so that no heartbeat waits long for their rows.
const STEP: i64 = 200;

/// The share of the lease after which a worker without a heartbeat gives up by itself.
const GIVE_UP: f64 = 0.8;
/// A database that is not away answers in this time.
const SLOW: Duration = Duration::from_secs(2);

impl Lease {
    /// Registers a worker under a fresh id. `witness` is the memory of the process.
    pub async fn register(
        url: &Secret,
        pooler: bool,
        ttl: Duration,
        max_sessions: u32,
        witness: Arc<Witness>,
    ) -> Result<Self, DbError> {
        let pool = Db::connect_worker(url, pooler, 1, "wagres lease").await?;
        let worker_id = Uuid::new_v4();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".into());
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        let version = env!("CARGO_PKG_VERSION");
        let (home, beats) = witness.seen();
        let found =
            sqlx::query_file!("sql/worker/detect_restore.sql", witness.id(), home, beats).fetch_one(&pool).await?;
        if let Some(reason) = found.reason {
            tracing::warn!(reason, "database restore detected; sessions reset their ratchets when they connect");
        }
        witness.enter(found.home);
        let (host, seconds) = (host.trim(), ttl.as_secs_f64());
        let most = i32::try_from(max_sessions).unwrap_or(i32::MAX);
        sqlx::query_file!("sql/worker/register.sql", worker_id, host, pid, version, seconds, most, found.home)
            .execute(&pool)
            .await?;
        Ok(Self { pool, worker_id, ttl, witness })
    }

    /// The worker id of this life.
    #[must_use]
    pub const fn worker_id(&self) -> Uuid {
        self.worker_id
    }

    /// Sends heartbeats and reconciles until the tokens end it. Calls `answers` with whether the database answers.
    /// The pool of `comparison` serves statements that need not be in time.
    pub async fn run(&self, signals: LeaseSignals, comparison: Comparison, answers: impl Fn(bool)) {
        let after_beat = Notify::new();
        tokio::select! {
            () = self.heartbeat_loop(&signals, &after_beat, answers) => {}
            () = self.reconcile_loop(&signals, &after_beat, comparison) => {}
        }
    }

    async fn heartbeat_loop(&self, signals: &LeaseSignals, after_beat: &Notify, answers: impl Fn(bool)) {
        let LeaseSignals { lost, drain_requested, stop, .. } = signals;
        let (mut proven, mut checked) = (Instant::now(), None);
        loop {
            let began = Instant::now();
            let give_up = self.ttl.mul_f64(GIVE_UP).saturating_sub(proven.elapsed());
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = tokio::time::timeout(give_up, self.beat_or_report(&answers)) => beat,
            };
            answers(matches!(beat, Ok(Ok(_))));
            match beat {
                Ok(Ok(Some(WorkerRequests { draining, check_at, beats }))) => {
                    if !self.witness.count(beats) {
                        tracing::error!("the database went back in time; stopping every session");
                        return lost.cancel();
                    }
                    proven = began;
                    if draining {
                        drain_requested.cancel();
                    }
                    if std::mem::replace(&mut checked, check_at) != check_at {
                        signals.bells.check.notify_one();
                    }
                }
                Ok(Ok(None)) => {
                    tracing::error!("lease expired, or the database was restored; stopping every session");
                    return lost.cancel();
                }
                Ok(Err(error)) => tracing::warn!(%error, "heartbeat failed; retrying"),
                Err(_) => {
                    tracing::error!("no heartbeat succeeded in time; stopping every session");
                    return lost.cancel();
                }
            }
            after_beat.notify_one();
            tokio::select! {
                () = stop.cancelled() => return,
                () = signals.bells.reconcile.notified() => {}
                () = tokio::time::sleep((self.ttl / 5).min(Duration::from_secs(2))) => {}
            }
        }
    }

    async fn reconcile_loop(&self, signals: &LeaseSignals, after_beat: &Notify, mut comparison: Comparison) {
        let pool = comparison.pool.clone();
        loop {
            after_beat.notified().await;
            if signals.draining.is_cancelled() {
                continue;
            }
            if let Err(error) = self.reconcile(&pool, signals).await {
                tracing::warn!(%error, "reconciler failed; retrying after the next heartbeat");
            }
            if let Err(error) = comparison.run().await {
                tracing::warn!(%error, "comparison with the database failed; retrying after the next heartbeat");
            }
        }
    }

    /// Sends a heartbeat, and reports when the database is slow to answer.
    async fn beat_or_report(&self, answers: &impl Fn(bool)) -> sqlx::Result<Option<WorkerRequests>> {
        let beat = self.beat();
        tokio::pin!(beat);
        if let Ok(beat) = tokio::time::timeout(SLOW, &mut beat).await {
            return beat;
        }
        answers(false);
        beat.await
    }

    /// Sends a heartbeat. `None` when the lease has expired, or the database is another one.
    async fn beat(&self) -> sqlx::Result<Option<WorkerRequests>> {
        let (seconds, process) = (self.ttl.as_secs_f64(), self.witness.id());
        let memory = i32::try_from(Usage::now().memory / 1_000_000).unwrap_or(i32::MAX);
        sqlx::query_file_as!(WorkerRequests, "sql/worker/heartbeat.sql", self.worker_id, seconds, process, memory)
            .fetch_optional(&self.pool)
            .await
    }

    async fn reconcile(&self, pool: &Db, signals: &LeaseSignals) -> sqlx::Result<()> {
        let expired = sqlx::query_file!("sql/worker/expire_workers.sql").fetch_one(pool).await?;
        if expired.workers > 0 {
            tracing::info!(workers = expired.workers, "dead workers expired; their sessions are free");
        }
        if expired.unsettled {
            sqlx::query_file!("sql/worker/settle.sql", STEP).execute(pool).await?;
        }
        sqlx::query_file!("sql/session/reset_stale.sql").execute(pool).await?;
        let adopted = sqlx::query_file!("sql/session/adopt.sql", self.worker_id, STEP).execute(pool).await?;
        let adopted = adopted.rows_affected();
        if adopted > 0 {
            tracing::info!(sessions = adopted, "sessions adopted");
            // There may be more, and they need not wait for the next heartbeat. The session jobs limit how many connect
            // at once.
            signals.bells.reconcile.notify_one();
            return Ok(());
        }
        let surplus = sqlx::query_file!("sql/session/surplus.sql", self.worker_id, STEP).fetch_all(pool).await?;
        for row in surplus {
            if signals.surplus.send(Fence { session_id: row.session_id, epoch: row.epoch }).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Announces that the worker gives its sessions away, so that others adopt them.
    pub async fn drain(&self) -> sqlx::Result<()> {
        sqlx::query_file!("sql/worker/drain.sql", self.worker_id).execute(&self.pool).await.map(drop)
    }

    /// Deletes the worker's row, so that nobody has to wait for its lease to expire.
    pub async fn unregister(&self) -> sqlx::Result<()> {
        let process = self.witness.id();
        sqlx::query_file!("sql/worker/unregister.sql", self.worker_id, process).fetch_optional(&self.pool).await?;
        self.pool.close().await;
        Ok(())
    }
}
