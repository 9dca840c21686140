//! The outermost layer of each apalis worker: what came of a job goes back into its row.
//!
//! Each job runs as a task of its own, so that jobs use every core, and a handler that panicked is a failed attempt like
//! any other, with its reason in the row. Errors of the inner layers arrive here too.

use super::JobError;
use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures::future::BoxFuture;
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tracing::Instrument as _;

/// Writes the outcome of a job of kind `J`.
pub trait Record<J>: Clone + Send + 'static {
    /// The span of the job's log lines, with its kind and id.
    fn span(&self, job: &J) -> tracing::Span;

    /// The work on a job begins.
    fn begun(&self, job: &J) {
        let _ = job;
    }

    /// Writes it; must not fail the worker, so what cannot be written is logged.
    fn record(&self, job: J, outcome: Result<(), JobError>) -> impl Future<Output = ()> + Send;
}

/// See the module.
#[derive(Debug, Clone)]
pub struct RecordLayer<R>(pub R);

impl<S, R: Clone> Layer<S> for RecordLayer<R> {
    type Service = RecordService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordService { inner, recorder: self.0.clone() }
    }
}

/// See the module.
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
        recorder.begun(&job);
        let span = recorder.span(&job);
        let work = tokio::spawn(self.inner.call(task).instrument(span.clone()));
        let recorded = async move {
            let outcome = match work.await {
                Ok(done) => done.map_err(|error| read(&error.into())),
                Err(error) if error.is_panic() => Err(JobError::Retry(format!("the handler panicked: {error}"))),
                Err(_) => Err(JobError::Release("the handler was cut off".into())),
            };
            recorder.record(job, outcome).await;
            Ok(())
        };
        Box::pin(recorded.instrument(span))
    }
}

/// A handler's own error as it is; anything else (a time limit) is worth another attempt.
fn read(error: &BoxDynError) -> JobError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(found) = cause {
        if let Some(job_error) = found.downcast_ref::<JobError>() {
            return job_error.clone();
        }
        cause = found.source();
    }
    JobError::Retry(error.to_string())
}
