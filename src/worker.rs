//! The worker: wires lease, dispatcher, apalis workers and sessions together, and ends them in order.
//!
//! One life of a worker is one row of `wa.worker`. A life ends by a stop (drained, everything given back) or by a lost
//! lease (sockets cut, nothing written); after the latter the same process begins the next life under a fresh id.

use crate::auth::{Vault, VaultError};
use crate::config::{Config, Secret};
use crate::db::fence::Fence;
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
use crate::messages::media::Media;
use crate::messages::media::store::StoreError;
use crate::messages::outbound::{self as sending, Sender};
use crate::session::endpoint::{Endpoint, EndpointError};
use crate::session::holder::{Sessions, Shared};
use crate::session::jobs::{self as session_jobs, Recorder};
use crate::session::lease::{self, Fleet, Lease};
use crate::telemetry::{Load, Usage};
use apalis::prelude::{Data, WorkerBuilder, WorkerBuilderExt};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Among so many sessions at least are the messages shared that are on their way at once.
const SHARERS: usize = 4;
/// How long connections to the database may take to close.
const CLOSING: Duration = Duration::from_secs(2);

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
    /// The media store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    life: Arc<Mutex<Option<Life>>>,
}

/// What there is to see of one life of a worker.
#[derive(Clone)]
struct Life {
    sessions: Sessions,
    lanes: Lanes,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").field("sessions", &self.sessions.count()).finish_non_exhaustive()
    }
}

impl Window {
    /// The sessions that it holds, by name, and whether each is logged in.
    #[must_use]
    pub fn clients(&self) -> BTreeMap<String, bool> {
        self.life().map(|life| life.sessions.list()).unwrap_or_default()
    }

    /// What it has on its hands.
    #[must_use]
    pub fn load(&self) -> Load {
        let (held, in_hand) = self.life().map_or((0, 0), |life| (life.sessions.count(), life.lanes.count()));
        Load { held, connected: self.ready.count(), in_hand }
    }

    fn life(&self) -> Option<Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
    media: Media,
    ready: Ready,
    phase: watch::Sender<Phase>,
    life: Arc<Mutex<Option<Life>>>,
    instead: Option<Handler>,
}

