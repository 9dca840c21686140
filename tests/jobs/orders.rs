//! Options of a message besides its content (priority, schedule, expiry, dedupe key), pacing, pauses, cancel and retry.

use super::{ManualWorker, one, run, session, shop};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sqlx::postgres::PgListener;
use sqlx::{PgPool, Row as _};
use wagres::jobs::JobError;

/// Sends all messages that may be sent now, and returns their texts in the order of sending.
async fn send_all(worker: &mut ManualWorker) -> Result<Vec<String>> {
    let mut sent = Vec::new();
    loop {
        while let Some(job) = worker.next() {
            sent.push(job.body.clone().unwrap_or_default());
            worker.end(job, Ok(())).await?;
        }
        if worker.claim().await? == 0 {
            return Ok(sent);
        }
    }
}

#[tokio::test]
async fn q5_more_urgent_chats_go_first_and_a_chat_keeps_its_order() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, priority) VALUES
            ('shop', '15550001', 'a', 0), ('shop', '15550002', 'b', 5), ('shop', '15550003', 'c', -5),
            ('shop', '15550001', 'a urgent', 100), ('shop', '15550004', 'd', 0)",
    )
    .await?;
    let sent = send_all(&mut worker).await?;
    // An urgent message lifts those before it in its chat.
    ensure!(sent == ["a", "b", "d", "c", "a urgent"], "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn q5_a_scheduled_message_shows_that_it_waits_and_holds_back_no_other() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, send_at) VALUES
            ('shop', '15550001', 'later', now() + interval '1 hour'), ('shop', '15550001', 'now', NULL)",
    )
    .await?;
    ensure!(send_all(&mut worker).await? == ["now"]);
    ensure!(
        one::<bool>(
            &db.pool,
            "SELECT waits_for = 'scheduled' AND run_at = send_at FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE body = 'later'"
        )
        .await?
    );
    run(&db.pool, "UPDATE wa.outbound_queue SET run_at = now() WHERE waits_for IS NOT NULL").await?;
    ensure!(send_all(&mut worker).await? == ["later"]);
    Ok(())
}

#[tokio::test]
async fn q5_an_expired_message_is_not_sent() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, expires_at) VALUES
            ('shop', '15550001', 'in hand', now() + interval '1 hour'), ('shop', '15550002', 'queued', now() + interval '1 hour')",
    )
    .await?;
    worker.claim().await?;
    let job = worker.next().ok_or_else(|| anyhow::anyhow!("no message may be sent"))?;
    ensure!(job.deadline.is_some(), "the worker does not know the deadline");
    // An hour later, the message in hand is left to its holder.
    run(&db.pool, "UPDATE wa.outbound SET expires_at = now() - interval '1 second'").await?;
    worker.end(job, Err(JobError::Expired)).await?;
    let job = worker.next().ok_or_else(|| anyhow::anyhow!("the second message may not be sent"))?;
    let ended: i64 =
        one(&db.pool, "SELECT cardinality(wa.withdraw(ARRAY(SELECT id FROM wa.outbound_queue), 'expired'))::bigint")
            .await?;
    ensure!(ended == 0, "a message in hand was taken from its holder");
    worker.ready.remove(job.fence);
    worker.end(job, Err(JobError::Release("the connection was lost".into()))).await?;
    let ended: i64 =
        one(&db.pool, "SELECT cardinality(wa.withdraw(ARRAY(SELECT id FROM wa.outbound_queue), 'expired'))::bigint")
            .await?;
    ensure!(ended == 1, "a queued message did not expire");
    ensure!(
        one::<bool>(&db.pool, "SELECT bool_and(status = 'expired' AND expired_at IS NOT NULL) FROM wa.outbound")
            .await?
    );
    Ok(())
}

