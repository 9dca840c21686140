//! R9: what a worker has little of is shared by tenants: messages in hand, places to send, and actions.

use super::{ManualWorker, one, run};
use crate::support::db::{TestDb, fresh};
use crate::support::in_process::InProcessWorker;
use crate::support::until::{LIMIT, until};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc;
use uuid::Uuid;
use wagres::jobs::SessionJob;
use wagres::jobs::actions::Actions;
use wagres::jobs::connecting::Connecting;
use wagres::jobs::in_hand::InHand;
use wagres::jobs::lanes::Limits;
use wagres::jobs::stock::MAX_IN_HAND;
use wagres::worker::Handler;

const BUDGET: usize = 2 << 20;

/// A database with so many sessions of the tenant "acme" (`acme1` …) and the session `bolt` of the tenant "bolt".
async fn two_tenants(of_acme: usize) -> Result<TestDb> {
    let db = fresh().await;
    run(
        &db.pool,
        &format!(
            "SELECT wa.add_tenant('acme'), wa.add_tenant('bolt');
             SELECT wa.add_session('acme' || n, 'acme') FROM generate_series(1, {of_acme}) n;
             SELECT wa.add_session('bolt', 'bolt')"
        ),
    )
    .await?;
    Ok(db)
}

/// Claims until the row of the message `id` is in hand.
async fn until_in_hand(worker: &mut ManualWorker, id: i64) -> Result<()> {
    until("the message in hand", async || {
        worker.claim().await?;
        Ok(if worker.lanes.in_hand().1.contains(&id) { Ok(()) } else { Err(format!("{:?}", worker.lanes.amount())) })
    })
    .await
}

#[tokio::test]
async fn r9_large_messages_fill_the_hand_only_up_to_the_budget_of_bytes_and_are_sent_in_order() -> Result<()> {
    let db = two_tenants(1).await?;
    let mut worker =
        ManualWorker::with(&db.pool, Limits { sending: MAX_IN_HAND, files: MAX_IN_HAND, bytes: BUDGET }).await?;
    worker.hold("acme1").await?;
    worker.hold("bolt").await?;
    // 24 MB, three messages in each of 130 chats.
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body)
         SELECT 'acme1', '1555' || 1000 + n % 130, n || repeat('x', 60000) FROM generate_series(1, 390) n ORDER BY n",
    )
    .await?;
    worker.claim().await?;
    let amount = worker.lanes.amount();
    ensure!(amount.bytes > BUDGET / 2 && amount.bytes < BUDGET * 7 / 8 + 70_000, "{amount:?}");
    // Another tenant still has room.
    let other: i64 = one(&db.pool, "SELECT wa.send_text('bolt', '15550001', 'hello')").await?;
    until_in_hand(&mut worker, other).await?;

    let mut sent: HashMap<String, Vec<i64>> = HashMap::new();
    until("all messages sent", async || {
        worker.claim().await?;
        let amount = worker.lanes.amount();
        ensure!(amount.bytes < BUDGET + 70_000, "{amount:?}");
        while let Some(job) = worker.next() {
            sent.entry(job.chat.to_string()).or_default().push(job.id);
            worker.end(job, Ok(())).await?;
        }
        let left: i64 = one(&db.pool, "SELECT count(*) FROM wa.outbound_queue").await?;
        Ok(if left == 0 { Ok(()) } else { Err(left) })
    })
    .await?;
    ensure!(sent.values().all(|ids| ids.is_sorted()), "a chat was sent out of order: {sent:?}");
    ensure!(sent.values().map(Vec::len).sum::<usize>() == 391, "not each once: {sent:?}");
    ensure!(
        one::<bool>(&db.pool, "SELECT bool_and(attempts = 1) FROM wa.outbound").await?,
        "a message was begun twice"
    );
    Ok(())
}