impl Worker {
    /// Checks what can be checked without the network.
    ///
    /// # Errors
    /// No database URL, a WhatsApp server that this build must not talk to, or a media store that is none.
    pub fn new(config: Config) -> Result<Self, WorkerError> {
        let url = config.database_url.clone().ok_or(WorkerError::NoDatabase)?;
        let endpoint = Endpoint::parse(&config.whatsapp_url)?;
        let media = Media::open(&config.media)?;
        let phase = watch::Sender::new(Phase::Starting);
        Ok(Self { config, url, endpoint, media, ready: Ready::default(), phase, life: Arc::default(), instead: None })
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
        Window { ready: self.ready.clone(), phase: self.phase.subscribe(), life: self.life.clone() }
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

        let (wake, connected) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (draining, lost, ended) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let freed = Arc::new(Notify::new());
        let (begin, outbound_feed) = feed(lanes::MOST);
        let lanes = Lanes::new(begin, settings.outbound_concurrency.div_ceil(SHARERS));
        let (progress, writer) = Progress::start(pool.clone(), lanes.clone(), freed.clone(), ended.clone());
        let writer = tokio::spawn(writer);
        let sessions = Sessions::new(Shared {
            pool: pool.clone(),
            endpoint: self.endpoint.clone(),
            device: self.config.device.clone(),
            media: self.media.clone(),
            vault: vault.clone(),
            ready: self.ready.clone(),
            progress: progress.clone(),
            wake: wake.clone(),
            connected: connected.clone(),
        });
        tokio::spawn(gather(connected, wake.clone(), ended.clone()));

        self.show(Some(Life { sessions: sessions.clone(), lanes: lanes.clone() }));
        tokio::spawn(report(self.window(), settings.report_seconds, ended.clone()));
        let (session, session_feed) = feed(settings.session_concurrency);
        let (maintenance, maintenance_feed) = feed(1);
        let feeds = Feeds { outbound: outbound_feed, session: session_feed, maintenance: maintenance_feed };
        let attempts = Attempts { progress, lanes: lanes.clone() };
        let keeper = Maintenance { pool: pool.clone(), vault: vault.clone(), worker_id, stop: draining.clone() };
        let workers = self.employ(feeds, attempts, Recorder { pool: pool.clone(), worker_id }, keeper, &sessions);
        let interval = Duration::from_millis(settings.poll_ms.into());
        let dispatcher = Dispatcher {
            pool: pool.clone(),
            worker_id,
            wake: wake.clone(),
            freed: freed.clone(),
            outbound: Outbound::new(pool.clone(), worker_id, self.ready.clone(), lanes.clone()),
            session,
            downloads: i64::try_from(settings.session_concurrency * 3 / 4).unwrap_or(i64::MAX).max(1),
            maintenance,
            poll: interval,
        };
        let dispatcher = tokio::spawn(dispatcher.run(draining.clone()));
        let cron_wake = Arc::new(Notify::new());
        let schedules = Cron { pool: pool.clone(), wake: cron_wake.clone(), poll: interval * 10 };
        let schedules = tokio::spawn(schedules.run(draining.clone()));
        let (look, stop_asked) = (Arc::new(Notify::new()), stop.clone());
        self.listen(ring(wake, cron_wake, look.clone()), ended.clone());
        let beat = {
            let (give_away, surplus) = mpsc::unbounded_channel();
            tokio::spawn(give_away_surplus(surplus, sessions.clone(), lanes.clone()));
            let (draining, lost, stop) = (draining.clone(), lost.clone(), ended.clone());
            let check = Arc::new(Notify::new());
            tokio::spawn(check_sessions(sessions.clone(), check.clone(), ended.clone()));
            let fleet = Fleet { draining, lost, asked: stop_asked.clone(), stop, look, check, give_away };
            let (lease, pool, answers) = (lease.clone(), pool.clone(), reachable(self.phase.clone()));
            tokio::spawn(async move { lease.run(&pool, fleet, answers).await })
        };
        self.phase.send_replace(Phase::Working);

        let aborts: Vec<AbortHandle> =
            [&dispatcher, &schedules, &writer].into_iter().chain(&workers).map(JoinHandle::abort_handle).collect();
        let in_order = async {
            stop.cancelled().await;
            self.phase.send_replace(Phase::Stopping);
            tracing::info!("stopping: no new work is taken");
            draining.cancel();
            if let Err(error) = lease.drain().await {
                tracing::warn!(%error, "the other workers do not know that this one stops");
            }
            join("dispatcher", dispatcher).await;
            join("cron", schedules).await;
            let limit = Duration::from_secs(settings.drain_seconds.into());
            finish(&pool, worker_id, &lanes, &freed, workers, limit).await;
            sessions.stop_all().await;
        };
        // The lease can be lost during the stop, too.
        if lost.run_until_cancelled(in_order).await.is_some() {
            ended.cancel();
            join("progress writer", writer).await;
            join("heartbeat", beat).await;
            if let Err(error) = lease.unregister().await {
                tracing::warn!(%error, "not taken off the list; the lease runs out by itself");
            }
            tracing::info!("stopped");
        } else {
            sessions.cut_all();
            draining.cancel();
            ended.cancel();
            for task in aborts {
                task.abort();
            }
        }
        self.show(None);
        close(&pool).await;
        Ok(())
    }