#[tokio::test]
async fn q4_a_dedupe_key_gives_the_first_row_or_a_conflict() -> Result<()> {
    let (db, mut worker) = shop().await?;
    session(&db.pool, "cafe").await?;
    let send =
        |session: &str| format!("SELECT wa.send_text('{session}', '15550001', 'ready', dedupe_key => 'order-17')");
    let first: i64 = one(&db.pool, &send("shop")).await?;
    ensure!(one::<i64>(&db.pool, &send("shop")).await? == first, "a second row");
    ensure!(one::<i64>(&db.pool, &send("cafe")).await? != first, "two sessions share a dedupe key");
    ensure!(send_all(&mut worker).await? == ["ready"]);
    ensure!(one::<i64>(&db.pool, &send("shop")).await? == first, "a second row after the first was sent");
    let insert =
        "INSERT INTO wa.outbound (session, recipient, body, dedupe_key) VALUES ('shop', '15550001', 'x', 'order-17')";
    let refused = sqlx::query(insert).execute(&db.pool).await;
    let code = refused.err().and_then(|error| error.as_database_error().and_then(|it| it.code().map(String::from)));
    ensure!(code.as_deref() == Some("23505"), "{code:?}");
    Ok(())
}

/// A program that repeats its call undoes nobody's cancellation; the key is free when the row is gone.
#[tokio::test]
async fn q4_a_dedupe_key_stays_with_a_cancelled_message() -> Result<()> {
    let (db, mut worker) = shop().await?;
    let send = "SELECT wa.send_text('shop', '15550001', 'ready', dedupe_key => 'order-17')";
    let first: i64 = one(&db.pool, send).await?;
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.cancel({first})")).await?);
    ensure!(one::<i64>(&db.pool, send).await? == first, "a second row");
    ensure!(send_all(&mut worker).await?.is_empty(), "a cancelled message was sent");
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.retry({first})")).await?);
    ensure!(send_all(&mut worker).await? == ["ready"]);
    run(&db.pool, "DELETE FROM wa.outbound").await?;
    ensure!(one::<i64>(&db.pool, send).await? != first);
    Ok(())
}

#[tokio::test]
async fn q5_cancel_is_exact() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '15550001', 'n' || n FROM generate_series(1, 3) n").await?;
    let first: i64 = one(&db.pool, "SELECT min(id) FROM wa.outbound").await?;
    ensure!(
        one::<bool>(&db.pool, &format!("SELECT wa.cancel({first} + 1)")).await?,
        "a queued message was not cancelled"
    );
    worker.claim().await?;
    let job = worker.next().ok_or_else(|| anyhow::anyhow!("no message may be sent"))?;
    ensure!(job.id == first);
    ensure!(!one::<bool>(&db.pool, &format!("SELECT wa.cancel({first})")).await?, "a message in hand was cancelled");
    worker.end(job, Err(JobError::Retry("not now".into()))).await?;
    ensure!(
        one::<bool>(&db.pool, &format!("SELECT wa.cancel({first})")).await?,
        "a message waiting for its retry was not cancelled"
    );
    ensure!(send_all(&mut worker).await? == ["n3"]);
    ensure!(!one::<bool>(&db.pool, &format!("SELECT wa.cancel({first} + 2)")).await?, "a sent message was cancelled");
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.retry({first} + 1)")).await?);
    ensure!(send_all(&mut worker).await? == ["n2"]);
    Ok(())
}

#[tokio::test]
async fn q5_a_cancelled_message_for_later_waits_for_its_time_again() -> Result<()> {
    let (db, mut worker) = shop().await?;
    let later = "SELECT wa.send_text('shop', '15550001', 'later', send_at => now() + interval '1 day')";
    let id: i64 = one(&db.pool, later).await?;
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.cancel({id})")).await?);
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.retry({id})")).await?);
    ensure!(send_all(&mut worker).await?.is_empty(), "it was sent a day too early");
    ensure!(
        one::<bool>(
            &db.pool,
            "SELECT waits_for = 'scheduled' AND run_at = send_at FROM wa.outbound_queue JOIN wa.outbound USING (id)"
        )
        .await?
    );
    // While it waits, another call sends it at once.
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.retry({id})")).await?);
    ensure!(send_all(&mut worker).await? == ["later"]);
    Ok(())
}

/// A claim that began before a cancellation committed must not take the cancelled message.
#[tokio::test]
async fn q5_r8_a_claim_beside_an_open_cancel_does_not_wait_and_takes_nothing_cancelled() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550001', 'never')").await?;
    let mut transaction = db.pool.begin().await?;
    let done: bool = sqlx::query_scalar("SELECT wa.cancel(id) FROM wa.outbound").fetch_one(&mut *transaction).await?;
    ensure!(done);
    ensure!(worker.claim().await? == 0, "a message was claimed while somebody cancels it");
    transaction.commit().await?;
    ensure!(worker.claim().await? == 0, "a cancelled message was claimed");
    Ok(())
}

