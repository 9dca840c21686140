//! R11, S9: maintenance jobs that a worker has claimed and does not have in hand, and jobs that must be prompt.

use super::maintenance::{db_with_shop, expired_keys, job, job_is, run};
use super::{holds, one};
use crate::support::db::TestDb;
use crate::support::in_process::InProcessWorker;
use crate::support::poison::refuse_first;
use crate::support::relay::Relay;
use anyhow::{Result, ensure};

const UNKNOWN: &str = "the answer to its claim was lost, or its outcome was refused";

/// The worker lives on, so nobody else may take its job; and the schedule folds each tick into a job that seems to run.
#[tokio::test]
async fn r11_a_maintenance_job_whose_claim_is_not_answered_runs_again() -> Result<()> {
    let db = db_with_shop().await?;
    let relay = Relay::to(&db.url).await?;
    let through = TestDb { pool: db.pool.clone(), url: relay.url.clone() };
    let worker = InProcessWorker::start(&through)?;
    job_is(&db, job(&db, "sweep_keys", "{}").await?, "done").await?;
    relay.lose_answer_to("Claims due maintenance jobs");
    run(&db, "SELECT wa.schedule('x', '0 0 1 1 *', 'sweep_keys')").await?;
    let id: i64 = one(&db.pool, "SELECT wa.run_now('x')").await?;
    relay.answer_is_lost().await?;
    let row = job_is(&db, id, "done").await?;
    ensure!(row["attempts"] == 2 && row["errors"][0]["error"] == UNKNOWN, "{row}");
    let next: i64 = one(&db.pool, "SELECT wa.run_now('x')").await?;
    ensure!(next > id, "the tick was folded into the lost job");
    worker.stop().await
}

#[tokio::test]
async fn r11_a_maintenance_job_whose_outcome_is_refused_is_given_back() -> Result<()> {
    let db = db_with_shop().await?;
    refuse_first(&db.pool, 5, "maintenance_job", "NEW.status = 'done'", "P0001").await?;
    let worker = InProcessWorker::start(&db)?;
    let row = job_is(&db, job(&db, "sweep_keys", "{}").await?, "done").await?;
    ensure!(row["attempts"] == 2 && row["errors"][0]["error"] == UNKNOWN, "{row}");
    worker.stop().await
}

#[tokio::test]
async fn s9_a_health_check_does_not_wait_for_long_housekeeping() -> Result<()> {
    let db = db_with_shop().await?;
    expired_keys(&db, 1000).await?;
    let worker = InProcessWorker::start(&db)?;
    let long = job(&db, "sweep_keys", r#"{"batch": 1, "pause_ms": 60}"#).await?;
    let next = job(&db, "retention", r#"{"dry_run": true}"#).await?;
    holds(&db.pool, &format!("SELECT result IS NOT NULL FROM wa.maintenance_job WHERE id = {long}")).await?;
    for kind in ["check_sessions", "close_idle", "resource_report"] {
        job_is(&db, job(&db, kind, "{}").await?, "done").await?;
    }
    let others = format!(
        "SELECT string_agg(status::text, ' ' ORDER BY id) FROM wa.maintenance_job WHERE id IN ({long}, {next})"
    );
    let others: String = one(&db.pool, &others).await?;
    // The next long job may have been claimed to follow at once.
    ensure!(others == "running queued" || others == "running running", "{others}");
    worker.stop().await
}
