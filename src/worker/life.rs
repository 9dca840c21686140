//! One life of a worker: one row of `wa.worker`, from its registration to its end.
//!
//! A life ends with a stop (drained, every session released) or with a lost lease (sockets cut, nothing written).

use super::bells::{CHANNEL, gather, ring};
use super::handlers::{Handler, Handlers};
use super::stop::{close, finish, hand_over_surplus};
use super::tasks::Tasks;
use super::window::{Phase, reachable, report};
use super::{Worker, WorkerError};
use crate::auth::Vault;
use crate::db::{Db, listener};
use crate::jobs::bells::Bells;
use crate::jobs::claim::Dispatcher;
use crate::jobs::cron::Cron;
use crate::jobs::feed::feed;
use crate::jobs::lanes::{self, Lanes};
use crate::jobs::maintenance::Maintenance;
use crate::jobs::outbound::Outbound;
use crate::jobs::progress::{Attempts, Progress};
use crate::jobs::retry_loop::RetryLoop;
use crate::messages::connection::Connections;
use crate::messages::outbound::Sender;
use crate::session::client::ClientSettings;
use crate::session::health;
use crate::session::jobs::Recorder;
use crate::session::lease::{Lease, LeaseSignals};
use crate::session::registry::Sessions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// At least this many sessions share the slots for messages under way.
const SHARERS: usize = 4;

/// The tokens that end the tasks of a life.
#[derive(Clone, Default)]
struct Ends {
    /// No new work is taken.
    draining: CancellationToken,
    /// The lease is lost.
    lost: CancellationToken,
    /// The life is over.
    over: CancellationToken,
}

/// One life of a worker.
pub(super) struct Life {
    pool: Db,
    lease: Arc<Lease>,
    bells: Bells,
    lanes: Lanes,
    sessions: Sessions,
    ends: Ends,
    /// Claim work; end when draining begins.
    takers: Tasks,
    /// Do the work; end when their feeds are empty.
    handlers: Tasks,
    /// Write outcomes, send heartbeats, listen, report; end when the life is over.
    keepers: Tasks,
}

impl Life {
    /// Registers the worker and starts its tasks. `stop` is cancelled when an operator asks the worker to drain.
    pub(super) async fn begin(
        worker: &Worker,
        vault: &Arc<Vault>,
        stop: &CancellationToken,
    ) -> Result<Self, WorkerError> {
        let settings = &worker.config.worker;
        let pooler = worker.config.database_pooler;
        let pool = Db::connect(&worker.url, pooler, settings.connections, "wagres worker").await?;
        let ttl = Duration::from_secs(settings.lease_seconds.into());
        let lease = Arc::new(Lease::register(&worker.url, pooler, ttl, settings.max_sessions).await?);
        let worker_id = lease.worker_id();
        tracing::info!(worker = %worker_id, server = worker.endpoint.as_str(), "worker registered");

        let (bells, ends) = (Bells::default(), Ends::default());
        let (mut takers, mut handlers, mut keepers) = (Tasks::default(), Tasks::default(), Tasks::default());
        let (begin, outbound_feed) = feed(lanes::MAX_IN_HAND);
        let lanes = Lanes::new(begin, settings.outbound_concurrency.div_ceil(SHARERS));
        let (progress, writer) = Progress::start(pool.clone(), lanes.clone(), bells.freed.clone(), ends.over.clone());
        keepers.spawn("progress writer", writer);
        let connections = Connections::new(worker.ready.clone());
        let client = ClientSettings {
            endpoint: worker.endpoint.clone(),
            device: worker.config.device.clone(),
            vault: vault.clone(),
            tasks: TaskTracker::new(),
        };
        let sessions = Sessions::new(pool.clone(), client, connections.clone(), progress.clone(), bells.clone());
        worker.view.show(sessions.clone(), lanes.clone());

        let (session, session_feed) = feed(settings.session_concurrency);
        let (maintenance, maintenance_feed) = feed(1);
        let ack_timeout = Duration::from_secs(settings.ack_timeout_seconds.into());
        let handler = worker
            .handler_override
            .clone()
            .unwrap_or_else(|| Handler::to_whatsapp(Sender { connections, media: worker.media.clone(), ack_timeout }));
        let recorder = Recorder { pool: pool.clone(), worker_id };
        let keeper = Maintenance { pool: pool.clone(), vault: vault.clone(), worker_id, stop: ends.draining.clone() };
        let attempts = Attempts { progress, lanes: lanes.clone() };
        Handlers {
            outbound: (outbound_feed, settings.outbound_concurrency, attempts, handler),
            session: (session_feed, settings.session_concurrency, recorder, sessions.clone(), worker.media.clone()),
            maintenance: (maintenance_feed, keeper),
        }
        .start(&mut handlers);

        let poll_interval = Duration::from_millis(settings.poll_ms.into());
        let dispatcher = Dispatcher {
            pool: pool.clone(),
            worker_id,
            bells: bells.clone(),
            outbound: Outbound::new(pool.clone(), worker_id, worker.ready.clone(), lanes.clone()),
            session,
            downloads: i64::try_from(settings.session_concurrency * 3 / 4).unwrap_or(i64::MAX).max(1),
            maintenance,
            poll: poll_interval,
        };
        takers.spawn("dispatcher", dispatcher.run(ends.draining.clone()));
        let cron = Cron { pool: pool.clone(), wake: bells.cron.clone(), poll: poll_interval * 10 };
        takers.spawn("cron", cron.run(ends.draining.clone()));

        let life = Self { pool, lease, bells, lanes, sessions, ends, takers, handlers, keepers };
        Ok(life.keep(worker, stop))
    }

