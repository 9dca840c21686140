//! The rows of `wa.numbers`: who writes them, when, and how long they are kept.

use super::{levels_agree, news, worker_row};
use crate::jobs::{one, run, session};
use crate::support::db::fresh;
use crate::support::logins::{DENIED, expect, login, two_tenants};
use crate::support::until::until;
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use wagres::jobs::numbers::{Count, Numbers};

fn at(text: &str) -> Result<DateTime<Utc>> {
    Ok(text.parse()?)
}

#[tokio::test]
async fn h2_every_count_reaches_its_column_and_two_workers_add_to_the_same_row() -> Result<()> {
    let db = fresh().await;
    let shop = session(&db.pool, "shop").await?;
    let moment = at("2026-11-20T10:59:59.999Z")?;
    for _ in 0..2 {
        let (numbers, worker) = (Numbers::default(), worker_row(&db.pool).await?);
        for (place, count) in Count::ALL.into_iter().enumerate() {
            numbers.happened(moment, shop, count, u32::try_from(place + 1)?);
        }
        for class in 1..=8 {
            numbers.changed(moment, [news(shop, 128 * class, None, None)]);
        }
        for seconds in [0, 2, 100_000] {
            let since = moment - chrono::Duration::seconds(seconds);
            numbers.changed(moment, [news(shop, 2, Some(since), None)]);
        }
        // The next minute is the next hour.
        numbers.happened(at("2026-11-20T11:00:00Z")?, shop, Count::Received, 1);
        ensure!(numbers.write(&db.pool.clone().into(), worker).await?);
        ensure!(numbers.write(&db.pool.clone().into(), worker).await?, "nothing more to write");
    }
    let expected: Vec<i32> = Count::ALL
        .iter()
        .enumerate()
        .map(|(place, count)| {
            let more = match count {
                Count::Sent => 3,
                Count::Failed => 8,
                _ => 0,
            };
            2 * (i32::try_from(place).unwrap_or_default() + 1 + more)
        })
        .collect();
    let columns: Vec<&str> = Count::ALL.iter().map(|count| count.column()).collect();
    for (span, begin) in [("minute", "2026-11-20T10:59Z"), ("hour", "2026-11-20T10:00Z")] {
        for of in [&format!("session_id = {shop}"), "tenant = 'default'", "session_id IS NULL AND tenant IS NULL"] {
            let row = format!(
                "SELECT ARRAY[{}] FROM wa.numbers WHERE span = '{span}' AND at = '{begin}' AND {of}",
                columns.join(", ")
            );
            let found: Vec<i32> = one(&db.pool, &row).await?;
            ensure!(found == expected, "{row}: {found:?}");
            let rest = format!(
                "SELECT latency_seconds = 200004 AND latency = '{{2,0,0,0,2,0,0,0,0,0,0,2}}'
                     AND ARRAY[failed_not_on_whatsapp, failed_refused, failed_limited, failed_content, failed_media, failed_connection, failed_server, failed_worker] = '{{2,2,2,2,2,2,2,2}}'
                 FROM wa.numbers WHERE span = '{span}' AND at = '{begin}' AND {of}"
            );
            ensure!(one::<bool>(&db.pool, &rest).await?, "{rest}");
        }
    }
    let later = "SELECT sum(received) FROM wa.numbers WHERE at = '2026-11-20T11:00Z' AND session_id IS NOT NULL";
    ensure!(one::<i64>(&db.pool, later).await? == 4, "the minute and the hour after it");
    Ok(())
}

