//! Calls to the partner as jobs: retries, the breaker, the pace, and workers that die.

use super::partner::{Partner, Reply, checked};
use super::stage::{activate, holds, linked, on};
use crate::support::db::{TestDb, fresh};
use crate::support::in_process::InProcessWorker;
use crate::support::logins::run;
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wagres::config::{Config, KeySource};

fn worker(db: &TestDb, partner: &Partner) -> Result<InProcessWorker> {
    worker_with(db, partner, |_| {})
}

fn worker_with(db: &TestDb, partner: &Partner, change: impl FnOnce(&mut Config)) -> Result<InProcessWorker> {
    InProcessWorker::with_config(db, |config| {
        on(config, Some(partner));
        config.marketplace.base_url = Some("https://wa.example.org/".into());
        change(config);
    })
}

#[tokio::test]
async fn h6_a_refusal_is_final_and_the_next_activation_has_a_key_of_its_own() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::start(|n| Reply::Status(if n == 0 { 400 } else { 301 })).await?;
    let worker = worker(&db, &partner)?;
    let id = linked(&db, 7).await?;
    ensure!(activate(&db, id).await? == "activating");
    holds(&db.pool, "SELECT status = 'failed' FROM wa.company").await?;
    let (attempts, code, response): (i32, i32, String) =
        sqlx::query_as("SELECT attempts, code, response FROM wa.partner_call WHERE kind = 'callback'")
            .fetch_one(&db.pool)
            .await?;
    ensure!((attempts, code) == (1, 400) && response.contains("success"), "{attempts} {code} {response}");
    ensure!(activate(&db, id).await? == "activating");
    // A redirect leads the browser of a user on.
    holds(&db.pool, "SELECT status = 'active' FROM wa.company").await?;
    let callbacks = partner.callbacks();
    let keys: BTreeSet<String> =
        callbacks.iter().map(|it| checked(it, 7, "https://wa.example.org")).collect::<Result<_>>()?;
    ensure!(callbacks.len() == 2 && keys.len() == 2, "{callbacks:?}");
    ensure!(activate(&db, id).await? == "active");
    worker.stop().await
}

#[tokio::test]
async fn h6_a_call_is_tried_four_times_and_the_status_says_why_it_failed() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::start(|n| Reply::Status([500, 502, 503, 504][n.min(3)])).await?;
    let worker = worker(&db, &partner)?;
    let id = linked(&db, 7).await?;
    activate(&db, id).await?;
    holds(&db.pool, "SELECT status = 'failed' FROM wa.company").await?;
    ensure!(partner.callbacks().len() == 4);
    let (attempts, error, seconds): (i32, String, f64) = sqlx::query_as(
        "SELECT attempts, last_error, extract(epoch FROM finished_at - created_at)::float8 FROM wa.partner_call WHERE kind = 'callback'",
    )
    .fetch_one(&db.pool)
    .await?;
    ensure!(attempts == 4 && error == "HTTP 504" && seconds >= 7.0, "{attempts} {error} {seconds}");
    ensure!(sqlx::query_scalar::<_, i64>("SELECT count(*) FROM wa.partner_key").fetch_one(&db.pool).await? == 0);
    worker.stop().await
}

#[tokio::test]
async fn h6_a_profile_that_comes_slowly_is_read_and_one_that_breaks_off_is_asked_for_again() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::with(
        |_| Reply::Status(200),
        |n| if n == 0 { Reply::Half } else { Reply::Slow(Duration::from_secs(2)) },
    )
    .await?;
    let worker = worker(&db, &partner)?;
    linked(&db, 7).await?;
    holds(&db.pool, "SELECT name = 'Salon Anna' AND business_type = 'Beauty salon' FROM wa.company").await?;
    holds(&db.pool, "SELECT status = 'done' AND attempts = 2 FROM wa.partner_call WHERE kind = 'profile'").await?;
    ensure!(partner.asked().len() == 2, "{:?}", partner.asked());
    worker.stop().await
}