#[tokio::test]
async fn q8_each_failed_attempt_is_kept_and_the_last_fails_the_message() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', '15550001', 'bad', 3), ('shop', '15550001', 'behind', 3),
            ('shop', '15550002', 'elsewhere', 3)",
    )
    .await?;
    let mut statuses = PgListener::connect(&db.url).await?;
    statuses.listen("wa_status").await?;
    for attempt in 1..=3 {
        worker.claim().await?;
        let job = worker.next().ok_or_else(|| anyhow::anyhow!("attempt {attempt} may not be made"))?;
        ensure!(job.body.as_deref() == Some("bad") && job.attempts == attempt, "{job:?}");
        worker.end(job, Err(JobError::Retry(format!("no {attempt}")))).await?;
        if attempt < 3 {
            ensure!(
                one::<bool>(
                    &db.pool,
                    "SELECT waits_for = 'retry' AND run_at > now() FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE body = 'bad'"
                )
                .await?
            );
        }
        if attempt == 1 {
            // Its lane waits behind it; other lanes do not.
            ensure!(send_all(&mut worker).await? == ["elsewhere"]);
        }
        run(&db.pool, "UPDATE wa.outbound_queue SET run_at = now() WHERE waits_for = 'retry'").await?;
    }
    let errors: Value = one(&db.pool, "SELECT errors FROM wa.outbound WHERE status = 'failed' AND last_error = 'no 3' AND attempts = 3 AND failed_at IS NOT NULL").await?;
    let attempts: Vec<_> = errors
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| (e["attempt"].as_i64(), e["error"].as_str(), e["at"].is_string()))
        .collect();
    ensure!(
        attempts == [(Some(1), Some("no 1"), true), (Some(2), Some("no 2"), true), (Some(3), Some("no 3"), true)],
        "{errors}"
    );
    ensure!(send_all(&mut worker).await? == ["behind"]);
    let failed: i64 = one(&db.pool, "SELECT id FROM wa.outbound WHERE status = 'failed'").await?;
    let mut announced = 0;
    while announced < 3 {
        let payload: Value = serde_json::from_str(statuses.recv().await?.payload())?;
        announced += i32::from(payload["ids"].as_array().is_some_and(|ids| ids.contains(&failed.into())));
    }
    Ok(())
}

#[tokio::test]
async fn q13_a_paused_session_or_tenant_sends_nothing() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(&db.pool, "SELECT wa.add_tenant('acme'); SELECT wa.add_session('cafe', 'acme')").await?;
    worker.hold("cafe").await?;
    run(&db.pool, "SELECT wa.pause('shop', 'stock-taking'), wa.send_text('shop', '15550001', 'shop'), wa.send_text('cafe', '15550001', 'cafe')").await?;
    ensure!(send_all(&mut worker).await? == ["cafe"]);
    run(&db.pool, "SELECT wa.resume('shop'), wa.pause_tenant('acme'), wa.send_text('cafe', '15550001', 'cafe 2')")
        .await?;
    ensure!(send_all(&mut worker).await? == ["shop"]);
    run(&db.pool, "SELECT wa.resume_tenant('acme')").await?;
    ensure!(send_all(&mut worker).await? == ["cafe 2"]);
    Ok(())
}

#[tokio::test]
async fn q13_a_paced_session_uses_up_its_burst_and_shows_which_messages_wait() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', per_minute => 1, burst => 2);
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555000' || n, 'n' || n FROM generate_series(1, 5) n",
    )
    .await?;
    ensure!(send_all(&mut worker).await? == ["n1", "n2"]);
    let wait = "SELECT waits_for = 'paced' AND run_at BETWEEN now() + interval '50 s' AND now() + interval '60 s' FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE body = 'n3'";
    ensure!(one::<bool>(&db.pool, wait).await?, "the row does not show that the message waits");
    // The bucket is in the database, so the next holder continues with it.
    let mut next = ManualWorker::new(&db.pool).await?;
    next.hold("shop").await?;
    ensure!(send_all(&mut next).await?.is_empty(), "the next holder started with a full bucket");
    let minute = "UPDATE wa.sending SET counted_at = counted_at - interval '1 minute', gate_until = gate_until - interval '1 minute';
                  UPDATE wa.outbound_queue SET run_at = run_at - interval '1 minute'";
    run(&db.pool, minute).await?;
    ensure!(send_all(&mut next).await? == ["n3"]);
    run(&db.pool, minute).await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550009', 'urgent', priority => 10)").await?;
    ensure!(send_all(&mut next).await? == ["urgent"]);
    run(&db.pool, "SELECT wa.clear_pacing('shop')").await?;
    ensure!(send_all(&mut next).await? == ["n4", "n5"]);
    Ok(())
}

