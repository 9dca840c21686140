//! Claims actions: jobs of connected sessions, one at a time and in order for each session, downloads beside the others.
//!
//! One query finds the next action of each session, however many wait behind it. The tenants share the places for
//! actions by the rule of [`super::shares`], so that one with many or slow actions leaves some to the others. What runs
//! already is read from the rows, not kept here.

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

/// Most downloads at a time, because each has a file and a transfer.
pub const DOWNLOADS: usize = 16;

/// Claims the actions of one worker, see the module.
#[derive(Debug)]
pub struct Actions {
    /// Where the tables are.
    pub pool: Db,
    /// The worker that claims.
    pub worker_id: Uuid,
    /// Where claimed actions go. It has room for all that may run at a time.
    pub feed: mpsc::Sender<SessionJob>,
    /// Session jobs that are in hand, and so the actions.
    pub in_hand: InHand,
    /// Actions that run at a time, without downloads.
    pub places: usize,
    /// Downloads that run at a time.
    pub downloads: usize,
}

impl Actions {
    /// Makes one claim. Returns the number of actions.
    pub async fn claim(&self) -> sqlx::Result<usize> {
        let kinds = KINDS.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let found =
            sqlx::query_file!("sql/jobs/next_actions.sql", self.worker_id, &kinds).fetch_all(&self.pool).await?;
        let (mut actions, mut downloads) = (Shares::new(self.places), Shares::new(self.downloads));
        for row in found {
            let (tenant, shares) = (Arc::from(row.tenant), if row.download { &mut downloads } else { &mut actions });
            if row.mine {
                shares.hold(&tenant, row.session_id);
            } else {
                shares.add(&tenant, row.session_id, row.id);
            }
        }
        let ids: Vec<i64> =
            std::iter::from_fn(|| actions.take()).chain(std::iter::from_fn(|| downloads.take())).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let turn = self.in_hand.turn().await;
        let claim = sqlx::query_file_as!(ClaimedSessionJob, "sql/jobs/claim_actions.sql", self.worker_id, &ids);
        let rows = claim.fetch_all(&self.pool).await?;
        let claimed = rows.len();
        for row in rows {
            hand_on(&self.feed, row.into_job(&self.in_hand)).await;
        }
        drop(turn);
        Ok(claimed)
    }
}
