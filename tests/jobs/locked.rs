//! R8: what an application has locked delays nothing else.

use super::{ManualWorker, one, run, session};
use crate::support::db::{TestDb, fresh};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wagres::db::storable::Storable;
use wagres::jobs::JobError;
use wagres::jobs::change::{Change, Reached};

/// A database with the sessions "shop" and "cafe", held by a worker, and a connection of an application.
async fn two_sessions() -> Result<(TestDb, ManualWorker, PgConnection)> {
    let db = fresh().await;
    for name in ["shop", "cafe"] {
        session(&db.pool, name).await?;
    }
    let worker = ManualWorker::new(&db.pool).await?;
    for name in ["shop", "cafe"] {
        worker.hold(name).await?;
    }
    let app = PgConnection::connect(&db.url).await?;
    Ok((db, worker, app))
}

async fn call(app: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(app).await.with_context(|| sql.to_owned())?;
    Ok(())
}

const INSERT: &str = "INSERT INTO wa.outbound (session, recipient, body)
    SELECT s, '1555000' || n, s || n FROM unnest('{shop,cafe}'::text[]) s, generate_series(1, 3) n";

#[tokio::test]
async fn r8_a_session_whose_sending_is_locked_waits_alone() -> Result<()> {
    let (db, mut worker, mut app) = two_sessions().await?;
    run(&db.pool, INSERT).await?;
    call(&mut app, "BEGIN; SELECT wa.cancel(id) FROM wa.outbound WHERE body = 'shop1'").await?;
    ensure!(worker.claim().await? == 3, "not the messages of the other session alone");
    while let Some(job) = worker.next() {
        ensure!(job.body.as_deref().is_some_and(|body| body.starts_with("cafe")), "{:?}", job.body);
        worker.end(job, Ok(())).await?;
    }
    call(&mut app, "COMMIT").await?;
    let mut sent = vec![];
    until("the rest", async || {
        worker.claim().await?;
        while let Some(job) = worker.next() {
            sent.push(job.body.clone().unwrap_or_default());
            worker.end(job, Ok(())).await?;
        }
        Ok(if sent.len() == 2 { Ok(()) } else { Err(format!("{sent:?}")) })
    })
    .await?;
    sent.sort();
    ensure!(sent == ["shop2", "shop3"], "{sent:?}");
    Ok(())
}

/// A message that goes back to the queue is not forgotten when its session is locked at that moment.
#[tokio::test]
async fn r8_a_released_message_is_written_once_its_session_is_free() -> Result<()> {
    let (db, mut worker, mut app) = two_sessions().await?;
    run(&db.pool, INSERT).await?;
    worker.claim().await?;
    call(&mut app, "BEGIN; SELECT wa.unpace(session_id) FROM wa.session WHERE name = 'shop'").await?;
    while let Some(job) = worker.next() {
        worker.ready.remove(job.fence);
        worker.end(job, Err(JobError::Release("the connection was lost".into()))).await?;
    }
    let taken =
        "SELECT cardinality(b.taken)::bigint FROM wa.sending b JOIN wa.session s USING (session_id) WHERE s.name = ";
    ensure!(one::<i64>(&db.pool, &format!("{taken}'cafe'")).await? == 0, "held up by the other session");
    ensure!(one::<i64>(&db.pool, &format!("{taken}'shop'")).await? == 3);
    call(&mut app, "ROLLBACK").await?;
    until("the release", async || {
        worker.outbound.claim().await?;
        let left: i64 = one(&db.pool, &format!("{taken}'shop'")).await?;
        Ok(if left == 0 { Ok(()) } else { Err(left) })
    })
    .await
}