#[tokio::test]
async fn q13_jitter_sends_one_message_at_a_time() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', jitter => '10 minutes', burst => 10);
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555000' || n, 'n' || n FROM generate_series(1, 3) n",
    )
    .await?;
    ensure!(send_all(&mut worker).await? == ["n1"]);
    ensure!(
        one::<bool>(
            &db.pool,
            "SELECT gate_until > now() AND gate_until <= now() + interval '10 minutes' FROM wa.sending"
        )
        .await?
    );
    Ok(())
}

#[tokio::test]
async fn q13_quiet_hours_hold_messages_until_they_end_in_their_time_zone() -> Result<()> {
    let (db, mut worker) = shop().await?;
    // Quiet for the hour around now, in a zone that is not the server's.
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', time_zone => 'Pacific/Auckland',
            quiet_from => ((now() - interval '30 min') AT TIME ZONE 'Pacific/Auckland')::time,
            quiet_until => ((now() + interval '30 min') AT TIME ZONE 'Pacific/Auckland')::time);
         SELECT wa.send_text('shop', '15550001', 'morning')",
    )
    .await?;
    ensure!(send_all(&mut worker).await?.is_empty());
    let until = "SELECT waits_for = 'quiet_hours' AND abs(extract(epoch FROM run_at - (now() + interval '30 min'))) < 60 FROM wa.outbound_queue";
    ensure!(
        one::<bool>(&db.pool, until).await?,
        "{}",
        one::<Value>(&db.pool, "SELECT to_jsonb(o) FROM wa.outbound o").await?
    );
    run(&db.pool, "SELECT wa.clear_pacing('shop')").await?;
    ensure!(send_all(&mut worker).await? == ["morning"]);
    Ok(())
}

#[tokio::test]
async fn q13_first_contacts_are_limited_per_day() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550001', 'old friend')").await?;
    ensure!(send_all(&mut worker).await? == ["old friend"]);
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', first_contacts => 1);
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550002', 'new 2'), ('shop', '15550003', 'new 3'),
            ('shop', '15550001', 'known'), ('shop', '15550002', 'not so new any more')",
    )
    .await?;
    let mut sent = send_all(&mut worker).await?;
    sent.sort();
    ensure!(sent == ["known", "new 2", "not so new any more"], "{sent:?}");
    ensure!(one::<bool>(&db.pool, "SELECT waits_for = 'first_contact' AND run_at = (current_date + 1)::timestamp AT TIME ZONE 'UTC' FROM wa.outbound_queue").await?
        || one::<bool>(&db.pool, "SELECT waits_for = 'first_contact' AND run_at > now() FROM wa.outbound_queue").await?);
    // The next day.
    run(
        &db.pool,
        "UPDATE wa.sending SET contacts_on = contacts_on - 1; UPDATE wa.outbound_queue SET run_at = now() WHERE waits_for IS NOT NULL",
    )
    .await?;
    ensure!(send_all(&mut worker).await? == ["new 3"]);
    Ok(())
}

#[tokio::test]
async fn q5_one_statement_inserts_a_hundred_thousand_messages() -> Result<()> {
    let (db, _worker) = shop().await?;
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555' || (1000000 + n), 'n' || n FROM generate_series(1, 100000) n").await?;
    ensure!(
        one::<i64>(&db.pool, "SELECT count(DISTINCT message_id) FROM wa.outbound_queue JOIN wa.outbound USING (id)")
            .await?
            == 100_000
    );
    Ok(())
}

/// Status, attempts and body of all messages.
async fn seen(pool: &PgPool) -> Result<Vec<(String, i32, String)>> {
    Ok(sqlx::query_as("SELECT status::text, attempts, body FROM wa.outbound ORDER BY id").fetch_all(pool).await?)
}