#[tokio::test]
async fn h6_a_company_is_tested_once_after_its_first_connection() -> Result<()> {
    let db = fresh().await;
    for salon in 1..=3 {
        linked(&db, salon).await?;
    }
    let test = "SELECT wa.test_companies('+15550009', 'It works')";
    let tested = async || sqlx::query_scalar::<_, i32>(test).fetch_one(&db.pool).await;
    let pass = async |session: &str, statuses: &[&str]| -> Result<()> {
        for status in statuses {
            run(&db.pool, &format!("UPDATE wa.session SET status = '{status}' WHERE name = '{session}'")).await?;
        }
        Ok(())
    };
    ensure!(tested().await? == 0, "nobody is connected");
    run(&db.pool, "UPDATE wa.company SET status = 'frozen' WHERE salon_id = 3").await?;
    for session in ["company_1", "company_3"] {
        pass(session, &["linking", "connected"]).await?;
    }
    ensure!((tested().await?, tested().await?) == (1, 0));
    pass("company_1", &["disconnected", "connecting", "connected"]).await?;
    pass("company_2", &["linking", "connected"]).await?;
    ensure!((tested().await?, tested().await?) == (1, 0), "only the second one is new");
    let sent = "SELECT array_agg(session ORDER BY session) = '{company_1,company_2}' AND bool_and(recipient = '+15550009' AND body = 'It works') FROM wa.outbound";
    holds(&db.pool, sent).await
}

#[tokio::test]
async fn h6_five_failures_in_a_row_open_the_breaker_and_one_success_closes_it() -> Result<()> {
    let db = fresh().await;
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let partner = Partner::with(
        |_| Reply::Status(200),
        move |_| Reply::Status(if is_well.load(Ordering::Relaxed) { 200 } else { 503 }),
    )
    .await?;
    let worker = worker_with(&db, &partner, |config| config.marketplace.partner_concurrency = 1)?;
    for salon in 1..=8 {
        linked(&db, salon).await?;
    }
    holds(&db.pool, "SELECT failures = 5 AND open_until > now() + interval '50 s' FROM wa.partner").await?;
    let before = partner.asked().len();
    ensure!(before == 5, "{before}");
    // Half open: a probe that fails opens it again.
    run(&db.pool, "UPDATE wa.partner_call SET run_at = now(); UPDATE wa.partner SET open_until = now()").await?;
    holds(&db.pool, "SELECT failures = 6 AND open_until > now() + interval '50 s' FROM wa.partner").await?;
    ensure!(partner.asked().len() == 6, "more than one probe");
    well.store(true, Ordering::Relaxed);
    run(&db.pool, "UPDATE wa.partner_call SET run_at = now(); UPDATE wa.partner SET open_until = now()").await?;
    holds(&db.pool, "SELECT failures = 0 AND open_until IS NULL FROM wa.partner").await?;
    holds(&db.pool, "SELECT count(*) = 8 FROM wa.company WHERE name = 'Salon Anna'").await?;
    worker.stop().await
}

#[tokio::test]
async fn h6_the_pace_holds_over_all_workers() -> Result<()> {
    let db = fresh().await;
    for salon in 1..=20 {
        linked(&db, salon).await?;
    }
    run(
        &db.pool,
        "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
                   SELECT gen_random_uuid(), 'h', n, '1', now() + interval '1 hour' FROM generate_series(1, 2) n",
    )
    .await?;
    let take = |worker: i32| {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM wa.worker w, LATERAL wa.claim_partner_calls(w.worker_id, 100, 200, 5, '1 minute') WHERE w.pid = $1",
        )
        .bind(worker)
        .fetch_one(&db.pool)
    };
    run(&db.pool, "UPDATE wa.partner SET tokens_at = now() - interval '1 hour'").await?;
    ensure!(take(1).await? == 5, "five at once");
    ensure!(take(2).await? == 0, "five at once over all");
    let done = "SELECT wa.record_partner_call(call_id, claim, 'done', 200, NULL, NULL, NULL, NULL, NULL) FROM wa.partner_call WHERE status = 'running'";
    run(&db.pool, done).await?;
    // 195 a minute and five at once are 200 in any minute.
    run(&db.pool, "UPDATE wa.partner SET tokens = 0, tokens_at = now() - interval '1 second'").await?;
    ensure!(take(2).await? == 3, "the rate");
    run(&db.pool, done).await?;
    run(&db.pool, "UPDATE wa.partner SET tokens = 0, tokens_at = now() + interval '1 minute'").await?;
    ensure!(take(1).await? == 0, "beyond the rate");
    Ok(())
}

