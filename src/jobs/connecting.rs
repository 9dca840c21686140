//! Claims jobs that change a connection: one at a time and in order for each session.
//!
//! The tenants share the places by the rule of [`super::shares`], so that one with many jobs, or with jobs that wait for a
//! proxy that does not answer, leaves some to the others (R9). What runs already is read from the rows. A job that says
//! that it only waits ([`Hand::wait`](super::in_hand::Hand::wait)) has no place meanwhile.

use super::SessionJob;
use super::claimed::ClaimedSessionJob;
use super::feed::hand_on;
use super::in_hand::InHand;
use super::session_work::KINDS;
use super::shares::Shares;
use crate::db::Db;
use std::sync::Arc;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Most jobs that wait without a place. Beyond them, a job keeps its place while it waits.
pub const WAITING: usize = 256;
/// How often a claim continues with the next jobs, when others have locked or claimed those that it found.
const TRIES: usize = 8;

/// Claims such jobs of one worker, see the module.
#[derive(Debug)]
pub struct Connecting {
    /// Where the tables are.
    pub pool: Db,
    /// The worker that claims.
    pub worker_id: Uuid,
    /// Where claimed jobs go. It has room for all that may run at a time.
    pub feed: mpsc::Sender<SessionJob>,
    /// Session jobs that are in hand.
    pub in_hand: InHand,
    /// Jobs that run at a time.
    pub places: usize,
}

impl Connecting {
    /// Makes one claim. Returns the number of jobs.
    ///
    /// # Errors
    /// The database's error.
    pub async fn claim(&self) -> sqlx::Result<usize> {
        let kinds = KINDS.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let most = i64::try_from(self.places).unwrap_or(i64::MAX);
        let (mut claimed, mut tried) = (0, vec![]);
        for _ in 0..TRIES {
            let next = sqlx::query_file!("sql/jobs/next_connections.sql", self.worker_id, &kinds, most, &tried);
            let mut shares = Shares::new(self.places);
            for row in next.fetch_all(&self.pool).await? {
                let tenant = Arc::from(row.tenant);
                if !row.mine {
                    shares.add(&tenant, row.session_id, row.id);
                } else if !self.in_hand.waits(row.id) {
                    shares.hold(&tenant, row.session_id);
                }
            }
            let ids: Vec<i64> = std::iter::from_fn(|| shares.take()).collect();
            if ids.is_empty() {
                break;
            }
            let turn = self.in_hand.turn().await;
            let claim = sqlx::query_file_as!(ClaimedSessionJob, "sql/jobs/claim_session.sql", self.worker_id, &ids);
            let rows = claim.fetch_all(&self.pool).await?;
            let all = rows.len() == ids.len();
            claimed += rows.len();
            for row in rows {
                hand_on(&self.feed, row.into_job(&self.in_hand)).await;
            }
            drop(turn);
            if all {
                break;
            }
            tried.extend(ids);
        }
        Ok(claimed)
    }
}
