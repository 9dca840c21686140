//! Failed messages that are queued again as one job (H2).

use super::{Pages, token, two_tenants};
use crate::support::db::{self, TestDb};
use crate::support::in_process::InProcessWorker;
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::AssertSqlSafe;

/// Failed messages of both sessions, made without sending.
async fn failed(db: &TestDb, each: i64) -> Result<()> {
    two_tenants(db).await?;
    let made = format!(
        "DELETE FROM wa.schedule;
         INSERT INTO wa.outbound (session, recipient, body) SELECT s || '.shop', '+7900123' || 1000 + n, 'x'
         FROM unnest('{{red,blue}}'::text[]) s, generate_series(1, {each}) n;
         UPDATE wa.outbound SET status = 'failed', failed_at = now(), last_error = 'no file',
             failure = CASE WHEN id % 2 = 0 THEN 'media' ELSE 'connection' END"
    );
    sqlx::raw_sql(AssertSqlSafe(made)).execute(&db.pool).await?;
    Ok(())
}

async fn holds(db: &TestDb, condition: &str) -> Result<()> {
    let sql = format!("SELECT {condition}");
    until(&sql, async || {
        let held = sqlx::query_scalar::<_, Option<bool>>(AssertSqlSafe(sql.clone())).fetch_one(&db.pool).await?;
        Ok(if held == Some(true) { Ok(()) } else { Err(format!("{held:?}")) })
    })
    .await
}

