//! Compares what the database says is this worker's with what the process has in hand, after each heartbeat (R11).
//!
//! The answer to a claim can be lost although the claim was committed, and an outcome can be refused again and again.
//! Then a row says that this worker runs a job or holds a session, and nothing here does. The database decides: such
//! jobs are given back, and such sessions are connected again or released. The other way round, a session whose lease is
//! gone is cut.
//!
//! A claim on its way is not lost: rows are given back while no claim is made ([`InHand::turn`]). A session changes hands
//! in several steps, so it is looked at again after `SETTLED`.

use super::jobs::Recorder;
use super::registry::Sessions;
use super::registry::idle::IdleLease;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::is_outage;
use crate::jobs::bells::Bells;
use crate::jobs::in_hand::{ClaimTurn, InHand};
use crate::jobs::maintenance::Maintenance;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::Instrument as _;

/// A session that is found without a connection for so long has lost it.
const SETTLED: Duration = Duration::from_secs(3);
/// How long a claim may be on its way until the next comparison has its turn instead.
const TURN: Duration = Duration::from_secs(1);

/// What one worker compares, and what it found the last time.
pub struct Comparison {
    /// Where the tables are.
    pub pool: Db,
    /// Gives session jobs back.
    pub recorder: Recorder,
    /// The session jobs in hand.
    pub session_jobs: InHand,
    /// Gives maintenance jobs back.
    pub maintenance: Maintenance,
    /// The maintenance jobs in hand.
    pub maintenance_jobs: InHand,
    /// The sessions in hand.
    pub sessions: Sessions,
    /// Rung when rows can be claimed again.
    pub bells: Bells,
    /// Leases without a connection.
    pub idle: Sightings,
    /// Sessions here whose lease is gone.
    pub gone: Sightings,
}

/// Since when something was found at each comparison.
#[derive(Debug, Default)]
pub struct Sightings(HashMap<Fence, Instant>);

impl Sightings {
    /// Keeps what was found again. Returns whether each was found for [`SETTLED`].
    fn settled(&mut self, found: &[Fence]) -> impl Fn(&Fence) -> bool + use<> {
        let (now, earlier) = (Instant::now(), std::mem::take(&mut self.0));
        self.0 = found.iter().map(|fence| (*fence, earlier.get(fence).copied().unwrap_or(now))).collect();
        let since = self.0.clone();
        move |fence| since.get(fence).is_some_and(|since| now.duration_since(*since) >= SETTLED)
    }
}

/// A difference between the rows and this process.
#[derive(Debug)]
struct Difference {
    what: String,
    id: i64,
    attempts: Option<i32>,
    epoch: Option<i64>,
    session: Option<String>,
    wished: Option<bool>,
    linked: Option<bool>,
    banned: Option<bool>,
    kind: Option<String>,
}

impl Comparison {
    /// Compares once, and resumes or gives back what nobody here has in hand.
    ///
    /// # Errors
    /// The database did not answer; the next comparison finds everything again.
    pub async fn run(&mut self) -> sqlx::Result<()> {
        let entered = self.sessions.entered();
        let entered_ids: Vec<i64> = entered.iter().map(|fence| fence.session_id).collect();
        let found = sqlx::query_file_as!(
            Difference,
            "sql/worker/compare.sql",
            self.recorder.worker_id,
            &self.session_jobs.ids(),
            &self.maintenance_jobs.ids(),
            &self.sessions.in_hand(),
            &entered_ids
        )
        .fetch_all(&self.pool)
        .await?;
        let (mut session_jobs, mut maintenance_jobs, mut idle, mut gone) = (vec![], vec![], vec![], vec![]);
        for difference in found {
            match difference.what.as_str() {
                "session_job" => session_jobs.push(difference),
                "maintenance_job" => maintenance_jobs.push(difference.id),
                "lease" => idle.extend(idle_lease(difference)),
                _ => gone.extend(entered.iter().copied().filter(|fence| fence.session_id == difference.id)),
            }
        }
        self.resume(&idle);
        self.cut(&gone);
        self.give_session_jobs_back(&session_jobs).await?;
        self.give_maintenance_jobs_back(&maintenance_jobs).await
    }

    /// In tasks, because the earlier client of one session may take long to end.
    fn resume(&mut self, idle: &[IdleLease]) {
        let settled = self.idle.settled(&idle.iter().map(|lease| lease.fence).collect::<Vec<_>>());
        for lease in idle.iter().filter(|lease| settled(&lease.fence)) {
            let (sessions, lease) = (self.sessions.clone(), lease.clone());
            let span = tracing::info_span!("session", session = lease.session, epoch = lease.fence.epoch);
            let resume = async move {
                tracing::warn!(wished = lease.wished, "session held without a connection; resumed or released");
                if let Err(error) = sessions.resume(&lease).await {
                    tracing::warn!(%error, "session not resumed; retrying after a heartbeat");
                }
            };
            self.sessions.spawn(resume.instrument(span));
        }
    }

    fn cut(&mut self, gone: &[Fence]) {
        let settled = self.gone.settled(gone);
        for fence in gone.iter().filter(|fence| settled(fence)) {
            tracing::warn!(session_id = fence.session_id, epoch = fence.epoch, "lease gone; connection cut");
            self.sessions.cut(*fence);
        }
    }

    async fn give_session_jobs_back(&self, lost: &[Difference]) -> sqlx::Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let Some(turn) = turn(&self.session_jobs).await else { return Ok(()) };
        for job in lost.iter().filter(|job| !self.session_jobs.has(job.id)) {
            let (kind, attempts) = (job.kind.as_deref().unwrap_or_default(), job.attempts.unwrap_or(0));
            given_back(job.id, "session job", self.recorder.give_back(job.id, kind, attempts).await)?;
        }
        drop(turn);
        self.bells.claim.notify_one();
        Ok(())
    }

    async fn give_maintenance_jobs_back(&self, lost: &[i64]) -> sqlx::Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let Some(turn) = turn(&self.maintenance_jobs).await else { return Ok(()) };
        for id in lost.iter().filter(|id| !self.maintenance_jobs.has(**id)) {
            given_back(*id, "maintenance job", self.maintenance.give_back(*id).await)?;
        }
        drop(turn);
        self.bells.claim.notify_one();
        Ok(())
    }
}

/// Reports what became of one job. A job that somebody has locked, or that the database refuses, holds up no other: the
/// next comparison finds it again.
fn given_back(id: i64, what: &str, written: sqlx::Result<()>) -> sqlx::Result<()> {
    match written {
        Ok(()) => tracing::warn!(id, "{what} claimed, but not in hand; given back"),
        Err(error) if is_outage(&error) => return Err(error),
        Err(error) => tracing::warn!(id, %error, "{what} claimed, but not in hand, and not given back; retrying"),
    }
    Ok(())
}

/// `None` while a claim is on its way for long, as in an outage.
async fn turn(jobs: &InHand) -> Option<ClaimTurn> {
    tokio::time::timeout(TURN, jobs.turn()).await.ok()
}

fn idle_lease(found: Difference) -> Option<IdleLease> {
    Some(IdleLease {
        fence: Fence { session_id: found.id, epoch: found.epoch? },
        session: found.session?,
        wished: found.wished?,
        linked: found.linked?,
        banned: found.banned?,
    })
}
