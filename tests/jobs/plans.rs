//! Plans that the server keeps for a connection.

use super::{one, run, shop};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};

#[tokio::test]
async fn p3_plans_from_when_the_queue_was_empty_do_not_read_all_that_waits_later() -> Result<()> {
    const MESSAGES: i64 = 600;
    let (db, mut worker) = shop().await?;
    run(&db.pool, "VACUUM ANALYZE wa.outbound_queue, wa.outbound, wa.sending").await?;
    // Enough for a plan that is kept.
    for _ in 0..12 {
        run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550001', 'one')").await?;
        ensure!(worker.claim().await? == 1);
        let job = worker.next().context("nothing was claimed")?;
        worker.end(job, Ok(())).await?;
    }
    let insert = format!(
        "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', (15550000 + n)::text, 'many' FROM generate_series(1, {MESSAGES}) n"
    );
    run(&db.pool, &insert).await?;
    let mut sent = 0;
    while worker.claim().await? > 0 || sent < MESSAGES {
        let job = worker.next().with_context(|| format!("{sent} sent, and nothing to send"))?;
        worker.end(job, Ok(())).await?;
        sent += 1;
        while let Some(job) = worker.next() {
            worker.end(job, Ok(())).await?;
            sent += 1;
        }
    }

    // A server process that ends has counted all that it read.
    worker.die().await?;
    until("the end of the worker's connections", async || {
        let left: i64 = one(
            &db.pool,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'wagres %'",
        )
        .await?;
        Ok(if left == 0 { Ok(()) } else { Err(left) })
    })
    .await?;
    let read: i64 = one(
        &db.pool,
        "SELECT sum(seq_tup_read)::bigint FROM pg_stat_all_tables WHERE relid IN ('wa.outbound_queue'::regclass, 'wa.outbound'::regclass)",
    )
    .await?;
    ensure!(read < MESSAGES * 20, "{read} rows read by whole tables");
    Ok(())
}
