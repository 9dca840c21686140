//! H2: numbers over time (`wa.numbers`), and the class of a failure.

mod counting;
mod series;
#[cfg(feature = "sandbox")]
mod with_the_sandbox;
mod writing;

use crate::jobs::{ManualWorker, one, run};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use wagres::db::storable::Storable;
use wagres::jobs::OutboundJob;
use wagres::jobs::change::{Change, Reached};
use wagres::jobs::numbers::News;

/// Inserts a text and begins its first attempt.
async fn begin(worker: &mut ManualWorker, body: &str) -> Result<OutboundJob> {
    let insert = format!(
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550001', '{body}', 'may')"
    );
    run(&worker.pool, &insert).await?;
    next(worker).await
}

/// Begins an attempt.
async fn next(worker: &mut ManualWorker) -> Result<OutboundJob> {
    worker.claim().await?;
    worker.next().context("no message may be sent")
}

/// WhatsApp reports a message, by another clock or by none.
async fn reported(worker: &ManualWorker, job: &OutboundJob, reached: Reached, at: Option<DateTime<Utc>>) {
    let id = Storable::stored(job.message_id.clone());
    worker.attempts.progress.push(Change::reported(job.fence, id, reached, at)).await;
}

/// Waits until the counts are these: queued, sent, delivered, delivered soon, read, played, failed, expired.
async fn counted(worker: &ManualWorker, expected: [i64; 8]) -> Result<()> {
    let sums = "SELECT ARRAY[sum(queued), sum(sent), sum(delivered), sum(delivered_soon), sum(read), sum(played), sum(failed), sum(expired)]
                FROM wa.numbers WHERE session_id IS NOT NULL AND campaign IS NULL AND span = 'minute'";
    until(&format!("{expected:?}"), async || {
        ensure!(worker.numbers.write(&worker.pool.clone().into(), worker.id).await?, "the worker is dead");
        let found: Vec<Option<i64>> = one(&worker.pool, sums).await?;
        let found: Vec<i64> = found.into_iter().map(Option::unwrap_or_default).collect();
        Ok(if found == expected { Ok(()) } else { Err(format!("{found:?}")) })
    })
    .await
}

/// Whether the rows by minute and by hour, of the sessions, the tenants and all, have the same sums, and those of
/// campaigns too if every message has one.
async fn levels_agree(pool: &PgPool, with_campaigns: bool) -> Result<()> {
    let sums = "SELECT array_agg(DISTINCT sums::text) FROM (
        SELECT jsonb_build_array(sum(queued), sum(sent), sum(delivered), sum(delivered_soon), sum(read), sum(played), sum(failed),
                                 sum(expired), sum(failed_media), round(sum(latency_seconds)::numeric, 3), sum(latency[1])) AS sums
        FROM wa.numbers WHERE $1 OR campaign IS NULL GROUP BY span, session_id IS NULL, tenant IS NULL, campaign IS NULL) s";
    let found: Vec<String> = sqlx::query_scalar(sums).bind(with_campaigns).fetch_one(pool).await?;
    ensure!(found.len() == 1, "{found:?}");
    Ok(())
}

/// A worker row for `Numbers::write`, which lives for a day.
async fn worker_row(pool: &PgPool) -> Result<uuid::Uuid> {
    let insert = "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
                  VALUES (gen_random_uuid(), 'test', 1, 'test', now() + interval '1 day') RETURNING worker_id";
    one(pool, insert).await
}

fn news(session_id: i64, new: i32, since: Option<DateTime<Utc>>, campaign: Option<&str>) -> News {
    News { session_id, campaign: campaign.map(str::to_owned), new, since }
}
