//! Session jobs: link, connect, reconnect, passkey, close, logout, and actions.
//!
//! The next kind that concerns the connection: an arm in [`run`], and its name in `sql/schema/22_session_jobs.sql`. The
//! next action: see `actions`.

use super::actions;
use super::registry::Sessions;
use crate::db::Db;
use crate::db::outage::outlast;
use crate::jobs::record::Record;
use crate::jobs::session_work::SessionWork;
use crate::jobs::{JobError, SessionJob};
use crate::messages::media::Media;
use crate::telemetry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Does what the row asks for. A `link` or `connect` is done when it has started; `wa.session` shows its progress.
///
/// # Errors
/// [`JobError::Permanent`] when another attempt cannot help, [`JobError::Retry`] for a failure that may pass.
pub async fn run(job: &SessionJob, sessions: &Sessions, media: &Media) -> Result<(), JobError> {
    let (fence, name) = (job.fence, job.session.as_str());
    let reason = job.reason.as_deref();
    match job.work.as_ref().map_err(|error| JobError::Permanent(error.clone()))? {
        SessionWork::Link => sessions.start(fence, name, true).await?,
        SessionWork::Connect | SessionWork::Reconnect => sessions.start(fence, name, false).await?,
        SessionWork::Passkey => sessions.continue_linking(fence, name).await?,
        SessionWork::Close => sessions.close(fence, name, reason.unwrap_or("closed on request")).await?,
        SessionWork::Logout => sessions.logout(fence, name, reason.unwrap_or("logged out on request")).await?,
        SessionWork::Action(action) => actions::run(action, job, sessions.connections()).await?,
        SessionWork::File(action) => actions::run_with_file(action, job, sessions.connections(), media).await?,
    }
    Ok(())
}

/// Attempts of a session job. Beyond them, the reconciler still makes new jobs for what `desired` needs.
const ATTEMPTS: i32 = 5;

/// Writes the outcome of session jobs.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Where the tables are.
    pub pool: Db,
    /// The worker that runs them.
    pub worker_id: Uuid,
}

impl Record<SessionJob> for Recorder {
    fn span(&self, job: &SessionJob) -> tracing::Span {
        let SessionJob { fence, session, kind, id, .. } = job;
        tracing::info_span!("job", kind, id, session, epoch = fence.epoch)
    }

    async fn record(&self, job: SessionJob, outcome: Result<(), JobError>) {
        let (status, error) = match outcome {
            Ok(()) => ("done", None),
            Err(JobError::Retry(error) | JobError::Release(error)) if job.attempts < ATTEMPTS => {
                ("queued", Some(error))
            }
            Err(error) => ("failed", Some(error.to_string())),
        };
        tracing::info!(outcome = status, error, "session job ended");
        telemetry::session_job(&job.kind, status);
        let wait = 2_f64.powi(job.attempts.min(8));
        let write = async |status: &'static str| {
            let finish = || {
                sqlx::query_file!("sql/jobs/finish_session.sql", job.id, self.worker_id, status, wait, error.as_deref())
                    .fetch_optional(&self.pool)
            };
            // While the row says `running`, no other job of the session runs. When this worker ends, the pool is
            // closed.
            outlast(&CancellationToken::new(), finish).await
        };
        let mut written = write(status).await;
        // Another job of this kind waits already, so this one need not.
        if written
            .as_ref()
            .is_err_and(|e| e.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation))
        {
            written = write("cancelled").await;
        }
        if let Err(error) = written {
            tracing::warn!(%error, "outcome not written; the job runs again when this worker ends");
        }
    }
}