#[tokio::test]
async fn r9_a_tenant_with_a_deep_backlog_leaves_room_in_hand_to_another() -> Result<()> {
    let db = two_tenants(10).await?;
    let mut worker = ManualWorker::new(&db.pool).await?;
    for n in 1..=10 {
        worker.hold(&format!("acme{n}")).await?;
    }
    worker.hold("bolt").await?;
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body)
         SELECT 'acme' || s, '1555' || 1000 + n, 'x' FROM generate_series(1, 10) s, generate_series(1, 600) n",
    )
    .await?;
    let most = MAX_IN_HAND * 7 / 8;
    until("a full hand", async || {
        worker.claim().await?;
        let count = worker.lanes.amount().count;
        ensure!(count <= most, "{count} of one tenant in hand");
        Ok(if count == most { Ok(()) } else { Err(count) })
    })
    .await?;
    let other: i64 = one(&db.pool, "SELECT wa.send_text('bolt', '15550001', 'hello')").await?;
    until_in_hand(&mut worker, other).await?;
    Ok(())
}

#[tokio::test]
async fn r9_silent_sessions_of_a_tenant_leave_places_to_another() -> Result<()> {
    let db = two_tenants(4).await?;
    // Every place has a message that takes for ever.
    let (ended, mut ends) = mpsc::unbounded_channel();
    let handler = Handler::new(move |job| {
        let ended = ended.clone();
        async move {
            if &*job.tenant == "acme" {
                std::future::pending::<()>().await;
            }
            let _ = ended.send(job.id);
            Ok(())
        }
    });
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body)
         SELECT 'acme' || s, '1555' || 1000 + n, 'silent' FROM generate_series(1, 4) s, generate_series(1, 100) n;
         INSERT INTO wa.outbound (session, recipient, kind, content)
         SELECT 'acme' || s, '1555' || 3000 + n, 'image', '{\"url\": \"https://example.com/silent.jpg\"}'
         FROM generate_series(1, 4) s, generate_series(1, 100) n",
    )
    .await?;
    let worker = InProcessWorker::with_handler(&db, 50, handler).await?;
    let taken = "SELECT sum(cardinality(taken)) >= 800 FROM wa.sending";
    until("all messages in hand", async || Ok(if one::<bool>(&db.pool, taken).await? { Ok(()) } else { Err("fewer") }))
        .await?;
    let mut waiting = HashSet::new();
    for n in 0..20 {
        waiting
            .insert(one::<i64>(&db.pool, &format!("SELECT wa.send_text('bolt', '1555000{}', 'hello')", n % 10)).await?);
        let image = "SELECT wa.send_image('bolt', '15550020', url => 'https://example.com/quick.jpg')";
        waiting.insert(one::<i64>(&db.pool, image).await?);
    }
    while !waiting.is_empty() {
        let id =
            tokio::time::timeout(LIMIT, ends.recv()).await.context("places are left to nobody")?.context("ends")?;
        ensure!(waiting.remove(&id), "message {id} of a silent session ended");
    }
    drop(worker);
    Ok(())
}

/// Runs statements without triggers, as nobody but the test may.
async fn past_the_triggers(pool: &PgPool, sql: &str) -> Result<()> {
    let mut connection = pool.acquire().await?.detach();
    let sql = format!("SET session_replication_role = replica; {sql}");
    sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await.context(sql)?;
    Ok(())
}

/// Claims actions as a worker that holds every session, all of them connected.
async fn actions(db: &TestDb, places: usize) -> Result<(Actions, mpsc::Receiver<SessionJob>)> {
    let worker_id = Uuid::new_v4();
    sqlx::query("INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES ($1, 'test', 1, 'test', now() + interval '1 day')")
        .bind(worker_id)
        .execute(&db.pool)
        .await?;
    sqlx::query("UPDATE wa.lease SET holder = $1, epoch = epoch + 1").bind(worker_id).execute(&db.pool).await?;
    past_the_triggers(&db.pool, "UPDATE wa.session SET status = 'connected', jid = '1@s.whatsapp.net'").await?;
    let (feed, jobs) = mpsc::channel(100);
    let (pool, in_hand) = (db.pool.clone().into(), InHand::default());
    Ok((Actions { pool, worker_id, feed, in_hand, places, downloads: places }, jobs))
}