#[tokio::test]
async fn h6_a_killed_workers_call_is_made_by_another_one_and_its_outcome_is_discarded() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::start(|n| if n == 0 { Reply::Never } else { Reply::Status(200) }).await?;
    let id = linked(&db, 7).await?;
    activate(&db, id).await?;
    let killed = worker(&db, &partner)?;
    partner.called(1).await?;
    let claim: uuid::Uuid =
        sqlx::query_scalar("SELECT claim FROM wa.partner_call WHERE status = 'running' AND kind = 'callback'")
            .fetch_one(&db.pool)
            .await?;
    drop(killed);
    run(&db.pool, "UPDATE wa.worker SET lease_until = now()").await?;
    let other = worker(&db, &partner)?;
    holds(&db.pool, "SELECT status = 'active' FROM wa.company").await?;
    let keys: BTreeSet<String> =
        partner.callbacks().iter().map(|it| checked(it, 7, "https://wa.example.org")).collect::<Result<_>>()?;
    ensure!(keys.len() == 1, "one call, one key: {keys:?}");
    let held: bool = sqlx::query_scalar(
        "SELECT wa.record_partner_call((SELECT max(call_id) FROM wa.partner_call WHERE kind = 'callback'), $1, 'failed', 500, 'late', NULL, NULL, NULL, NULL)",
    )
    .bind(claim)
    .fetch_one(&db.pool)
    .await?;
    ensure!(!held, "the outcome of a dead worker counts");
    holds(&db.pool, "SELECT status = 'active' FROM wa.company").await?;
    other.stop().await
}

#[tokio::test]
async fn h6_a6_an_api_key_on_its_way_is_sealed_with_the_key_in_force() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::start(|_| Reply::Never).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("key");
    std::fs::write(&file, "07".repeat(32))?;
    let worker = worker_with(&db, &partner, |config| {
        config.encryption.key = Some("k1".into());
        let source = KeySource { file: Some(file), ..KeySource::default() };
        config.encryption.keys.insert("k1".into(), source);
    })?;
    let id = linked(&db, 7).await?;
    activate(&db, id).await?;
    let asked = partner.called(1).await?;
    let key = checked(&asked[0], 7, "https://wa.example.org")?;
    holds(&db.pool, "SELECT value ->> 'type' = 'Sealed' FROM wa.partner_key").await?;
    let kept: String = sqlx::query_scalar("SELECT value::text FROM wa.partner_key").fetch_one(&db.pool).await?;
    ensure!(!kept.contains(&BASE64_STANDARD.encode(key)), "{kept}");
    drop(worker);
    Ok(())
}

#[tokio::test]
async fn h6_a_partner_that_does_not_answer_in_time_is_asked_again() -> Result<()> {
    ensure!(Config::default().marketplace.partner_timeout() == Duration::from_secs(30), "the limit without a setting");
    let db = fresh().await;
    let partner = Partner::start(|n| if n == 0 { Reply::Never } else { Reply::Status(200) }).await?;
    let worker = worker_with(&db, &partner, |config| config.marketplace.partner_timeout_seconds = 1)?;
    let id = linked(&db, 7).await?;
    activate(&db, id).await?;
    holds(&db.pool, "SELECT attempts = 1 AND code IS NULL AND last_error = 'no answer within 1 s' FROM wa.partner_call WHERE kind = 'callback'").await?;
    holds(&db.pool, "SELECT status = 'active' FROM wa.company").await?;
    ensure!(partner.callbacks().len() == 2, "{:?}", partner.callbacks());
    worker.stop().await
}
