//! Which webhooks this worker delivers for: it takes its share of them, and runs a [`Holder`] for each.

use super::holder::{Holder, Ties};
use super::post::Poster;
use super::settings::{self, Fence, Held, Settings};
use super::tasks::{Ended, Tasks};
use super::work::Bench;
use crate::auth::Vault;
use crate::config::WebhookConfig;
use crate::db::Db;
use crate::db::backoff::{Backoff, spread};
use crate::jobs::bells::Bells;
use crate::telemetry;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often webhooks that were dropped are forgotten.
const FORGET: Duration = Duration::from_mins(1);

/// A running holder.
struct Running {
    fence: Fence,
    ordered: bool,
    settings: watch::Sender<Settings>,
    wake: Arc<Notify>,
    position: Arc<AtomicI64>,
    stop: CancellationToken,
}

/// The webhooks of one worker.
pub struct Webhooks {
    /// Where the tables are.
    pub db: Db,
    /// The worker.
    pub worker_id: Uuid,
    /// Opens secrets.
    pub vault: Arc<Vault>,
    /// How webhooks are delivered.
    pub config: WebhookConfig,
    /// [`Bells::webhooks`] and [`Bells::webhook_settings`] wake it.
    pub bells: Bells,
    /// The interval of the poll.
    pub poll: Duration,
    /// How long a stop waits for requests that are under way.
    pub grace: Duration,
}

impl Webhooks {
    /// Delivers until `stop`; then what is under way has ended, or `grace` is over, and the leases are free.
    pub async fn run(self, stop: CancellationToken) {
        let poster = match Poster::new(&self.config) {
            Ok(poster) => poster,
            Err(error) => {
                tracing::error!(%error, "webhooks are not delivered by this worker: no HTTP client");
                return;
            }
        };
        let mut supervisor = Supervisor {
            own: self,
            poster,
            running: HashMap::new(),
            tasks: Tasks::default(),
            forget_at: Instant::now() + spread(FORGET),
        };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut next = Instant::now();
        while !stop.is_cancelled() {
            let pass = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = supervisor.own.bells.webhook_settings.notified() => supervisor.look().await,
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + spread(supervisor.own.poll);
                    supervisor.look().await
                }
                () = supervisor.own.bells.webhooks.notified() => supervisor.wake(false).await,
                Some(ended) = supervisor.tasks.next() => {
                    supervisor.ended(&ended);
                    Ok(())
                }
            };
            match pass {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::warn!(%error, "webhooks not looked at; retrying");
                    stop.run_until_cancelled(backoff.sleep()).await;
                }
            }
        }
        supervisor.end().await;
    }
}

struct Supervisor {
    own: Webhooks,
    poster: Poster,
    running: HashMap<i64, Running>,
    tasks: Tasks,
    forget_at: Instant,
}

impl Supervisor {
    /// Takes and gives away webhooks, and starts and ends holders as the rows say.
    async fn look(&mut self) -> sqlx::Result<()> {
        let (db, worker_id) = (&self.own.db, self.own.worker_id);
        if Instant::now() >= self.forget_at {
            self.forget_at = Instant::now() + spread(FORGET);
            sqlx::query_file!("sql/webhooks/forget.sql").execute(db).await?;
        }
        let share = sqlx::query_file!("sql/webhooks/hold.sql", worker_id).fetch_one(db).await?;
        let held = if share.holds { settings::held(db, worker_id).await? } else { vec![] };
        self.running.retain(|id, running| {
            let stays = held.iter().any(|held| held.fence.webhook_id == *id && held.fence == running.fence);
            if !stays {
                running.stop.cancel();
            }
            stays || !running.stop.is_cancelled()
        });
        telemetry::webhooks_held(held.len());
        for held in held {
            self.follow(held, &share.surplus);
        }
        self.wake(true).await
    }

