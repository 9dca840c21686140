//! The worker's proof of life, and the adoption of free sessions.
//!
//! One row a worker: a heartbeat moves its `lease_until` on, and every session that it holds lives by it. The beat has a
//! connection of its own and waits for nothing else. A worker that cannot prove its life in time stops its sockets before
//! anyone may take its sessions, and starts anew under a fresh id.
//!
//! After each beat comes a turn of the reconciler (wish against state): bury dead workers, correct what they left, adopt
//! what is free and wished connected, and give away what is beyond the worker's share. However long it takes, the next
//! beat comes in time. It carries nothing from turn to turn, so a lost wake-up costs only time.

use crate::config::Secret;
use crate::db::Db;
use crate::db::DbError;
use crate::db::fence::Fence;
use crate::jobs::bells::Bells;
use chrono::{DateTime, Utc};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// See the module.
#[derive(Debug)]
pub struct Lease {
    pool: Db,
    worker_id: Uuid,
    ttl: Duration,
}

/// What the lease hears and tells while it beats.
#[derive(Debug)]
pub struct Fleet {
    /// No session is adopted any more.
    pub draining: CancellationToken,
    /// Cancelled when the lease is lost, with time left before any other worker may take a session.
    pub lost: CancellationToken,
    /// Cancelled when somebody asks the worker to drain.
    pub asked: CancellationToken,
    /// Ends the beat.
    pub stop: CancellationToken,
    /// Of which [`Bells::reconcile`] wakes the reconciler; rings [`Bells::check`].
    pub bells: Bells,
    /// Takes the sessions that other workers should have.
    pub give_away: mpsc::UnboundedSender<Fence>,
}

/// What stands in a worker's row for it.
struct Asked {
    draining: bool,
    check_at: Option<DateTime<Utc>>,
}

/// Announced on the channel `wa_work` when leases are free; rings [`Bells::reconcile`].
pub const FREED: &str = "leases";
/// Most sessions that are taken or given away in one turn, so that no beat waits long for them.
const STEP: i64 = 200;

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
        let restored = sqlx::query_file_scalar!("sql/worker/detect_restore.sql").fetch_one(&pool).await?;
        if restored > 0 {
            tracing::warn!(sessions = restored, "the database was restored: chats begin new Signal sessions");
        }
        let most = i32::try_from(max_sessions).unwrap_or(i32::MAX);
        sqlx::query_file!("sql/worker/register.sql", worker_id, host.trim(), pid, version, ttl.as_secs_f64(), most)
            .execute(&pool)
            .await?;
        Ok(Self { pool, worker_id, ttl })
    }

    /// The id under which this worker holds.
    #[must_use]
    pub const fn worker_id(&self) -> Uuid {
        self.worker_id
    }

    /// Beats and reconciles until the tokens say so. `answers` is told whether the database does; `pool` is for what need
    /// not be in time.
    pub async fn run(&self, pool: &Db, fleet: Fleet, answers: impl Fn(bool)) {
        let turn = Notify::new();
        tokio::select! {
            () = self.beats(&fleet, &turn, answers) => {}
            () = self.turns(pool, &fleet, &turn) => {}
        }
    }

    async fn beats(&self, fleet: &Fleet, turn: &Notify, answers: impl Fn(bool)) {
        let Fleet { lost, asked, stop, .. } = fleet;
        let (mut proven, mut checked) = (Instant::now(), None);
        loop {
            let began = Instant::now();
            let give_up = self.ttl.mul_f64(GIVE_UP).saturating_sub(proven.elapsed());
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = tokio::time::timeout(give_up, self.beat_or_say(&answers)) => beat,
            };
            answers(matches!(beat, Ok(Ok(_))));
            match beat {
                Ok(Ok(Some(Asked { draining, check_at }))) => {
                    proven = began;
                    if draining {
                        asked.cancel();
                    }
                    if std::mem::replace(&mut checked, check_at) != check_at {
                        fleet.bells.check.notify_one();
                    }
                }
                Ok(Ok(None)) => {
                    tracing::error!("the lease has run out; stopping every session");
                    return lost.cancel();
                }
                Ok(Err(error)) => tracing::warn!(%error, "heartbeat failed"),
                Err(_) => {
                    tracing::error!("no heartbeat came through in time; stopping every session");
                    return lost.cancel();
                }
            }
            turn.notify_one();
            tokio::select! {
                () = stop.cancelled() => return,
                () = fleet.bells.reconcile.notified() => {}
                () = tokio::time::sleep((self.ttl / 5).min(Duration::from_secs(2))) => {}
            }
        }
    }

    async fn turns(&self, pool: &Db, fleet: &Fleet, turn: &Notify) {
        loop {
            turn.notified().await;
            if fleet.draining.is_cancelled() {
                continue;
            }
            if let Err(error) = self.reconcile(pool, fleet).await {
                tracing::warn!(%error, "cannot look for free sessions");
            }
        }
    }

    /// Proves life, and says so when the database takes its time.
    async fn beat_or_say(&self, answers: &impl Fn(bool)) -> sqlx::Result<Option<Asked>> {
        let beat = self.beat();
        tokio::pin!(beat);
        if let Ok(beat) = tokio::time::timeout(SLOW, &mut beat).await {
            return beat;
        }
        answers(false);
        beat.await
    }

    /// Proves life, and hears what the worker is asked for. `None`: too late, the lease has run out.
    async fn beat(&self) -> sqlx::Result<Option<Asked>> {
        sqlx::query_file_as!(Asked, "sql/worker/heartbeat.sql", self.worker_id, self.ttl.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
    }

    async fn reconcile(&self, pool: &Db, fleet: &Fleet) -> sqlx::Result<()> {
        let buried = sqlx::query_file!("sql/worker/expire_workers.sql").execute(pool).await?.rows_affected();
        if buried > 0 {
            tracing::info!(buried, "workers are dead; their sessions are free");
        }
        sqlx::query_file!("sql/session/reset_stale.sql").execute(pool).await?;
        let adopted = sqlx::query_file!("sql/session/adopt.sql", self.worker_id, STEP).execute(pool).await?;
        let adopted = adopted.rows_affected();
        if adopted > 0 {
            tracing::info!(adopted, "sessions adopted");
            // There may be more, and they need not wait for the next beat; how many connect at once is for the session
            // jobs to say.
            fleet.bells.reconcile.notify_one();
            return Ok(());
        }
        let surplus = sqlx::query_file!("sql/session/surplus.sql", self.worker_id, STEP).fetch_all(pool).await?;
        for row in surplus {
            if fleet.give_away.send(Fence { session_id: row.session_id, epoch: row.epoch }).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Says that the worker gives its sessions away, so that the others take them.
    pub async fn drain(&self) -> sqlx::Result<()> {
        sqlx::query_file!("sql/worker/drain.sql", self.worker_id).execute(&self.pool).await.map(drop)
    }

    /// Takes the worker off the list, so that nobody has to wait for its lease to run out.
    pub async fn unregister(&self) -> sqlx::Result<()> {
        sqlx::query_file!("sql/worker/unregister.sql", self.worker_id).fetch_optional(&self.pool).await?;
        self.pool.close().await;
        Ok(())
    }
}