/// One row of a batch is locked. The others are written, and that one when it is free, with its latest status.
#[tokio::test]
async fn r8_outcomes_are_written_while_an_application_has_one_row() -> Result<()> {
    let (db, mut worker, mut app) = two_sessions().await?;
    run(&db.pool, INSERT).await?;
    worker.claim().await?;
    let mut fences = vec![];
    while let Some(job) = worker.next() {
        fences.push((job.fence, job.message_id.clone(), job.body.clone().unwrap_or_default()));
        worker.end(job, Err(JobError::Permanent("never".into()))).await?;
    }
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.outbound WHERE status = 'failed'").await? == 6);
    call(&mut app, "BEGIN; SELECT wa.retry(id) FROM wa.outbound WHERE body = 'shop1'").await?;
    // They were sent after all: the acks and receipts come late.
    for reached in [Reached::Sent, Reached::Delivered] {
        for (fence, message_id, _) in &fences {
            let id = Storable::stored(message_id.clone());
            worker.attempts.progress.push(Change::reported(*fence, id, reached, None)).await;
        }
    }
    let others = "SELECT count(*) FROM wa.outbound WHERE status = 'delivered'";
    let written = async |count: i64| {
        until("the outcomes", async || {
            let now: i64 = one(&db.pool, others).await?;
            Ok(if now == count { Ok(()) } else { Err(now) })
        })
        .await
    };
    written(5).await?;
    for (fence, message_id, body) in &fences {
        if body == "shop1" {
            let id = Storable::stored(message_id.clone());
            worker.attempts.progress.push(Change::reported(*fence, id, Reached::Read, None)).await;
        }
    }
    call(&mut app, "ROLLBACK").await?;
    until("the last outcome", async || {
        let status: String = one(&db.pool, "SELECT status::text FROM wa.outbound WHERE body = 'shop1'").await?;
        Ok(if status == "read" { Ok(()) } else { Err(status) })
    })
    .await?;
    let complete = "SELECT sent_at IS NOT NULL AND delivered_at IS NOT NULL FROM wa.outbound WHERE body = 'shop1'";
    ensure!(one::<bool>(&db.pool, complete).await?, "a change was lost");
    Ok(())
}

/// Changes of a row that stays locked arrive without end. A row that was locked before them is written when it is free.
#[tokio::test]
async fn r8_changes_of_a_locked_row_do_not_put_off_those_of_another() -> Result<()> {
    let (db, mut worker, mut app) = two_sessions().await?;
    run(&db.pool, INSERT).await?;
    worker.claim().await?;
    let mut ids = vec![];
    while let Some(job) = worker.next() {
        if job.body.as_deref().is_some_and(|body| body == "shop1" || body == "shop2") {
            ids.push((job.body.clone().unwrap_or_default(), job.fence, job.message_id.clone()));
        }
        worker.end(job, Ok(())).await?;
    }
    ids.sort_by(|one, other| one.0.cmp(&other.0));
    let [(_, fence, first), (_, _, second)] = &ids[..] else { anyhow::bail!("{ids:?}") };
    let delivered = |id| Change::reported(*fence, Storable::stored(id), Reached::Delivered, None);
    let mut other = PgConnection::connect(&db.url).await?;
    call(&mut other, "BEGIN; SELECT FROM wa.outbound WHERE body = 'shop2' FOR UPDATE").await?;
    call(&mut app, "BEGIN; SELECT FROM wa.outbound WHERE body = 'shop1' FOR UPDATE").await?;
    let progress = worker.attempts.progress.clone();
    for id in [first, second] {
        progress.push(delivered(id.clone())).await;
    }
    until("both left out", async || {
        let unwritten = progress.unwritten();
        let aside = !unwritten.age().is_zero() && unwritten.stuck().is_zero();
        Ok(if aside { Ok(()) } else { Err("not yet") })
    })
    .await?;
    call(&mut app, "ROLLBACK").await?;
    until("the row that is free", async || {
        progress.push(delivered(second.clone())).await;
        let status: String = one(&db.pool, "SELECT status::text FROM wa.outbound WHERE body = 'shop1'").await?;
        Ok(if status == "delivered" { Ok(()) } else { Err(status) })
    })
    .await?;
    call(&mut other, "ROLLBACK").await?;
    until("the other row", async || {
        let status: String = one(&db.pool, "SELECT status::text FROM wa.outbound WHERE body = 'shop2'").await?;
        Ok(if status == "delivered" { Ok(()) } else { Err(status) })
    })
    .await
}

