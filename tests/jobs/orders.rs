//! What may be said about a message besides its content, and what holds it back.

use super::{Hands, one, run, session};
use crate::support::db::fresh;
use crate::support::until::until;
use anyhow::{Result, ensure};
use serde_json::Value;
use sqlx::postgres::PgListener;
use wagres::jobs::JobError;

/// Sends all that may go now, and returns the texts in the order in which they went.
async fn drain(hands: &mut Hands) -> Result<Vec<String>> {
    let mut sent = Vec::new();
    loop {
        while let Some(job) = hands.next() {
            sent.push(job.body.clone().unwrap_or_default());
            hands.end(job, Ok(())).await?;
        }
        if hands.claim().await? == 0 {
            return Ok(sent);
        }
    }
}

/// A database with the session "shop", held by a worker.
async fn shop() -> Result<(crate::support::db::TestDb, Hands)> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    let hands = Hands::new(&db.pool).await?;
    hands.hold("shop").await?;
    Ok((db, hands))
}

#[tokio::test]
async fn q5_more_urgent_chats_go_first_and_a_chat_keeps_its_order() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, priority) VALUES
            ('shop', '15550001', 'a', 0), ('shop', '15550002', 'b', 5), ('shop', '15550003', 'c', -5),
            ('shop', '15550001', 'a urgent', 100), ('shop', '15550004', 'd', 0)",
    )
    .await?;
    let sent = drain(&mut hands).await?;
    // What is urgent lifts those before it in its chat.
    ensure!(sent == ["a", "b", "d", "c", "a urgent"], "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn q5_a_message_for_later_waits_visibly_and_holds_back_nothing() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, send_at) VALUES
            ('shop', '15550001', 'later', now() + interval '1 hour'), ('shop', '15550001', 'now', NULL)",
    )
    .await?;
    ensure!(drain(&mut hands).await? == ["now"]);
    ensure!(
        one::<bool>(
            &db.pool,
            "SELECT waits_for = 'scheduled' AND run_at = send_at FROM wa.outbound WHERE body = 'later'"
        )
        .await?
    );
    run(&db.pool, "UPDATE wa.outbound SET run_at = now() WHERE body = 'later'").await?;
    ensure!(drain(&mut hands).await? == ["later"]);
    Ok(())
}

#[tokio::test]
async fn q5_what_has_outlived_its_time_is_not_sent() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, expires_at) VALUES
            ('shop', '15550001', 'in hand', now() + interval '1 hour'), ('shop', '15550002', 'queued', now() + interval '1 hour')",
    )
    .await?;
    hands.claim().await?;
    let job = hands.next().ok_or_else(|| anyhow::anyhow!("nothing came"))?;
    ensure!(job.deadline.is_some(), "the worker does not know until when");
    // An hour later, one of them is in hand and is left to its holder.
    run(&db.pool, "UPDATE wa.outbound SET expires_at = now() - interval '1 second'").await?;
    hands.end(job, Err(JobError::Expired)).await?;
    let job = hands.next().ok_or_else(|| anyhow::anyhow!("the second did not come"))?;
    let ended: i64 = one(
        &db.pool,
        "SELECT cardinality(wa.withdraw(ARRAY(SELECT id FROM wa.outbound WHERE live), 'expired'))::bigint",
    )
    .await?;
    ensure!(ended == 0, "what is in hand was taken from its holder");
    hands.ready.remove(job.fence);
    hands.end(job, Err(JobError::Release("the connection was lost".into()))).await?;
    let ended: i64 = one(
        &db.pool,
        "SELECT cardinality(wa.withdraw(ARRAY(SELECT id FROM wa.outbound WHERE live), 'expired'))::bigint",
    )
    .await?;
    ensure!(ended == 1, "what is queued did not expire");
    ensure!(
        one::<bool>(&db.pool, "SELECT bool_and(status = 'expired' AND expired_at IS NOT NULL) FROM wa.outbound")
            .await?
    );
    Ok(())
}

