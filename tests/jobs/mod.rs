//! The job engine over real Postgres: the worker's own claims, lanes and progress. The test stands in for WhatsApp.

mod clients;
mod held_back;
mod interleavings;
mod locked;
mod orders;
mod plans;
mod poison;
mod shares;

use crate::support::db::{TestDb, fresh};
use anyhow::{Context as _, Result, ensure};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wagres::db::Db;
use wagres::db::fence::Fence;
use wagres::jobs::lanes::{Lanes, Limits};
use wagres::jobs::numbers::Numbers;
use wagres::jobs::outbound::Outbound;
use wagres::jobs::progress::{Attempts, Progress};
use wagres::jobs::record::Record as _;
use wagres::jobs::stock::MAX_IN_HAND;
use wagres::jobs::{JobError, OutboundJob, Ready};

/// A worker that the test drives by hand: it claims, begins and ends messages when the test says so.
pub(crate) struct ManualWorker {
    pub(crate) pool: PgPool,
    pub(crate) id: Uuid,
    ready: Ready,
    lanes: Lanes,
    outbound: Outbound,
    jobs: mpsc::Receiver<OutboundJob>,
    pub(crate) attempts: Attempts,
    pub(crate) numbers: Numbers,
    freed: Arc<Notify>,
    stop: CancellationToken,
}

impl ManualWorker {
    /// Registers a worker that holds no session yet, with more room than any test needs.
    pub(crate) async fn new(pool: &PgPool) -> Result<Self> {
        Self::with(pool, Limits { sending: MAX_IN_HAND, files: MAX_IN_HAND, bytes: 1 << 40 }).await
    }

    /// Registers a worker with these limits.
    pub(crate) async fn with(pool: &PgPool, limits: Limits) -> Result<Self> {
        let id = Uuid::new_v4();
        sqlx::query("INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES ($1, 'test', 1, 'test', now() + interval '1 day')")
            .bind(id)
            .execute(pool)
            .await?;
        let (sender, jobs) = mpsc::channel(MAX_IN_HAND);
        let (lanes, stop) = (Lanes::new(sender, limits), CancellationToken::new());
        let (ready, freed) = (Ready::default(), Arc::new(Notify::new()));
        let (db, numbers) = (Db::from(pool.clone()), Numbers::default());
        let (progress, writer) =
            Progress::start(db.clone(), lanes.clone(), numbers.clone(), freed.clone(), stop.clone());
        tokio::spawn(writer);
        let outbound =
            Outbound::new(db.own_connection("wagres claims"), id, ready.clone(), lanes.clone(), numbers.clone());
        let attempts = Attempts { progress, lanes: lanes.clone() };
        Ok(Self { pool: pool.clone(), id, ready, lanes, outbound, jobs, attempts, numbers, freed, stop })
    }

    /// Takes the lease of a session from its holder, if any, and marks the session as connected.
    pub(crate) async fn hold(&self, session: &str) -> Result<Fence> {
        let (session_id, epoch): (i64, i64) = sqlx::query_as(
            "UPDATE wa.lease SET holder = $1, epoch = epoch + 1 WHERE session_id = wa.session_id($2) RETURNING session_id, epoch",
        )
        .bind(self.id)
        .bind(session)
        .fetch_one(&self.pool)
        .await?;
        let fence = Fence { session_id, epoch };
        self.ready.insert(fence, "shop".into());
        Ok(fence)
    }

    /// Claims until nothing more can be claimed now; returns the number of messages.
    pub(crate) async fn claim(&mut self) -> Result<usize> {
        let mut jobs = 0;
        self.outbound.look();
        loop {
            let claimed = self.outbound.claim().await?;
            jobs += claimed.jobs;
            if !claimed.more {
                return Ok(jobs);
            }
        }
    }

    /// Expires messages in the queue.
    pub(crate) async fn expire(&self) -> Result<()> {
        Ok(self.outbound.expire(1000).await?)
    }

    /// Begins the next message that may be sent now, if there is one.
    pub(crate) fn next(&mut self) -> Option<OutboundJob> {
        let job = self.jobs.try_recv().ok()?;
        self.attempts.started(&job);
        Some(job)
    }

    /// Records the outcome of a message, and waits until it is written and the message is out of hand.
    pub(crate) async fn end(&mut self, job: OutboundJob, outcome: Result<(), JobError>) -> Result<()> {
        let (session, id) = (job.fence.session_id, job.id);
        self.attempts.record(job, outcome).await;
        let written = async {
            loop {
                let (sessions, ids) = self.lanes.in_hand();
                if !sessions.iter().zip(&ids).any(|it| it == (&session, &id)) {
                    return;
                }
                self.freed.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), written).await.context("an outcome was not written")?;
        // Released messages are written by the next claim.
        self.outbound.claim().await?;
        Ok(())
    }

    /// Dies without releasing anything; its row is deleted as when its lease has expired.
    pub(crate) async fn die(self) -> Result<()> {
        self.stop.cancel();
        let gone = sqlx::query("DELETE FROM wa.worker WHERE worker_id = $1").bind(self.id).execute(&self.pool).await?;
        ensure!(gone.rows_affected() == 1, "the worker was gone already");
        Ok(())
    }
}

/// A database with the session "shop", held by a worker.
pub(crate) async fn shop() -> Result<(TestDb, ManualWorker)> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    let worker = ManualWorker::new(&db.pool).await?;
    worker.hold("shop").await?;
    Ok((db, worker))
}

/// Adds a session that nobody holds; returns its id.
pub(crate) async fn session(pool: &PgPool, name: &str) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT wa.add_session($1)").bind(name).fetch_one(pool).await?)
}

/// One value of a query.
pub(crate) async fn one<T>(pool: &PgPool, query: &str) -> Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(pool).await.context(query.to_owned())
}

/// Runs statements that return nothing.
pub(crate) async fn run(pool: &PgPool, sql: &str) -> Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(pool).await.context(sql.to_owned())?;
    Ok(())
}
