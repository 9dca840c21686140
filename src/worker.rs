//! The worker: wires lease, dispatcher, apalis workers and sessions together, and ends them in order.
//!
//! One life of a worker is one row of `wa.worker`. A life ends by a stop (drained, everything given back) or by a lost
//! lease (sockets cut, nothing written); after the latter the same process begins the next life under a fresh id.

use crate::auth::{Vault, VaultError};
use crate::config::{Config, Secret};
use crate::db::{Db, DbError, listener};
use crate::jobs::claim::Dispatcher;
use crate::jobs::cron::{self, Cron};
use crate::jobs::feed::{Feed, feed};
use crate::jobs::lanes::{self, Lanes};
use crate::jobs::maintenance::{self, Maintenance};
use crate::jobs::outbound::{self, Outbound};
use crate::jobs::progress::{Attempts, Progress};
use crate::jobs::record::RecordLayer;
use crate::jobs::turns::Turns;
use crate::jobs::{JobError, MaintenanceJob, OutboundJob, Ready, SessionJob};
use crate::messages::outbound::{self as sending, Sender};
use crate::session::endpoint::{Endpoint, EndpointError};
use crate::session::holder::{Sessions, Shared};
use crate::session::jobs::{self as session_jobs, Recorder};
use crate::session::lease::Lease;
use apalis::prelude::{Data, WorkerBuilder, WorkerBuilderExt};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No database is configured.
    #[error("database_url: missing; accepted is postgres://user:password@host:port/database")]
    NoDatabase,
    /// This build may not talk to that server.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The keys of the auth state's encryption cannot be had.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database said so.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What a worker is doing, for whoever looks in from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not registered yet, or between two lives.
    Starting,
    /// Holds sessions and takes work.
    Working,
    /// Holds sessions, and the database does not answer.
    Waiting,
    /// Takes no more work.
    Stopping,
}

/// A window into a running worker.
#[derive(Debug, Clone)]
pub struct Window {
    /// Sessions that are connected.
    pub ready: Ready,
    /// What it is doing.
    pub phase: watch::Receiver<Phase>,
}

/// Shows whether the database answers, while the worker works.
fn reachable(phase: watch::Sender<Phase>) -> impl Fn(bool) {
    move |answers| {
        let (from, to) = if answers { (Phase::Waiting, Phase::Working) } else { (Phase::Working, Phase::Waiting) };
        phase.send_if_modified(|phase| *phase == from && std::mem::replace(phase, to) == from);
    }
}

/// What is done with a claimed message.
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(OutboundJob) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>);

impl Handler {
    /// One that calls `handle` for each message.
    #[must_use]
    pub fn new<F>(handle: impl Fn(OutboundJob) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        Self(Arc::new(move |job| Box::pin(handle(job))))
    }

    fn call(&self, job: OutboundJob) -> BoxFuture<'static, Result<(), JobError>> {
        (self.0)(job)
    }
}

/// A worker that has not begun yet.
pub struct Worker {
    config: Config,
    url: Secret,
    endpoint: Endpoint,
    ready: Ready,
    phase: watch::Sender<Phase>,
    instead: Option<Handler>,
}

impl Worker {
    /// Checks what can be checked without the network.
    ///
    /// # Errors
    /// No database URL, or a WhatsApp server that this build must not talk to.
    pub fn new(config: Config) -> Result<Self, WorkerError> {
        let url = config.database_url.clone().ok_or(WorkerError::NoDatabase)?;
        let endpoint = Endpoint::parse(&config.whatsapp_url)?;
        let phase = watch::Sender::new(Phase::Starting);
        Ok(Self { config, url, endpoint, ready: Ready::default(), phase, instead: None })
    }

    /// Gives claimed messages to `handler` instead of sending them: for measuring everything but WhatsApp. Whoever does
    /// this takes the leases for the worker and marks the sessions in [`Window::ready`].
    #[must_use]
    pub fn with_handler(self, handler: Handler) -> Self {
        Self { instead: Some(handler), ..self }
    }

