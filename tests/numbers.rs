//! H2: numbers over time (`wa.numbers`), and the class of a failure.

use crate::jobs::{ManualWorker, one, run, session};
use crate::support::db::{TestDb, fresh};
use crate::support::docs;
use crate::support::logins::{DENIED, expect, login, two_tenants};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};
use wagres::db::storable::Storable;
use wagres::jobs::change::{Change, Reached};
use wagres::jobs::failure::FailureClass;
use wagres::jobs::numbers::{Count, LATENCY_BOUNDS, News, Numbers};
use wagres::jobs::{JobError, OutboundJob};

/// A database with the session "shop", held by a worker.
async fn shop() -> Result<(TestDb, ManualWorker)> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    let worker = ManualWorker::new(&db.pool).await?;
    worker.hold("shop").await?;
    Ok((db, worker))
}

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

#[tokio::test]
async fn h2_a_message_is_counted_once_in_each_state_and_in_its_minute() -> Result<()> {
    let (db, mut worker) = shop().await?;
    // Sent, then delivered, read and played, each reported twice.
    let job = begin(&mut worker, "one").await?;
    worker.end(job.clone(), Ok(())).await?;
    counted(&worker, [1, 1, 0, 0, 0, 0, 0, 0]).await?;
    for reached in [Reached::Delivered, Reached::Read, Reached::Played] {
        for _ in 0..2 {
            reported(&worker, &job, reached, None).await;
        }
    }
    counted(&worker, [1, 1, 1, 1, 1, 1, 0, 0]).await?;
    reported(&worker, &job, Reached::Delivered, None).await;
    // Read before the ack, as a phone says that was offline.
    let job = begin(&mut worker, "two").await?;
    let earlier = one::<DateTime<Utc>>(&db.pool, "SELECT now() - interval '2 seconds'").await?;
    reported(&worker, &job, Reached::Read, Some(earlier)).await;
    counted(&worker, [2, 2, 2, 2, 2, 1, 0, 0]).await?;
    reported(&worker, &job, Reached::Delivered, Some(earlier)).await;
    worker.end(job, Ok(())).await?;
    // An attempt that is not made does not count; one that fails does, and the message once.
    let job = begin(&mut worker, "three").await?;
    worker.end(job, Err(JobError::Release("not tried".into()))).await?;
    let job = next(&mut worker).await?;
    worker.end(job, Err(JobError::Retry("not now".into()))).await?;
    run(&db.pool, "SELECT wa.retry(max(id)) FROM wa.outbound").await?;
    let job = next(&mut worker).await?;
    worker.end(job, Ok(())).await?;
    counted(&worker, [3, 3, 2, 2, 2, 1, 0, 0]).await?;
    // A message that failed was sent after all.
    let job = begin(&mut worker, "four").await?;
    worker.end(job.clone(), Err(JobError::Permanent("never".into()))).await?;
    reported(&worker, &job, Reached::Delivered, None).await;
    counted(&worker, [4, 4, 3, 3, 2, 1, 1, 0]).await?;
    // Expired in hand, and in the queue.
    let job = begin(&mut worker, "five").await?;
    worker.end(job, Err(JobError::Expired)).await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550001', 'six', 'may');
                   UPDATE wa.outbound SET expires_at = now() WHERE live",
    )
    .await?;
    worker.expire().await?;
    counted(&worker, [6, 4, 3, 3, 2, 1, 1, 2]).await?;

    levels_agree(&db.pool, true).await?;
    let wrong = "SELECT count(*) FROM (
            SELECT date_trunc('minute', m.at) AS at, m.what, count(*) AS messages FROM wa.outbound o
            CROSS JOIN LATERAL (VALUES ('sent', o.sent_at), ('played', o.played_at), ('expired', o.expired_at)) m (what, at)
            -- Counted when it was known.
            WHERE m.at IS NOT NULL AND o.body <> 'two' GROUP BY 1, 2) m
        WHERE m.messages <> (SELECT CASE m.what WHEN 'sent' THEN n.sent WHEN 'played' THEN n.played ELSE n.expired END
                             - CASE WHEN m.what = 'sent' THEN (SELECT count(*) FROM wa.outbound t WHERE t.body = 'two'
                                 AND date_trunc('minute', t.delivered_at) = m.at) ELSE 0 END
                             FROM wa.numbers n WHERE n.session_id IS NOT NULL AND n.span = 'minute' AND n.at = m.at)";
    // The one that is counted later than it was sent may be at the edge of a minute.
    let edge = "SELECT date_trunc('minute', delivered_at) <> date_trunc('minute', delivered_at + interval '5 seconds') FROM wa.outbound WHERE body = 'two'";
    ensure!(one::<i64>(&db.pool, wrong).await? == 0 || one::<bool>(&db.pool, edge).await?, "not in its minute");
    Ok(())
}