/// The sessions of the claimed actions, in order.
fn claimed(jobs: &mut mpsc::Receiver<SessionJob>) -> Vec<String> {
    let mut sessions: Vec<String> = std::iter::from_fn(|| jobs.try_recv().ok()).map(|job| job.session).collect();
    sessions.sort();
    sessions
}

#[tokio::test]
async fn r9_actions_of_a_tenant_leave_places_to_another_and_run_one_at_a_time_for_each_session() -> Result<()> {
    let db = two_tenants(10).await?;
    let (actions, mut jobs) = actions(&db, 4).await?;
    run(&db.pool, "SELECT wa.list_groups('acme' || n) FROM generate_series(1, 10) n, generate_series(1, 5)").await?;
    actions.claim().await?;
    let first = claimed(&mut jobs);
    ensure!(first.len() == 3 && first.iter().collect::<HashSet<_>>().len() == 3, "{first:?}");
    ensure!(actions.claim().await? == 0, "one tenant took all places");
    run(&db.pool, "SELECT wa.list_groups('bolt'), wa.list_groups('bolt')").await?;
    actions.claim().await?;
    ensure!(claimed(&mut jobs) == ["bolt"]);
    // Another session of the tenant comes next, not the next job of this one.
    run(
        &db.pool,
        &format!(
            "UPDATE wa.session_job SET status = 'done', worker_id = NULL WHERE status = 'running' AND session = '{}'",
            first[0]
        ),
    )
    .await?;
    ensure!(actions.claim().await? == 0, "the last place went to a tenant that has two");
    run(
        &db.pool,
        "UPDATE wa.session_job SET status = 'done', worker_id = NULL WHERE status = 'running' AND session = 'bolt'",
    )
    .await?;
    actions.claim().await?;
    ensure!(claimed(&mut jobs) == ["bolt"], "the tenant with least does not come first");
    Ok(())
}

#[tokio::test]
async fn m9_an_action_waits_for_an_earlier_change_of_the_connection_and_a_dead_workers_action_is_run_again()
-> Result<()> {
    let db = two_tenants(2).await?;
    let (actions, mut jobs) = actions(&db, 4).await?;
    run(
        &db.pool,
        "INSERT INTO wa.session_job (session, kind) VALUES ('acme1', 'reconnect');
         SELECT wa.list_groups('acme1'), wa.list_groups('acme2'), wa.list_groups('acme2')",
    )
    .await?;
    actions.claim().await?;
    ensure!(claimed(&mut jobs) == ["acme2"]);
    // As a dead worker leaves it.
    run(&db.pool, "UPDATE wa.session_job SET worker_id = gen_random_uuid() WHERE status = 'running'").await?;
    actions.claim().await?;
    ensure!(claimed(&mut jobs) == ["acme2"]);
    let again = "SELECT count(*) FROM wa.session_job WHERE session = 'acme2' AND status = 'running' AND attempts = 2";
    ensure!(one::<i64>(&db.pool, again).await? == 1, "another action was claimed instead");
    run(&db.pool, "UPDATE wa.session_job SET status = 'done' WHERE kind = 'reconnect'").await?;
    actions.claim().await?;
    ensure!(claimed(&mut jobs) == ["acme1"]);
    Ok(())
}