    /// The apalis workers over the three job tables.
    fn employ(
        &self,
        feeds: Feeds,
        attempts: Attempts,
        recorder: Recorder,
        keeper: Maintenance,
        sessions: &Sessions,
    ) -> [JoinHandle<()>; 3] {
        let settings = &self.config.worker;
        let handler = self.instead.clone().unwrap_or_else(|| {
            to_whatsapp(Sender {
                sessions: sessions.clone(),
                ack_timeout: Duration::from_secs(settings.ack_timeout_seconds.into()),
            })
        });
        let Feeds { outbound, session, maintenance } = feeds;
        [
            tokio::spawn(outbound_worker(outbound, settings.outbound_concurrency, attempts, handler)),
            tokio::spawn(session_worker(session, settings.session_concurrency, recorder, sessions.clone())),
            tokio::spawn(maintenance_worker(maintenance, keeper)),
        ]
    }

    /// What the windows show from now on.
    fn show(&self, life: Option<Life>) {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
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

/// Where claimed rows come from.
struct Feeds {
    outbound: Feed<OutboundJob>,
    session: Feed<SessionJob>,
    maintenance: Feed<MaintenanceJob>,
}

/// Closes the connections. A statement that was given up leaves its own waiting for the answer, and with the network cut none
/// comes.
async fn close(pool: &Db) {
    if tokio::time::timeout(CLOSING, pool.close()).await.is_err() {
        tracing::warn!("connections to the database are left to the operating system");
    }
}

/// Says in the log what the process uses and has to do, again and again.
async fn report(window: Window, seconds: u32, ended: CancellationToken) {
    let every = Duration::from_secs(seconds.into());
    while ended.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let (Load { held, connected, in_hand }, usage) = (window.load(), Usage::now());
        tracing::info!(
            held,
            connected,
            in_hand,
            memory_mb = usage.memory / 1_000_000,
            descriptors = usage.descriptors,
            cpu_seconds = usage.processor.as_secs(),
            "resources"
        );
    }
}

fn to_whatsapp(sender: Sender) -> Handler {
    Handler::new(move |job| {
        let sender = sender.clone();
        async move { sending::send(&job, &sender).await }
    })
}

/// Wakes whom a notification on `wa_work` is for; without one (the listener has just connected), all.
fn ring(wake: Arc<Notify>, cron_wake: Arc<Notify>, look: Arc<Notify>) -> impl Fn(Option<&str>) + Send + Sync + 'static {
    move |heard| match heard {
        Some(cron::CHANGED) => cron_wake.notify_one(),
        Some(lease::FREED) => look.notify_one(),
        Some(_) => wake.notify_one(),
        None => {
            wake.notify_one();
            cron_wake.notify_one();
            look.notify_one();
        }
    }
}

/// Rings `wake` when a session has connected. When many do within a moment, one look for their messages serves them all.
async fn gather(connected: Arc<Notify>, wake: Arc<Notify>, ended: CancellationToken) {
    const MOMENT: Duration = Duration::from_millis(50);
    while ended.run_until_cancelled(connected.notified()).await.is_some() {
        wake.notify_one();
        tokio::time::sleep(MOMENT).await;
    }
}

/// Looks whether the sessions are alive, whenever it is asked to.
async fn check_sessions(sessions: Sessions, check: Arc<Notify>, ended: CancellationToken) {
    while ended.run_until_cancelled(check.notified()).await.is_some() {
        ended.run_until_cancelled(sessions.check()).await;
    }
}

/// Gives sessions to other workers, each once what is on its way has come through.
async fn give_away_surplus(mut surplus: mpsc::UnboundedReceiver<Fence>, sessions: Sessions, lanes: Lanes) {
    const PATIENCE: Duration = Duration::from_secs(5);
    while let Some(fence) = surplus.recv().await {
        let (sessions, lanes) = (sessions.clone(), lanes.clone());
        tokio::spawn(async move {
            sessions.withdraw(fence);
            let through = async {
                while lanes.has(fence.session_id) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            if tokio::time::timeout(PATIENCE, through).await.is_err() {
                tracing::info!(session_id = fence.session_id, "messages on their way go back to the queue");
            }
            if let Err(error) = sessions.hand_over(fence).await {
                tracing::debug!(session_id = fence.session_id, %error, "not handed over");
            }
        });
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
