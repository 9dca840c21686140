//! Session jobs: link, connect, reconnect, passkey, close, logout, and actions.
//!
//! The next kind that concerns the connection: an arm in [`run`], and its name in `sql/schema/22_session_jobs.sql`. The
//! next action: see `actions`.

use super::actions;
use super::registry::Sessions;
use crate::db::Db;
use crate::db::backoff::Backoff;
use crate::db::outage::{is_busy, is_outage, outwait};
use crate::db::storable::Storable;
use crate::jobs::in_hand::{Hand, NOT_IN_HAND};
use crate::jobs::record::Record;
use crate::jobs::session_work::SessionWork;
use crate::jobs::{JobError, SessionJob};
use crate::messages::media::Media;
use crate::telemetry;
use sqlx::error::DatabaseError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

/// Does what the row asks for. A `link` or `connect` is done when it has started; `wa.session` shows its progress.
///
/// # Errors
/// [`JobError::Permanent`] when another attempt cannot help, [`JobError::Retry`] for a failure that may pass.
pub async fn run(job: &SessionJob, sessions: &Sessions, media: &Media) -> Result<(), JobError> {
    let (fence, name) = (job.fence, job.session.as_str());
    let reason = job.reason.as_deref();
    let work = job.work.as_ref().map_err(|error| JobError::Permanent(error.clone()))?;
    if job.scheduled && work.wishes() {
        sessions.set_wish(fence, name, job.id).await?;
    }
    match work {
        SessionWork::Link => sessions.start(fence, name, true).await?,
        SessionWork::Connect | SessionWork::Reconnect => sessions.start(fence, name, false).await?,
        SessionWork::Passkey => sessions.continue_linking(fence, name).await?,
        SessionWork::Close => sessions.close(fence, name, reason.unwrap_or("closed on request")).await?,
        SessionWork::Logout { force } => {
            let reason = reason.unwrap_or("logged out on request");
            sessions.logout(fence, name, reason, *force, &job.hand).await?;
        }
        SessionWork::Action(action) => actions::run(action, job, sessions.connections()).await?,
        SessionWork::File(action) => actions::run_with_file(action, job, sessions.connections(), media).await?,
    }
    Ok(())
}

/// Attempts of a session job. Beyond them, [`Comparison`](super::comparison::Comparison) queues the connections that
/// `desired` needs, with the backoff of the session.
const ATTEMPTS: i32 = 5;
/// A logout is all that can unlink the device, so it is tried for hours: WhatsApp may be away.
const LOGOUT_ATTEMPTS: i32 = 60;

/// How many attempts a job of this kind gets.
fn most_attempts(kind: &str) -> i32 {
    if kind == "logout" { LOGOUT_ATTEMPTS } else { ATTEMPTS }
}

/// Writes the outcome of session jobs.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// Where the tables are.
    pub pool: Db,
    /// The worker that runs them.
    pub worker_id: Uuid,
    /// Rung when a job has ended: the next one of its session, or of its tenant, may be claimed.
    pub place_freed: Arc<Notify>,
}

impl Recorder {
    /// Queues a job again that the database says this worker runs and that it does not have in hand. The attempt counts,
    /// because it may have been made. Waits for nobody who has locked the job or its session.
    ///
    /// # Errors
    /// The row still says that this worker runs it.
    pub async fn give_back(&self, id: i64, kind: &str, attempts: i32) -> sqlx::Result<()> {
        let status = if attempts < most_attempts(kind) { "queued" } else { "failed" };
        self.write(id, status, 0.0, Some(NOT_IN_HAND)).await
    }

    async fn write(&self, id: i64, status: &str, wait: f64, error: Option<&str>) -> sqlx::Result<()> {
        let finish = async |status: &str| {
            sqlx::query_file!("sql/jobs/finish_session.sql", id, self.worker_id, status, wait, error)
                .fetch_optional(&self.pool)
                .await
                .map(drop)
        };
        match finish(status).await {
            // Another job of this kind waits already, so this one need not.
            Err(error) if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) => {
                finish("cancelled").await
            }
            written => written,
        }
    }
}

impl Record<SessionJob> for Recorder {
    fn span(&self, job: &SessionJob) -> tracing::Span {
        let SessionJob { fence, session, kind, id, .. } = job;
        tracing::info_span!("job", kind, id, session, epoch = fence.epoch)
    }

    async fn record(&self, job: SessionJob, outcome: Result<(), JobError>) {
        let (status, error) = match outcome {
            Ok(()) => ("done", None),
            Err(JobError::Release(error)) => ("release", Some(error)),
            Err(JobError::Retry(error)) if job.attempts < most_attempts(&job.kind) => ("queued", Some(error)),
            Err(error) => ("failed", Some(error.to_string())),
        };
        let error = error.as_deref().map(Storable::error);
        tracing::info!(outcome = status, error = error.as_ref().map(Storable::as_str), "session job ended");
        telemetry::session_job(&job.kind, if status == "release" { "queued" } else { status });
        let wait = 2_f64.powi(job.attempts.min(8));
        let end = End { id: job.id, status, error, wait, _hand: job.hand };
        match end.write(self).await {
            Err(error) if is_busy(&error) => {
                // Beside the next job: an application has locked the session, perhaps for long.
                let recorder = self.clone();
                let write = async move { end.write_at_last(&recorder).await };
                tokio::spawn(write.in_current_span());
            }
            written => End::report(self, written),
        }
    }
}

/// The end of a run of a session job. The job is in hand until it is written.
struct End {
    id: i64,
    status: &'static str,
    error: Option<Storable>,
    /// Seconds until the next attempt.
    wait: f64,
    _hand: Hand,
}

impl End {
    /// Writes the end. While the row says `running`, no other job of the session runs, so this waits out an outage; when
    /// this worker ends, the pool is closed.
    async fn write(&self, recorder: &Recorder) -> sqlx::Result<()> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let error = self.error.as_ref().map(Storable::as_str);
        loop {
            match recorder.write(self.id, self.status, self.wait, error).await {
                Err(error) if is_outage(&error) => tracing::warn!(%error, "outcome not written; retrying"),
                written => return written,
            }
            backoff.sleep().await;
        }
    }

    /// The same, as soon as nobody has locked what it needs.
    async fn write_at_last(&self, recorder: &Recorder) {
        Self::report(recorder, outwait(&CancellationToken::new(), || self.write(recorder)).await);
    }

    fn report(recorder: &Recorder, written: sqlx::Result<()>) {
        if let Err(error) = written {
            tracing::warn!(%error, "outcome not written; the job is given back after a heartbeat");
        }
        recorder.place_freed.notify_one();
    }
}