#[tokio::test]
async fn h2_campaigns_are_counted_by_the_hour_and_a_hundred_by_name() -> Result<()> {
    let db = fresh().await;
    let (shop, worker) = (session(&db.pool, "shop").await?, worker_row(&db.pool).await?);
    let numbers = Numbers::default();
    let moment = at("2026-11-20T10:20:00Z")?;
    for n in 0..150 {
        numbers.changed(moment, [news(shop, 2, Some(moment), Some(&format!("c{n}")))]);
    }
    numbers.changed(moment, [news(shop, 2, Some(moment), Some("c0"))]);
    numbers.changed(moment + chrono::Duration::hours(1), [news(shop, 2, Some(moment), Some("c149"))]);
    numbers.write(&db.pool.clone().into(), worker).await?;
    // Of the session, and of its tenant over all its sessions.
    for of in ["session_id", "tenant"] {
        let rows = format!(
            "SELECT array_agg(format('%s %s %s', extract(hour FROM at AT TIME ZONE 'UTC'), campaign, sent) ORDER BY at, campaign)
             FROM wa.numbers WHERE campaign IN ('', 'c0', 'c99', 'c100', 'c149') AND {of} IS NOT NULL"
        );
        let rows: Vec<String> = one(&db.pool, &rows).await?;
        ensure!(rows == ["10  50", "10 c0 2", "10 c99 1", "11 c149 1"], "{of}: {rows:?}");
    }
    let sums = "SELECT count(*) FILTER (WHERE campaign IS NOT NULL AND tenant IS NULL) || ' ' || sum(sent) FILTER (WHERE campaign IS NOT NULL AND tenant IS NULL)
                    || ' ' || sum(sent) FILTER (WHERE session_id IS NULL AND tenant IS NULL AND span = 'hour') FROM wa.numbers";
    let sums: String = one(&db.pool, sums).await?;
    ensure!(sums == "102 152 152", "{sums}");
    let funnel = "SELECT string_agg(format('%s %s %s', session_name, campaign, sent), ', ') FROM wa.campaign_numbers('shop', '36500 days') WHERE campaign IN ('c0', 'c149')";
    let funnel: String = one(&db.pool, funnel).await?;
    ensure!(funnel == "shop c149 1, shop c0 2", "{funnel}");
    // The last minute in which something happened, not the beginning of its hour.
    let last = "SELECT last_at = '2026-11-20 11:20Z' AND first_at = '2026-11-20 11:00Z' FROM wa.campaign_numbers('shop', '36500 days') WHERE campaign = 'c149'";
    ensure!(one::<bool>(&db.pool, last).await?, "another time");
    Ok(())
}

#[tokio::test]
async fn h2_a_dead_worker_writes_no_counts_and_its_next_life_does() -> Result<()> {
    let db = fresh().await;
    let (shop, dead) = (session(&db.pool, "shop").await?, worker_row(&db.pool).await?);
    let (numbers, pool) = (Numbers::default(), wagres::db::Db::from(db.pool.clone()));
    numbers.happened(at("2026-11-20T10:20:00Z")?, shop, Count::Received, 3);
    run(&db.pool, "UPDATE wa.worker SET lease_until = now()").await?;
    ensure!(!numbers.write(&pool, dead).await?, "written by a dead worker");
    numbers.happened(at("2026-11-20T10:20:30Z")?, shop, Count::Received, 4);
    run(&db.pool, "DELETE FROM wa.worker").await?;
    ensure!(!numbers.write(&pool, dead).await?, "written by a worker that is gone");
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.numbers").await? == 0);
    ensure!(numbers.write(&pool, worker_row(&db.pool).await?).await?);
    let received = "SELECT sum(received) FROM wa.numbers WHERE session_id IS NOT NULL AND span = 'minute'";
    ensure!(one::<i64>(&db.pool, received).await? == 7);
    Ok(())
}

