//! What the partner tells of companies: uninstall and freeze.

use super::partner::{Partner, Reply};
use super::stage::{PARTNER_TOKEN, activate, call, enter, holds, linked, on, pages, register, scan, worker};
use crate::support::db::fresh;
use crate::support::world::{Worker, World};
use crate::web::Pages;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

const SALON: i64 = 5;
const SESSION: &str = "company_5";

/// Tells of a company; the answer is always 200.
async fn tell(pages: &Pages, event: &Value) -> Result<String> {
    let (status, answer) = call(pages, "POST /webhook/yclients", &[], event).await?;
    ensure!(status == 200, "{status} {answer}");
    Ok(answer["action"].as_str().unwrap_or_default().to_owned())
}

fn event(salon: i64, name: &str) -> Value {
    json!({ "salon_id": salon, "application_id": 18289, "event": name, "partner_token": PARTNER_TOKEN })
}

#[tokio::test]
async fn h6_freeze_closes_and_uninstall_logs_out_each_once() -> Result<()> {
    let partner = Partner::start(|_| Reply::Status(200)).await?;
    let world = World::new().await?;
    world.phone("15550001").await?;
    let pages = pages(&world.db).await?;
    let worker = Worker::start(worker(&world, &partner)).await?;
    let page = enter(&pages, SALON).await?;
    ensure!(pages.post(&format!("{page}/start"), "", "").await?.status == 200);
    scan(&world, SESSION, "15550001").await?;

    ensure!(tell(&pages, &event(SALON, "freeze")).await? == "closed");
    world.session_is(SESSION, "stopped").await?;
    ensure!(world.count("SELECT count(*) FROM wa.auth").await? == 1, "the auth state of a frozen company is gone");
    ensure!(tell(&pages, &event(SALON, "freeze")).await? == "duplicate");
    ensure!(sqlx::query_scalar::<_, i32>("SELECT seen FROM wa.partner_hook").fetch_one(world.pool()).await? == 2);

    // Somebody comes back: the session connects without a scan.
    let (id, token) = register(&pages, SALON).await?;
    let header = format!("authorization: Bearer {token}");
    call(&pages, "POST /api/qr", &[&header], &Value::Null).await?;
    world.session_is(SESSION, "connected").await?;
    let (status, done) = call(&pages, "POST /marketplace/activate", &[], &json!({ "token": token })).await?;
    ensure!(status == 200, "{done}");
    // What is told after that is new, also within 24 hours.
    let told = call(&pages, &format!("POST /marketplace/webhook/{id}"), &[], &event(SALON, "uninstall")).await?;
    ensure!(told.0 == 200 && told.1 == json!({ "success": true, "action": "logged_out" }), "{told:?}");
    world.session_is(SESSION, "logged_out").await?;
    holds(world.pool(), "SELECT NOT EXISTS (SELECT FROM wa.auth) AND NOT EXISTS (SELECT FROM wa.auth_key)").await?;
    holds(world.pool(), "SELECT status = 'uninstalled' AND api_key_hash IS NULL FROM wa.company").await?;
    ensure!(tell(&pages, &event(SALON, "uninstall")).await? == "duplicate");
    // Its token opens nothing any more.
    let (status, answer) = call(&pages, "POST /api/qr", &[&header], &Value::Null).await?;
    ensure!(status == 404 && answer["code"] == "COMPANY_NOT_FOUND", "{answer}");
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h6_only_the_partner_is_heard_and_every_answer_is_200() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let id = linked(&db, SALON).await?;
    for (body, action) in [
        (json!({ "salon_id": SALON, "event": "uninstall" }), "refused"),
        (json!({ "salon_id": SALON, "event": "uninstall", "partner_token": "guessed" }), "refused"),
        (json!({ "salon_id": SALON, "event": "uninstall", "partner_token": "" }), "refused"),
        (json!({ "salon_id": SALON, "event": "uninstall", "partner_token": [PARTNER_TOKEN] }), "refused"),
        (
            json!({ "salon_id": SALON, "application_id": 1, "event": "uninstall", "partner_token": PARTNER_TOKEN }),
            "refused",
        ),
        (event(0, "uninstall"), "refused"),
        (json!("uninstall"), "refused"),
        (event(6, "uninstall"), "unknown_company"),
        (event(SALON, "payment"), "ignored"),
        (json!({ "salon_id": SALON, "partner_token": PARTNER_TOKEN }), "ignored"),
    ] {
        ensure!(tell(&pages, &body).await? == action, "{body}: {action}");
    }
    ensure!(
        call(&pages, "POST /marketplace/webhook/99", &[], &event(SALON, "freeze")).await?.1["action"]
            == "unknown_company"
    );
    holds(&db.pool, "SELECT status = 'registered' FROM wa.company").await?;
    // A callback that waits is not made any more.
    ensure!(activate(&db, id).await? == "activating");
    let old = json!({ "salon_id": SALON.to_string(), "event_type": "uninstall", "partner_token": PARTNER_TOKEN });
    ensure!(tell(&pages, &old).await? == "logged_out");
    holds(&db.pool, "SELECT status = 'cancelled' FROM wa.partner_call WHERE kind = 'callback'").await?;
    holds(&db.pool, "SELECT NOT EXISTS (SELECT FROM wa.partner_key)").await?;
    // After a day the same may be told again.
    sqlx::query("UPDATE wa.partner_hook SET received_at = now() - interval '25 hours'").execute(&db.pool).await?;
    ensure!(tell(&pages, &event(SALON, "uninstall")).await? == "logged_out");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_a_company_has_ten_events_a_minute() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| on(config, None)).await?;
    linked(&db, SALON).await?;
    linked(&db, 6).await?;
    let mut actions = vec![];
    for _ in 0..12 {
        actions.push(tell(&pages, &event(SALON, "payment")).await?);
        // Of a stranger, who uses nothing up.
        tell(&pages, &json!({ "salon_id": 6, "event": "freeze", "partner_token": "guessed" })).await?;
    }
    ensure!(actions[..10].iter().all(|it| it == "ignored"), "{actions:?}");
    ensure!(actions[10..].iter().all(|it| it == "limited"), "{actions:?}");
    ensure!(tell(&pages, &event(6, "payment")).await? == "ignored", "another company");
    pages.stop().await;
    Ok(())
}
