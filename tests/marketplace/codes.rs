//! The codes of errors (H4), and what settings add to the answers.

use super::partner::{Partner, Reply};
use super::stage::{
    PARTNER_TOKEN, call, enter, entry, holds, json_of, linked, on, pages, register, while_locked, worker,
};
use crate::support::db::{fresh, fresh_on_its_own};
use crate::support::in_process::InProcessWorker;
use crate::support::until::until;
use crate::support::world::{Worker, World};
use crate::web::Pages;
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};

const NUMBER: &str = "15550001";

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

#[tokio::test]
async fn h4_without_a_worker_the_code_is_qr_expired_and_a_link_that_fails_is_connection_failed() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let (_, token) = register(&pages, 7).await?;
    let (header, nothing) = ([&*bearer(&token)], Value::Null);
    let (status, answer) = call(&pages, "POST /api/qr", &header, &nothing).await?;
    ensure!(status == 410 && answer["code"] == "QR_EXPIRED" && answer["success"] == false, "{status} {answer}");
    // As a worker ends a linking that WhatsApp refuses.
    let fails = async {
        until("a linking", async || {
            let failed = sqlx::query(
                "WITH job AS (
                     UPDATE wa.session_job SET status = 'failed', last_error = 'WhatsApp refused', finished_at = now()
                     WHERE kind = 'link' AND status = 'queued' RETURNING session_id
                 )
                 UPDATE wa.session s SET status = 'stopped', desired = 'stopped' FROM job WHERE s.session_id = job.session_id",
            );
            let changed = failed.execute(&db.pool).await?.rows_affected();
            Ok(if changed == 1 { Ok(()) } else { Err("nothing") })
        })
        .await
    };
    sqlx::query("UPDATE wa.session_job SET status = 'cancelled', finished_at = now()").execute(&db.pool).await?;
    sqlx::query("UPDATE wa.session SET status = 'stopped', desired = 'stopped'").execute(&db.pool).await?;
    let (answer, failed) = tokio::join!(call(&pages, "POST /api/qr", &header, &nothing), fails);
    failed?;
    let (status, answer) = answer?;
    ensure!(status == 500 && answer["code"] == "CONNECTION_FAILED", "{status} {answer}");
    ensure!(answer["error"] == "WhatsApp refused", "{answer}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h4_h6_a_partner_that_refuses_is_partner_failed() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::start(|_| Reply::Status(400)).await?;
    let worker = InProcessWorker::with_config(&db, |config| {
        on(config, Some(&partner));
        config.marketplace.base_url = Some("https://wa.example.org/".into());
    })?;
    let pages = pages(&db).await?;
    let (_, token) = register(&pages, 7).await?;
    linked(&db, 7).await?;
    let (status, answer) = call(&pages, "POST /marketplace/activate", &[], &json!({ "token": token })).await?;
    ensure!(status == 502 && answer["code"] == "PARTNER_FAILED", "{status} {answer}");
    ensure!(answer["error"].as_str().is_some_and(|it| it.contains("HTTP 400")), "{answer}");
    holds(&db.pool, "SELECT status = 'failed' FROM wa.company").await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h4_h6_of_activations_at_the_same_time_one_is_begun_and_all_others_are_conflicts() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let (_, token) = register(&pages, 7).await?;
    linked(&db, 7).await?;
    let body = json!({ "token": token });
    let calls = join_all((0..8).map(|_| call(&pages, "POST /marketplace/activate", &[], &body)));
    let mut answers: Vec<_> = while_locked(&db, 7, calls).await?.into_iter().collect::<Result<_>>()?;
    answers.sort_by_key(|(status, _)| *status);
    ensure!(answers[0].0 == 202 && answers[0].1["status"] == "activating", "{answers:?}");
    ensure!(
        answers[1..].iter().all(|(status, it)| *status == 409 && it["code"] == "ACTIVATION_IN_PROGRESS"),
        "{answers:?}"
    );
    holds(&db.pool, "SELECT activations = 1 FROM wa.company_numbers").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_registrations_at_the_same_time_wait_for_their_turn() -> Result<()> {
    let db = fresh().await;
    let (one, other) = (pages(&db).await?, pages(&db).await?);
    let (id, _) = register(&one, 7).await?;
    let calls = join_all((0..12).map(|n| register(if n % 2 == 0 { &one } else { &other }, 7)));
    for registered in while_locked(&db, 7, calls).await? {
        ensure!(registered?.0 == id);
    }
    holds(&db.pool, "SELECT entered = 13 FROM wa.company_numbers").await?;
    one.stop().await;
    other.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_a_link_page_activates_with_one_connection_for_changes() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        on(config, None);
        config.web.connections = 4;
    })
    .await?;
    let page = enter(&pages, 7).await?;
    linked(&db, 7).await?;
    let answer = pages.post(&format!("{page}/activate"), "", "").await?;
    ensure!(answer.status == 200, "{answer:?}");
    holds(&db.pool, "SELECT status = 'activating' FROM wa.company").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h4_a_database_that_is_away_is_db_error_and_says_when_to_try_again() -> Result<()> {
    let (db, server) = fresh_on_its_own().await;
    let pages = pages(&db).await?;
    let (id, token) = register(&pages, 7).await?;
    server.stop("fast").await?;
    let lines = [format!("GET /marketplace/status/{id}"), "POST /api/qr".into(), "GET /api/status/company_7".into()];
    for line in lines {
        let answer = pages.request(&line, &[&bearer(&token)], "").await?;
        ensure!(answer.status == 503 && answer.header("retry-after") == Some("5"), "{line}: {answer:?}");
        ensure!(json_of(&answer)?["code"] == "DB_ERROR", "{line}: {answer:?}");
    }
    server.restart("fast").await?;
    until("the database", async || {
        let answer = pages.request("GET /api/status/company_7", &[&bearer(&token)], "").await?;
        Ok(if answer.status == 200 { Ok(()) } else { Err(answer.status) })
    })
    .await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_whoever_comes_from_the_partner_is_led_to_a_page_of_the_operators_own() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        on(config, None);
        config.marketplace.page_url = Some("https://front.example.org/link".into());
    })
    .await?;
    let answer = pages.request(&format!("GET {}", entry(11, &json!({ "id": 5 }), PARTNER_TOKEN)), &[], "").await?;
    let to = answer.header("location").context("no location")?;
    let token = to.strip_prefix("https://front.example.org/link?token=").context("another page")?;
    ensure!(answer.status == 303, "{answer:?}");
    let (status, shown) = call(&pages, "GET /api/status/company_11", &[&bearer(token)], &Value::Null).await?;
    ensure!(status == 200 && shown["salon_id"] == 11, "{shown}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_with_the_setting_a_qr_code_comes_with_a_pairing_code() -> Result<()> {
    let partner = Partner::start(|_| Reply::Status(200)).await?;
    let world = World::new().await?;
    world.phone(NUMBER).await?;
    let pages = Pages::with(&world.db, |config| {
        on(config, None);
        config.marketplace.pairing_code = true;
        config.marketplace.phone = Some(format!("+{NUMBER}"));
    })
    .await?;
    let worker = Worker::start(worker(&world, &partner)).await?;
    let (_, token) = register(&pages, 7).await?;
    let code = until("a pairing code", async || {
        let (status, shown) = call(&pages, "POST /api/qr", &[&bearer(&token)], &Value::Null).await?;
        ensure!(status == 200 && shown["qr"].is_string(), "{status} {shown}");
        Ok(shown["pairing_code"].as_str().map(str::to_owned).ok_or(shown))
    })
    .await?;
    world.control.post(&format!("/phones/{NUMBER}/confirm"), json!({ "code": code })).await?;
    holds(world.pool(), "SELECT status = 'connected' FROM wa.session").await?;
    let (_, shown) = call(&pages, "POST /api/qr", &[&bearer(&token)], &Value::Null).await?;
    ensure!(shown["connected"] == true && shown["phone"] == format!("+{NUMBER}"), "{shown}");
    pages.stop().await;
    worker.stop().await
}
