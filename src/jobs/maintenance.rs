//! Housekeeping, by rows of `wa.maintenance_job`. The next kind: an arm in [`run`], its name in
//! `sql/schema/40_maintenance.sql`.

use super::record::Record;
use super::{JobError, MaintenanceJob};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// Runs and records maintenance jobs.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// Where the tables are.
    pub pool: PgPool,
    /// Who runs them.
    pub worker_id: Uuid,
}

/// Does the job and writes its counts into the row.
///
/// # Errors
/// [`JobError::Permanent`] for a kind that this version does not know, [`JobError::Retry`] for what the database said.
pub async fn run(job: &MaintenanceJob, maintenance: &Maintenance) -> Result<(), JobError> {
    let result = match job.kind.as_str() {
        "sweep_keys" => sweep_keys(&maintenance.pool).await,
        kind => return Err(JobError::Permanent(format!("kind: \"{kind}\" is unknown to this version"))),
    };
    let result = result.map_err(|error| JobError::Retry(error.to_string()))?;
    maintenance.finish(job.id, "done", Some(result), None).await;
    Ok(())
}

/// Rows deleted by one statement of the sweep.
const SWEEP: i64 = 1000;

async fn sweep_keys(pool: &PgPool) -> sqlx::Result<Value> {
    let mut deleted = 0;
    loop {
        let batch = sqlx::query_file!("sql/jobs/sweep_keys.sql", SWEEP).execute(pool).await?.rows_affected();
        deleted += batch;
        if batch == 0 {
            return Ok(json!({ "deleted": deleted }));
        }
    }
}

impl Maintenance {
    async fn finish(&self, id: i64, status: &str, result: Option<Value>, error: Option<&str>) {
        let written = sqlx::query_file!("sql/jobs/finish_maintenance.sql", id, self.worker_id, status, result, error)
            .execute(&self.pool)
            .await;
        if let Err(error) = written {
            tracing::warn!(id, %error, "the end of a maintenance job is not written; it runs again when this worker ends");
        }
    }
}

/// Attempts of a maintenance job.
const ATTEMPTS: i32 = 5;

impl Record<MaintenanceJob> for Maintenance {
    async fn record(&self, job: MaintenanceJob, outcome: Result<(), JobError>) {
        match outcome {
            Ok(()) => {} // Written with its result, where it ended.
            Err(JobError::Retry(error) | JobError::Release(error)) if job.attempts < ATTEMPTS => {
                self.finish(job.id, "queued", None, Some(&error)).await;
            }
            Err(error) => self.finish(job.id, "failed", None, Some(&error.to_string())).await,
        }
    }
}