#[tokio::test]
async fn h2_retention_deletes_minutes_after_two_days_and_the_hours_keep_their_sums() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "DELETE FROM wa.schedule").await?;
    let (shop, gone) = (session(&db.pool, "shop").await?, session(&db.pool, "gone").await?);
    let (numbers, writer) = (Numbers::default(), worker_row(&db.pool).await?);
    let now: DateTime<Utc> = one(&db.pool, "SELECT now()").await?;
    for days in [0, 1, 3, 300, 401] {
        for minutes in [0, 1] {
            let moment = now - chrono::Duration::days(days) - chrono::Duration::minutes(minutes);
            numbers
                .changed(moment, [news(shop, 3, Some(moment), Some("may")), news(gone, 3, Some(moment), Some("may"))]);
        }
    }
    numbers.write(&db.pool.clone().into(), writer).await?;
    levels_agree(&db.pool, true).await?;
    run(&db.pool, "DELETE FROM wa.session WHERE name = 'gone'; UPDATE wa.numbers_batch SET written_at = now() - interval '31 days'").await?;
    let left = "SELECT format('%s minutes, %s hours, %s of campaigns, %s of gone, %s batches',
                    sum(sent) FILTER (WHERE span = 'minute' AND session_id = $1), sum(sent) FILTER (WHERE span = 'hour' AND session_id = $1 AND campaign IS NULL),
                    sum(sent) FILTER (WHERE campaign IS NOT NULL AND session_id = $1), count(*) FILTER (WHERE session_id = $2),
                    (SELECT count(*) FROM wa.numbers_batch)) FROM wa.numbers";
    let worker = crate::support::in_process::InProcessWorker::start(&db)?;
    for (dry_run, expected) in [
        (true, "10 minutes, 10 hours, 10 of campaigns, "),
        (false, "4 minutes, 8 hours, 8 of campaigns, 0 of gone, 0 batches"),
    ] {
        let insert = format!(
            r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', '{{"batch": 2, "pause_ms": 0, "dry_run": {dry_run}}}') RETURNING id"#
        );
        let job: i64 = one(&db.pool, &insert).await?;
        let result: serde_json::Value = until("the job", async || {
            let found: Option<serde_json::Value> = one(
                &db.pool,
                &format!("SELECT CASE WHEN status = 'done' THEN result END FROM wa.maintenance_job WHERE id = {job}"),
            )
            .await?;
            Ok(found.ok_or("not yet"))
        })
        .await?;
        for table in ["numbers", "minute_numbers", "lost_numbers"] {
            ensure!(result[table].as_i64().is_some_and(|count| count > 0), "{table}: {result}");
        }
        let found: String = sqlx::query_scalar(left).bind(shop).bind(gone).fetch_one(&db.pool).await?;
        ensure!(found.starts_with(expected), "{found}");
    }
    worker.stop().await
}

