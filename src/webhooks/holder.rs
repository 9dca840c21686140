//! The task of one webhook: reads what it has to be told, posts it, and writes what became of it.
//!
//! It waits for nothing by itself: reads, requests and writes are tasks ([`super::work`]), at most one read and one write
//! at a time, and as many requests as the pace allows. Memory is bounded by the size of pages.

mod results;

use super::body::Format;
use super::pace::Pace;
use super::page::Wanted;
use super::post::Target;
use super::queue::{Lane, Queue};
use super::record::{Health, Outcome};
use super::secrets;
use super::settings::{Fence, Held, Settings};
use super::work::{Bench, Done};
use crate::auth::Vault;
use crate::config::WebhookConfig;
use crate::db::backoff::Backoff;
use crate::db::storable::Storable;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Outcomes that are written at once.
const WRITE: usize = 128;
/// How long outcomes wait for others, so that many share a statement.
const GATHER: Duration = Duration::from_millis(5);
/// Pages have so many deliveries for each request that may go at once, within these limits.
const PAGE: (usize, usize, usize) = (8, 16, 512);
/// Most deliveries of one page that are due again.
const DUE: i64 = 64;
/// How long until something is looked at again that was not ready.
const LATER: Duration = Duration::from_secs(1);
/// How often the deliveries are read from the first one on, because one with a smaller id may have been committed later.
const FROM_THE_START: Duration = Duration::from_secs(1);

/// What a supervisor and a holder share.
#[derive(Debug, Clone)]
pub struct Ties {
    /// The settings, whenever they change.
    pub settings: watch::Receiver<Settings>,
    /// Something may have to be delivered.
    pub wake: Arc<Notify>,
    /// The id after which the holder has read nothing.
    pub position: Arc<AtomicI64>,
    /// Ends the holder in order.
    pub stop: CancellationToken,
}

/// See the module.
#[expect(clippy::struct_excessive_bools, reason = "what is under way is independent of each other")]
pub struct Holder {
    bench: Bench,
    vault: Arc<Vault>,
    config: WebhookConfig,
    ties: Ties,
    settings: Settings,
    target: Option<Arc<Target>>,
    queue: Queue,
    pace: Pace,
    work: JoinSet<Done>,
    under_way: usize,
    reading: bool,
    writing: bool,
    filling: bool,
    replaying: bool,
    /// There may be deliveries that are not read yet.
    more: bool,
    from_the_start: Instant,
    filled: bool,
    replayed: HashSet<i64>,
    /// Neither is looked at again before these moments.
    fill_at: Option<Instant>,
    replay_at: Option<Instant>,
    outcomes: Vec<Outcome>,
    clear: Vec<Lane>,
    health: Health,
    /// Outcomes are written at this moment at the latest.
    write_at: Option<Instant>,
    failing_since: Option<Instant>,
    disabled: bool,
    lost: bool,
    backoff: Backoff,
    /// Nothing of the database is asked before this moment.
    rest_until: Option<Instant>,
}

impl Holder {
    /// A holder for a webhook that this worker holds.
    #[must_use]
    pub fn new(bench: Bench, vault: Arc<Vault>, config: WebhookConfig, held: Held, ties: Ties) -> Self {
        let now = Instant::now();
        let pace = Pace::new(config.concurrency, held.failures, held.rest, now);
        Self {
            queue: Queue::new(held.settings.ordered),
            failing_since: held.failing_for.and_then(|age| now.checked_sub(age)),
            settings: held.settings,
            bench,
            vault,
            config,
            ties,
            target: None,
            pace,
            work: JoinSet::new(),
            under_way: 0,
            reading: false,
            writing: false,
            filling: false,
            replaying: false,
            more: true,
            from_the_start: now,
            filled: false,
            replayed: HashSet::new(),
            fill_at: None,
            replay_at: None,
            outcomes: vec![],
            clear: vec![],
            health: Health::default(),
            write_at: None,
            disabled: false,
            lost: false,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            rest_until: None,
        }
    }