    /// For `/health` and the like.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { ready: self.ready.clone(), phase: self.phase.subscribe() }
    }

    /// Works until `stop`, then drains. An outage of the database after the start is waited out.
    ///
    /// # Errors
    /// When the database or a key of the encryption cannot be had at the start.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        if crate::session::endpoint::CERTIFICATE_CHECK_IS_OFF {
            tracing::warn!(
                server = self.endpoint.as_str(),
                "sandbox build: certificates are not checked, loopback only"
            );
        }
        let vault = Arc::new(Vault::open(&self.config.encryption).await?);
        let mut first = true;
        let mut pause = Duration::from_millis(500);
        while !stop.is_cancelled() {
            match self.live(&vault, &stop).await {
                Ok(()) => {}
                Err(error) if first => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot begin anew yet");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(10)),
                    }
                    continue;
                }
            }
            first = false;
            self.phase.send_replace(Phase::Starting);
        }
        Ok(())
    }

    /// One life.
    async fn live(&self, vault: &Arc<Vault>, stop: &CancellationToken) -> Result<(), WorkerError> {
        let settings = &self.config.worker;
        let pooler = self.config.database_pooler;
        let pool = Db::connect(&self.url, pooler, settings.connections, "wagres worker").await?;
        let ttl = Duration::from_secs(settings.lease_seconds.into());
        let lease = Arc::new(Lease::register(&self.url, pooler, ttl, settings.max_sessions).await?);
        let worker_id = lease.worker_id();
        tracing::info!(%worker_id, server = self.endpoint.as_str(), "worker registered");

        let wake = Arc::new(Notify::new());
        let (draining, lost, ended) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let freed = Arc::new(Notify::new());
        let (begin, outbound_feed) = feed(lanes::MOST);
        let lanes = Lanes::new(begin);
        let (progress, writer) = Progress::start(pool.clone(), lanes.clone(), freed.clone(), ended.clone());
        let writer = tokio::spawn(writer);
        let sessions = Sessions::new(Shared {
            pool: pool.clone(),
            endpoint: self.endpoint.clone(),
            vault: vault.clone(),
            ready: self.ready.clone(),
            progress: progress.clone(),
            wake: wake.clone(),
        });

        let (session, session_feed) = feed(settings.session_concurrency);
        let (maintenance, maintenance_feed) = feed(1);
        let handler = self.instead.clone().unwrap_or_else(|| {
            to_whatsapp(Sender {
                sessions: sessions.clone(),
                ack_timeout: Duration::from_secs(settings.ack_timeout_seconds.into()),
            })
        });
        let recorder = Recorder { pool: pool.clone(), worker_id };
        let keeper = Maintenance { pool: pool.clone(), vault: vault.clone(), worker_id, stop: draining.clone() };
        let workers = [
            tokio::spawn(outbound_worker(
                outbound_feed,
                settings.outbound_concurrency,
                Attempts { progress, lanes: lanes.clone() },
                handler,
            )),
            tokio::spawn(session_worker(session_feed, settings.session_concurrency, recorder, sessions.clone())),
            tokio::spawn(maintenance_worker(maintenance_feed, keeper)),
        ];
        let look = Duration::from_millis(settings.poll_ms.into());
        let dispatcher = Dispatcher {
            pool: pool.clone(),
            worker_id,
            wake: wake.clone(),
            freed: freed.clone(),
            outbound: Outbound::new(pool.clone(), worker_id, self.ready.clone(), lanes.clone()),
            session,
            maintenance,
            poll: look,
        };
        let dispatcher = tokio::spawn(dispatcher.run(draining.clone()));
        let cron_wake = Arc::new(Notify::new());
        let schedules = Cron { pool: pool.clone(), wake: cron_wake.clone(), poll: look * 10 };
        let schedules = tokio::spawn(schedules.run(draining.clone()));
        self.listen(ring(wake, cron_wake), ended.clone());
        let beat = {
            let (lease, sessions) = (lease.clone(), sessions.clone());
            let (draining, lost, ended) = (draining.clone(), lost.clone(), ended.clone());
            let answers = reachable(self.phase.clone());
            tokio::spawn(async move { lease.run(|| sessions.count(), answers, &draining, lost, ended).await })
        };
        self.phase.send_replace(Phase::Working);

        tokio::select! {
            () = stop.cancelled() => {
                self.phase.send_replace(Phase::Stopping);
                tracing::info!("stopping: no new work is taken");
                draining.cancel();
                join("dispatcher", dispatcher).await;
                join("cron", schedules).await;
                let limit = Duration::from_secs(settings.drain_seconds.into());
                finish(&pool, worker_id, &lanes, &freed, workers, limit).await;
                sessions.stop_all().await;
                ended.cancel();
                join("progress writer", writer).await;
                join("heartbeat", beat).await;
                if let Err(error) = lease.unregister().await {
                    tracing::warn!(%error, "not taken off the list; the lease runs out by itself");
                }
                tracing::info!("stopped");
            }
            () = lost.cancelled() => {
                sessions.cut_all();
                draining.cancel();
                ended.cancel();
                dispatcher.abort();
                schedules.abort();
                writer.abort();
                for worker in workers { worker.abort() }
            }
        }
        pool.close().await;
        Ok(())
    }

    /// Hears of work, where that is possible.
    fn listen(&self, ring: impl Fn(Option<&str>) + Send + Sync + 'static, ended: CancellationToken) {
        if self.config.database_pooler {
            tracing::info!(
                poll_ms = self.config.worker.poll_ms,
                "behind a pooler nothing rings; looking for work at intervals"
            );
            return;
        }
        tokio::spawn(listener::wake_on(self.url.clone(), "wa_work", ring, ended));
    }
}

