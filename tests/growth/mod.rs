//! How cost grows: with what is done, not with what merely exists (P11, P12). Counts of rows and statements, no times.

#[cfg(feature = "sandbox")]
mod idle;

use crate::support::db::{TestDb, fresh};
use anyhow::{Result, ensure};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

const STOPPED: i64 = 3000;

/// A database with so many sessions that are stopped, each with a link that is done for a day.
async fn many_stopped() -> Result<TestDb> {
    let db = fresh().await;
    let insert = format!(
        "SET session_replication_role = replica;
         INSERT INTO wa.session (name, tenant, status, jid) SELECT 'stopped' || n, 'default', 'stopped', n || ':1@s.whatsapp.net' FROM generate_series(1, {STOPPED}) n;
         INSERT INTO wa.lease (session_id) SELECT session_id FROM wa.session;
         INSERT INTO wa.sending (session_id) SELECT session_id FROM wa.session;
         INSERT INTO wa.session_job (session, session_id, kind, status, phone, created_at, finished_at)
         SELECT name, session_id, 'link', 'done', '15550001', now() - interval '1 day', now() - interval '1 day' FROM wa.session"
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut db.pool.acquire().await?.detach()).await?;
    sqlx::raw_sql("ANALYZE wa.session; ANALYZE wa.lease; ANALYZE wa.session_job").execute(&db.pool).await?;
    Ok(db)
}

/// The rows that the connection has read so far of sessions, leases, session jobs and the queue. Within a transaction the count
/// only grows; it begins with what the connection has not reported yet.
async fn rows_read(transaction: &mut PgConnection) -> Result<i64> {
    let read = "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint FROM pg_stat_xact_all_tables
                WHERE relid IN ('wa.session'::regclass, 'wa.lease'::regclass, 'wa.session_job'::regclass, 'wa.outbound_queue'::regclass)";
    Ok(sqlx::query_scalar(read).fetch_one(transaction).await?)
}

#[tokio::test]
async fn p12_a_run_of_the_reconciler_reads_no_session_that_is_stopped() -> Result<()> {
    let db = many_stopped().await?;
    let mut transaction = db.pool.begin().await?;
    // As on every connection of a worker.
    sqlx::raw_sql("SET LOCAL enable_seqscan = off").execute(&mut *transaction).await?;
    let before = rows_read(&mut transaction).await?;
    let (worker, most) = (Uuid::new_v4(), 200_i64);
    let look = include_str!("../../sql/worker/expire_workers.sql");
    let (_, _, free): (i64, bool, bool) = sqlx::query_as(look).bind(worker).fetch_one(&mut *transaction).await?;
    ensure!(!free, "a stopped session waits for nobody");
    sqlx::query(include_str!("../../sql/session/reset_stale.sql")).execute(&mut *transaction).await?;
    for statement in [include_str!("../../sql/session/adopt.sql"), include_str!("../../sql/session/surplus.sql")] {
        sqlx::query(statement).bind(worker).bind(most).execute(&mut *transaction).await?;
    }
    let read = rows_read(&mut transaction).await? - before;
    ensure!(read < 50, "{read} rows read with {STOPPED} stopped sessions");

    // One that waits is found.
    sqlx::raw_sql("UPDATE wa.session SET desired = 'connected' WHERE name = 'stopped7'")
        .execute(&mut *transaction)
        .await?;
    let (_, _, free): (i64, bool, bool) = sqlx::query_as(look).bind(worker).fetch_one(&mut *transaction).await?;
    ensure!(free, "a session that should be connected was not found");
    Ok(())
}

#[tokio::test]
async fn p12_a_link_reads_none_of_the_links_that_were_done_before() -> Result<()> {
    let db = many_stopped().await?;
    let mut transaction = db.pool.begin().await?;
    let before = rows_read(&mut transaction).await?;
    sqlx::raw_sql("SELECT wa.link('stopped7', '15550001')").execute(&mut *transaction).await?;
    let read = rows_read(&mut transaction).await? - before;
    ensure!(read < 50, "{read} rows read with {STOPPED} links done");
    Ok(())
}

#[tokio::test]
async fn p12_the_backlog_of_one_session_reads_the_queue_of_no_other() -> Result<()> {
    let db = many_stopped().await?;
    let insert = "INSERT INTO wa.outbound (session, recipient, body)
                  SELECT 'stopped' || n % 100 + 1, (15550000 + n)::text, 'Hello' FROM generate_series(1, 3000) n";
    sqlx::raw_sql(insert).execute(&db.pool).await?;
    sqlx::raw_sql("ANALYZE wa.outbound_queue").execute(&db.pool).await?;
    let mut transaction = db.pool.begin().await?;
    // Of so few rows the planner would read all at once.
    sqlx::raw_sql("SET LOCAL enable_seqscan = off").execute(&mut *transaction).await?;
    let before = rows_read(&mut transaction).await?;
    let backlog = "SELECT ready, chats FROM wa.queue WHERE session = 'stopped7'";
    let found: (i64, i64) = sqlx::query_as(backlog).fetch_one(&mut *transaction).await?;
    ensure!(found == (30, 30), "{found:?}");
    let read = rows_read(&mut transaction).await? - before;
    ensure!(read < 100, "{read} rows read for a backlog of 30");
    let idle = "SELECT ready, chats, oldest IS NULL FROM wa.queue WHERE session = 'stopped700'";
    let found: (i64, i64, bool) = sqlx::query_as(idle).fetch_one(&mut *transaction).await?;
    ensure!(found == (0, 0, true), "{found:?}");
    Ok(())
}
