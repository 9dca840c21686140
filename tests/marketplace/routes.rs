//! The routes: who may call them, what they accept, and how often.

use super::partner::{Partner, Reply};
use super::stage::{JWT_SECRET, PARTNER_TOKEN, activate, call, holds, linked, on, pages, register, scan, worker};
use crate::support::db::fresh;
use crate::support::world::{Worker, World};
use crate::web::Pages;
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wagres::telemetry;

/// A JWT made by hand, as the older systems make it.
fn jwt(company_id: i64, salon_id: i64, valid: i64, secret: &str) -> Result<String> {
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())?;
    let claims = json!({ "company_id": company_id, "salon_id": salon_id, "type": "marketplace_registration", "iat": now, "exp": now + valid });
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let text = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(&claims.to_string()));
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?.chain_update(&text);
    Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

#[tokio::test]
async fn h6_while_the_marketplace_is_off_its_routes_are_none() -> Result<()> {
    let db = fresh().await;
    for half in [false, true] {
        let pages = Pages::with(&db, |config| {
            if half {
                on(config, None);
                config.marketplace.jwt_secret = None;
            }
        })
        .await?;
        for line in [
            "GET /auth/yclients/redirect?salon_id=1",
            "POST /marketplace/register",
            "GET /marketplace/companies",
            "POST /marketplace/activate",
            "POST /marketplace/webhook/1",
            "POST /webhook/yclients",
            "POST /api/qr",
            "GET /api/status/company_1",
            "GET /marketplace/openapi.json",
        ] {
            let answer = pages.request(line, &[&bearer(PARTNER_TOKEN)], "{}").await?;
            ensure!(answer.status == 404, "{line}: {answer:?}");
        }
        pages.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn h6_fields_are_checked_and_named() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let partner = bearer(PARTNER_TOKEN);
    for (body, field) in [
        (json!({}), "salon_id"),
        (json!({ "salon_id": 0 }), "salon_id"),
        (json!({ "salon_id": -5 }), "salon_id"),
        (json!({ "salon_id": 1.5 }), "salon_id"),
        (json!({ "salon_id": "5; DROP TABLE" }), "salon_id"),
        (json!({ "salon_id": 99_999_999_999_999_999_999_u128.to_string() }), "salon_id"),
        (json!({ "salon_id": 5, "phone": "0123" }), "phone"),
        (json!({ "salon_id": 5, "phone": "+7 900" }), "phone"),
        (json!([]), "body"),
    ] {
        let (status, answer) = call(&pages, "POST /marketplace/register", &[&partner], &body).await?;
        let error = answer["error"].as_str().unwrap_or_default();
        ensure!(status == 400 && answer["code"] == "VALIDATION_ERROR" && error.starts_with(field), "{body}: {answer}");
    }
    for body in [json!({ "salon_id": "5", "phone": "+79001234567" }), json!({ "salon_id": 5 })] {
        let (status, answer) = call(&pages, "POST /marketplace/register", &[&partner], &body).await?;
        ensure!(status == 201 && answer["session_id"] == "company_5" && answer["company_id"] == 1, "{answer}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_a_token_or_key_opens_its_own_company_alone() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let (one, token) = register(&pages, 11).await?;
    let (other, _) = register(&pages, 12).await?;
    let own = format!("GET /marketplace/status/{one}");
    let status = |header: String, line: String| {
        let pages = &pages;
        async move { Ok::<_, anyhow::Error>(call(pages, &line, &[&header], &Value::Null).await?.0) }
    };
    ensure!(status(bearer(&token), own.clone()).await? == 200);
    ensure!(status(bearer(&jwt(one, 11, 60, JWT_SECRET)?), own.clone()).await? == 200, "one of the older systems");
    ensure!(status(bearer(PARTNER_TOKEN), own.clone()).await? == 200);
    ensure!(status(bearer(&token), format!("GET /marketplace/status/{other}")).await? == 403);
    ensure!(status(bearer(&token), "GET /api/status/company_11".into()).await? == 200);
    ensure!(status(bearer(&token), "GET /api/status/company_12".into()).await? == 403);
    ensure!(status(bearer(PARTNER_TOKEN), "GET /marketplace/status/99".into()).await? == 404);
    ensure!(status(bearer(PARTNER_TOKEN), "GET /marketplace/status/x".into()).await? == 400);
    for hostile in [jwt(one, 11, -1, JWT_SECRET)?, jwt(one, 11, 60, "another secret")?, "x".into(), String::new()] {
        ensure!(status(bearer(&hostile), own.clone()).await? == 401, "{hostile}");
        let (status, answer) = call(&pages, &format!("GET /marketplace/qr/{hostile}x"), &[], &Value::Null).await?;
        ensure!(status == 401 && answer["code"] == "INVALID_TOKEN", "{answer}");
        let (status, _) = call(&pages, "POST /marketplace/activate", &[], &json!({ "token": hostile })).await?;
        ensure!(status == 401);
    }
    // Of another installation with the same secret: its number of the company is that of another company here.
    let mixed = jwt(one, 12, 60, JWT_SECRET)?;
    ensure!(call(&pages, "POST /api/qr", &[&bearer(&mixed)], &Value::Null).await?.0 == 404);
    ensure!(call(&pages, &format!("GET /marketplace/qr/{mixed}"), &[], &Value::Null).await?.0 == 404);
    ensure!(call(&pages, "POST /marketplace/activate", &[], &json!({ "token": mixed })).await?.0 == 404);
    for line in [own.clone(), "GET /api/status/company_12".into()] {
        let (status, answer) = call(&pages, &line, &[&bearer(&mixed)], &Value::Null).await?;
        ensure!(status == 404 && answer["code"] == "COMPANY_NOT_FOUND", "{line}: {answer}");
    }
    ensure!(status(bearer(&mixed), "GET /api/status/company_11".into()).await? == 403);
    let list = call(&pages, "GET /marketplace/companies", &[&bearer(PARTNER_TOKEN)], &Value::Null).await?.1;
    ensure!(list["stats"]["total"] == 2, "{list}");
    ensure!(status(bearer(&token), "GET /marketplace/companies".into()).await? == 403);
    ensure!(status("x-api-key: guessed".into(), "GET /marketplace/companies".into()).await? == 401);
    ensure!(status("x-other: 1".into(), "GET /marketplace/companies".into()).await? == 401);
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_an_activation_is_possible_for_an_hour_after_coming_from_the_partner() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let id = linked(&db, 7).await?;
    let token = json!({ "token": jwt(id, 7, 3600, JWT_SECRET)? });
    sqlx::query("UPDATE wa.company SET entered_at = now() - interval '61 minutes'").execute(&db.pool).await?;
    let (status, answer) = call(&pages, "POST /marketplace/activate", &[], &token).await?;
    ensure!(status == 410 && answer["code"] == "ACTIVATION_EXPIRED", "{answer}");
    sqlx::query("UPDATE wa.company SET entered_at = now() - interval '59 minutes'").execute(&db.pool).await?;
    ensure!(activate(&db, id).await? == "activating");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_front_ends_get_a_code_and_then_the_number_and_the_figures_name_no_company() -> Result<()> {
    telemetry::install();
    let partner = Partner::start(|_| Reply::Status(200)).await?;
    let world = World::new().await?;
    world.phone("15550001").await?;
    let pages = pages(&world.db).await?;
    let worker = Worker::start(worker(&world, &partner)).await?;
    let (id, token) = register(&pages, 424_242).await?;
    let (status, code) = call(&pages, &format!("GET /marketplace/qr/{token}"), &[], &Value::Null).await?;
    let png = code["qr"].as_str().unwrap_or_default();
    ensure!(
        status == 200 && png.starts_with("data:image/png;base64,") && code["session_id"] == "company_424242",
        "{code}"
    );
    ensure!(code["expires_in"].as_i64().is_some_and(|left| left > 0 && left <= 60), "{code}");
    let (status, again) = call(&pages, "POST /marketplace/api/qr", &[&bearer(&token)], &Value::Null).await?;
    ensure!(status == 200 && again["connected"] == false, "{again}");
    scan(&world, "company_424242", "15550001").await?;
    let (status, linked) = call(&pages, "POST /api/qr", &[&bearer(&token)], &Value::Null).await?;
    ensure!(status == 200 && linked["connected"] == true && linked["phone"] == "+15550001", "{linked}");
    let (_, shown) = call(&pages, "GET /api/status/company_424242", &[&bearer(&token)], &Value::Null).await?;
    ensure!(shown["status"] == "connected" && shown["whatsapp_phone"] == "+15550001", "{shown}");
    ensure!(shown["company_id"] == id && shown["integration_status"] == "registered", "{shown}");
    let (status, done) =
        call(&pages, "POST /marketplace/callback", &[&bearer(&token)], &json!({ "salon_id": 424_242 })).await?;
    ensure!(status == 200 && done["status"] == "active", "{done}");
    holds(
        world.pool(),
        "SELECT links = 1 AND activations = 1 AND activated = 1 AND entered = 1 FROM wa.company_numbers",
    )
    .await?;
    let figures = telemetry::render(telemetry::Load::default());
    for line in [
        "marketplace_http_request_duration_seconds_count{method=\"GET\",route=\"/marketplace/qr/{token}\",status=\"200\"}",
        "marketplace_whatsapp_connections{status=\"connected\"}",
        "marketplace_qr_generations_total ",
    ] {
        ensure!(figures.contains(line), "{line}: {figures}");
    }
    ensure!(!figures.contains("424242") && !figures.contains(&token), "a figure names a company");
    pages.stop().await;
    worker.stop().await
}
