//! Session jobs: link, connect, reconnect, passkey, close, logout, and actions. The next kind that is about the connection: an
//! arm in [`run`], its name in `sql/schema/22_session_jobs.sql`; the next action: see `actions`.

use super::actions;
use super::holder::{SessionError, Sessions};
use crate::db::Db;
use crate::db::outage::outlast;
use crate::jobs::record::Record;
use crate::jobs::{JobError, SessionJob};
use crate::telemetry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Does what the row asks for. Done means begun for link and connect: how it goes on stands in `wa.session`.
///
/// # Errors
/// [`JobError::Permanent`] when trying again cannot help, [`JobError::Retry`] for what may pass.
pub async fn run(job: &SessionJob, sessions: &Sessions) -> Result<(), JobError> {
    let (fence, name) = (job.fence, job.session.as_str());
    let reason = job.reason.as_deref();
    let done = match job.kind.as_str() {
        "link" => sessions.start(fence, name, true).await,
        "connect" | "reconnect" => sessions.start(fence, name, false).await,
        "passkey" => sessions.go_on_linking(fence, name).await,
        "close" => sessions.close(fence, name, reason.unwrap_or("closed on request")).await,
        "logout" => sessions.logout(fence, name, reason.unwrap_or("logged out on request")).await,
        _ => return actions::run(job, sessions).await,
    };
    done.map_err(|error| match error {
        SessionError::Sql(_) | SessionError::Auth(_) => JobError::Retry(error.to_string()),
        SessionError::Stale(_) => JobError::Release(error.to_string()),
        // Of a client that could not be built the next attempt has its row already.
        SessionError::NotLinked | SessionError::NotConnected | SessionError::Build(_) => {
            JobError::Permanent(error.to_string())
        }
    })
}

/// Attempts of a session job; what is wished is tried again by the reconciler all the same.
const ATTEMPTS: i32 = 5;

/// Writes the outcome of session jobs.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Where the tables are.
    pub pool: Db,
    /// Who runs them.
    pub worker_id: Uuid,
}

impl Record<SessionJob> for Recorder {
    async fn record(&self, job: SessionJob, outcome: Result<(), JobError>) {
        let (status, error) = match outcome {
            Ok(()) => ("done", None),
            Err(JobError::Retry(error) | JobError::Release(error)) if job.attempts < ATTEMPTS => {
                ("queued", Some(error))
            }
            Err(error) => ("failed", Some(error.to_string())),
        };
        tracing::info!(session = job.session, kind = job.kind, status, error, "session job");
        telemetry::session_job(&job.kind, status);
        let wait = 2_f64.powi(job.attempts.min(8));
        let write = async |status: &'static str| {
            let finish = || {
                sqlx::query_file!("sql/jobs/finish_session.sql", job.id, self.worker_id, status, wait, error.as_deref())
                    .fetch_optional(&self.pool)
            };
            // While it says "running" no other job of the session runs. When this worker ends, the pool is closed.
            outlast(&CancellationToken::new(), finish).await
        };
        let mut written = write(status).await;
        // A job of this kind waits already, so this one need not.
        if written
            .as_ref()
            .is_err_and(|e| e.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation))
        {
            written = write("cancelled").await;
        }
        if let Err(error) = written {
            tracing::warn!(id = job.id, %error, "the end of a session job is not written; it runs again when this worker ends");
        }
    }
}
