//! Claims due rows for this worker, and sleeps without missing any.
//!
//! The doorbell: an inserter rings (`NOTIFY wa_work_…`) only when the worker that can use it is parked, so busy workers cost
//! inserters nothing. There is a race: an inserter may check before the worker parks and commit after the worker's last look. So
//! after parking the worker reads which transactions are running, and looks again at short intervals until it has
//! looked after the end of all of them. From then on it looks at the slow, jittered poll, which also serves databases
//! behind poolers where LISTEN does not work.

use super::MaintenanceJob;
use super::actions::Actions;
use super::bells::Bells;
use super::connecting::Connecting;
use super::feed::hand_on;
use super::in_hand::InHand;
use super::maintenance::{MaintenanceKind, Slot};
use super::outbound::Outbound;
use super::retry_loop::RetryLoop;
use crate::db::Db;
use crate::db::backoff::{Backoff, spread};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Most rows of one claim of maintenance jobs.
const BATCH: usize = 500;
/// Most expired messages that one statement ends.
const EXPIRE: i64 = 1000;
/// How long the worker stays awake when there is nothing to do: parking for each message would cost two writes. Nobody
/// rings meanwhile, so a new message may wait for so long.
const AWAKE: Duration = Duration::from_millis(3);
/// A parked worker that is woken by messages more often than this stays awake, so that not every inserter rings.
const OFTEN: Duration = Duration::from_millis(10);
/// How long the worker continues with known messages before it looks for new ones.
const BUSY: Duration = Duration::from_millis(50);

/// Claims for one worker, see the module.
#[derive(Debug)]
pub struct Dispatcher {
    /// Where the tables are. A statement beside one of `own` runs here.
    pub pool: Db,
    /// The connection of the claims, which are made one after the other.
    pub own: Db,
    /// The worker that claims.
    pub worker_id: Uuid,
    /// [`Bells::claim`] and [`Bells::freed`] wake the dispatcher.
    pub bells: Bells,
    /// Claims messages.
    pub outbound: Outbound,
    /// Claims jobs that change connections.
    pub connecting: Connecting,
    /// Claims actions.
    pub actions: Actions,
    /// Where claimed maintenance jobs go, in the order of [`Slot::ALL`].
    pub maintenance: [mpsc::Sender<MaintenanceJob>; Slot::ALL.len()],
    /// Those that are in hand.
    pub maintenance_in_hand: InHand,
    /// The interval of the slow poll.
    pub poll: Duration,
    /// When messages last woke the worker.
    pub last_ring: Instant,
}

/// Whether a bell has rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ring {
    No,
    /// For messages, which are claimed.
    Messages,
    /// For whatever may have changed.
    Anything,
}

impl RetryLoop for Dispatcher {
    const NAME: &'static str = "dispatcher";

    /// Claims until there is nothing to claim, then sleeps until there may be.
    async fn pass(&mut self) -> sqlx::Result<()> {
        while self.claim().await? > 0 {}
        if self.outbound.waits_for_room() {
            // Known messages need no ring, and new ones are seen soon.
            return self.wait_for_ring(Instant::now() + BUSY).await.map(drop);
        }
        if self.wait_for_ring(Instant::now() + AWAKE).await? != Ring::No || self.claim().await? > 0 {
            return Ok(());
        }
        sqlx::query_file!("sql/jobs/park.sql", self.worker_id).execute(&self.own).await?;
        self.sleep().await?;
        // Both at once: the claim need not wait, and the sooner others know, the fewer of a burst ring.
        let pool = self.pool.clone();
        let unpark = sqlx::query_file!("sql/jobs/unpark.sql", self.worker_id).execute(&pool);
        let (claimed, unparked) = tokio::join!(self.claim(), unpark);
        unparked?;
        claimed.map(drop)
    }
}