#[tokio::test]
async fn h2_q14_tenants_see_their_own_numbers_and_nobody_but_a_worker_writes_them() -> Result<()> {
    let db = two_tenants().await?;
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT session_id FROM wa.session ORDER BY name").fetch_all(&db.pool).await?;
    let (numbers, writer) = (Numbers::default(), worker_row(&db.pool).await?);
    let now: DateTime<Utc> = one(&db.pool, "SELECT now()").await?;
    for (session, times) in ids.into_iter().zip([1, 10]) {
        numbers.happened(now, session, Count::Received, times);
        numbers.changed(now, [news(session, 2, Some(now), Some("may")), news(session, 128, None, None)]);
    }
    // As the role of a worker.
    let worker_login = login(&db, "wa_worker", None).await?;
    ensure!(numbers.write(&worker_login.into(), writer).await?);
    let received = "SELECT sum(received)::bigint FROM wa.numbers_since(";
    let admin = login(&db, "wa_admin", None).await?;
    for (role, tenant, sum) in [("wa_app", "acme", 1), ("wa_readonly", "bolt", 10)] {
        let who = login(&db, role, Some(tenant)).await?;
        for arguments in ["", "step => '1 minute', since => '1 hour'", &format!("tenant => '{tenant}'")] {
            let found: i64 = one(&who, &format!("{received}{arguments})")).await?;
            ensure!(found == sum, "{role} {arguments}: {found}");
        }
        let (own, other) = if tenant == "acme" { ("a", "b") } else { ("b", "a") };
        let others_tenant = if tenant == "acme" { "bolt" } else { "acme" };
        expect(
            &who,
            &[
                (&format!("SELECT FROM wa.numbers_since('{other}')"), Err("WA001")),
                (&format!("SELECT FROM wa.numbers_since(tenant => '{others_tenant}')"), Err("WA012")),
                (&format!("SELECT FROM wa.numbers_since('{own}', '2 hours') WHERE received = {sum}"), Ok(1)),
                ("SELECT FROM wa.numbers WHERE session_id IS NULL AND tenant IS NULL", Ok(0)),
                ("SELECT FROM wa.numbers WHERE span = 'hour'", Ok(4)),
                ("SELECT FROM wa.session_numbers()", Ok(1)),
                ("SELECT FROM wa.campaign_numbers()", Ok(1)),
                ("SELECT FROM wa.failures_since() WHERE failed > 0", Ok(1)),
                ("DELETE FROM wa.numbers", DENIED),
            ],
        )
        .await?;
    }
    ensure!(one::<i64>(&admin, &format!("{received})")).await? == 11);
    expect(
        &admin,
        &[
            ("SELECT FROM wa.session_numbers(tenant => 'acme') WHERE session = 'a' AND sent = 1 AND failed_share = 0.5", Ok(1)),
            ("SELECT FROM wa.numbers FOR UPDATE", DENIED),
            ("DELETE FROM wa.numbers", DENIED),
            ("UPDATE wa.numbers_batch SET batch = 0", DENIED),
        ],
    )
    .await
}

/// Whatever an application has locked, the counts of all sessions are written at once.
#[tokio::test]
async fn h2_r8_an_open_transaction_of_an_application_stops_no_counts() -> Result<()> {
    let db = fresh().await;
    let ids = [session(&db.pool, "shop").await?, session(&db.pool, "cafe").await?];
    let (numbers, writer) = (Numbers::default(), worker_row(&db.pool).await?);
    let url = wagres::config::Secret::new(&db.url);
    let pool = wagres::db::Db::connect_worker(&url, false, 2, "test").await?;
    let now: DateTime<Utc> = one(&db.pool, "SELECT now()").await?;
    let mut app = PgConnection::connect(&db.url).await?;
    for round in 1..=2 {
        for session in ids {
            numbers.happened(now, session, Count::Received, 1);
        }
        // The transaction stays open: a statement that waited for it would end at the lock timeout of a worker's connection.
        ensure!(numbers.write(&pool, writer).await?);
        let held = "SELECT count(*) FROM wa.numbers WHERE received = $1 AND span = 'minute' AND session_id IS NOT NULL";
        let written: i64 = sqlx::query_scalar(held).bind(round).fetch_one(&db.pool).await?;
        ensure!(written == 2, "{written}");
        if round == 1 {
            let transaction = "BEGIN; UPDATE wa.tenant SET paused_at = now(); UPDATE wa.session SET paused_at = now() WHERE name = 'cafe';
                        SELECT sum(sent) FROM wa.numbers; DELETE FROM wa.session WHERE name = 'shop';
                        INSERT INTO wa.outbound (session, recipient, body) VALUES ('cafe', '15550001', 'x');
                        SELECT wa.set_pacing('cafe', per_minute => 1), wa.cancel_all('cafe')";
            sqlx::raw_sql(transaction).execute(&mut app).await?;
        }
    }
    sqlx::raw_sql("COMMIT").execute(&mut app).await?;
    // Counts of the session that is deleted now are dropped, and the others written.
    for session in ids {
        numbers.happened(now, session, Count::Received, 1);
    }
    ensure!(numbers.write(&pool, writer).await?);
    let all = "SELECT received FROM wa.numbers WHERE session_id IS NULL AND tenant IS NULL AND span = 'hour'";
    ensure!(one::<i32>(&db.pool, all).await? == 5);
    Ok(())
}