#[tokio::test]
async fn q8_a_dead_workers_begun_attempts_count_and_its_messages_are_released() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', '15550001', 'first', 1), ('shop', '15550001', 'second', 1),
            ('shop', '15550002', 'other', 2)",
    )
    .await?;
    ensure!(worker.claim().await? == 3);
    let begun = worker.next().context("nothing to begin")?;
    ensure!(begun.body.as_deref() == Some("first"), "{begun:?}");
    until("the message to be under way", async || {
        let status: String = one(&db.pool, "SELECT status::text FROM wa.outbound WHERE body = 'first'").await?;
        Ok(if status == "sending" { Ok(()) } else { Err(status) })
    })
    .await?;
    worker.die().await?;
    let row = |status: &str, attempts: i32, body: &str| (status.to_owned(), attempts, body.to_owned());
    let expected = [row("failed", 1, "first"), row("queued", 0, "second"), row("queued", 0, "other")];
    ensure!(seen(&db.pool).await? == expected, "{:?}", seen(&db.pool).await?);
    // The next worker dies before it begins anything. That is the second time for one of the messages.
    let mut next = ManualWorker::new(&db.pool).await?;
    next.hold("shop").await?;
    ensure!(next.claim().await? == 2);
    next.die().await?;
    let expected = [row("failed", 1, "first"), row("queued", 0, "second"), row("queued", 1, "other")];
    ensure!(seen(&db.pool).await? == expected, "{:?}", seen(&db.pool).await?);
    let mut last = ManualWorker::new(&db.pool).await?;
    last.hold("shop").await?;
    ensure!(send_all(&mut last).await? == ["second", "other"]);
    Ok(())
}

/// Whoever changes a status by hand is told by `doctor`, and `wa.mend_queue` does the rest.
#[tokio::test]
async fn r11_the_queue_is_mended_after_changes_by_hand() -> Result<()> {
    let (db, mut worker) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body) VALUES
            ('shop', '15550001', 'ended'), ('shop', '15550001', 'next'), ('shop', '15550002', 'again');
         UPDATE wa.outbound SET status = 'cancelled' WHERE body = 'ended';
         DELETE FROM wa.outbound_queue WHERE id = (SELECT id FROM wa.outbound WHERE body = 'again')",
    )
    .await?;
    let doctor = include_str!("../../sql/cli/doctor_schema.sql");
    let apart =
        async || -> Result<i64> { Ok(sqlx::query(doctor).fetch_one(&db.pool).await?.try_get::<i64, _>("apart!")?) };
    ensure!(apart().await? == 2);
    // What is over leaves the queue when it is claimed, and holds up nothing.
    ensure!(send_all(&mut worker).await? == ["next"]);
    ensure!(apart().await? == 1);
    let mend = async || -> Result<(i64, i64, i64)> {
        Ok(sqlx::query_as("SELECT * FROM wa.mend_queue()").fetch_one(&db.pool).await?)
    };
    ensure!(mend().await? == (1, 0, 0) && apart().await? == 0);
    ensure!(send_all(&mut worker).await? == ["again"]);
    // Times and priorities, too; and a message of a paused campaign stays held.
    run(
        &db.pool,
        "SELECT wa.pause_campaign('shop', 'may');
         INSERT INTO wa.outbound (session, recipient, body, campaign, send_at) VALUES
             ('shop', '15550003', 'held', 'may', NULL), ('shop', '15550004', 'early', NULL, now() + interval '1 day'),
             ('shop', '15550005', 'late', NULL, NULL);
         UPDATE wa.outbound SET send_at = NULL, priority = 7 WHERE body = 'early';
         UPDATE wa.outbound SET send_at = now() + interval '1 day' WHERE body = 'late';
         DELETE FROM wa.outbound_queue WHERE campaign = 'may'",
    )
    .await?;
    ensure!(mend().await? == (1, 0, 2) && apart().await? == 0 && mend().await? == (0, 0, 0));
    ensure!(send_all(&mut worker).await? == ["early"]);
    let left = "SELECT string_agg(o.body || ' ' || q.waits_for, ', ' ORDER BY o.id) FROM wa.outbound_queue q JOIN wa.outbound o USING (id)";
    ensure!(one::<String>(&db.pool, left).await? == "held paused, late scheduled");
    Ok(())
}