    /// Delivers until it is stopped, or the lease is lost. Then what is under way has ended, and the lease is free.
    pub async fn run(mut self) -> Fence {
        let (fence, stop) = (self.bench.fence, self.ties.stop.clone());
        tracing::debug!(webhook = fence.webhook_id, epoch = fence.epoch, "webhook taken");
        while let Err(error) = self.adopt().await {
            tracing::warn!(webhook = fence.webhook_id, %error, "webhook not taken; retrying");
            if stop.run_until_cancelled(self.backoff.sleep()).await.is_none() {
                break;
            }
        }
        let mut stopping = false;
        while !self.lost {
            let now = Instant::now();
            let next = self.go_on(stopping, now);
            if stopping && self.work.is_empty() && self.outcomes.is_empty() {
                break;
            }
            tokio::select! {
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.done(done),
                    Err(error) => {
                        // What was in hand is read again by the next holder.
                        tracing::error!(webhook = fence.webhook_id, %error, "task of a webhook panicked");
                        self.lost = true;
                    }
                },
                changed = self.ties.settings.changed() => match changed {
                    Ok(()) => self.apply().await,
                    // The supervisor has gone.
                    Err(_) => self.lost = true,
                },
                () = self.ties.wake.notified() => self.look_again(Instant::now()),
                () = tokio::time::sleep_until(next.into()) => {}
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.queue.put_back();
                }
            }
        }
        self.work.shutdown().await;
        self.release().await;
        fence
    }

    /// Reads what is known of the webhook: which chats wait for what.
    async fn adopt(&mut self) -> sqlx::Result<()> {
        if self.settings.ordered {
            self.bench.repair().await?;
        } else {
            self.bench.give_up_lanes().await?;
        }
        let webhook_id = self.bench.fence.webhook_id;
        for row in sqlx::query_file!("sql/webhooks/heads.sql", webhook_id).fetch_all(&self.bench.db).await? {
            self.queue.add_head(row.id, Lane { session_id: row.session_id, chat: row.chat.into() });
        }
        self.apply().await;
        Ok(())
    }

    /// Takes over the settings.
    async fn apply(&mut self) {
        let settings = self.ties.settings.borrow_and_update().clone();
        if settings.enabled_at != self.settings.enabled_at {
            (self.filled, self.disabled) = (false, false);
        }
        let webhook_id = self.bench.fence.webhook_id;
        let opened = secrets::open(&self.bench.db, &self.vault, webhook_id, &settings.secrets).await;
        self.target = opened
            .inspect_err(|error| {
                let error = error.to_string();
                tracing::error!(webhook = webhook_id, error, "webhook cannot be delivered to; its events wait");
                self.health.failed = Some(true);
                self.health.last = (None, Some(Storable::error(&error)));
                self.write_at = Some(Instant::now());
            })
            .ok()
            .map(|secrets| {
                // The database has refused what it could; what else is wrong fails each attempt.
                let url = Url::parse(&settings.url).map_err(|error| format!("url: {error}"));
                let format = Format::parse(&settings.format);
                Arc::new(Target { url, headers: secrets.headers, keys: secrets.keys, format })
            });
        self.settings = settings;
        self.look_again(Instant::now());
    }

    fn look_again(&mut self, now: Instant) {
        self.more = true;
        if now.duration_since(self.from_the_start) >= FROM_THE_START {
            self.restart_reading(now);
        }
    }

    fn restart_reading(&mut self, now: Instant) {
        (self.from_the_start, self.more) = (now, true);
        self.ties.position.store(0, Ordering::Relaxed);
    }

    /// Starts whatever can be started, and says when to look again.
    fn go_on(&mut self, stopping: bool, now: Instant) -> Instant {
        let mut next = now + Duration::from_hours(1);
        let resting = self.rest_until.is_some_and(|end| now < end);
        if resting {
            next = self.rest_until.unwrap_or(next);
        }
        if !stopping && !self.disabled {
            if !resting {
                self.keep_up(now);
                self.read(now);
            }
            let again = [self.fill_at.filter(|_| !self.filled), self.replay_at.filter(|_| self.settings.replays)];
            next = again.into_iter().flatten().filter(|at| *at > now).fold(next, Instant::min);
            if let Some(later) = self.post(now) {
                next = next.min(later);
            }
        }
        if !resting && let Some(later) = self.write(stopping, now) {
            next = next.min(later);
        }
        next
    }

    /// Deliveries of what was stored while the webhook was added, and replays.
    fn keep_up(&mut self, now: Instant) {
        if !self.filled && !self.filling && self.fill_at.is_none_or(|at| at <= now) {
            self.filling = true;
            self.work.spawn(self.bench.clone().fill());
        }
        if self.settings.replays && !self.replaying && self.replay_at.is_none_or(|at| at <= now) {
            self.replaying = true;
            let (done, stop) = (std::mem::take(&mut self.replayed), self.ties.stop.clone());
            self.work.spawn(self.bench.clone().replay(done, stop));
        }
    }

    fn read(&mut self, now: Instant) {
        let (each, least, most) = PAGE;
        let page = if self.pace.is_open() { 1 } else { (self.pace.at_once() * each).clamp(least, most) };
        let page = page.max(self.settings.sharing.most);
        let may_post = self.pace.room(self.under_way, now) > 0 || self.under_way > 0 && !self.pace.is_open();
        if !self.more || self.reading || !may_post || self.queue.waiting() * 2 > page || self.target.is_none() {
            return;
        }
        self.reading = true;
        let wanted = Wanted {
            after: self.ties.position.load(Ordering::Relaxed),
            in_hand: self.queue.in_hand(),
            fresh: i64::try_from(page).unwrap_or(i64::MAX),
            due: if self.pace.is_open() { 1 } else { DUE },
        };
        self.work.spawn(self.bench.clone().read(wanted, self.queue.clearings()));
    }

    /// Posts as much as the pace allows. Returns when more may go.
    fn post(&mut self, now: Instant) -> Option<Instant> {
        let target = self.target.clone()?;
        for _ in 0..self.pace.room(self.under_way, now) {
            match self.queue.next(self.settings.sharing, now) {
                Ok(parcel) => {
                    self.under_way += 1;
                    self.work.spawn(self.bench.clone().post(target.clone(), parcel));
                }
                Err(later) => return later,
            }
        }
        self.pace.not_before(now)
    }

    /// Writes what has become of deliveries. Returns when to write at the latest.
    fn write(&mut self, stopping: bool, now: Instant) -> Option<Instant> {
        if self.writing {
            return None;
        }
        let at = self.write_at?;
        if now < at && self.outcomes.len() < WRITE && !(stopping && self.under_way == 0) {
            return Some(at);
        }
        (self.write_at, self.writing) = (None, true);
        let mut health = std::mem::take(&mut self.health);
        health.failures = self.pace.failures();
        health.rest = self.pace.not_before(now).map(|begin| begin - now);
        health.is_open = self.pace.is_open();
        let (outcomes, lanes) = (std::mem::take(&mut self.outcomes), std::mem::take(&mut self.clear));
        self.work.spawn(self.bench.clone().write(outcomes, health, lanes));
        None
    }

    /// Lets any worker take the webhook.
    async fn release(&self) {
        let Fence { webhook_id, epoch, worker_id } = self.bench.fence;
        let release = sqlx::query_file!("sql/webhooks/release.sql", webhook_id, epoch, worker_id);
        if let Err(error) = release.execute(&self.bench.db).await {
            tracing::warn!(webhook = webhook_id, %error, "webhook not released; it is free when this worker has gone");
        }
    }
}
