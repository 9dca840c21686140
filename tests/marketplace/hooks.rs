//! What the partner tells of companies: uninstall and freeze.

use super::partner::{Partner, Reply};
use super::stage::{PARTNER_TOKEN, activate, call, enter, holds, linked, on, pages, register, scan, worker};
use crate::support::db::fresh;
use crate::support::in_process::InProcessWorker;
use crate::support::until::until;
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

/// The session has neither a job that connects it nor the wish for one.
const CLOSED: &str = "SELECT desired = 'stopped' AND NOT EXISTS (
    SELECT FROM wa.session_job j WHERE j.session_id = s.session_id AND j.kind IN ('link', 'connect') AND j.status IN ('queued', 'running'))
    FROM wa.session s";

#[tokio::test]
async fn h6_s2_a_frozen_company_stays_closed_until_somebody_comes_for_it_again() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let page = enter(&pages, SALON).await?;
    ensure!(pages.post(&format!("{page}/start"), "", "").await?.status == 200);
    ensure!(tell(&pages, &event(SALON, "freeze")).await? == "closed");
    // Neither its old pages link it, nor one that is made now.
    let url: String = sqlx::query_scalar("SELECT wa.link_url($1)").bind(SESSION).fetch_one(&db.pool).await?;
    let (_, secret) = url.rsplit_once('/').unwrap_or_default();
    for page in [&page, &format!("/link/{secret}")] {
        let started = pages.post(&format!("{page}/start"), "", "").await?;
        ensure!(started.status == 422 && started.body.contains("This link is not"), "{started:?}");
        let shown = pages.get(page, "").await?;
        ensure!(shown.status == 200 && shown.body.contains("This link has been revoked"), "{shown:?}");
    }
    holds(&db.pool, CLOSED).await?;
    ensure!(tell(&pages, &event(SALON, "freeze")).await? == "duplicate");
    // An operator may connect it, and the partner may freeze it again.
    sqlx::query("UPDATE wa.session SET jid = '1@s.whatsapp.net'").execute(&db.pool).await?;
    sqlx::query("SELECT wa.connect($1)").bind(SESSION).execute(&db.pool).await?;
    ensure!(tell(&pages, &event(SALON, "freeze")).await? == "closed", "it stays connected");
    holds(&db.pool, CLOSED).await?;
    ensure!(tell(&pages, &event(SALON, "freeze")).await? == "duplicate");
    // The same of one that is uninstalled.
    ensure!(tell(&pages, &event(SALON, "uninstall")).await? == "logged_out");
    ensure!(tell(&pages, &event(SALON, "uninstall")).await? == "duplicate", "the logout is under way");
    sqlx::query("UPDATE wa.session_job SET status = 'done', finished_at = now() WHERE status = 'queued'")
        .execute(&db.pool)
        .await?;
    ensure!(tell(&pages, &event(SALON, "uninstall")).await? == "logged_out", "the phone is still linked");
    sqlx::query("UPDATE wa.session SET jid = NULL").execute(&db.pool).await?;
    ensure!(tell(&pages, &event(SALON, "uninstall")).await? == "duplicate");
    // An owner who comes from the partner again gets a new link page.
    let new = enter(&pages, SALON).await?;
    ensure!(pages.post(&format!("{page}/start"), "", "").await?.status == 422, "the old page");
    ensure!(pages.post(&format!("{new}/start"), "", "").await?.status == 200);
    holds(&db.pool, "SELECT desired = 'connected' FROM wa.session").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_a_freeze_ends_the_callback_that_is_under_way() -> Result<()> {
    let db = fresh().await;
    let partner = Partner::start(|_| Reply::Status(503)).await?;
    let worker = InProcessWorker::with_config(&db, |config| {
        on(config, Some(&partner));
        config.marketplace.base_url = Some("https://wa.example.org/".into());
    })?;
    let id = linked(&db, SALON).await?;
    ensure!(activate(&db, id).await? == "activating");
    holds(&db.pool, "SELECT status = 'queued' AND attempts > 0 FROM wa.partner_call WHERE kind = 'callback'").await?;
    let frozen: String =
        sqlx::query_scalar("SELECT wa.hear_partner($1, 'freeze')").bind(SALON).fetch_one(&db.pool).await?;
    ensure!(frozen == "closed", "{frozen}");
    holds(&db.pool, "SELECT status = 'cancelled' AND last_error = 'the partner froze the company' FROM wa.partner_call WHERE kind = 'callback'").await?;
    holds(&db.pool, "SELECT api_key_hash IS NULL AND NOT EXISTS (SELECT FROM wa.partner_key) FROM wa.company").await?;
    let before = partner.callbacks().len();
    // The worker makes other calls, and this one no more.
    linked(&db, 6).await?;
    holds(&db.pool, "SELECT name = 'Salon Anna' FROM wa.company WHERE salon_id = 6").await?;
    ensure!(partner.callbacks().len() == before, "{:?}", partner.callbacks());
    worker.stop().await?;
    // Nor does the success of one that a worker is making count.
    sqlx::query("SELECT wa.enter_company($1)").bind(SALON).execute(&db.pool).await?;
    ensure!(activate(&db, id).await? == "activating");
    let taken = "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
                 VALUES ('00000000-0000-0000-0000-000000000001', 'h', 1, '1', now() + interval '1 hour');
                 UPDATE wa.partner_call SET status = 'running', claim = '00000000-0000-0000-0000-000000000002', leased_until = now() + interval '1 minute',
                     worker_id = '00000000-0000-0000-0000-000000000001' WHERE kind = 'callback' AND status = 'queued'";
    sqlx::raw_sql(taken).execute(&db.pool).await?;
    sqlx::query("SELECT wa.hear_partner($1, 'freeze')").bind(SALON).execute(&db.pool).await?;
    let held: bool = sqlx::query_scalar(
        "SELECT wa.record_partner_call(max(call_id), '00000000-0000-0000-0000-000000000002', 'done', 200, NULL, NULL, NULL, NULL, NULL)
         FROM wa.partner_call WHERE kind = 'callback'",
    )
    .fetch_one(&db.pool)
    .await?;
    ensure!(!held, "the outcome of a callback that the freeze has ended");
    holds(&db.pool, "SELECT sum(activated) = 0 FROM wa.company_numbers").await?;
    holds(
        &db.pool,
        "SELECT status = 'frozen' AND api_key_hash IS NULL AND activated_at IS NULL FROM wa.company WHERE salon_id = 5",
    )
    .await
}

/// A link page is used while the partner's freeze is not committed yet.
#[tokio::test]
async fn h6_s2_no_link_page_begins_beside_a_freeze() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let page = enter(&pages, SALON).await?;
    let mut freeze = db.pool.begin().await?;
    sqlx::query("SELECT wa.hear_partner($1, 'freeze')").bind(SALON).execute(&mut *freeze).await?;
    let path = format!("{page}/start");
    let freezes = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("a link page that waits", async || {
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&db.pool).await?;
            Ok(if count > 0 { Ok(()) } else { Err(count) })
        })
        .await?;
        Ok(freeze.commit().await?)
    };
    let (started, frozen): (_, Result<()>) = tokio::join!(pages.post(&path, "", ""), freezes);
    frozen?;
    let started = started?;
    ensure!(started.status == 422, "{started:?}");
    holds(&db.pool, CLOSED).await?;
    pages.stop().await;
    Ok(())
}