#[tokio::test]
async fn q4_a_dedupe_key_gives_the_first_row_or_a_conflict() -> Result<()> {
    let (db, mut hands) = shop().await?;
    session(&db.pool, "cafe").await?;
    let send =
        |session: &str| format!("SELECT wa.send_text('{session}', '15550001', 'ready', dedupe_key => 'order-17')");
    let first: i64 = one(&db.pool, &send("shop")).await?;
    ensure!(one::<i64>(&db.pool, &send("shop")).await? == first, "a second row");
    ensure!(one::<i64>(&db.pool, &send("cafe")).await? != first, "keys of two sessions are one");
    ensure!(drain(&mut hands).await? == ["ready"]);
    ensure!(one::<i64>(&db.pool, &send("shop")).await? == first, "a second row after the first was sent");
    let insert =
        "INSERT INTO wa.outbound (session, recipient, body, dedupe_key) VALUES ('shop', '15550001', 'x', 'order-17')";
    let refused = sqlx::query(insert).execute(&db.pool).await;
    let code = refused.err().and_then(|error| error.as_database_error().and_then(|it| it.code().map(String::from)));
    ensure!(code.as_deref() == Some("23505"), "{code:?}");
    Ok(())
}

#[tokio::test]
async fn q5_cancel_is_exact() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '15550001', 'n' || n FROM generate_series(1, 3) n").await?;
    let first: i64 = one(&db.pool, "SELECT min(id) FROM wa.outbound").await?;
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.cancel({first} + 1)")).await?, "a queued one stays");
    hands.claim().await?;
    let job = hands.next().ok_or_else(|| anyhow::anyhow!("nothing came"))?;
    ensure!(job.id == first);
    ensure!(!one::<bool>(&db.pool, &format!("SELECT wa.cancel({first})")).await?, "one on its way was cancelled");
    hands.end(job, Err(JobError::Retry("not now".into()))).await?;
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.cancel({first})")).await?, "one that waits for its retry stays");
    ensure!(drain(&mut hands).await? == ["n3"]);
    ensure!(!one::<bool>(&db.pool, &format!("SELECT wa.cancel({first} + 2)")).await?, "a sent one was cancelled");
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.retry({first} + 1)")).await?);
    ensure!(drain(&mut hands).await? == ["n2"]);
    Ok(())
}

/// A claim that waits for a cancellation must not take what was cancelled, though it began to look before.
#[tokio::test]
async fn q5_a_claim_that_waited_for_a_cancel_sees_it() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550001', 'never')").await?;
    let mut transaction = db.pool.begin().await?;
    let done: bool = sqlx::query_scalar("SELECT wa.cancel(id) FROM wa.outbound").fetch_one(&mut *transaction).await?;
    ensure!(done);
    let claim = tokio::spawn(async move { hands.claim().await.map(|jobs| (jobs, hands)) });
    let waits =
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("a claim that waits", async || {
        ensure!(!claim.is_finished(), "the claim did not wait");
        Ok(if one::<bool>(&db.pool, waits).await? { Ok(()) } else { Err("nobody who waits") })
    })
    .await?;
    transaction.commit().await?;
    let (jobs, _) = claim.await??;
    ensure!(jobs == 0, "a cancelled message was taken");
    Ok(())
}