fn to_whatsapp(sender: Sender) -> Handler {
    Handler::new(move |job| {
        let sender = sender.clone();
        async move { sending::send(&job, &sender).await }
    })
}

/// Wakes whom a notification on `wa_work` is for; without one (the listener has just connected), both.
fn ring(wake: Arc<Notify>, cron_wake: Arc<Notify>) -> impl Fn(Option<&str>) + Send + Sync + 'static {
    move |heard| match heard {
        Some(cron::CHANGED) => cron_wake.notify_one(),
        Some(_) => wake.notify_one(),
        None => {
            wake.notify_one();
            cron_wake.notify_one();
        }
    }
}

/// What is under way ends, and what waits behind it is put down, while the leases are still ours.
async fn finish<const N: usize>(
    pool: &Db,
    worker_id: Uuid,
    lanes: &Lanes,
    freed: &Notify,
    workers: [JoinHandle<()>; N],
    limit: Duration,
) {
    lanes.close();
    let in_flight = async {
        for worker in workers {
            join("apalis worker", worker).await;
        }
        while !lanes.in_hand().0.is_empty() {
            freed.notified().await;
        }
    };
    if tokio::time::timeout(limit, in_flight).await.is_err() {
        tracing::warn!("messages still on their way go back to the queue");
    }
    if let Err(error) = outbound::put_down(pool, worker_id, lanes).await {
        tracing::warn!(%error, "what was not tried counts as tried");
    }
}

// The order of layers is from the outside in: the outcome is recorded whatever happens within.

async fn outbound_worker(feed: Feed<OutboundJob>, concurrency: usize, attempts: Attempts, handler: Handler) {
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

async fn session_worker(feed: Feed<SessionJob>, concurrency: usize, recorder: Recorder, sessions: Sessions) {
    async fn handle(job: SessionJob, sessions: Data<Sessions>) -> Result<(), JobError> {
        session_jobs::run(&job, &sessions).await
    }
    let worker = WorkerBuilder::new("session")
        .backend(feed)
        .layer(RecordLayer(recorder))
        .concurrency(concurrency)
        .data(sessions)
        .build(handle);
    ended("session", worker.run().await);
}

async fn maintenance_worker(feed: Feed<MaintenanceJob>, keeper: Maintenance) {
    async fn handle(job: MaintenanceJob, keeper: Data<Maintenance>) -> Result<(), JobError> {
        maintenance::run(&job, &keeper).await
    }
    let worker = WorkerBuilder::new("maintenance")
        .backend(feed)
        .layer(RecordLayer(keeper.clone()))
        .concurrency(1)
        .data(keeper)
        .build(handle);
    ended("maintenance", worker.run().await);
}

fn ended(name: &str, end: Result<(), apalis::prelude::WorkerError>) {
    match end {
        Ok(()) => tracing::debug!(name, "apalis worker ended"),
        Err(error) => tracing::error!(name, %error, "apalis worker ended"),
    }
}

async fn join(name: &str, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(name, %error, "a task did not end well");
    }
}
