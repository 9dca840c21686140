//! The apalis backend over claimed rows: a bounded queue that the dispatcher fills.
//!
//! The dispatcher claims, so no error of the database can end an apalis worker. The bound is the backpressure: the
//! dispatcher claims no more than there is room for. Dropping the sender ends the worker once the queue is empty.

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::task_id::RandomId;
use apalis_core::worker::context::WorkerContext;
use std::convert::Infallible;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tower::layer::util::Identity;

/// The receiving end of a feed, which apalis polls.
#[derive(Debug)]
pub struct Feed<J>(mpsc::Receiver<J>);

/// A feed with room for `room` claimed rows.
#[must_use]
pub fn feed<J>(room: usize) -> (mpsc::Sender<J>, Feed<J>) {
    let (sender, receiver) = mpsc::channel(room);
    (sender, Feed(receiver))
}

/// Hands on a claimed row. Never waits: each feed has one sender, which checked the room before it claimed.
pub(super) async fn hand_on<J>(feed: &mpsc::Sender<J>, job: J) {
    if feed.send(job).await.is_err() {
        tracing::debug!("worker stopping; the claimed row is released with the lease");
    }
}

impl<J> Backend for Feed<J> {
    type Task = Task<J>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let job = std::task::ready!(self.0.poll_recv(cx));
        if job.is_none()
            && let Err(error) = worker.stop()
        {
            // An empty backend does not end an apalis worker by itself.
            tracing::debug!(%error, "apalis worker had stopped already");
        }
        Poll::Ready(job.map(|job| Ok(Task::new(job))))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }
}

impl<J> BackendConfig for Feed<J> {
    type Args = J;
    type Id = RandomId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