impl Dispatcher {
    /// Sleeps, parked, until a claim finds something or the bell rings. A message now and then is claimed without waking.
    async fn sleep(&mut self) -> sqlx::Result<()> {
        let (mut backoff, mut horizon) = (Backoff::new(Duration::from_millis(2), self.poll), None);
        loop {
            // Read before the look: a transaction that ends between the two is seen by the look, or still runs.
            let running = sqlx::query_file!("sql/jobs/transaction_ids.sql").fetch_one(&self.own).await?;
            // Transactions from here on see that this worker is parked.
            let horizon = *horizon.get_or_insert(running.next);
            if self.claim().await? > 0 {
                return Ok(());
            }
            if running.oldest >= horizon {
                break;
            }
            if self.wait_parked(Instant::now() + backoff.pause()).await? {
                return Ok(());
            }
        }
        loop {
            if self.wait_parked(Instant::now() + spread(self.poll)).await? {
                return Ok(());
            }
            if self.claim().await? > 0 {
                return Ok(());
            }
        }
    }

    /// Waits for the bell, at most until `end`. True when the worker should be awake.
    async fn wait_parked(&mut self, end: Instant) -> sqlx::Result<bool> {
        loop {
            match self.wait_for_ring(end).await? {
                Ring::No => return Ok(false),
                Ring::Anything => return Ok(true),
                Ring::Messages => {
                    let before = std::mem::replace(&mut self.last_ring, Instant::now());
                    if before.elapsed() < OFTEN {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Waits for the bell, at most until `end`, and meanwhile claims for lanes that are freed and messages that become
    /// due. A ring says nothing of whether there is something to do.
    async fn wait_for_ring(&mut self, end: Instant) -> sqlx::Result<Ring> {
        loop {
            let next = self.outbound.next().map_or(end, |next| next.min(end));
            tokio::select! {
                biased;
                () = self.bells.claim.notified() => return Ok(Ring::Anything),
                () = self.bells.messages.rung() => {
                    for session_id in self.bells.messages.take() {
                        self.outbound.look_at(session_id);
                    }
                    self.claim_messages().await?;
                    return Ok(Ring::Messages);
                }
                () = self.bells.freed.notified() => {}
                () = tokio::time::sleep_until(next.into()) => if Instant::now() >= end { return Ok(Ring::No) },
            }
            self.claim_messages().await?;
        }
    }

    /// Claims from each table in which something waits, as far as there is room. Returns the number of rows. Messages come
    /// first; one query says whether there is anything else, because that is rare (P11).
    async fn claim(&mut self) -> sqlx::Result<usize> {
        self.outbound.look();
        let mut claimed = self.claim_messages().await?;
        let waits = sqlx::query_file!("sql/jobs/waits.sql").fetch_one(&self.own).await?;
        if waits.expired {
            self.outbound.expire(EXPIRE).await?;
        }
        if waits.connections {
            claimed += self.connecting.claim().await?;
        }
        if waits.actions {
            claimed += self.actions.claim().await?;
        }
        if waits.maintenance {
            claimed += self.claim_maintenance().await?;
        }
        Ok(claimed)
    }

    async fn claim_messages(&mut self) -> sqlx::Result<usize> {
        let mut jobs = 0;
        loop {
            let claimed = self.outbound.claim().await?;
            jobs += claimed.jobs;
            if !claimed.more {
                return Ok(jobs);
            }
        }
    }

    async fn claim_maintenance(&self) -> sqlx::Result<usize> {
        let rooms = self.maintenance.each_ref().map(room);
        if rooms == [0; Slot::ALL.len()] {
            return Ok(0);
        }
        let turn = self.maintenance_in_hand.turn().await;
        let places: Vec<i64> = MaintenanceKind::ALL.iter().map(|kind| kind.slot() as i64 + 1).collect();
        let kinds = MaintenanceKind::names();
        let claim = sqlx::query_file!("sql/jobs/claim_maintenance.sql", self.worker_id, &kinds, &places, &rooms);
        let rows = claim.fetch_all(&self.own).await?;
        let claimed = rows.len();
        for row in rows {
            // The claim names only known kinds.
            let Some(kind) = MaintenanceKind::parse(&row.kind) else { continue };
            let hand = self.maintenance_in_hand.take(row.id);
            let job = MaintenanceJob { id: row.id, kind, args: row.args, attempts: row.attempts, hand };
            hand_on(&self.maintenance[kind.slot() as usize], job).await;
        }
        drop(turn);
        Ok(claimed)
    }
}

fn room<J>(feed: &mpsc::Sender<J>) -> i64 {
    i64::try_from(feed.capacity().min(BATCH)).unwrap_or(0)
}
