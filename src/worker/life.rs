//! One life of a worker: one row of `wa.worker`, from its registration to its end.
//!
//! A life ends with a stop (drained, every session released) or with a lost lease (sockets cut, nothing written).

use super::bells::{channels, gather, ring};
use super::handlers::{Handler, Handlers};
use super::stop::{close, finish, hand_over_surplus};
use super::tasks::Tasks;
use super::window::{Phase, reachable, report};
use super::{Worker, WorkerError};
use crate::auth::{RatchetWriter, Vault, sealing};
use crate::db::{Db, listener};
use crate::jobs::OutboundJob;
use crate::jobs::actions::{Actions, DOWNLOADS};
use crate::jobs::bells::Bells;
use crate::jobs::claim::Dispatcher;
use crate::jobs::connecting::{Connecting, WAITING};
use crate::jobs::cron::Cron;
use crate::jobs::feed::{Feed, feed};
use crate::jobs::in_hand::InHand;
use crate::jobs::lanes::{FILES, Lanes, Limits};
use crate::jobs::maintenance::Maintenance;
use crate::jobs::numbers::NumbersWriter;
use crate::jobs::outbound::Outbound;
use crate::jobs::progress::{Attempts, Progress};
use crate::jobs::retry_loop::RetryLoop;
use crate::jobs::stock::MAX_IN_HAND;
use crate::messages::connection::Connections;
use crate::messages::outbound::Sender;
use crate::net::{Guard, Reach};
use crate::partner::Partner;
use crate::session::client::ClientSettings;
use crate::session::comparison::{Comparison, Sightings};
use crate::session::health;
use crate::session::jobs::Recorder;
use crate::session::lease::{Lease, LeaseSignals};
use crate::session::registry::Sessions;
use crate::webhooks::Webhooks;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a drain may take beyond `worker.drain_seconds`: what closes connections and releases sessions has limits of
/// its own, which add up to less.
const CLOSING: Duration = Duration::from_mins(1);
/// How long the last writes may take after the drain.
const ENDING: Duration = Duration::from_secs(5);

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
        let pool = Db::connect_worker(&worker.url, pooler, settings.connections, "wagres worker").await?;
        sealing::check(vault, &pool).await?;
        let ttl = Duration::from_secs(settings.lease_seconds.into());
        let lease =
            Arc::new(Lease::register(&worker.url, pooler, ttl, settings.max_sessions, worker.witness.clone()).await?);
        let worker_id = lease.worker_id();
        tracing::info!(worker = %worker_id, server = worker.endpoint.as_str(), "worker registered");

        let (bells, ends) = (Bells::default(), Ends::default());
        let mut keepers = Tasks::default();
        let (begin, outbound_feed) = feed(MAX_IN_HAND);
        let (sending, bytes) = (settings.outbound_concurrency, settings.in_hand_bytes);
        let lanes = Lanes::new(begin, Limits { sending, files: FILES, bytes });
        let (freed, over) = (bells.freed.clone(), ends.over.clone());
        let (progress, writer) = Progress::start(pool.clone(), lanes.clone(), worker.numbers.clone(), freed, over);
        keepers.spawn("progress writer", writer);
        let (ratchets, writer) = RatchetWriter::start(pool.own_connection("wagres ratchets"), ends.over.clone());
        keepers.spawn("ratchet writer", writer);
        let connections = Connections::new(worker.ready.clone());
        let client = ClientSettings {
            endpoint: worker.endpoint.clone(),
            device: worker.config.device.clone(),
            proxies: Guard::new(Reach::Internet, &settings.proxy_allow),
            vault: vault.clone(),
            tasks: TaskTracker::new(),
            max_handshakes: settings.max_handshakes,
            numbers: worker.numbers.clone(),
            ratchets,
            proof: lease.proof(),
        };
        let sessions = Sessions::new(pool.clone(), client, connections.clone(), progress.clone(), bells.clone());
        worker.view.show(sessions.clone(), lanes.clone(), progress.unwritten());
        let (takers, handlers) = (Tasks::default(), Tasks::default());
        let mut life = Self { pool, lease, bells, lanes, sessions, ends, takers, handlers, keepers };
        let comparison = life.work(worker, vault, outbound_feed, progress, connections);
        Ok(life.keep(worker, comparison, stop))
    }

    /// Starts the tasks that claim work and do it. Returns what compares the rows with what they have in hand.
    fn work(
        &mut self,
        worker: &Worker,
        vault: &Arc<Vault>,
        outbound_feed: Feed<OutboundJob>,
        progress: Progress,
        connections: Connections,
    ) -> Comparison {
        let Self { pool, bells, lanes, sessions, ends, takers, handlers, .. } = self;
        let (settings, worker_id) = (&worker.config.worker, self.lease.worker_id());
        let connecting_at_once = settings.session_concurrency + WAITING;
        let (session, session_feed) = feed(connecting_at_once);
        let downloads = (settings.session_concurrency * 3 / 4).clamp(1, DOWNLOADS);
        let actions_at_once = settings.session_concurrency + downloads;
        let (actions, actions_feed) = feed(actions_at_once);
        let (long, long_feed) = feed(1);
        let (prompt, prompt_feed) = feed(1);
        let (asked, asked_feed) = feed(1);
        let (session_in_hand, maintenance_in_hand) = (InHand::default(), InHand::default());
        let ack_timeout = Duration::from_secs(settings.ack_timeout_seconds.into());
        let handler = worker.handler_override.clone().unwrap_or_else(|| {
            let (media, lanes, proof) = (worker.media.clone(), lanes.clone(), self.lease.proof());
            Handler::to_whatsapp(Sender { connections, media, lanes, proof, ack_timeout })
        });
        let recorder = Recorder { pool: pool.clone(), worker_id, place_freed: bells.claim.clone() };
        let keeper = Maintenance {
            pool: pool.clone(),
            vault: vault.clone(),
            worker_id,
            stop: ends.draining.clone(),
            files: worker.media.files(),
        };
        let comparison = Comparison {
            pool: pool.clone(),
            recorder: recorder.clone(),
            session_jobs: session_in_hand.clone(),
            maintenance: keeper.clone(),
            maintenance_jobs: maintenance_in_hand.clone(),
            sessions: sessions.clone(),
            bells: bells.clone(),
            idle: Sightings::default(),
            gone: Sightings::default(),
        };
        let attempts = Attempts { progress, lanes: lanes.clone() };
        Handlers {
            outbound: (outbound_feed, settings.outbound_concurrency + FILES, attempts, handler),
            session: [("session", session_feed, connecting_at_once), ("action", actions_feed, actions_at_once)],
            recorder,
            sessions: sessions.clone(),
            media: worker.media.clone(),
            maintenance: [
                ("maintenance", long_feed),
                ("prompt maintenance", prompt_feed),
                ("asked maintenance", asked_feed),
            ],
            keeper,
        }
        .start(handlers);

        let poll_interval = Duration::from_millis(settings.poll_ms.into());
        // What the dispatcher asks, it asks one after the other.
        let own = pool.own_connection("wagres claims");
        let dispatcher = Dispatcher {
            pool: pool.clone(),
            own: own.clone(),
            worker_id,
            bells: bells.clone(),
            outbound: Outbound::new(
                own.clone(),
                worker_id,
                worker.ready.clone(),
                lanes.clone(),
                worker.numbers.clone(),
            ),
            connecting: Connecting {
                pool: own.clone(),
                worker_id,
                feed: session,
                in_hand: session_in_hand.clone(),
                places: settings.session_concurrency,
            },
            actions: Actions {
                pool: own.clone(),
                worker_id,
                feed: actions,
                in_hand: session_in_hand,
                places: settings.session_concurrency,
                downloads,
            },
            maintenance: [long, prompt, asked],
            maintenance_in_hand,
            poll: poll_interval,
            last_ring: Instant::now(),
        };
        takers.spawn("dispatcher", dispatcher.run(ends.draining.clone()));
        let cron = Cron { pool: pool.clone(), wake: bells.cron.clone(), poll: poll_interval * 10 };
        takers.spawn("cron", cron.run(ends.draining.clone()));
        self.deliver(worker, vault);
        comparison
    }

    /// Starts the tasks that deliver to webhooks and to the partner of the marketplace.
    fn deliver(&mut self, worker: &Worker, vault: &Arc<Vault>) {
        let Self { pool, bells, ends, takers, .. } = self;
        let (settings, worker_id) = (&worker.config.worker, self.lease.worker_id());
        let (poll, grace) =
            (Duration::from_millis(settings.poll_ms.into()), Duration::from_secs(settings.drain_seconds.into()));
        let webhooks = Webhooks {
            db: pool.clone(),
            worker_id,
            vault: vault.clone(),
            config: worker.config.webhook.clone(),
            bells: bells.clone(),
            poll,
            grace,
        };
        takers.spawn("webhooks", webhooks.run(ends.draining.clone()));
        let partner = Partner {
            db: pool.clone(),
            worker_id,
            vault: vault.clone(),
            config: worker.config.marketplace.clone(),
            web_url: worker.config.web.url.clone(),
            bells: bells.clone(),
            poll,
            grace,
        };
        takers.spawn("partner", partner.run(ends.draining.clone()));
    }

    /// Starts the tasks that keep the life going.
    fn keep(mut self, worker: &Worker, comparison: Comparison, stop: &CancellationToken) -> Self {
        let Self { pool, lease, bells, lanes, sessions, ends, keepers, .. } = &mut self;
        keepers.spawn("bell of connections", gather(bells.clone(), ends.over.clone()));
        let seconds = worker.config.worker.report_seconds;
        keepers.spawn("resource report", report(worker.window(), pool.clone(), seconds, ends.over.clone()));
        let numbers = NumbersWriter { numbers: worker.numbers.clone(), db: pool.clone(), worker_id: lease.worker_id() };
        keepers.spawn("numbers", numbers.run(ends.over.clone()));
        if worker.config.database_pooler {
            let poll_ms = worker.config.worker.poll_ms;
            tracing::info!(poll_ms, "no notifications behind a pooler; polling for work");
        } else {
            let (url, ring, over) = (worker.url.clone(), ring(bells.clone()), ends.over.clone());
            let channels = channels(lease.worker_id());
            keepers.spawn("listener", async move { listener::wake_on(url, &channels, ring, over).await });
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
        let (lease, answers) = (lease.clone(), reachable(worker.phase.clone(), worker.beat.clone()));
        keepers.spawn("heartbeat", async move { lease.run(signals, comparison, answers).await });
        worker.beat.now();
        worker.phase.send_replace(Phase::Working);
        self
    }

    /// Works until `stop` or until the lease is lost, and ends in the matching way.
    pub(super) async fn run(mut self, worker: &Worker, stop: &CancellationToken) {
        let lost = self.ends.lost.clone();
        let drain = async {
            stop.cancelled().await;
            worker.phase.send_replace(Phase::Stopping);
            let limit = Duration::from_secs(worker.config.worker.drain_seconds.into()) + CLOSING;
            tokio::time::timeout(limit, self.drain(worker)).await
        };
        // The lease can be lost during the drain, too.
        let drained = lost.run_until_cancelled(drain).await;
        if let Some(Err(_)) = drained {
            tracing::error!("worker not drained in time; it ends all the same");
        }
        if let Some(Ok(())) = drained {
            self.ends.over.cancel();
            if tokio::time::timeout(ENDING, self.keepers.join()).await.is_err() {
                tracing::error!("tasks still running; aborted, and what they had to write is not written");
                self.keepers.abort().await;
            }
        } else {
            self.ends.draining.cancel();
            self.ends.over.cancel();
            let Self { sessions, takers, handlers, keepers, .. } = &mut self;
            // The sockets first; the tasks need not have ended for that.
            tokio::join!(sessions.cut_all(), takers.abort(), handlers.abort(), keepers.abort());
        }
        if drained.is_some() {
            // After the last outcomes are written, and while the lease still holds.
            let numbers = worker.numbers.write(&self.pool, self.lease.worker_id());
            match tokio::time::timeout(ENDING, numbers).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "counts of the last minute not written"),
                Err(_) => tracing::warn!("database did not answer in time; counts of the last minute not written"),
            }
            match tokio::time::timeout(ENDING, self.lease.unregister()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "worker not unregistered; its lease expires"),
                Err(_) => tracing::warn!("database did not answer in time; the worker's lease expires"),
            }
            tracing::info!("worker stopped");
        }
        worker.view.clear();
        close(&self.pool).await;
    }

    /// Ends in order: nothing new, what is under way finished, every session released.
    async fn drain(&mut self, worker: &Worker) {
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