/// A message of yesterday that is delivered now, and one of two minutes ago.
#[tokio::test]
async fn h2_delivered_soon_counts_in_the_minute_of_the_send() -> Result<()> {
    let (db, mut worker) = shop().await?;
    let mut jobs = vec![];
    for body in ["late", "soon"] {
        let job = begin(&mut worker, body).await?;
        worker.end(job.clone(), Ok(())).await?;
        jobs.push(job);
    }
    counted(&worker, [2, 2, 0, 0, 0, 0, 0, 0]).await?;
    run(
        &db.pool,
        "UPDATE wa.outbound SET sent_at = sent_at - CASE body WHEN 'late' THEN interval '1 day' ELSE interval '2 minutes' END",
    )
    .await?;
    for job in &jobs {
        reported(&worker, job, Reached::Delivered, None).await;
    }
    counted(&worker, [2, 2, 2, 1, 0, 0, 0, 0]).await?;
    let place =
        "SELECT (SELECT at FROM wa.numbers WHERE delivered_soon > 0 AND session_id IS NOT NULL AND span = 'minute')
                        = (SELECT date_trunc('minute', sent_at) FROM wa.outbound WHERE body = 'soon')";
    ensure!(one::<bool>(&db.pool, place).await?, "not in the minute of the send");
    Ok(())
}

#[tokio::test]
async fn h2_each_class_of_a_failure_is_in_the_row_and_counted() -> Result<()> {
    let (db, mut worker) = shop().await?;
    for (place, class) in FailureClass::ALL.into_iter().enumerate() {
        let job = begin(&mut worker, class.name()).await?;
        let error = if place % 2 == 0 {
            JobError::Permanent("never".into())
        } else {
            run(&db.pool, "UPDATE wa.outbound SET max_attempts = 1 WHERE live").await?;
            JobError::Retry("not now".into())
        };
        worker.end(job, Err(error.of_class(class).of_class(FailureClass::Worker))).await?;
    }
    // Nobody has classed it.
    let job = begin(&mut worker, "worker").await?;
    worker.end(job, Err(JobError::Permanent("never".into()))).await?;
    counted(&worker, [9, 0, 0, 0, 0, 0, 9, 0]).await?;
    let wrong = "SELECT count(*) FROM wa.failure f JOIN wa.outbound o USING (id) WHERE f.failure::text <> o.body OR f.failure IS NULL";
    ensure!(one::<i64>(&db.pool, wrong).await? == 0);
    let classes = "SELECT string_agg(class || ' ' || failed, ', ') FROM wa.failures_since('shop', '1 hour')";
    let classes: String = one(&db.pool, classes).await?;
    ensure!(
        classes == "worker 2, not_on_whatsapp 1, refused 1, limited 1, content 1, media 1, connection 1, server 1",
        "{classes}"
    );
    levels_agree(&db.pool, true).await?;
    // Those of a class, the latest first, come from an index as they are.
    let listed =
        "EXPLAIN SELECT id FROM wa.outbound WHERE session_id = 1 AND failure = 'media' AND failed_at IS NOT NULL
                  ORDER BY failed_at DESC LIMIT 20";
    let mut connection = PgConnection::connect(&db.url).await?;
    sqlx::query("SET enable_seqscan = off").execute(&mut connection).await?;
    let plan: Vec<String> = sqlx::query_scalar(listed).fetch_all(&mut connection).await?;
    let plan = plan.join("\n");
    ensure!(plan.contains("outbound_failure") && !plan.contains("Sort"), "{plan}");
    run(&db.pool, "SELECT wa.retry(id) FROM wa.outbound").await?;
    let left = "SELECT count(*) FROM wa.outbound WHERE failure IS NOT NULL OR failed_at IS NOT NULL";
    ensure!(one::<i64>(&db.pool, left).await? == 0, "wa.retry leaves the class");
    Ok(())
}

