//! What a holder has others do: reads, requests and writes. Each is a task of its own, so that none waits for another.

use super::page::{self, Page, Wanted};
use super::post::{Answer, Poster, Target};
use super::queue::{Lane, Parcel};
use super::record::{self, Health, Outcome};
use super::replay;
use super::settings::Fence;
use crate::db::Db;
use crate::db::backoff::Backoff;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Deliveries of a chat that one statement queues.
const CLEAR: i64 = 1000;

/// What a task has done.
#[derive(Debug)]
pub enum Done {
    /// A parcel was posted.
    Posted {
        /// The parcel.
        parcel: Parcel,
        /// What came of it.
        answer: Answer,
        /// When it began.
        started: Instant,
    },
    /// A page was read, after so many clearings.
    Read(sqlx::Result<Page>, u64),
    /// Outcomes were written, and what waited in some lanes was queued.
    Written {
        /// The outcomes.
        outcomes: Vec<Outcome>,
        /// What was written of the receiver.
        health: Health,
        /// Whether the lease is still held.
        result: sqlx::Result<bool>,
        /// The lanes.
        cleared: Vec<Lane>,
        /// Lanes of which that is still to be done.
        left: Vec<Lane>,
    },
    /// What was stored while the webhook was added has deliveries; false while more may come.
    Filled(sqlx::Result<bool>),
    /// Replays were done, of which these may stand in their table for a while.
    Replayed(HashSet<i64>, sqlx::Result<()>),
    /// The lease is another worker's.
    Lost,
}

/// Where tasks of a holder work.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The database.
    pub db: Db,
    /// What makes writes valid.
    pub fence: Fence,
    /// The HTTP client.
    pub poster: Poster,
}

impl Bench {
    /// Reads a page.
    pub async fn read(self, wanted: Wanted, clearings: u64) -> Done {
        Done::Read(page::read(&self.db, self.fence.webhook_id, &wanted).await, clearings)
    }

    /// Posts a parcel. Several deliveries that share a request for the first time are marked before, so that every
    /// attempt has the same id and the same events.
    pub async fn post(self, target: Arc<Target>, mut parcel: Parcel) -> Done {
        if parcel.items.len() > 1 && parcel.batch.is_none() {
            let id = format!("batch_{}", Uuid::now_v7().simple());
            if !self.compose(&parcel.ids(), &id).await {
                return Done::Lost;
            }
            parcel.batch = Some(id);
        }
        let started = Instant::now();
        let answer = self.poster.post(&target, &parcel).await;
        Done::Posted { parcel, answer, started }
    }

    async fn compose(&self, ids: &[i64], batch: &str) -> bool {
        let Fence { webhook_id, epoch, worker_id } = self.fence;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let marked = sqlx::query_file_scalar!("sql/webhooks/compose.sql", webhook_id, epoch, worker_id, ids, batch);
            match marked.fetch_one(&self.db).await {
                Ok(many) => return usize::try_from(many) == Ok(ids.len()),
                Err(error) => {
                    tracing::warn!(webhook = webhook_id, %error, "shared request not noted; retrying");
                    backoff.sleep().await;
                }
            }
        }
    }

    /// Writes outcomes, and then queues what waited in lanes.
    pub async fn write(self, outcomes: Vec<Outcome>, health: Health, lanes: Vec<Lane>) -> Done {
        let result = record::write(&self.db, self.fence, &outcomes, &health).await;
        let (mut cleared, mut left) = (vec![], lanes);
        while let (Ok(true), Some(lane)) = (&result, left.last()) {
            if let Err(error) = self.clear(lane).await {
                tracing::warn!(webhook = self.fence.webhook_id, %error, "chat of a webhook not continued; retrying");
                break;
            }
            cleared.extend(left.pop());
        }
        Done::Written { outcomes, health, result, cleared, left }
    }

    async fn clear(&self, lane: &Lane) -> sqlx::Result<()> {
        let Fence { webhook_id, epoch, worker_id } = self.fence;
        loop {
            let queued = sqlx::query_file_scalar!(
                "sql/webhooks/requeue_lane.sql",
                webhook_id,
                epoch,
                worker_id,
                lane.session_id,
                &*lane.chat,
                CLEAR
            );
            if queued.fetch_one(&self.db).await? < CLEAR {
                return Ok(());
            }
        }
    }

    /// Queues what waits for nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn repair(&self) -> sqlx::Result<()> {
        let Fence { webhook_id, epoch, worker_id } = self.fence;
        loop {
            let queued = sqlx::query_file_scalar!("sql/webhooks/requeue_lost.sql", webhook_id, epoch, worker_id, CLEAR);
            if queued.fetch_one(&self.db).await? < CLEAR {
                return Ok(());
            }
        }
    }

    /// Queues whatever waits.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_up_lanes(&self) -> sqlx::Result<()> {
        let Fence { webhook_id, epoch, worker_id } = self.fence;
        let (mut chat, mut id) = (String::new(), 0);
        loop {
            let queued =
                sqlx::query_file!("sql/webhooks/requeue_all.sql", webhook_id, epoch, worker_id, chat, id, CLEAR);
            match queued.fetch_optional(&self.db).await? {
                Some(last) => (chat, id) = (last.chat, last.id),
                None => return Ok(()),
            }
        }
    }

    /// Inserts deliveries of what was being stored when the webhook was added.
    pub async fn fill(self) -> Done {
        let Fence { webhook_id, epoch, .. } = self.fence;
        Done::Filled(sqlx::query_file_scalar!("sql/webhooks/fill.sql", webhook_id, epoch).fetch_one(&self.db).await)
    }

    /// Does replays, until `stop`.
    pub async fn replay(self, mut done: HashSet<i64>, stop: CancellationToken) -> Done {
        let result = stop.run_until_cancelled(replay::run(&self.db, self.fence, &mut done)).await;
        Done::Replayed(done, result.unwrap_or(Ok(())))
    }
}
