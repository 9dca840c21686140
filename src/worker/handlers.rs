//! The apalis workers over the three job tables.
//!
//! The order of layers is from the outside in: the outcome is recorded whatever happens inside.

use super::tasks::Tasks;
use crate::jobs::feed::Feed;
use crate::jobs::maintenance::{self, Maintenance, Slot};
use crate::jobs::progress::Attempts;
use crate::jobs::record::RecordLayer;
use crate::jobs::{JobError, MaintenanceJob, OutboundJob, SessionJob};
use crate::messages::media::Media;
use crate::messages::outbound::{self as sending, Sender};
use crate::session::jobs::{self as session_jobs, Recorder};
use crate::session::registry::Sessions;
use apalis::prelude::{Data, WorkerBuilder, WorkerBuilderExt};
use futures::future::BoxFuture;
use std::sync::Arc;

/// What a worker does with a claimed message.
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(OutboundJob) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>);

impl Handler {
    /// Calls `handle` for each message.
    #[must_use]
    pub fn new<F>(handle: impl Fn(OutboundJob) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        Self(Arc::new(move |job| Box::pin(handle(job))))
    }

    /// Sends messages to WhatsApp.
    pub(super) fn to_whatsapp(sender: Sender) -> Self {
        Self::new(move |job| {
            let sender = sender.clone();
            async move { sending::send(&job, &sender).await }
        })
    }

    fn call(&self, job: OutboundJob) -> BoxFuture<'static, Result<(), JobError>> {
        (self.0)(job)
    }
}

/// What the workers need: feeds of claimed rows, their concurrency, and the recorders of outcomes.
pub(super) struct Handlers {
    pub(super) outbound: (Feed<OutboundJob>, usize, Attempts, Handler),
    /// Of jobs that change connections, and of actions.
    pub(super) session: [(&'static str, Feed<SessionJob>, usize); 2],
    pub(super) recorder: Recorder,
    pub(super) sessions: Sessions,
    pub(super) media: Media,
    /// Of each slot.
    pub(super) maintenance: [(&'static str, Feed<MaintenanceJob>); Slot::ALL.len()],
    pub(super) keeper: Maintenance,
}

impl Handlers {
    /// Starts the workers. Each ends when its feed is closed and empty.
    pub(super) fn start(self, tasks: &mut Tasks) {
        let (feed, concurrency, attempts, handler) = self.outbound;
        tasks.spawn("outbound jobs", outbound(feed, concurrency, attempts, handler));
        for (name, feed, concurrency) in self.session {
            let (recorder, sessions, media) = (self.recorder.clone(), self.sessions.clone(), self.media.clone());
            let work = session(name, feed, concurrency, recorder, sessions, media);
            tasks.spawn(name, work);
        }
        for (name, feed) in self.maintenance {
            tasks.spawn(name, maintenance(name, feed, self.keeper.clone()));
        }
    }
}

async fn outbound(feed: Feed<OutboundJob>, concurrency: usize, attempts: Attempts, handler: Handler) {
    async fn handle(job: OutboundJob, handler: Data<Handler>) -> Result<(), JobError> {
        handler.call(job).await
    }
    let worker = WorkerBuilder::new("outbound")
        .backend(feed)
        .layer(RecordLayer(attempts))
        .concurrency(concurrency)
        .data(handler)
        .build(handle);
    ended("outbound", worker.run().await);
}

async fn session(
    name: &'static str,
    feed: Feed<SessionJob>,
    concurrency: usize,
    recorder: Recorder,
    sessions: Sessions,
    media: Media,
) {
    async fn handle(job: SessionJob, sessions: Data<Sessions>, media: Data<Media>) -> Result<(), JobError> {
        session_jobs::run(&job, &sessions, &media).await
    }
    let worker = WorkerBuilder::new(name)
        .backend(feed)
        .layer(RecordLayer(recorder))
        .concurrency(concurrency)
        .data(sessions)
        .data(media)
        .build(handle);
    ended(name, worker.run().await);
}

async fn maintenance(name: &'static str, feed: Feed<MaintenanceJob>, maintenance_jobs: Maintenance) {
    async fn handle(job: MaintenanceJob, maintenance_jobs: Data<Maintenance>) -> Result<(), JobError> {
        maintenance::run(&job, &maintenance_jobs).await
    }
    let worker = WorkerBuilder::new(name)
        .backend(feed)
        .layer(RecordLayer(maintenance_jobs.clone()))
        .concurrency(1)
        .data(maintenance_jobs)
        .build(handle);
    ended(name, worker.run().await);
}

fn ended(kind: &str, end: Result<(), apalis::prelude::WorkerError>) {
    match end {
        Ok(()) => tracing::debug!(kind, "apalis worker ended"),
        Err(error) => tracing::error!(kind, %error, "apalis worker failed"),
    }
}