#[tokio::test]
async fn h2_a_message_of_a_dead_worker_fails_with_its_class() -> Result<()> {
    let (db, mut worker) = shop().await?;
    begin(&mut worker, "deadly").await?;
    run(&db.pool, "UPDATE wa.outbound SET max_attempts = 1").await?;
    until("the message to be under way", async || {
        let status: String = one(&db.pool, "SELECT status::text FROM wa.outbound").await?;
        Ok(if status == "sending" { Ok(()) } else { Err(status) })
    })
    .await?;
    worker.die().await?;
    ensure!(one::<bool>(&db.pool, "SELECT failure = 'worker' AND failed_at IS NOT NULL FROM wa.outbound").await?);
    Ok(())
}

#[tokio::test]
async fn h2_the_classes_are_one_list() -> Result<()> {
    let db = fresh().await;
    let of_rust: Vec<&str> = FailureClass::ALL.iter().map(|class| class.name()).collect();
    for (what, list) in [
        ("the type", "SELECT enum_range(NULL::wa.failure_class)::text[]"),
        ("the list", "SELECT array_agg(class::text) FROM wa.failure_classes()"),
        (
            "the columns",
            "SELECT array_agg(substr(attname, 8)::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'wa.numbers'::regclass AND attname ~ '^failed_'",
        ),
    ] {
        let found: Vec<String> = one(&db.pool, list).await?;
        ensure!(found == of_rust, "{what}: {found:?}");
    }
    let bounds: Vec<f64> = one(&db.pool, "SELECT wa.latency_bounds()").await?;
    ensure!(bounds == LATENCY_BOUNDS, "{bounds:?}");
    let rows =
        "SELECT string_agg(format('| `%s` | %s | %s |', class, meaning, remedy), E'\n') FROM wa.failure_classes()";
    let rows: String = one(&db.pool, rows).await?;
    docs::table(
        "docs/messages.md",
        "failures",
        &format!("| class | meaning | what helps |\n| --- | --- | --- |\n{rows}\n"),
    )
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
    let rows = "SELECT array_agg(format('%s %s %s', extract(hour FROM at AT TIME ZONE 'UTC'), campaign, sent) ORDER BY at, campaign)
                FROM wa.numbers WHERE campaign IN ('', 'c0', 'c99', 'c100', 'c149')";
    let rows: Vec<String> = one(&db.pool, rows).await?;
    ensure!(rows == ["10  50", "10 c0 2", "10 c99 1", "11 c149 1"], "{rows:?}");
    let sums = "SELECT count(*) FILTER (WHERE campaign IS NOT NULL) || ' ' || sum(sent) FILTER (WHERE campaign IS NOT NULL)
                    || ' ' || sum(sent) FILTER (WHERE session_id IS NULL AND tenant IS NULL AND span = 'hour') FROM wa.numbers";
    let sums: String = one(&db.pool, sums).await?;
    ensure!(sums == "102 152 152", "{sums}");
    let funnel = "SELECT string_agg(format('%s %s %s', session_name, campaign, sent), ', ') FROM wa.campaign_numbers('shop', '36500 days') WHERE campaign IN ('c0', 'c149')";
    let funnel: String = one(&db.pool, funnel).await?;
    ensure!(funnel == "shop c149 1, shop c0 2", "{funnel}");
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
                ("SELECT FROM wa.numbers WHERE span = 'hour'", Ok(3)),
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
        let began = std::time::Instant::now();
        ensure!(numbers.write(&pool, writer).await?);
        ensure!(began.elapsed().as_secs() < 1, "it waited");
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
    sqlx::query("SELECT count(*) FROM wa.outbound WHERE live").fetch_one(&mut *transaction).await?;
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

#[cfg(feature = "sandbox")]
mod with_the_sandbox {
    use super::*;
    use crate::support::relay::Relay;
    use crate::support::world::{Worker, World};
    use serde_json::json;

    /// A statement is committed and its answer lost, of each kind that counts: nothing is missing, nothing counted twice.
    #[tokio::test]
    async fn h2_an_outage_loses_no_count() -> Result<()> {
        let db = fresh().await;
        session(&db.pool, "shop").await?;
        let relay = Relay::to(&db.url).await?;
        let through = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(&relay.url).await?;
        let mut far = ManualWorker::new(&through).await?;
        far.hold("shop").await?;
        // The first answer shows the time of the database.
        let job = begin(&mut far, "first").await?;
        far.end(job, Ok(())).await?;
        counted(&far, [1, 1, 0, 0, 0, 0, 0, 0]).await?;

        let sent = begin(&mut far, "sent").await?;
        relay.lose_answer_to("Writes the progress of messages");
        far.end(sent.clone(), Ok(())).await?;
        relay.answer_is_lost().await?;
        counted(&far, [2, 2, 0, 0, 0, 0, 0, 0]).await?;
        relay.lose_answer_to("Writes the progress of messages");
        reported(&far, &sent, Reached::Read, None).await;
        relay.answer_is_lost().await?;
        counted(&far, [2, 2, 1, 1, 1, 0, 0, 0]).await?;
        for (body, error, expected) in [
            ("failed", JobError::Permanent("never".into()).of_class(FailureClass::Media), [3, 2, 1, 1, 1, 0, 1, 0]),
            ("expired", JobError::Expired, [4, 2, 1, 1, 1, 0, 1, 1]),
        ] {
            let job = begin(&mut far, body).await?;
            relay.lose_answer_to("Writes the progress of messages");
            far.end(job, Err(error)).await?;
            relay.answer_is_lost().await?;
            counted(&far, expected).await?;
        }
        // The same for the counts themselves.
        let job = begin(&mut far, "counted").await?;
        far.end(job, Ok(())).await?;
        relay.lose_answer_to("Adds batch");
        until("the counts", async || {
            let answer = far.numbers.write(&through.clone().into(), far.id).await;
            Ok(if answer.is_err() { Ok(()) } else { Err("nothing to write yet") })
        })
        .await?;
        relay.answer_is_lost().await?;
        counted(&far, [5, 3, 1, 1, 1, 0, 1, 1]).await?;
        levels_agree(&db.pool, true).await?;
        let media = "SELECT sum(failed_media) FROM wa.numbers WHERE session_id IS NOT NULL AND span = 'minute'";
        ensure!(one::<i64>(&db.pool, media).await? == 1);
        // While nothing answers, the counts stay.
        let away = Relay::to(&db.url).await?;
        let pool = sqlx::postgres::PgPoolOptions::new().connect(&away.url).await?;
        drop(away);
        pool.close().await;
        let job = begin(&mut far, "kept").await?;
        far.end(job, Ok(())).await?;
        ensure!(far.numbers.write(&pool.into(), far.id).await.is_err(), "written to nowhere");
        counted(&far, [6, 4, 1, 1, 1, 0, 1, 1]).await
    }

    /// Whether the counts of the sessions by minute are those of the rows.
    const COMPARED: &str = "SELECT format('%s sent, %s delivered, %s read, %s received, %s failed',
            n.sent - o.sent, n.delivered - o.delivered, n.read - o.read, n.received - i.received, n.failed - o.failed)
        FROM (SELECT coalesce(sum(sent), 0) AS sent, coalesce(sum(delivered), 0) AS delivered, coalesce(sum(read), 0) AS read,
                     coalesce(sum(received), 0) AS received, coalesce(sum(failed), 0) AS failed
              FROM wa.numbers WHERE session_id IS NOT NULL AND campaign IS NULL AND span = 'minute') n,
             (SELECT count(sent_at) AS sent, count(delivered_at) AS delivered, count(read_at) AS read, count(failed_at) AS failed FROM wa.outbound) o,
             (SELECT count(*) AS received FROM wa.inbox) i";

    #[tokio::test]
    async fn h2_a_worker_counts_what_happens_and_writes_the_rest_when_it_stops() -> Result<()> {
        let world = World::new().await?;
        let worker = world.worker().await?;
        world.link("shop", "15550001").await?;
        for phone in ["15550002", "15550003"] {
            world.phone(phone).await?;
        }
        let mut failures = vec![];
        for (class, insert, fault) in [
            ("not_on_whatsapp", "'15559998', 'text', 'x', NULL", None),
            ("content", "'15550002', 'forward', NULL, '{\"message_id\": \"NOBODY\"}'", None),
            ("media", "'15550002', 'document', NULL, '{\"file\": \"nothing.pdf\"}'", None),
            ("refused", "'15550002', 'text', 'x', NULL", Some(json!({ "nack": { "code": 403 } }))),
            ("server", "'15550002', 'text', 'x', NULL", Some(json!({ "nack": { "code": 500 } }))),
            ("limited", "'15550002', 'text', 'x', NULL", Some(json!({ "nack": { "code": 429 } }))),
            ("connection", "'15550002', 'text', 'x', NULL", Some(json!({ "drop": {} }))),
        ] {
            if let Some(fault) = fault {
                let fault = json!({ "fault": fault, "stanza": "message", "direction": "in" });
                world.control.post("/faults", fault).await?;
            }
            let insert = format!(
                "INSERT INTO wa.outbound (session, recipient, kind, body, content, max_attempts, campaign) SELECT 'shop', v.*, 1, 'may' FROM (VALUES ({insert}::jsonb)) v RETURNING id"
            );
            let id = world.count(&insert).await.with_context(|| insert.clone())?;
            failures.push((class, id));
            world.holds(&format!("SELECT live = false FROM wa.outbound WHERE id = {id}")).await?;
            let found: String = world
                .until(&format!("SELECT coalesce(failure::text, status::text || ' ' || coalesce(last_error, '')) FROM wa.outbound WHERE id = {id}"))
                .await?;
            ensure!(found == class, "{class}: {found}");
            sqlx::query("SELECT wa.resume('shop')").execute(world.pool()).await?;
        }
        for n in 0..3 {
            world.send("shop", "15550003", &format!("out {n}")).await?;
            let text = json!({ "to": "15550001", "text": format!("in {n}") });
            world.control.post("/phones/15550003/send", text).await?;
        }
        world.holds("SELECT count(*) = 3 FROM wa.outbound WHERE body LIKE 'out%' AND read_at IS NOT NULL").await?;
        world.holds("SELECT count(*) = 3 FROM wa.inbox").await?;
        let damage =
            json!({ "fault": { "corrupt": {} }, "number": "15550001", "device": 1, "direction": "out", "times": 1 });
        world.control.post("/faults", damage).await?;
        world.control.post("/phones/15550003/send", json!({ "to": "15550001", "text": "damaged" })).await?;
        world.holds("SELECT count(*) = 4 FROM wa.inbox").await?;
        world.holds("SELECT bad_macs = 1 FROM wa.session").await?;
        worker.stop().await?;

        let found: String = world.until(COMPARED).await?;
        ensure!(found == "0 sent, 0 delivered, 0 read, 0 received, 0 failed", "{found}");
        let macs = "SELECT sum(bad_macs) FROM wa.numbers WHERE session_id IS NOT NULL AND span = 'minute'";
        ensure!(world.count(macs).await? == 1);
        for (class, _) in failures {
            let sum = format!("SELECT failed FROM wa.failures_since('shop') WHERE class = '{class}'");
            ensure!(world.count(&sum).await? == 1, "{class}");
        }
        let funnel = "SELECT failed FROM wa.campaign_numbers('shop') WHERE campaign = 'may'";
        ensure!(world.count(funnel).await? == 7);
        let queued =
            "SELECT sum(queued) FROM wa.numbers WHERE session_id IS NOT NULL AND campaign IS NULL AND span = 'minute'";
        ensure!(world.count(queued).await? == 10);
        let latency = "SELECT count(*) FROM wa.numbers_since('shop', '1 hour', '1 minute') WHERE median_seconds > 0 AND p95_seconds < 30";
        ensure!(world.count(latency).await? >= 1);
        Ok(())
    }

    #[tokio::test]
    async fn h2_r3_counts_are_those_of_the_rows_after_postgres_was_restarted() -> Result<()> {
        let (db, server) = crate::support::db::fresh_on_its_own().await;
        let world = World::on(db).await?;
        let mut command = world.worker_on(&world.db.url);
        command.env("WAGRES_WORKER__LEASE_SECONDS", "60");
        let worker = Worker::start(command).await?;
        world.link("shop", "15550001").await?;
        world.phone("15550003").await?;
        let insert = "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '15550003', 'out ' || n FROM generate_series(1, 150) n";
        for mode in ["immediate", "fast"] {
            sqlx::query(insert).execute(world.pool()).await?;
            for n in 0..20 {
                let text = json!({ "to": "15550001", "text": format!("{mode} {n}") });
                world.control.post("/phones/15550003/send", text).await?;
            }
            world.holds("SELECT count(*) > 30 FROM wa.outbound WHERE delivered_at IS NOT NULL").await?;
            server.restart(mode).await?;
            world.holds("SELECT bool_and(delivered_at IS NOT NULL) FROM wa.outbound").await?;
            world.holds(&format!("SELECT count(*) = 20 FROM wa.inbox WHERE body LIKE '{mode}%'")).await?;
        }
        worker.stop().await?;
        let found: String = world.until(COMPARED).await?;
        ensure!(found == "0 sent, 0 delivered, 0 read, 0 received, 0 failed", "{found}");
        Ok(())
    }

    /// The lease is lost during an outage, and the same process starts the next life.
    #[tokio::test]
    async fn h2_r4_counts_outlive_a_lost_lease() -> Result<()> {
        let world = World::new().await?;
        let worker = Worker::start(world.brief_worker_on(&world.db.url)).await?;
        world.link("shop", "15550001").await?;
        world.phone("15550003").await?;
        let id = world.send("shop", "15550003", "before").await?;
        world.holds(&format!("SELECT read_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
        let first: String = world.until("SELECT worker_id::text FROM wa.worker").await?;
        sqlx::query("UPDATE wa.worker SET lease_until = now() - interval '1 second'").execute(world.pool()).await?;
        world
            .holds(&format!(
                "SELECT count(*) = 1 FROM wa.worker WHERE worker_id::text <> '{first}' AND lease_until > now()"
            ))
            .await?;
        world.session_is("shop", "connected").await?;
        let id = world.send("shop", "15550003", "after").await?;
        world.holds(&format!("SELECT read_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
        worker.stop().await?;
        let found: String = world.until(COMPARED).await?;
        ensure!(found == "0 sent, 0 delivered, 0 read, 0 received, 0 failed", "{found}");
        Ok(())
    }
}
