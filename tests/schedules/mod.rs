//! Cron as rows (Q10) and the maintenance that it drives (Q12): over a real Postgres, with the loops that workers run.

mod accepted;
mod clock_change;
#[cfg(feature = "sandbox")]
mod command_line;
mod firing;
mod leftovers;
#[cfg(feature = "sandbox")]
mod lost_answers;
mod maintenance;
mod retention;
mod rows;

use crate::support::db::{self, TestDb};
use crate::support::until::until;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wagres::config::Secret;
use wagres::db::listener;
use wagres::jobs::cron::Cron;
use wagres::jobs::retry_loop::RetryLoop;

/// A moment, `2026-03-29T01:00:00Z`.
fn at(text: &str) -> Result<DateTime<Utc>> {
    Ok(text.parse()?)
}

/// A database without schedules, whose cron clock the test sets.
struct Scheduled {
    db: TestDb,
}

impl Scheduled {
    async fn at(now: &str) -> Result<Self> {
        let db = db::fresh_with(Some(
            "CREATE TABLE public.clock (now timestamptz NOT NULL);
             INSERT INTO public.clock VALUES (now());
             CREATE OR REPLACE FUNCTION wa.cron_now() RETURNS timestamptz
                 LANGUAGE sql STABLE AS 'SELECT now FROM public.clock';
             DELETE FROM wa.schedule;",
        ))
        .await;
        let scheduled = Self { db };
        scheduled.clock(now).await?;
        Ok(scheduled)
    }

    fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// Sets the clock, and wakes the loops as the passing of time would.
    async fn clock(&self, now: &str) -> Result<()> {
        let set = "WITH moved AS (UPDATE public.clock SET now = $1) SELECT pg_notify('wa_work', 'schedule')";
        sqlx::query(set).bind(at(now)?).execute(self.pool()).await?;
        Ok(())
    }

    async fn sql(&self, sql: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self.pool()).await.with_context(|| sql.to_owned())?;
        Ok(())
    }

    async fn one<T>(&self, query: &str) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        one(self.pool(), query).await
    }

    async fn holds(&self, query: &str) -> Result<()> {
        holds(self.pool(), query).await
    }

    /// Starts the loop that a worker runs, with a listener of its own. It polls so rarely that only a notification or a tick
    /// wakes it.
    fn cron(&self) -> CronLoop {
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let cron = Cron { pool: self.pool().clone().into(), wake: wake.clone(), poll: Duration::from_hours(1) };
        let url = Secret::new(&self.db.url);
        let ring = move |_: Option<&str>| wake.notify_one();
        let stopped = stop.clone();
        let listener =
            tokio::spawn(async move { listener::wake_on(url, &["wa_work".to_owned()], ring, stopped).await });
        CronLoop { cron: tokio::spawn(cron.run(stop.clone())), listener }
    }

    /// Waits until every enabled schedule has fired up to the clock and knows its next tick.
    async fn settled(&self) -> Result<()> {
        self.holds(
            "SELECT NOT EXISTS (SELECT FROM wa.schedule
                 WHERE enabled AND (next_tick IS NULL OR next_tick <= wa.cron_now()))",
        )
        .await
    }

    /// The ticks that the schedule fired, in UTC.
    async fn ticks(&self, name: &str) -> Result<Vec<String>> {
        let ticks = "SELECT to_char(tick AT TIME ZONE 'UTC', 'MM-DD HH24:MI') FROM wa.schedule_tick
                     JOIN wa.schedule USING (schedule_id) WHERE name = $1 ORDER BY tick";
        Ok(sqlx::query_scalar(ticks).bind(name).fetch_all(self.pool()).await?)
    }
}

/// A running loop. Dropping it kills the loop wherever it is.
struct CronLoop {
    cron: JoinHandle<()>,
    listener: JoinHandle<()>,
}

impl Drop for CronLoop {
    fn drop(&mut self) {
        self.cron.abort();
        self.listener.abort();
    }
}

async fn one<T>(pool: &PgPool, query: &str) -> Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await.with_context(|| query.to_owned())
}

/// Waits until `query` gives true.
async fn holds(pool: &PgPool, query: &str) -> Result<()> {
    until(query, async || {
        if one::<Option<bool>>(pool, query).await? == Some(true) {
            return Ok(Ok(()));
        }
        let schedules = "SELECT coalesce(jsonb_pretty(jsonb_agg(to_jsonb(s))), '') FROM wa.schedule s";
        Ok(Err(one::<String>(pool, schedules).await?))
    })
    .await
}
