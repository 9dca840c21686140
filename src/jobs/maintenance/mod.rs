//! Housekeeping, by rows of `wa.maintenance_job`.
//!
//! Work is done in batches, each a statement and a transaction of its own. After each the counts go into the row, which
//! also tells whether the job still is this worker's: a cancelled job stops there, and so does one that another worker
//! has taken over. A worker that stops gives its job back, and the attempt does not count.
//!
//! The next kind: a variant of [`Kind`], its name in `sql/schema/50_maintenance.sql`.

mod reseal;
pub mod retention;
mod sweep;
mod watch;

use super::record::Record;
use super::{JobError, MaintenanceJob};
use crate::auth::Vault;
use crate::db::Db;
use crate::db::backoff::Backoff;
use crate::telemetry;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What this version can do. Rows of other kinds wait for a newer worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Deletes expired keys.
    SweepKeys,
    /// Encrypts the auth state with the key in force.
    ResealKeys,
    /// Deletes old finished rows.
    Retention,
    /// Asks every worker whether its sessions are alive.
    CheckSessions,
    /// Closes sessions that nobody has linked.
    CloseIdle,
    /// Counts what there is.
    ResourceReport,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SweepKeys,
        Self::ResealKeys,
        Self::Retention,
        Self::CheckSessions,
        Self::CloseIdle,
        Self::ResourceReport,
    ];

    /// As `wa.maintenance_job.kind` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SweepKeys => "sweep_keys",
            Self::ResealKeys => "reseal_keys",
            Self::Retention => "retention",
            Self::CheckSessions => "check_sessions",
            Self::CloseIdle => "close_idle",
            Self::ResourceReport => "resource_report",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The names of all kinds, for the claim.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::ALL.map(|kind| kind.name().to_owned()).into()
    }
}

/// Runs and records maintenance jobs.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// Where the tables are.
    pub pool: Db,
    /// What the auth state is encrypted with.
    pub vault: Arc<Vault>,
    /// Who runs them.
    pub worker_id: Uuid,
    /// The worker takes no more work, and gives back what it has begun.
    pub stop: CancellationToken,
}

/// What every kind takes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
struct Pace {
    /// Most rows of one statement.
    batch: i64,
    /// Rest between two statements.
    pause_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { batch: 1000, pause_ms: 20 }
    }
}

/// Does the job and writes its counts into the row.
///
/// # Errors
/// [`JobError::Permanent`] for what this version does not understand and for a job that is not this worker's any more,
/// [`JobError::Release`] when the worker stops, [`JobError::Retry`] for what the database said.
pub async fn run(job: &MaintenanceJob, keeper: &Maintenance) -> Result<(), JobError> {
    let batches = Batches { keeper, id: job.id, pace: args(job)? };
    let result = match job.kind {
        Kind::SweepKeys => sweep::run(&batches).await?,
        Kind::ResealKeys => reseal::run(&batches).await?,
        Kind::Retention => retention::run(&batches, &args(job)?).await?,
        Kind::CheckSessions => watch::check_sessions(&batches).await?,
        Kind::CloseIdle => watch::close_idle(&batches, &args(job)?).await?,
        Kind::ResourceReport => watch::resource_report(&batches).await?,
    };
    keeper.finish(job, "done", Some(&result), None).await;
    Ok(())
}

fn args<A: DeserializeOwned>(job: &MaintenanceJob) -> Result<A, JobError> {
    A::deserialize(&job.args).map_err(|error| JobError::Permanent(format!("args: {error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn sql(error: sqlx::Error) -> JobError {
    JobError::Retry(error.to_string())
}

/// The course of one job, from batch to batch.
struct Batches<'a> {
    keeper: &'a Maintenance,
    id: i64,
    pace: Pace,
}

impl Batches<'_> {
    fn pool(&self) -> &Db {
        &self.keeper.pool
    }

    /// Writes an event about no session in particular.
    async fn tell(&self, kind: &str, counts: &Value) -> Result<(), JobError> {
        let told = sqlx::query_file!("sql/jobs/event.sql", kind, counts).execute(self.pool()).await;
        told.map(drop).map_err(sql)
    }

    /// Between two batches: writes what is done so far, and rests. An error ends the job.
    async fn rest(&self, so_far: &Value) -> Result<(), JobError> {
        let written = sqlx::query_file!("sql/jobs/progress_maintenance.sql", self.id, self.keeper.worker_id, so_far)
            .execute(self.pool())
            .await
            .map_err(sql)?;
        if written.rows_affected() == 0 {
            return Err(JobError::Permanent("cancelled, or taken over by another worker".into()));
        }
        tokio::select! {
            () = self.keeper.stop.cancelled() => Err(JobError::Release("the worker stopped".into())),
            () = tokio::time::sleep(Duration::from_millis(self.pace.pause_ms)) => Ok(()),
        }
    }
}

impl Maintenance {
    /// Writes the end of a run. Until it is written the row says "running" and the schedule that made it waits, so an
    /// outage of the database is waited out, for as long as this worker lives.
    async fn finish(&self, job: &MaintenanceJob, outcome: &str, result: Option<&Value>, error: Option<&str>) {
        let (id, mut backoff) = (job.id, Backoff::new(Duration::from_millis(100), Duration::from_secs(5)));
        telemetry::maintenance_job(job.kind.name(), outcome);
        loop {
            let written =
                sqlx::query_file!("sql/jobs/finish_maintenance.sql", id, self.worker_id, outcome, result, error)
                    .execute(&self.pool)
                    .await;
            match written {
                Ok(done) if done.rows_affected() == 0 => {
                    return tracing::info!(id, outcome, "the maintenance job was cancelled or is another's");
                }
                Ok(_) => return tracing::info!(id, outcome, error, "maintenance job"),
                Err(sqlx::Error::PoolClosed) => {
                    return tracing::warn!(
                        id,
                        "the end of a maintenance job is not written; another worker runs it again"
                    );
                }
                Err(error) => tracing::warn!(id, %error, "the end of a maintenance job is not written, trying again"),
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
            Ok(()) => {} // Written with its result, where it ended.
            Err(JobError::Retry(error)) => self.finish(&job, "retry", None, Some(&error)).await,
            Err(JobError::Release(_)) => self.finish(&job, "release", None, None).await,
            Err(error) => self.finish(&job, "failed", None, Some(&error.to_string())).await,
        }
    }
}
