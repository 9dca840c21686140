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
use crate::db::proof::{FRESH, Moment, Proof, TAKEN};
use crate::jobs::bells::Bells;
use crate::telemetry::Usage;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Whether others see by its connection that the worker has died.
    seen_by_connection: bool,
    proof: Proof,
    /// Workers whose connections have been gone for [`GRACE`].
    dead: Mutex<Vec<Uuid>>,
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
    gone: Vec<Uuid>,
}

/// How often a heartbeat is sent: a worker is dead soon after one is missing. Less often through a pooler, and more often with
/// a short lease.
const BEAT: Duration = Duration::from_secs(1);
/// How often the reconciler runs, when nothing rings.
const RECONCILE: Duration = Duration::from_secs(2);
/// How long the connection of another worker must have been seen to be gone, so that one that lives can connect again.
const GRACE: Duration = Duration::from_secs(2);
/// How often to look while some connection is gone.
const LOOK: Duration = Duration::from_millis(250);

/// The workers whose connections are gone, and since when this worker has seen that without a break.
#[derive(Debug)]
struct Gone {
    since: HashMap<Uuid, Instant>,
    looked: Instant,
}

impl Gone {
    /// Notes what a heartbeat has seen. Returns those that have been gone for [`GRACE`].
    fn note(&mut self, hung_up: &[Uuid]) -> Vec<Uuid> {
        let now = Instant::now();
        // Somebody may have been back meanwhile.
        if now.duration_since(self.looked) >= GRACE {
            self.since.clear();
        }
        self.looked = now;
        self.since.retain(|worker, _| hung_up.contains(worker));
        for worker in hung_up {
            self.since.entry(*worker).or_insert(now);
        }
        let long = self.since.iter().filter(|(_, since)| now.duration_since(**since) >= GRACE);
        long.map(|(worker, _)| *worker).collect()
    }
}

/// What a run of the reconciler knows of its worker's share: when it was last compared with what the worker holds.
#[derive(Debug, Default)]
struct ShareSeen {
    /// The workers, how many sessions this one held, and what was asked for by `wa.move_session`.
    state: Option<(Option<String>, i64, Option<String>)>,
    /// Runs since then.
    runs: u32,
}

/// Payload on the channel `wa_work` when leases become free; rings [`Bells::reconcile`].
pub const FREED: &str = "leases";
/// Most sessions that one run adopts or gives away, so that no heartbeat waits long for their rows.
const STEP: i64 = 200;

/// The share of the lease after which a worker without a heartbeat gives up by itself.
const GIVE_UP: f64 = 0.8;
/// A worker looks whether it holds more than its share at least once in so many runs of the reconciler.
const SHARE_AFTER: u32 = 5;
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
        let (most, began) = (i32::try_from(max_sessions).unwrap_or(i32::MAX), Moment::now());
        // Behind a pooler a connection is not the worker's own.
        let (seen_by_connection, dead) = (!pooler, Mutex::default());
        let register = sqlx::query_file!(
            "sql/worker/register.sql",
            worker_id,
            host,
            pid,
            version,
            seconds,
            most,
            found.home,
            seen_by_connection
        );
        register.execute(&pool).await?;
        let lasts = ttl.mul_f64(GIVE_UP);
        let proof = Proof::since(began, if pooler { lasts } else { FRESH.min(lasts) });
        Ok(Self { pool, worker_id, ttl, witness, seen_by_connection, proof, dead })
    }

    /// The worker id of this life.
    #[must_use]
    pub const fn worker_id(&self) -> Uuid {
        self.worker_id
    }

    /// Proven by each heartbeat.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.proof.clone()
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
        let (mut proven, mut checked) = (Moment::now(), None);
        let every = (self.ttl / 5).min(if self.seen_by_connection { BEAT } else { RECONCILE });
        let mut gone = Gone { since: HashMap::new(), looked: Instant::now() };
        let (mut rung, mut reconciled) = (true, Instant::now());
        loop {
            let began = Moment::now();
            let give_up = self.ttl.mul_f64(GIVE_UP).saturating_sub(proven.elapsed());
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = tokio::time::timeout(give_up, self.beat_or_report(&answers)) => beat,
            };
            answers(matches!(beat, Ok(Ok(_))));
            match beat {
                Ok(Ok(Some(WorkerRequests { draining, check_at, beats, gone: hung_up }))) => {
                    if !self.witness.count(beats) {
                        tracing::error!("the database went back in time; stopping every session");
                        return lost.cancel();
                    }
                    proven = began;
                    self.proof.renew(began);
                    let dead = gone.note(&hung_up);
                    rung |= !dead.is_empty();
                    *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = dead;
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
            if rung || reconciled.elapsed() + every / 2 >= RECONCILE.min(self.ttl / 5) {
                (rung, reconciled) = (false, Instant::now());
                after_beat.notify_one();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = signals.bells.reconcile.notified() => rung = true,
                () = tokio::time::sleep(if gone.since.is_empty() { every } else { LOOK.min(every) }) => {}
            }
        }
    }

    async fn reconcile_loop(&self, signals: &LeaseSignals, after_beat: &Notify, mut comparison: Comparison) {
        let pool = comparison.pool.clone();
        let mut seen = ShareSeen::default();
        loop {
            after_beat.notified().await;
            if signals.draining.is_cancelled() {
                continue;
            }
            if let Err(error) = self.reconcile(&pool, signals, &mut seen).await {
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
        sqlx::query_file_as!(
            WorkerRequests,
            "sql/worker/heartbeat.sql",
            self.worker_id,
            seconds,
            process,
            memory,
            self.seen_by_connection
        )
        .fetch_optional(&self.pool)
        .await
    }

    /// Does what is to be done, by one query that says what that is (P11).
    async fn reconcile(&self, pool: &Db, signals: &LeaseSignals, seen: &mut ShareSeen) -> sqlx::Result<()> {
        let dead = std::mem::take(&mut *self.dead.lock().unwrap_or_else(PoisonError::into_inner));
        if !dead.is_empty() {
            let ended = sqlx::query_file_scalar!("sql/worker/end_gone.sql", &dead, TAKEN.as_secs_f64());
            let workers = ended.fetch_one(pool).await?;
            if workers > 0 {
                tracing::warn!(workers, "workers gone with their connections; their sessions are free");
            }
        }
        let found = sqlx::query_file!("sql/worker/expire_workers.sql", self.worker_id).fetch_one(pool).await?;
        if found.workers > 0 {
            tracing::info!(workers = found.workers, "dead workers expired; their sessions are free");
        }
        if found.unsettled {
            sqlx::query_file!("sql/worker/settle.sql", STEP).execute(pool).await?;
        }
        if found.workers > 0 || found.free {
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
        }
        let state = Some((found.crew, found.held, found.moves));
        seen.runs += 1;
        if seen.state == state && seen.runs < SHARE_AFTER {
            return Ok(());
        }
        let surplus = sqlx::query_file!("sql/session/surplus.sql", self.worker_id, STEP).fetch_all(pool).await?;
        *seen = ShareSeen { state: state.filter(|_| surplus.is_empty()), runs: 0 };
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