#[tokio::test]
async fn h2_a_tenants_operator_retries_its_failed_messages_as_one_job() -> Result<()> {
    let db = db::fresh().await;
    failed(&db, 2500).await?;
    let pages = Pages::start(&db).await?;
    let (red, blue) =
        (token(&db, "red", "operator", Some("red")).await?, token(&db, "blue", "operator", Some("blue")).await?);
    let (red, blue) = (pages.sign_in(&red).await?, pages.sign_in(&blue).await?);
    let answer = pages.post("/act/retry_failed", &red, "failure=media").await?;
    ensure!(answer.status == 200 && answer.body.contains("Retry 1 is queued"), "{answer:?}");
    // Another tenant neither sees nor cancels it.
    ensure!(pages.get("/failures", &red).await?.body.contains("retry-1"), "the job is not shown");
    ensure!(!pages.get("/failures", &blue).await?.body.contains("retry-1"), "another tenant's job is shown");
    ensure!(pages.post("/act/cancel_retry", &blue, "job=1").await?.status >= 400, "another tenant's job is cancelled");
    let worker = InProcessWorker::start(&db)?;
    holds(&db, "(SELECT status = 'done' AND found = 1250 AND retried = 1250 FROM wa.retries)").await?;
    holds(&db, "(SELECT bool_and((status = 'queued' AND failed_at IS NULL AND failure IS NULL) = (session = 'red.shop' AND id % 2 = 0)) FROM wa.outbound)").await?;
    worker.stop().await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_cancelled_retry_stops_and_waits_for_no_lock() -> Result<()> {
    let db = db::fresh().await;
    failed(&db, 300).await?;
    // An application has locked a message, and another one is pausing a campaign.
    sqlx::raw_sql("UPDATE wa.outbound SET campaign = 'may' WHERE id = 3; UPDATE wa.outbound_failed SET campaign = 'may' WHERE id = 3").execute(&db.pool).await?;
    let (mut locking, mut pausing) = (db.pool.begin().await?, db.pool.begin().await?);
    sqlx::raw_sql("SELECT FROM wa.outbound WHERE id = 1 FOR UPDATE").execute(&mut *locking).await?;
    sqlx::raw_sql("SELECT wa.pause_campaign('red.shop', 'may')").execute(&mut *pausing).await?;
    let worker = InProcessWorker::start(&db)?;
    sqlx::raw_sql("SELECT wa.retry_failed('red.shop')").execute(&db.pool).await?;
    holds(&db, "(SELECT status = 'done' AND found = 300 AND retried = 298 FROM wa.retries)").await?;
    drop((locking, pausing));
    let slow = r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('retry_failed', '{"session": "blue.shop", "batch": 1, "pause_ms": 20}')"#;
    sqlx::raw_sql(slow).execute(&db.pool).await?;
    holds(&db, "(SELECT retried > 1 FROM wa.retries ORDER BY id DESC LIMIT 1)").await?;
    sqlx::raw_sql("SELECT wa.cancel_retry(max(id)) FROM wa.retries").execute(&db.pool).await?;
    // Retries run one at a time, so the next one starts when the cancelled one has ended.
    sqlx::raw_sql("SELECT wa.retry_failed(failure => 'server')").execute(&db.pool).await?;
    holds(&db, "(SELECT status = 'done' FROM wa.retries ORDER BY id DESC LIMIT 1)").await?;
    holds(&db, "(SELECT count(*) > 100 FROM wa.outbound WHERE session = 'blue.shop' AND status = 'failed')").await?;
    worker.stop().await
}

#[tokio::test]
async fn h2_a_rare_class_of_failures_is_found_under_a_tenant() -> Result<()> {
    let db = db::fresh().await;
    failed(&db, 2500).await?;
    // The oldest failure of each tenant is the only one of its class.
    let rare = "UPDATE wa.outbound o SET failure = 'worker', failed_at = now() - interval '20 hours', campaign = 'may'
                FROM (SELECT session_id, min(id) AS id FROM wa.outbound GROUP BY session_id) first WHERE o.id = first.id
                RETURNING o.session, o.id";
    let rare: Vec<(String, i64)> = sqlx::query_as(rare).fetch_all(&db.pool).await?;
    sqlx::raw_sql("INSERT INTO wa.campaign (session_id, campaign) SELECT session_id, 'may' FROM wa.session")
        .execute(&db.pool)
        .await?;
    let id_of = |name: &str| rare.iter().find(|(session, _)| session == name).map(|(_, id)| *id);
    let (own, other) = (id_of("red.shop").context("red")?, id_of("blue.shop").context("blue")?);
    let pages = Pages::start(&db).await?;
    for (name, tenant, seen) in [("red", Some("red"), vec![own]), ("ops", None, vec![own, other])] {
        let cookie = pages.sign_in(&token(&db, name, "operator", tenant).await?).await?;
        for path in ["/failures?class=worker", "/failures?campaign=may", "/failures?class=worker&session=red.shop"] {
            let page = pages.get(path, &cookie).await?.body;
            let shown = |id: i64| page.contains(&format!("href=\"/message/{id}\""));
            let wanted: Vec<i64> = seen.iter().copied().filter(|id| !path.contains("red.shop") || *id == own).collect();
            ensure!(
                [own, other].into_iter().filter(|id| shown(*id)).collect::<Vec<_>>() == wanted,
                "{name} {path}: {page}"
            );
            ensure!(page.matches("href=\"/message/").count() == wanted.len(), "{name} {path}: more than these");
        }
        // Without a class the newest are shown, and those of no other tenant.
        let page = pages.get("/failures", &cookie).await?.body;
        ensure!(
            page.matches("href=\"/message/").count() == 50 && !page.contains(&format!("/message/{own}\"")),
            "{name}: {page}"
        );
        ensure!(tenant.is_none() || !page.contains("blue.shop"), "{name}: {page}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_r9_many_retries_of_a_tenant_hold_up_neither_others_nor_checks() -> Result<()> {
    let db = db::fresh().await;
    failed(&db, 300).await?;
    let ask = "SELECT wa.retry_failed('red.shop', 'media')";
    for _ in 0..10 {
        sqlx::raw_sql(ask).execute(&db.pool).await?;
    }
    let refused = sqlx::raw_sql(ask).execute(&db.pool).await.err().and_then(sqlx::Error::into_database_error);
    ensure!(refused.as_ref().and_then(|it| it.code()).as_deref() == Some("WA049"), "{refused:?}");
    // The first takes its time; another tenant asks last.
    sqlx::raw_sql(
        r#"UPDATE wa.maintenance_job SET args = args || '{"batch": 1, "pause_ms": 50}' WHERE id = 1;
           SELECT wa.retry_failed('blue.shop', 'media');
           INSERT INTO wa.maintenance_job (kind) VALUES ('check_sessions')"#,
    )
    .execute(&db.pool)
    .await?;
    let worker = InProcessWorker::start(&db)?;
    holds(&db, "(SELECT status = 'done' FROM wa.maintenance_job WHERE kind = 'check_sessions')").await?;
    holds(&db, "(SELECT count(*) = 11 AND bool_and(status = 'done') FROM wa.retries)").await?;
    let turn = "SELECT count(*) FROM wa.retries r, wa.retries b
                WHERE b.tenants = '{blue}' AND r.tenants = '{red}' AND r.started_at < b.started_at";
    let before: i64 = sqlx::query_scalar(turn).fetch_one(&db.pool).await?;
    ensure!(before == 1, "{before} retries of the other tenant went first");
    let checked = "SELECT c.finished_at < r.finished_at FROM wa.maintenance_job c, wa.maintenance_job r
                   WHERE c.kind = 'check_sessions' AND r.id = 1";
    ensure!(sqlx::query_scalar::<_, bool>(checked).fetch_one(&db.pool).await?, "the check waited for a retry");
    worker.stop().await
}