#[tokio::test]
async fn r9_jobs_that_change_connections_of_a_tenant_leave_places_to_another() -> Result<()> {
    let db = two_tenants(40).await?;
    let (Actions { pool, worker_id, feed, in_hand, .. }, mut jobs) = actions(&db, 8).await?;
    let connecting = Connecting { pool, worker_id, feed, in_hand, places: 8 };
    run(&db.pool, "SELECT wa.logout('acme' || n) FROM generate_series(1, 40) n").await?;
    connecting.claim().await?;
    let mut first: Vec<SessionJob> = std::iter::from_fn(|| jobs.try_recv().ok()).collect();
    ensure!(first.len() == 7, "{} of 8 places", first.len());
    ensure!(connecting.claim().await? == 0, "one tenant took all places");
    run(&db.pool, "SELECT wa.connect('bolt')").await?;
    connecting.claim().await?;
    let other: Vec<SessionJob> = std::iter::from_fn(|| jobs.try_recv().ok()).collect();
    ensure!(other.len() == 1 && other[0].session == "bolt", "{other:?}");
    // A job that only waits has no place; its session's next job waits for it all the same.
    let waiting = first.pop().context("a job")?;
    let wait = waiting.hand.wait(10);
    connecting.claim().await?;
    ensure!(claimed(&mut jobs).is_empty(), "the last place went to a tenant that has six");
    run(&db.pool, "UPDATE wa.session_job SET status = 'done', worker_id = NULL WHERE session = 'bolt'").await?;
    connecting.claim().await?;
    let next = claimed(&mut jobs);
    ensure!(next.len() == 1 && next[0] != waiting.session, "{next:?}");
    drop(wait);
    Ok(())
}

#[tokio::test]
async fn r8_r9_jobs_whose_sessions_an_application_has_locked_take_no_turn_from_others() -> Result<()> {
    let db = two_tenants(20).await?;
    let (Actions { pool, worker_id, feed, in_hand, .. }, mut jobs) = actions(&db, 4).await?;
    let connecting = Connecting { pool, worker_id, feed, in_hand, places: 4 };
    run(&db.pool, "SELECT wa.logout('acme' || n) FROM generate_series(1, 20) n").await?;
    let mut application = db.pool.begin().await?;
    sqlx::raw_sql("SELECT id FROM wa.session_job ORDER BY id LIMIT 8 FOR UPDATE").execute(&mut *application).await?;
    connecting.claim().await?;
    ensure!(claimed(&mut jobs).len() == 3, "those behind the locked ones were not claimed");
    application.rollback().await?;
    Ok(())
}

/// Pages that a statement reads, with these parameters.
async fn pages(pool: &PgPool, sql: &str, worker: Uuid, most: Option<i64>) -> Result<i64> {
    let kinds: Vec<String> = ["reconnect", "list_groups", "download"].map(str::to_owned).into();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}");
    let mut query = sqlx::query_scalar(AssertSqlSafe(explain)).bind(worker).bind(kinds);
    if let Some(most) = most {
        query = query.bind(most).bind(Vec::<i64>::new());
    }
    let plan: Value = query.fetch_one(pool).await?;
    let read = |name: &str| plan[0]["Plan"][name].as_i64().with_context(|| plan.to_string());
    Ok(read("Shared Hit Blocks")? + read("Shared Read Blocks")?)
}

#[tokio::test]
async fn r9_a_claim_reads_few_pages_whether_a_tenant_has_ten_actions_or_a_hundred_thousand() -> Result<()> {
    let db = two_tenants(1).await?;
    let (actions, mut jobs) = actions(&db, 4).await?;
    let statements = [
        (include_str!("../../sql/jobs/next_actions.sql"), None),
        (include_str!("../../sql/jobs/next_connections.sql"), Some(16)),
    ];
    let mut read = vec![];
    for many in [10, 100_000] {
        let insert = format!(
            "INSERT INTO wa.session_job (session, session_id, kind)
             SELECT name, session_id, CASE n % 2 WHEN 0 THEN 'list_groups' ELSE 'download' END
             FROM wa.session, generate_series(1, {many}) n WHERE name = 'acme1'"
        );
        past_the_triggers(&db.pool, &insert).await?;
        run(&db.pool, "VACUUM ANALYZE wa.session_job").await?;
        for (sql, most) in statements {
            read.push(pages(&db.pool, sql, actions.worker_id, most).await?);
        }
    }
    ensure!(read.iter().all(|pages| *pages < 200), "pages with few and with many: {read:?}");
    let bolt: i64 = one(&db.pool, "SELECT wa.list_groups('bolt')").await?;
    actions.claim().await?;
    let jobs: Vec<i64> = std::iter::from_fn(|| jobs.try_recv().ok()).map(|job| job.id).collect();
    ensure!(jobs.contains(&bolt) && jobs.len() == 3, "{jobs:?}");
    Ok(())
}
