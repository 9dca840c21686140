//! Cron: rows of `wa.schedule` become jobs at their ticks, each tick once, over any number of workers.
//!
//! Every worker runs this loop and none leads. Rust computes which ticks are due, by the database's clock. One
//! statement (`wa.fire_schedule`) turns them into jobs, and does nothing if the row has changed since it was read. So a
//! worker may be frozen or killed at any point: the statement took effect as a whole or not at all, and a second worker
//! finds the row changed. The key of `wa.schedule_tick` enforces the same.
//!
//! Not promised: that a tick is on time. A tick waits while no worker runs and then follows the rule of its schedule
//! ([`missed`]).

pub mod expression;
pub mod missed;

use super::retry_loop::RetryLoop;
use crate::db::Db;
use crate::db::backoff::spread;
use chrono::{DateTime, Utc};
use expression::{Expression, ExpressionError};
use missed::Missed;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Payload on the channel `wa_work` when a schedule has changed (`sql/schema/52_schedules.sql`). Jobs notify there far
/// more often; this loop ignores those.
pub const CHANGED: &str = "schedule";

/// The loop that fires schedules.
#[derive(Debug)]
pub struct Cron {
    /// Where the tables are.
    pub pool: Db,
    /// Rung when a schedule changes.
    pub wake: Arc<Notify>,
    /// How often to look for due schedules when nothing rings and no tick is nearer; jittered by a quarter.
    pub poll: Duration,
}

/// A due schedule, as it was read.
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
    #[error("{}", .0.as_database_error().map_or_else(|| .0.to_string(), |refused| refused.message().to_owned()))]
    Sql(#[from] sqlx::Error),
}

impl RetryLoop for Cron {
    const NAME: &'static str = "cron";

    /// Fires the due schedules, or sleeps until one may be due.
    async fn pass(&mut self) -> sqlx::Result<()> {
        let due = sqlx::query_file_as!(Due, "sql/cron/due.sql").fetch_all(&self.pool).await?;
        if due.is_empty() {
            let seconds = sqlx::query_file_scalar!("sql/cron/next_tick.sql").fetch_one(&self.pool).await?;
            let next = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
            let poll = spread(self.poll);
            self.sleep(next.map_or(poll, |next| next.min(poll))).await;
        }
        let mut all_outrun = !due.is_empty();
        for schedule in due {
            all_outrun &= !self.fire(&schedule).await?;
        }
        if all_outrun {
            // Other workers fire the same schedules, or an application has locked them; an immediate retry would only
            // be in their way.
            self.sleep(spread(Duration::from_millis(100))).await;
        }
        Ok(())
    }
}

impl Cron {
    /// Sleeps until the bell rings, at most `most`.
    async fn sleep(&self, most: Duration) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(most) => {}
        }
    }

    /// Fires one schedule. False when another worker was first. A schedule that cannot fire is disabled, so that it
    /// blocks none of the others.
    async fn fire(&self, due: &Due) -> sqlx::Result<bool> {
        let name = &due.name;
        match self.try_fire(due).await {
            Ok(Some(0)) => tracing::debug!(schedule = name, "next tick planned"),
            Ok(Some(ticks)) => tracing::info!(schedule = name, ticks, "schedule fired"),
            Ok(None) => {
                tracing::debug!(schedule = name, "schedule skipped; another worker was first, or the row has changed");
                return Ok(false);
            }
            Err(FireError::Sql(error)) if !is_of_the_row(&error) => return Err(error),
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(schedule = name, reason, "schedule cannot fire; disabled");
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
        // If the clock was set back, handled ticks stay handled.
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

/// Whether the database refused the row itself (a bad value, a broken constraint, an exception of a trigger), rather
/// than being in trouble.
fn is_of_the_row(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22", "23", "P0", "WA"].iter().any(|class| code.starts_with(class)))
}
