//! Cron: rows of `wa.schedule` become jobs at their ticks, each tick once, over any number of workers.
//!
//! Every worker runs this loop and none leads. Which ticks are due is reckoned here, by the database's clock; what they
//! become is one statement (`wa.fire_schedule`), which finds the row as it was seen here or does nothing. So a worker may
//! be frozen or killed at any point: either all of the statement happened or none, and whoever comes second finds the row
//! moved on. The key of `wa.schedule_tick` says the same once more.
//!
//! What this does not promise: that a tick is in time. It waits while no worker runs and then follows the rule of its
//! schedule ([`missed`]).

pub mod expression;
pub mod missed;

use super::turns::Turns;
use crate::db::Db;
use crate::db::backoff::spread;
use chrono::{DateTime, Utc};
use expression::{Expression, ExpressionError};
use missed::Missed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What is heard on the channel `wa_work` when a schedule has changed (`sql/schema/52_schedules.sql`). Jobs ring there
/// far more often, and are none of this loop's business.
pub const CHANGED: &str = "schedule";

/// See the module.
#[derive(Debug)]
pub struct Cron {
    /// Where the tables are.
    pub pool: Db,
    /// Rung when a schedule changes.
    pub wake: Arc<Notify>,
    /// How often to look when nothing rings and no tick is nearer; jittered by a quarter.
    pub poll: Duration,
}

/// A schedule that is due, as it was seen.
#[derive(Debug)]
struct Due {
    schedule_id: i64,
    name: String,
    cron: String,
    time_zone: String,
    missed: String,
    ticked_to: DateTime<Utc>,
    now: DateTime<Utc>,
}

/// Why a schedule did not fire.
#[derive(Debug, thiserror::Error)]
enum FireError {
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    #[error("missed: \"{0}\" is unknown to this worker; accepted: skip, once, all")]
    Missed(String),
    #[error("{}", .0.as_database_error().map_or_else(|| .0.to_string(), |said| said.message().to_owned()))]
    Sql(#[from] sqlx::Error),
}

impl Turns for Cron {
    const WHAT: &'static str = "look at the schedules";

    /// Fires what is due, or sleeps until something may be.
    async fn turn(&mut self) -> sqlx::Result<()> {
        let due = sqlx::query_file_as!(Due, "sql/cron/due.sql").fetch_all(&self.pool).await?;
        if due.is_empty() {
            let seconds = sqlx::query_file_scalar!("sql/cron/next_tick.sql").fetch_one(&self.pool).await?;
            let next = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
            let poll = spread(self.poll);
            self.sleep(next.map_or(poll, |next| next.min(poll))).await;
        }
        let mut outrun = !due.is_empty();
        for schedule in due {
            outrun &= !self.fire(&schedule).await?;
        }
        if outrun {
            // Others are at it; looking again at once would only be in their way.
            self.sleep(spread(Duration::from_millis(30))).await;
        }
        Ok(())
    }
}

impl Cron {
    /// Sleeps until somebody rings, at most that long.
    async fn sleep(&self, most: Duration) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(most) => {}
        }
    }

    /// Fires one schedule, unless another worker was first. One that cannot fire is disabled, so that it stops none of
    /// the others.
    async fn fire(&self, due: &Due) -> sqlx::Result<bool> {
        let name = &due.name;
        match self.try_fire(due).await {
            Ok(Some(0)) => tracing::debug!(name, "schedule planned"),
            Ok(Some(ticks)) => tracing::info!(name, ticks, "schedule fired"),
            Ok(None) => {
                tracing::debug!(name, "another worker was first, or the schedule has changed");
                return Ok(false);
            }
            Err(FireError::Sql(error)) if !is_of_the_row(&error) => return Err(error),
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(name, reason, "schedule disabled");
                sqlx::query_file!("sql/cron/disable.sql", due.schedule_id, due.cron, due.time_zone, reason)
                    .execute(&self.pool)
                    .await?;
            }
        }
        Ok(true)
    }

    async fn try_fire(&self, due: &Due) -> Result<Option<i32>, FireError> {
        let expression = Expression::parse(&due.cron, &due.time_zone)?;
        let missed = Missed::parse(&due.missed).ok_or_else(|| FireError::Missed(due.missed.clone()))?;
        // A clock that was set back leaves what is dealt with as it is.
        let upto = due.now.max(due.ticked_to);
        let ticks = missed.due(&expression, due.ticked_to, due.now)?;
        let next = expression.next_after(upto)?;
        let fired = sqlx::query_file_scalar!(
            "sql/cron/fire.sql",
            due.schedule_id,
            due.cron,
            due.time_zone,
            due.missed,
            due.ticked_to,
            &ticks,
            upto,
            next
        );
        Ok(fired.fetch_one(&self.pool).await?)
    }
}

/// Whether the database refused what the row asks for, rather than being in trouble itself: a bad value, a broken
/// constraint, an exception of a trigger, ours or another.
fn is_of_the_row(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22", "23", "P0", "WA"].iter().any(|class| code.starts_with(class)))
}
