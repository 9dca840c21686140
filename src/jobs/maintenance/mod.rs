//! Housekeeping, by rows of `wa.maintenance_job`.
//!
//! A job works in batches, each a statement and a transaction of its own. After each batch the job writes its counts
//! into the row. That write also shows whether the job is still this worker's: a job that was cancelled or that another
//! worker has taken over stops there. A worker that stops releases its job, and the attempt does not count.
//!
//! A worker runs one job of each [`Slot`] at a time.
//!
//! The next kind: a variant of [`MaintenanceKind`], and its name in `sql/schema/50_maintenance.sql`.

pub mod leftovers;
mod reseal;
pub mod retention;
mod retry_failed;
mod sweep;
mod watch;

use super::in_hand::NOT_IN_HAND;
use super::record::Record;
use super::{JobError, MaintenanceJob};
use crate::auth::Vault;
use crate::db::Db;
use crate::db::backoff::Backoff;
use crate::db::outage::{is_busy, is_outage};
use crate::db::storable::Storable;
use crate::telemetry;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

/// How often an outcome may be refused until it is given up.
const REFUSALS: u32 = 5;

/// The kinds that this version knows. Rows of other kinds wait for a newer worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceKind {
    /// Deletes expired keys.
    SweepKeys,
    /// Encrypts the auth state with the current key.
    ResealKeys,
    /// Deletes old finished rows.
    Retention,
    /// Asks every worker to check its connections.
    CheckSessions,
    /// Closes sessions whose linking nobody finished.
    CloseIdle,
    /// Counts sessions, messages, jobs and workers.
    ResourceReport,
    /// Queues failed messages again.
    RetryFailed,
}

impl MaintenanceKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SweepKeys,
        Self::ResealKeys,
        Self::Retention,
        Self::CheckSessions,
        Self::CloseIdle,
        Self::ResourceReport,
        Self::RetryFailed,
    ];

    /// Its name in `wa.maintenance_job.kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SweepKeys => "sweep_keys",
            Self::ResealKeys => "reseal_keys",
            Self::Retention => "retention",
            Self::CheckSessions => "check_sessions",
            Self::CloseIdle => "close_idle",
            Self::ResourceReport => "resource_report",
            Self::RetryFailed => "retry_failed",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The names of all kinds, for the claim.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::ALL.map(|kind| kind.name().to_owned()).into()
    }

    /// Where its jobs run.
    #[must_use]
    pub const fn slot(self) -> Slot {
        match self {
            Self::SweepKeys | Self::ResealKeys | Self::Retention => Slot::Long,
            Self::CheckSessions | Self::CloseIdle | Self::ResourceReport => Slot::Prompt,
            Self::RetryFailed => Slot::Asked,
        }
    }
}

/// Maintenance jobs wait for others of their slot only. A worker runs one job of each slot at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Housekeeping, which may take hours.
    Long,
    /// Checks and reports of a statement or two, due each minute.
    Prompt,
    /// What an application or a person has asked for.
    Asked,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Long, Self::Prompt, Self::Asked];
}

/// Runs and records maintenance jobs.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// Where the tables are.
    pub pool: Db,
    /// Encrypts and decrypts the auth state.
    pub vault: Arc<Vault>,
    /// The worker that runs them.
    pub worker_id: Uuid,
    /// Cancelled when the worker takes no more work; a running job is then released.
    pub stop: CancellationToken,
    /// The media store, if this worker has one.
    pub files: Option<Arc<dyn leftovers::Files>>,
}

/// The arguments that every kind takes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
struct Pace {
    /// Most rows of one statement.
    batch: i64,
    /// Pause between two statements, in milliseconds.
    pause_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch: 1000, pause_ms: 20 }
    }
}

/// Runs the job and writes its counts into the row.
///
/// # Errors
/// [`JobError::Permanent`] for arguments that this version does not understand and for a job that is no longer this
/// worker's, [`JobError::Release`] when the worker stops, [`JobError::Retry`] for an error of the database.
pub async fn run(job: &MaintenanceJob, maintenance: &Maintenance) -> Result<(), JobError> {
    let batches = Batches { maintenance, id: job.id, pace: args(job)? };
    let result = match job.kind {
        MaintenanceKind::SweepKeys => sweep::run(&batches).await?,
        MaintenanceKind::ResealKeys => reseal::run(&batches).await?,
        MaintenanceKind::Retention => retain(&batches, &args(job)?).await?,
        MaintenanceKind::CheckSessions => watch::check_sessions(&batches).await?,
        MaintenanceKind::CloseIdle => watch::close_idle(&batches, &args(job)?).await?,
        MaintenanceKind::ResourceReport => watch::resource_report(&batches).await?,
        MaintenanceKind::RetryFailed => retry_failed::run(&batches, &args(job)?).await?,
    };
    maintenance.finish(job, "done", Some(result), None).await;
    Ok(())
}

async fn retain(batches: &Batches<'_>, ages: &retention::RetentionDays) -> Result<Value, JobError> {
    let mut counts = retention::run(batches, ages).await?;
    leftovers::consumers(batches, ages, &mut counts).await?;
    leftovers::files(batches, ages, &mut counts).await?;
    Ok(Value::Object(counts))
}

