//! The outermost layer of each apalis worker: writes the outcome of a job into its row.
//!
//! Each job runs in a task of its own, so that jobs use every core, and a handler that panics is a failed attempt like
//! any other, with its reason in the row. Errors of the inner layers are recorded here, too.

use super::JobError;
use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures::future::BoxFuture;
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tracing::Instrument as _;

/// Writes the outcomes of jobs of type `J`.
pub trait Record<J>: Clone + Send + 'static {
    /// The span of the job's log lines, with its kind and id.
    fn span(&self, job: &J) -> tracing::Span;

    /// The handler is about to start.
    fn started(&self, job: &J) {
        let _ = job;
    }

    /// Writes the outcome. This must not fail the worker, so an outcome that cannot be written is logged.
    fn record(&self, job: J, outcome: Result<(), JobError>) -> impl Future<Output = ()> + Send;
}

/// The layer that records outcomes.
#[derive(Debug, Clone)]
pub struct RecordLayer<R>(pub R);

impl<S, R: Clone> Layer<S> for RecordLayer<R> {
    type Service = RecordService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordService { inner, recorder: self.0.clone() }
    }
}

/// The service that [`RecordLayer`] makes.
#[derive(Debug, Clone)]
pub struct RecordService<S, R> {
    inner: S,
    recorder: R,
}

impl<S, R, J> Service<Task<J>> for RecordService<S, R>
where
    S: Service<Task<J>, Response = ()>,
    S::Error: Into<BoxDynError> + Send + 'static,
    S::Future: Send + 'static,
    R: Record<J>,
    J: Clone + Send + 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, task: Task<J>) -> Self::Future {
        let (job, recorder) = (task.args.clone(), self.recorder.clone());
        recorder.started(&job);
        let span = recorder.span(&job);
        let work = tokio::spawn(self.inner.call(task).instrument(span.clone()));
        let work_and_record = async move {
            let outcome = match work.await {
                Ok(done) => done.map_err(|error| job_error_of(&error.into())),
                Err(error) if error.is_panic() => Err(JobError::Retry(format!("the handler panicked: {error}"))),
                Err(_) => Err(JobError::Release("the handler was aborted".into())),
            };
            recorder.record(job, outcome).await;
            Ok(())
        };
        Box::pin(work_and_record.instrument(span))
    }
}

/// A handler's own error as it is. Any other error, such as a time limit, is worth a retry.
fn job_error_of(error: &BoxDynError) -> JobError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(found) = cause {
        if let Some(job_error) = found.downcast_ref::<JobError>() {
            return job_error.clone();
        }
        cause = found.source();
    }
    JobError::Retry(error.to_string())
}