    /// Starts the tasks that keep the life going.
    fn keep(mut self, worker: &Worker, stop: &CancellationToken) -> Self {
        let Self { pool, lease, bells, lanes, sessions, ends, keepers, .. } = &mut self;
        keepers.spawn("bell of connections", gather(bells.clone(), ends.over.clone()));
        let seconds = worker.config.worker.report_seconds;
        keepers.spawn("resource report", report(worker.window(), pool.clone(), seconds, ends.over.clone()));
        if worker.config.database_pooler {
            let poll_ms = worker.config.worker.poll_ms;
            tracing::info!(poll_ms, "no notifications behind a pooler; polling for work");
        } else {
            let (url, ring, over) = (worker.url.clone(), ring(bells.clone()), ends.over.clone());
            keepers.spawn("listener", listener::wake_on(url, CHANNEL, ring, over));
        }
        let (surplus_sender, surplus) = mpsc::unbounded_channel();
        keepers.spawn("hand-over", hand_over_surplus(surplus, sessions.clone(), lanes.clone()));
        let check = check_health(pool.clone(), sessions.clone(), bells.clone(), ends.over.clone());
        keepers.spawn("health check", check);
        let signals = LeaseSignals {
            draining: ends.draining.clone(),
            lost: ends.lost.clone(),
            drain_requested: stop.clone(),
            stop: ends.over.clone(),
            bells: bells.clone(),
            surplus: surplus_sender,
        };
        let (lease, pool, answers) = (lease.clone(), pool.clone(), reachable(worker.phase.clone()));
        keepers.spawn("heartbeat", async move { lease.run(&pool, signals, answers).await });
        worker.phase.send_replace(Phase::Working);
        self
    }

    /// Works until `stop` or until the lease is lost, and ends in the matching way.
    pub(super) async fn run(mut self, worker: &Worker, stop: &CancellationToken) {
        let lost = self.ends.lost.clone();
        // The lease can be lost during the drain, too.
        let drained = lost.run_until_cancelled(self.drain_after(worker, stop)).await;
        if drained.is_some() {
            self.ends.over.cancel();
            self.keepers.join().await;
            if let Err(error) = self.lease.unregister().await {
                tracing::warn!(%error, "worker not unregistered; its lease expires");
            }
            tracing::info!("worker stopped");
        } else {
            self.ends.draining.cancel();
            self.ends.over.cancel();
            let Self { sessions, takers, handlers, keepers, .. } = &mut self;
            // The sockets first; the tasks need not have ended for that.
            tokio::join!(sessions.cut_all(), takers.abort(), handlers.abort(), keepers.abort());
        }
        worker.view.clear();
        close(&self.pool).await;
    }

    async fn drain_after(&mut self, worker: &Worker, stop: &CancellationToken) {
        stop.cancelled().await;
        worker.phase.send_replace(Phase::Stopping);
        tracing::info!("draining; no new work is taken");
        self.ends.draining.cancel();
        if let Err(error) = self.lease.drain().await {
            tracing::warn!(%error, "drain not announced; other workers wait for the lease to expire");
        }
        self.takers.join().await;
        let limit = Duration::from_secs(worker.config.worker.drain_seconds.into());
        let worker_id = self.lease.worker_id();
        finish(&self.pool, worker_id, &self.lanes, &self.bells, &mut self.handlers, limit).await;
        self.sessions.stop_all().await;
    }
}

/// Checks the health of the sessions, whenever the bell rings.
async fn check_health(pool: Db, sessions: Sessions, bells: Bells, over: CancellationToken) {
    while over.run_until_cancelled(bells.check.notified()).await.is_some() {
        over.run_until_cancelled(health::check(&pool, &sessions)).await;
    }
}