    /// Starts, changes or ends the holder of one webhook.
    fn follow(&mut self, held: Held, surplus: &[i64]) {
        let id = held.fence.webhook_id;
        let leave = held.disabled || surplus.contains(&id);
        if let Some(running) = self.running.get(&id) {
            // A new order begins with a new holder.
            if leave || running.ordered != held.settings.ordered {
                running.stop.cancel();
            }
            running.settings.send_if_modified(|known| {
                let changed = *known != held.settings;
                if changed {
                    *known = held.settings;
                }
                changed
            });
            return;
        }
        // A holder that is still ending has released the lease when it is done.
        if leave {
            return self.release(held.fence);
        }
        let (settings, receiver) = watch::channel(held.settings.clone());
        let (wake, position, stop) = (Arc::<Notify>::default(), Arc::<AtomicI64>::default(), CancellationToken::new());
        let ties = Ties { settings: receiver, wake: wake.clone(), position: position.clone(), stop: stop.clone() };
        let bench = Bench { db: self.own.db.clone(), fence: held.fence, poster: self.poster.clone() };
        let (fence, ordered) = (held.fence, held.settings.ordered);
        self.running.insert(id, Running { fence, ordered, settings, wake, position, stop });
        let holder = Holder::new(bench, self.own.vault.clone(), self.own.config.clone(), held, ties);
        self.tasks.spawn(fence, holder.run());
    }

    /// Frees a webhook that has no holder here.
    fn release(&mut self, fence: Fence) {
        let db = self.own.db.clone();
        self.tasks.spawn(fence, async move {
            let release = sqlx::query_file!("sql/webhooks/release.sql", fence.webhook_id, fence.epoch, fence.worker_id);
            if let Err(error) = release.execute(&db).await {
                tracing::warn!(webhook = fence.webhook_id, %error, "webhook not released; retrying");
            }
            fence
        });
    }

    /// Wakes the holders that have something to do: of what they have not read yet, or of `all`, because something with
    /// a smaller id may have been committed later.
    async fn wake(&self, all: bool) -> sqlx::Result<()> {
        let (ids, after): (Vec<i64>, Vec<i64>) = self
            .running
            .iter()
            .map(|(id, running)| (*id, if all { 0 } else { running.position.load(Ordering::Relaxed) }))
            .unzip();
        if ids.is_empty() {
            return Ok(());
        }
        for id in sqlx::query_file_scalar!("sql/webhooks/ready.sql", &ids, &after).fetch_all(&self.own.db).await? {
            if let Some(running) = self.running.get(&id) {
                running.wake.notify_one();
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: &Ended) {
        match *ended {
            Ended::Done(fence) => {
                self.running.retain(|_, running| running.fence != fence);
                self.own.bells.webhook_settings.notify_one();
            }
            // What it had under way may still write under its fence. So the next holder gets another one: this stays in
            // `running` until the lease is free, and whoever then takes it makes a new epoch.
            Ended::Panicked(fence) => self.free(fence),
        }
    }

    /// Frees a webhook whose holder is gone, however long that takes.
    fn free(&mut self, fence: Fence) {
        let db = self.own.db.clone();
        self.tasks.spawn(fence, async move {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
            let Fence { webhook_id, epoch, worker_id } = fence;
            while let Err(error) =
                sqlx::query_file!("sql/webhooks/release.sql", webhook_id, epoch, worker_id).execute(&db).await
            {
                tracing::warn!(webhook = webhook_id, %error, "webhook not released; retrying");
                backoff.sleep().await;
            }
            fence
        });
    }

    /// Ends all holders.
    async fn end(mut self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        let all = async { while self.tasks.next().await.is_some() {} };
        if timeout(self.own.grace, all).await.is_err() {
            tracing::warn!("requests of webhooks still under way; they are made again by another worker");
        }
        self.tasks.shutdown().await;
        let released = sqlx::query_file!("sql/webhooks/release_all.sql", self.own.worker_id).execute(&self.own.db);
        if let Err(error) = released.await {
            tracing::warn!(%error, "webhooks not released; they are free when this worker has gone");
        }
    }
}