#[tokio::test]
async fn q8_each_failed_attempt_is_kept_and_the_last_one_ends_it() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', '15550001', 'bad', 3), ('shop', '15550001', 'behind', 3),
            ('shop', '15550002', 'elsewhere', 3)",
    )
    .await?;
    let mut statuses = PgListener::connect(&db.url).await?;
    statuses.listen("wa_status").await?;
    for attempt in 1..=3 {
        hands.claim().await?;
        let job = hands.next().ok_or_else(|| anyhow::anyhow!("attempt {attempt} did not come"))?;
        ensure!(job.body.as_deref() == Some("bad") && job.attempts == attempt, "{job:?}");
        hands.end(job, Err(JobError::Retry(format!("no {attempt}")))).await?;
        if attempt < 3 {
            ensure!(
                one::<bool>(
                    &db.pool,
                    "SELECT waits_for = 'retry' AND run_at > now() FROM wa.outbound WHERE body = 'bad'"
                )
                .await?
            );
        }
        if attempt == 1 {
            // The lane waits behind it, and no other does.
            ensure!(drain(&mut hands).await? == ["elsewhere"]);
        }
        run(&db.pool, "UPDATE wa.outbound SET run_at = now() WHERE waits_for = 'retry'").await?;
    }
    let errors: Value = one(&db.pool, "SELECT errors FROM wa.outbound WHERE status = 'failed' AND last_error = 'no 3' AND attempts = 3 AND failed_at IS NOT NULL").await?;
    let told: Vec<_> = errors
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| (e["attempt"].as_i64(), e["error"].as_str(), e["at"].is_string()))
        .collect();
    ensure!(
        told == [(Some(1), Some("no 1"), true), (Some(2), Some("no 2"), true), (Some(3), Some("no 3"), true)],
        "{errors}"
    );
    ensure!(drain(&mut hands).await? == ["behind"]);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|(status, _)| status != "failed") {
        let payload: Value = serde_json::from_str(statuses.recv().await?.payload())?;
        heard.push((payload["status"].as_str().unwrap_or_default().to_owned(), payload["ids"].clone()));
    }
    Ok(())
}

#[tokio::test]
async fn q13_a_paused_session_or_tenant_sends_nothing() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(&db.pool, "SELECT wa.add_tenant('acme'); SELECT wa.add_session('cafe', 'acme')").await?;
    hands.hold("cafe").await?;
    run(&db.pool, "SELECT wa.pause('shop', 'stock-taking'), wa.send_text('shop', '15550001', 'shop'), wa.send_text('cafe', '15550001', 'cafe')").await?;
    ensure!(drain(&mut hands).await? == ["cafe"]);
    run(&db.pool, "SELECT wa.resume('shop'), wa.pause_tenant('acme'), wa.send_text('cafe', '15550001', 'cafe 2')")
        .await?;
    ensure!(drain(&mut hands).await? == ["shop"]);
    run(&db.pool, "SELECT wa.resume_tenant('acme')").await?;
    ensure!(drain(&mut hands).await? == ["cafe 2"]);
    Ok(())
}

#[tokio::test]
async fn q13_a_paced_session_spends_its_bucket_and_shows_what_waits() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', per_minute => 1, burst => 2);
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555000' || n, 'n' || n FROM generate_series(1, 5) n",
    )
    .await?;
    ensure!(drain(&mut hands).await? == ["n1", "n2"]);
    let wait = "SELECT waits_for = 'paced' AND run_at BETWEEN now() + interval '50 s' AND now() + interval '60 s' FROM wa.outbound WHERE body = 'n3'";
    ensure!(one::<bool>(&db.pool, wait).await?, "it does not show that it waits");
    // The bucket is in the database: the next holder finds it as it was left.
    let mut next = Hands::new(&db.pool).await?;
    next.hold("shop").await?;
    ensure!(drain(&mut next).await?.is_empty(), "the next holder began with a full bucket");
    let minute = "UPDATE wa.sending SET counted_at = counted_at - interval '1 minute', gate_until = gate_until - interval '1 minute';
                  UPDATE wa.outbound SET run_at = run_at - interval '1 minute'";
    run(&db.pool, minute).await?;
    ensure!(drain(&mut next).await? == ["n3"]);
    run(&db.pool, minute).await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550009', 'urgent', priority => 10)").await?;
    ensure!(drain(&mut next).await? == ["urgent"]);
    run(&db.pool, "SELECT wa.clear_pacing('shop')").await?;
    ensure!(drain(&mut next).await? == ["n4", "n5"]);
    Ok(())
}