/// A worker dies while an application has a transaction open on one of its sessions: all its sessions are free at once,
/// and what was in hand of that one is returned, and counted, when the transaction has ended.
#[tokio::test]
async fn r8_messages_in_hand_are_returned_later_when_their_session_is_locked() -> Result<()> {
    let (db, mut worker, mut app) = two_sessions().await?;
    run(&db.pool, INSERT).await?;
    worker.claim().await?;
    call(&mut app, "BEGIN; SELECT wa.cancel(id) FROM wa.outbound WHERE session = 'shop'").await?;
    let id = worker.id;
    run(&db.pool, &format!("UPDATE wa.worker SET lease_until = now() - interval '1 second' WHERE worker_id = '{id}'"))
        .await?;
    let bury = include_str!("../../sql/worker/expire_workers.sql");
    let (buried, unsettled): (i64, bool) = sqlx::query_as(bury).bind(id).fetch_one(&db.pool).await?;
    ensure!((buried, unsettled) == (1, false), "what is left was there before");
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.worker").await? == 0);
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.lease WHERE holder IS NULL").await? == 2);
    let returned = "SELECT string_agg(body, ' ' ORDER BY body) FROM wa.outbound WHERE last_error IS NOT NULL";
    ensure!(one::<String>(&db.pool, returned).await? == "cafe1 cafe2 cafe3", "the other session was held up");

    // The next holder takes nothing of that session before it is settled.
    let mut next = ManualWorker::new(&db.pool).await?;
    next.hold("shop").await?;
    ensure!(next.claim().await? == 0, "messages of an earlier hold were claimed");
    call(&mut app, "ROLLBACK").await?;
    let settle = include_str!("../../sql/worker/settle.sql");
    until("the settlement", async || {
        sqlx::query(settle).bind(100_i64).execute(&db.pool).await?;
        let left: i64 = one(&db.pool, "SELECT count(*) FROM wa.lease WHERE unsettled").await?;
        Ok(if left == 0 { Ok(()) } else { Err(left) })
    })
    .await?;
    ensure!(
        one::<String>(&db.pool, returned).await? == "cafe1 cafe2 cafe3 shop1 shop2 shop3",
        "messages were forgotten"
    );
    until("the messages", async || {
        let claimed = next.claim().await?;
        Ok(if claimed == 3 { Ok(()) } else { Err(claimed) })
    })
    .await
}

/// An application has changed waiting messages of one session; those of the other are released at their time.
#[tokio::test]
async fn r8_due_and_expired_messages_of_others_do_not_wait() -> Result<()> {
    let (db, mut worker, mut app) = two_sessions().await?;
    run(&db.pool, INSERT).await?;
    run(
        &db.pool,
        "UPDATE wa.outbound SET send_at = now() WHERE body LIKE '%1';
         UPDATE wa.outbound_queue q SET waits_for = 'scheduled', run_at = now() FROM wa.outbound o WHERE o.id = q.id AND o.body LIKE '%1';
         UPDATE wa.outbound_queue q SET expires_at = now() FROM wa.outbound o WHERE o.id = q.id AND o.body LIKE '%2'",
    )
    .await?;
    call(&mut app, "BEGIN; SELECT wa.cancel_all('shop')").await?;
    let expire = include_str!("../../sql/jobs/expire.sql");
    sqlx::query(expire).bind(100_i64).fetch_optional(&db.pool).await?;
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.outbound WHERE status = 'expired'").await? == 1);
    let mut claimed = 0;
    until("the messages of the other session", async || {
        claimed += worker.claim().await?;
        Ok(if claimed == 2 { Ok(()) } else { Err(claimed) })
    })
    .await?;
    call(&mut app, "ROLLBACK").await
}

/// No session shows a connection that nobody holds, also when no other worker is there to correct it; except while an
/// application has locked its row.
#[tokio::test]
async fn s3_the_sessions_of_a_worker_that_ends_are_disconnected_at_once() -> Result<()> {
    let (db, worker, mut app) = two_sessions().await?;
    run(
        &db.pool,
        "UPDATE wa.session SET jid = name || '@s.whatsapp.net', desired = 'connected', status = 'linking';
         UPDATE wa.session SET status = 'connected'",
    )
    .await?;
    call(&mut app, "BEGIN; SELECT wa.pause('shop')").await?;
    ensure!(one::<bool>(&db.pool, &format!("SELECT wa.end_worker('{}')", worker.id)).await?, "a session was not freed");
    let statuses = "SELECT string_agg(name || ' ' || status || ' ' || coalesce(status_reason, '-'), ', ' ORDER BY name) FROM wa.session";
    let found: String = one(&db.pool, statuses).await?;
    ensure!(found == "cafe disconnected the worker that held it is gone, shop connected -", "{found}");
    call(&mut app, "ROLLBACK").await?;
    run(&db.pool, include_str!("../../sql/session/reset_stale.sql")).await?;
    let found: String = one(&db.pool, "SELECT string_agg(DISTINCT status::text, ' ') FROM wa.session").await?;
    ensure!(found == "disconnected", "{found}");
    Ok(())
}
