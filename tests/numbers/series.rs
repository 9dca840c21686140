//! What reads the numbers: series, and what they cost.

use super::{begin, news, worker_row};
use crate::jobs::{one, run, session, shop};
use crate::support::db::fresh;
use crate::support::logins::login;
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use wagres::jobs::numbers::Numbers;

#[tokio::test]
async fn h2_a_series_is_dense_bounded_and_has_percentiles() -> Result<()> {
    let db = fresh().await;
    let (shop, writer) = (session(&db.pool, "shop").await?, worker_row(&db.pool).await?);
    let numbers = Numbers::default();
    let now: DateTime<Utc> = one(&db.pool, "SELECT now()").await?;
    let ago = |minutes: i64| now - chrono::Duration::minutes(minutes);
    for (minutes, latency) in [(0, 1), (10, 1), (10, 3), (10, 50)] {
        let moment = ago(minutes);
        numbers.changed(moment, [news(shop, 2, Some(moment - chrono::Duration::seconds(latency)), None)]);
    }
    numbers.write(&db.pool.clone().into(), writer).await?;
    for (since, step, least, most) in [
        ("1 hour", "1 minute", 61, 61),
        ("48 hours", "1 minute", 2881, 2881),
        ("1 day", "1 hour", 25, 25),
        ("400 days", "1 day", 401, 401),
        ("30 minutes", "7 minutes", 5, 6),
    ] {
        let series = format!(
            "SELECT count(*), count(DISTINCT at), sum(sent)::bigint, bool_and(at = date_bin('{step}', at, '2001-01-01Z')), bool_and(failed = 0 AND failures = '{{}}')
             FROM wa.numbers_since('shop', '{since}', '{step}')"
        );
        let (points, moments, sent, even, zeros): (i64, i64, i64, bool, bool) =
            sqlx::query_as(sqlx::AssertSqlSafe(series)).fetch_one(&db.pool).await?;
        ensure!((least..=most).contains(&points) && points == moments, "{since} {step}: {points} {moments}");
        ensure!(sent == 4 && even && zeros, "{since} {step}: {sent}");
    }
    // Of 1, 3 and 50 seconds: the second is in the count up to 5, the last in that up to 60.
    let shown = "SELECT mean_seconds BETWEEN 17.9 AND 18.1 AND median_seconds BETWEEN 2.5 AND 5 AND p95_seconds BETWEEN 30 AND 60
                 FROM wa.numbers_since('shop', '1 hour', '1 minute') WHERE sent = 3";
    ensure!(one::<bool>(&db.pool, shown).await?, "other percentiles");
    let empty =
        "SELECT count(*) FROM wa.numbers_since('shop', '1 hour', '1 minute') WHERE sent = 0 AND median_seconds IS NULL";
    ensure!(one::<i64>(&db.pool, empty).await? == 59);
    for (counts, share, seconds) in [
        ("{1}", 0.5, 0.05),
        ("{0,0,0,0,0,0,0,0,0,0,0,7}", 0.5, 1800.0),
        ("{10,0,0,10}", 0.5, 0.1),
        ("{10,0,0,10}", 0.75, 0.75),
        ("{10,0,0,10}", 1.0, 1.0),
    ] {
        let found: f64 = sqlx::query_scalar("SELECT wa.latency_percentile($1::text::bigint[], $2)")
            .bind(counts)
            .bind(share)
            .fetch_one(&db.pool)
            .await?;
        ensure!((found - seconds).abs() < 0.001, "{counts} {share}: {found}");
    }
    // Never above the longest: one of 0.26 s, and three of 0.26, 0.3 and 1.2 s.
    for (counts, total, seconds) in [("{0,0,1}", 0.26, 0.26), ("{0,0,2,0,1}", 1.76, 1.26)] {
        let found: f64 = sqlx::query_scalar("SELECT wa.latency_percentile($1::text::bigint[], 0.95, $2)")
            .bind(counts)
            .bind(total)
            .fetch_one(&db.pool)
            .await?;
        ensure!((found - seconds).abs() < 0.001, "{counts} of {total} s: {found}");
    }
    Ok(())
}

/// By what the server counts for the transaction, whatever plan it takes.
#[tokio::test]
async fn h2_nothing_that_reads_numbers_reads_messages() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555' || (1000000 + n), 'x' FROM generate_series(1, 500) n; ANALYZE wa.outbound").await?;
    let job = begin(&mut worker, "one").await?;
    worker.end(job, Ok(())).await?;
    worker.numbers.write(&worker.pool.clone().into(), worker.id).await?;
    let app = login(&db, "wa_app", Some("default")).await?;
    let scans = "SELECT sum(pg_stat_get_xact_numscans(c.oid))::bigint FROM pg_class c
                 WHERE c.oid IN ('wa.outbound'::regclass, 'wa.inbox'::regclass)
                    OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid IN ('wa.outbound'::regclass, 'wa.inbox'::regclass))";
    for call in [
        "SELECT sum(sent) FROM wa.numbers_since('shop')",
        "SELECT sum(sent) FROM wa.numbers_since('shop', '1 hour', '1 minute')",
        "SELECT sum(sent) FROM wa.numbers_since(step => '1 day', since => '100 days')",
        "SELECT sum(sent) FROM wa.numbers_since(tenant => 'default')",
        "SELECT sum(sent) FROM wa.numbers_since(campaign => 'may')",
        "SELECT sum(sent) FROM wa.campaign_numbers('shop')",
        "SELECT sum(sent) FROM wa.session_numbers()",
        "SELECT sum(failed) + (SELECT count(*) FROM wa.failure_classes()) FROM wa.failures_since('shop')",
    ] {
        for pool in [&db.pool, &app] {
            let mut transaction = pool.begin().await?;
            let before: i64 = sqlx::query_scalar(scans).fetch_one(&mut *transaction).await?;
            sqlx::query(call).fetch_one(&mut *transaction).await?;
            let after: i64 = sqlx::query_scalar(scans).fetch_one(&mut *transaction).await?;
            ensure!(before == after, "{call}: {} scans of messages", after - before);
        }
    }
    // The counter counts.
    let mut transaction = db.pool.begin().await?;
    let before: i64 = sqlx::query_scalar(scans).fetch_one(&mut *transaction).await?;
    sqlx::query("SELECT count(*) FROM wa.outbound WHERE status = 'queued'").fetch_one(&mut *transaction).await?;
    ensure!(sqlx::query_scalar::<_, i64>(scans).fetch_one(&mut *transaction).await? > before);
    Ok(())
}

#[tokio::test]
async fn h2_first_contacts_of_limited_sessions_are_counted() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', first_contacts => 2);
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555000' || n, 'x' FROM unnest('{1,1,2,3}'::int[]) n",
    )
    .await?;
    ensure!(worker.claim().await? == 3, "two chats");
    worker.numbers.write(&worker.pool.clone().into(), worker.id).await?;
    let sum = "SELECT sum(first_contacts) FROM wa.numbers WHERE session_id IS NOT NULL AND span = 'minute'";
    ensure!(one::<i64>(&db.pool, sum).await? == 2);
    Ok(())
}
