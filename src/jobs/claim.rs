//! Claims due rows for this worker, and sleeps without missing any.
//!
//! The doorbell: an inserter rings (`NOTIFY wa_work`) only when some worker says that it is parked, so busy workers cost
//! inserters nothing. The race in that is an inserter that looked before the worker parked and commits after the
//! worker's last look. So after parking the worker asks who is running, and looks again at short intervals until it has
//! looked after the end of all of them, and for ever after at the slow, jittered poll, which also serves databases behind
//! poolers where LISTEN does not work.

use super::bells::Bells;
use super::maintenance::Kind;
use super::outbound::Outbound;
use super::session_work::{self, SessionWork};
use super::turns::Turns;
use super::{MaintenanceJob, SessionJob};
use crate::db::Db;
use crate::db::backoff::{Backoff, spread};
use crate::db::fence::Fence;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Most rows of one claim of session or maintenance jobs.
const BATCH: usize = 500;
/// Most messages that one statement ends because they have outlived their time.
const EXPIRE: i64 = 1000;
/// How long the worker stays awake when there is nothing to do: parking for each message would cost two writes. Nobody
/// rings meanwhile, so what comes then waits for so long.
const AWAKE: Duration = Duration::from_millis(3);
/// How long the worker goes on with what it knows of before it looks for what came.
const BUSY: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub struct Dispatcher {
    /// Where the tables are.
    pub pool: Db,
    /// For whom to claim.
    pub worker_id: Uuid,
    /// Of which [`Bells::claim`] and [`Bells::freed`] wake the dispatcher.
    pub bells: Bells,
    /// Claims messages.
    pub outbound: Outbound,
    /// Where claimed session jobs go.
    pub session: mpsc::Sender<SessionJob>,
    /// Most session jobs in hand that are downloads, so that they hold no connection up.
    pub downloads: i64,
    /// Where claimed maintenance jobs go.
    pub maintenance: mpsc::Sender<MaintenanceJob>,
    /// The slow poll.
    pub poll: Duration,
}

impl Turns for Dispatcher {
    const WHAT: &'static str = "claim";

    /// Works until there is nothing to claim, then sleeps until there may be.
    async fn turn(&mut self) -> sqlx::Result<()> {
        while self.claim().await? > 0 {}
        if self.outbound.waits_for_room() {
            // Nobody need ring for what is known to be there, and what comes meanwhile is seen soon.
            return self.rung(Instant::now() + BUSY).await.map(drop);
        }
        if self.rung(Instant::now() + AWAKE).await? || self.claim().await? > 0 {
            return Ok(());
        }
        sqlx::query_file!("sql/jobs/park.sql", self.worker_id).execute(&self.pool).await?;
        self.sleep().await?;
        // What rang comes before the bookkeeping: whoever rings meanwhile does so in vain, and that is all.
        let claimed = self.claim().await;
        sqlx::query_file!("sql/jobs/unpark.sql", self.worker_id).execute(&self.pool).await?;
        claimed.map(drop)
    }
}

impl Dispatcher {
    /// Sleeps, parked, until a claim found something or somebody rang.
    async fn sleep(&mut self) -> sqlx::Result<()> {
        let (mut backoff, mut horizon) = (Backoff::new(Duration::from_millis(2), self.poll), None);
        loop {
            // Asked before the look: whoever ends between the two is seen by it, or runs still.
            let running = sqlx::query_file!("sql/jobs/transaction_ids.sql").fetch_one(&self.pool).await?;
            // Whoever comes from now on sees that we are parked.
            let horizon = *horizon.get_or_insert(running.next);
            if self.claim().await? > 0 {
                return Ok(());
            }
            if running.oldest >= horizon {
                break;
            }
            if self.rung(Instant::now() + backoff.pause()).await? {
                return Ok(());
            }
        }
        loop {
            if self.rung(Instant::now() + spread(self.poll)).await? {
                return Ok(());
            }
            sqlx::query_file_scalar!("sql/jobs/expire.sql", EXPIRE).fetch_one(&self.pool).await?;
            if self.claim().await? > 0 {
                return Ok(());
            }
        }
    }

    /// Waits until somebody rings, at most to that moment, and goes on meanwhile with lanes that are freed and with
    /// messages that become due. True when it was rung, which says nothing of what there is to do.
    async fn rung(&mut self, end: Instant) -> sqlx::Result<bool> {
        loop {
            let next = self.outbound.next().map_or(end, |next| next.min(end));
            tokio::select! {
                biased;
                () = self.bells.claim.notified() => return Ok(true),
                () = self.bells.freed.notified() => {}
                () = tokio::time::sleep_until(next.into()) => if Instant::now() >= end { return Ok(false) },
            }
            self.messages().await?;
        }
    }

    /// Looks at each table, as far as there is room. Returns how many rows came.
    async fn claim(&mut self) -> sqlx::Result<usize> {
        self.outbound.look();
        Ok(self.messages().await? + self.claim_session().await? + self.claim_maintenance().await?)
    }

    async fn messages(&mut self) -> sqlx::Result<usize> {
        let mut jobs = 0;
        loop {
            let claimed = self.outbound.claim().await?;
            jobs += claimed.jobs;
            if !claimed.more {
                return Ok(jobs);
            }
        }
    }

    async fn claim_session(&self) -> sqlx::Result<usize> {
        let room = room(&self.session);
        if room == 0 {
            return Ok(0);
        }
        let kinds = session_work::KINDS.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let rows = sqlx::query_file!("sql/jobs/claim_session.sql", self.worker_id, room, self.downloads, &kinds)
            .fetch_all(&self.pool)
            .await?;
        let claimed = rows.len();
        for row in rows {
            let job = SessionJob {
                fence: Fence { session_id: row.session_id, epoch: row.epoch },
                id: row.id,
                session: row.session,
                work: SessionWork::read(&row.kind, &row.args),
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
        let rows = sqlx::query_file!("sql/jobs/claim_maintenance.sql", self.worker_id, room, &Kind::names())
            .fetch_all(&self.pool)
            .await?;
        let claimed = rows.len();
        for row in rows {
            // The claim names the kinds that are known.
            let Some(kind) = Kind::named(&row.kind) else { continue };
            let job = MaintenanceJob { id: row.id, kind, args: row.args, attempts: row.attempts };
            give(&self.maintenance, job).await;
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