fn args<A: DeserializeOwned>(job: &MaintenanceJob) -> Result<A, JobError> {
    A::deserialize(&job.args).map_err(|error| JobError::Permanent(format!("args: {error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn sql(error: sqlx::Error) -> JobError {
    JobError::Retry(error.to_string())
}

/// One run of a job, batch by batch.
struct Batches<'a> {
    maintenance: &'a Maintenance,
    id: i64,
    pace: Pace,
}

impl Batches<'_> {
    fn pool(&self) -> &Db {
        &self.maintenance.pool
    }

    /// Writes an event that concerns no session.
    async fn write_event(&self, kind: &str, counts: &Value) -> Result<(), JobError> {
        let written = sqlx::query_file!("sql/jobs/event.sql", kind, counts).execute(self.pool()).await;
        written.map(drop).map_err(sql)
    }

    /// Between two batches: writes the counts so far, and pauses. An error ends the job.
    async fn rest(&self, so_far: &Value) -> Result<(), JobError> {
        let written =
            sqlx::query_file!("sql/jobs/progress_maintenance.sql", self.id, self.maintenance.worker_id, so_far)
                .fetch_one(self.pool())
                .await
                .map_err(sql)?;
        if !written.mine {
            return Err(JobError::Permanent("cancelled, or taken over by another worker".into()));
        }
        tokio::select! {
            () = self.maintenance.stop.cancelled() => Err(JobError::Release("the worker stopped".into())),
            () = tokio::time::sleep(Duration::from_millis(self.pace.pause_ms)) => Ok(()),
        }
    }
}

impl Maintenance {
    /// Queues a job again that the database says this worker runs and that it does not have in hand. The attempt counts,
    /// because it may have been made. Waits for nobody who has locked the row.
    ///
    /// # Errors
    /// The row still says that this worker runs it.
    pub async fn give_back(&self, id: i64) -> sqlx::Result<()> {
        sqlx::query_file!(
            "sql/jobs/finish_maintenance.sql",
            id,
            self.worker_id,
            "retry",
            None::<&Value>,
            Some(NOT_IN_HAND)
        )
        .execute(&self.pool)
        .await
        .map(drop)
    }

    /// Writes the end of a run. Until then the row says `running` and the schedule that made it waits, so this retries
    /// through an outage of the database for as long as the worker lives. While somebody has locked the row, it retries
    /// beside the next job; the row stays in hand until then. An outcome that the database refuses again and again is
    /// given up; then the job is given back without it.
    async fn finish(&self, job: &MaintenanceJob, outcome: &'static str, result: Option<Value>, error: Option<String>) {
        telemetry::maintenance_job(job.kind.name(), outcome);
        let error = error.as_deref().map(Storable::error);
        let (maintenance, id, hand) = (self.clone(), job.id, job.hand.clone());
        let (locked, is_locked) = oneshot::channel();
        let write = async move {
            maintenance.write_end(id, outcome, result, error, locked).await;
            drop(hand);
        };
        let write = tokio::spawn(write.in_current_span());
        tokio::select! {
            _ = write => {}
            Ok(()) = is_locked => {}
        }
    }

    /// Writes the end of a run, and tells when the row is `locked`.
    async fn write_end(
        self,
        id: i64,
        outcome: &'static str,
        result: Option<Value>,
        error: Option<Storable>,
        locked: oneshot::Sender<()>,
    ) {
        let (mut backoff, mut locked, mut refusals) =
            (Backoff::new(Duration::from_millis(100), Duration::from_secs(5)), Some(locked), 0);
        let error = error.as_ref().map(Storable::as_str);
        loop {
            let written = sqlx::query_file!(
                "sql/jobs/finish_maintenance.sql",
                id,
                self.worker_id,
                outcome,
                result.as_ref(),
                error
            )
            .execute(&self.pool)
            .await;
            match written {
                Ok(done) if done.rows_affected() == 0 => {
                    return tracing::info!(outcome, "outcome not written; the job was cancelled or taken over");
                }
                Ok(_) => return tracing::info!(outcome, error, "maintenance job ended"),
                Err(sqlx::Error::PoolClosed) => {
                    return tracing::warn!(
                        outcome,
                        "worker stopped before the outcome was written; another worker runs the job again"
                    );
                }
                Err(error) => {
                    if let Some(locked) = locked.take_if(|_| is_busy(&error)) {
                        // Nobody may wait for this any more.
                        let _ = locked.send(());
                    }
                    refusals += u32::from(!is_outage(&error) && !is_busy(&error));
                    if refusals == REFUSALS {
                        return tracing::warn!(outcome, %error, "outcome not written; the job is given back");
                    }
                    tracing::warn!(outcome, %error, "outcome not written; retrying");
                }
            }
            backoff.sleep().await;
        }
    }
}

impl Record<MaintenanceJob> for Maintenance {
    fn span(&self, job: &MaintenanceJob) -> tracing::Span {
        tracing::info_span!("job", kind = job.kind.name(), id = job.id)
    }

    async fn record(&self, job: MaintenanceJob, outcome: Result<(), JobError>) {
        match outcome {
            Ok(()) => {} // `run` has written it, with its result.
            Err(JobError::Retry(error)) => self.finish(&job, "retry", None, Some(error)).await,
            Err(JobError::Release(_)) => self.finish(&job, "release", None, None).await,
            Err(error) => self.finish(&job, "failed", None, Some(error.to_string())).await,
        }
    }
}