#[tokio::test]
async fn q13_jitter_lets_one_go_at_a_time() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', jitter => '10 minutes', burst => 10);
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555000' || n, 'n' || n FROM generate_series(1, 3) n",
    )
    .await?;
    ensure!(drain(&mut hands).await? == ["n1"]);
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
async fn q13_quiet_hours_hold_back_until_their_end_in_their_time_zone() -> Result<()> {
    let (db, mut hands) = shop().await?;
    // Quiet for the hour around now, in a zone that is not the server's.
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', time_zone => 'Pacific/Auckland',
            quiet_from => ((now() - interval '30 min') AT TIME ZONE 'Pacific/Auckland')::time,
            quiet_until => ((now() + interval '30 min') AT TIME ZONE 'Pacific/Auckland')::time);
         SELECT wa.send_text('shop', '15550001', 'morning')",
    )
    .await?;
    ensure!(drain(&mut hands).await?.is_empty());
    let until = "SELECT waits_for = 'quiet_hours' AND abs(extract(epoch FROM run_at - (now() + interval '30 min'))) < 60 FROM wa.outbound";
    ensure!(
        one::<bool>(&db.pool, until).await?,
        "{}",
        one::<Value>(&db.pool, "SELECT to_jsonb(o) FROM wa.outbound o").await?
    );
    run(&db.pool, "SELECT wa.clear_pacing('shop')").await?;
    ensure!(drain(&mut hands).await? == ["morning"]);
    Ok(())
}

#[tokio::test]
async fn q13_first_contacts_are_limited_by_the_day() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550001', 'old friend')").await?;
    ensure!(drain(&mut hands).await? == ["old friend"]);
    run(
        &db.pool,
        "SELECT wa.set_pacing('shop', first_contacts => 1);
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550002', 'new 2'), ('shop', '15550003', 'new 3'),
            ('shop', '15550001', 'known'), ('shop', '15550002', 'not so new any more')",
    )
    .await?;
    let mut sent = drain(&mut hands).await?;
    sent.sort();
    ensure!(sent == ["known", "new 2", "not so new any more"], "{sent:?}");
    ensure!(one::<bool>(&db.pool, "SELECT waits_for = 'first_contact' AND run_at = (current_date + 1)::timestamp AT TIME ZONE 'UTC' FROM wa.outbound WHERE live").await?
        || one::<bool>(&db.pool, "SELECT waits_for = 'first_contact' AND run_at > now() FROM wa.outbound WHERE live").await?);
    // The next day.
    run(
        &db.pool,
        "UPDATE wa.sending SET contacts_on = contacts_on - 1; UPDATE wa.outbound SET run_at = now() WHERE live",
    )
    .await?;
    ensure!(drain(&mut hands).await? == ["new 3"]);
    Ok(())
}

#[tokio::test]
async fn q5_a_hundred_thousand_rows_in_one_statement() -> Result<()> {
    let (db, _hands) = shop().await?;
    run(&db.pool, "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '1555' || (1000000 + n), 'n' || n FROM generate_series(1, 100000) n").await?;
    ensure!(one::<i64>(&db.pool, "SELECT count(DISTINCT message_id) FROM wa.outbound WHERE live").await? == 100_000);
    Ok(())
}

#[tokio::test]
async fn q8_what_a_dead_worker_had_in_hand_is_counted_and_goes_again() -> Result<()> {
    let (db, mut hands) = shop().await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', '15550001', 'first', 1), ('shop', '15550001', 'second', 5),
            ('shop', '15550002', 'other', 5)",
    )
    .await?;
    ensure!(hands.claim().await? == 3);
    hands.die().await?;
    let rows: Vec<(String, i32, String)> =
        sqlx::query_as("SELECT status::text, attempts, body FROM wa.outbound ORDER BY id").fetch_all(&db.pool).await?;
    let seen: Vec<_> =
        rows.iter().map(|(status, attempts, body)| (status.as_str(), *attempts, body.as_str())).collect();
    ensure!(seen == [("failed", 1, "first"), ("queued", 0, "second"), ("queued", 1, "other")], "{seen:?}");
    let mut next = Hands::new(&db.pool).await?;
    next.hold("shop").await?;
    ensure!(drain(&mut next).await? == ["second", "other"]);
    Ok(())
}
