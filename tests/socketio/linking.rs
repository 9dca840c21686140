//! Linking a phone from a page: QR codes, pairing codes, and what ends it.

use super::client::Client;
use super::{NUMBER, company, counts, read_picture, salon_of, scan, serve, settings};
use crate::marketplace::stage::while_locked;
use crate::support::db::{fresh, fresh_on_its_own};
use crate::support::until::until;
use crate::support::world::World;
use crate::web::Pages;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wagres::config::QrFormat;

/// The statements that make a session look as if a worker linked it; see `src/session/`.
const SHOWN: &str = "UPDATE wa.session SET status = 'linking', qr = '2@shown', qr_expires_at = now() + interval '20 s'";

/// Shows the phone each code that the page gets, until it takes one.
async fn scans(world: &World, page: &mut Client, text: impl Fn(&str) -> Result<String>) -> Result<()> {
    loop {
        let shown = page.until("qr-update").await?;
        let seconds = shown["expiresIn"].as_u64().context("no seconds")?;
        ensure!((1..=20).contains(&seconds), "{seconds}");
        if scan(world, &text(shown["qr"].as_str().context("no code")?)?).await? {
            return Ok(());
        }
    }
}

/// The page says that the phone is linked, with all that pages read.
fn is_connected(said: &Value, company: i64) -> Result<()> {
    let expected = json!({ "success": true, "phone": NUMBER, "companyId": company, "sessionId": "company_1" });
    for (key, value) in expected.as_object().context("no object")? {
        ensure!(said[key] == *value, "{said}");
    }
    ensure!(said["message"].as_str().is_some_and(|message| !message.is_empty()), "{said}");
    Ok(())
}

#[tokio::test]
async fn h3_a_page_links_a_phone_by_the_picture_of_a_qr_code() -> Result<()> {
    let world = World::new().await?;
    let (worker, pages) = (world.worker().await?, serve(&world.db).await?);
    let company = company(&world.db, 1).await?;
    world.phone(NUMBER).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    ensure!(page.hears("connect").await? == "websocket");
    let shown = page.hears("qr-update").await?;
    ensure!(shown["expiresIn"] == 20, "{shown}");
    // A page that asks gets the code of this moment again.
    page.emit("request-qr", None).await?;
    scans(&world, &mut page, read_picture).await?;
    is_connected(&page.until("whatsapp-connected").await?, company)?;
    // Who is linked already hears so: by asking, and by connecting.
    page.emit("request-qr", None).await?;
    is_connected(&page.until("whatsapp-connected").await?, company)?;
    page.emit("request-pairing-code", Some(json!({ "phoneNumber": NUMBER }))).await?;
    is_connected(&page.until("whatsapp-connected").await?, company)?;
    let mut other = Client::of(&pages.url, company, "polling").await?;
    ensure!(other.hears("connect").await? == "polling");
    is_connected(&other.hears("whatsapp-connected").await?, company)?;
    // The session stays when the pages go.
    page.leave().await?;
    other.leave().await?;
    counts(&world, "SELECT count(*) FROM wa.company_watch", 0).await?;
    world.session_is("company_1", "connected").await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_a_page_that_polls_and_draws_links_a_phone_by_the_text_of_a_qr_code() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let pages = Pages::with(&world.db, |config| {
        settings(config);
        config.marketplace.qr_format = QrFormat::Text;
    })
    .await?;
    let company = company(&world.db, 1).await?;
    world.phone(NUMBER).await?;
    let mut page = Client::of(&pages.url, company, "polling").await?;
    ensure!(page.hears("connect").await? == "polling");
    scans(&world, &mut page, |text| Ok(text.to_owned())).await?;
    is_connected(&page.until("whatsapp-connected").await?, company)?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_a_page_links_a_phone_by_a_pairing_code() -> Result<()> {
    let world = World::new().await?;
    let (worker, pages) = (world.worker().await?, serve(&world.db).await?);
    let company = company(&world.db, 1).await?;
    world.phone(NUMBER).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.until("qr-update").await?;
    let ask = async |page: &mut Client, argument: Value| page.emit("request-pairing-code", Some(argument)).await;
    for (argument, code) in [
        (json!({}), "PHONE_REQUIRED"),
        (json!({ "phoneNumber": "" }), "PHONE_REQUIRED"),
        (json!({ "phoneNumber": "none" }), "INVALID_PHONE_FORMAT"),
        (json!({ "phoneNumber": "0123" }), "INVALID_PHONE_FORMAT"),
    ] {
        ask(&mut page, argument).await?;
        let error = page.until("pairing-code-error").await?;
        ensure!(error["code"] == code && error["message"].is_string(), "{error}");
    }
    ask(&mut page, json!({ "phoneNumber": "+1 555 0001" })).await?;
    ask(&mut page, json!({ "phoneNumber": "+1 555 0002" })).await?;
    ensure!(page.until("pairing-code-error").await?["code"] == "REQUEST_IN_PROGRESS");
    let shown = page.until("pairing-code").await?;
    let code = shown["code"].as_str().context("no code")?.to_owned();
    ensure!(code.len() == 9 && code.chars().nth(4) == Some('-'), "{shown}");
    ensure!(shown["phoneNumber"] == NUMBER && shown["expiresIn"].as_u64().is_some_and(|it| it > 100), "{shown}");
    // The same number again: the same code, and no other request to WhatsApp.
    ask(&mut page, json!({ "phoneNumber": NUMBER })).await?;
    ensure!(page.until("pairing-code").await?["code"] == code);
    // A page that connects again sees the code, too.
    let mut other = Client::of(&pages.url, company, "polling").await?;
    ensure!(other.until("pairing-code").await?["code"] == code);
    world.control.post(&format!("/phones/{NUMBER}/confirm"), json!({ "code": code })).await?;
    is_connected(&page.until("whatsapp-connected").await?, company)?;
    is_connected(&other.until("whatsapp-connected").await?, company)?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_with_the_setting_a_page_that_connects_gets_a_pairing_code() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let pages = Pages::with(&world.db, |config| {
        settings(config);
        config.marketplace.pairing_code = true;
        config.marketplace.phone = Some(format!("+{NUMBER}"));
    })
    .await?;
    let company = company(&world.db, 1).await?;
    world.phone(NUMBER).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    let shown = page.until("pairing-code").await?;
    world.control.post(&format!("/phones/{NUMBER}/confirm"), json!({ "code": shown["code"] })).await?;
    is_connected(&page.until("whatsapp-connected").await?, company)?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_h4_too_many_links_and_codes_are_refused_by_their_codes() -> Result<()> {
    let db = fresh().await;
    let pages = serve(&db).await?;
    let (few, many) = (company(&db, 1).await?, company(&db, 2).await?);
    let links = async |session: &str, phone: Option<&str>, count: usize| -> Result<()> {
        for _ in 0..count {
            sqlx::query("SELECT wa.link($1, $2)").bind(session).bind(phone).execute(&db.pool).await?;
            let done = "UPDATE wa.session_job SET status = 'done', finished_at = now() WHERE status = 'queued'";
            sqlx::query(done).execute(&db.pool).await?;
        }
        Ok(())
    };
    links("company_1", Some(NUMBER), 5).await?;
    sqlx::query(SHOWN).execute(&db.pool).await?;
    let mut page = Client::of(&pages.url, few, "websocket").await?;
    page.until("qr-update").await?;
    page.emit("request-pairing-code", Some(json!({ "phoneNumber": NUMBER }))).await?;
    ensure!(page.until("pairing-code-error").await?["code"] == "REQUEST_IN_PROGRESS");
    sqlx::query("UPDATE wa.session SET link_phone = NULL, status_reason = 'no pairing code: busy'")
        .execute(&db.pool)
        .await?;
    let lost = page.until("pairing-code-error").await?;
    ensure!(lost["code"] == "PAIRING_CODE_FAILED" && lost["message"] == "no pairing code: busy", "{lost}");
    page.emit("request-pairing-code", Some(json!({ "phoneNumber": NUMBER }))).await?;
    let refused = page.until("pairing-code-error").await?;
    ensure!(refused["code"] == "PAIRING_CODE_FAILED", "{refused}");
    ensure!(refused["message"].as_str().is_some_and(|it| it.contains("5 pairing codes")), "{refused}");
    links("company_2", None, 20).await?;
    sqlx::query("UPDATE wa.session SET desired = 'stopped'").execute(&db.pool).await?;
    let mut page = Client::of(&pages.url, many, "websocket").await?;
    let refused = page.until("error").await?;
    ensure!(refused["code"] == "RATE_LIMIT" && refused["status"] == 429, "{refused}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_h4_codes_that_nobody_scanned_are_expired_and_a_request_brings_new_ones() -> Result<()> {
    let db = fresh().await;
    let pages = serve(&db).await?;
    let company = company(&db, 1).await?;
    let mut page = Client::of(&pages.url, company, "polling").await?;
    page.hears("connect").await?;
    let wanted = async || {
        until("a linking", async || {
            let begun: bool =
                sqlx::query_scalar("SELECT desired = 'connected' FROM wa.session").fetch_one(&db.pool).await?;
            Ok(if begun { Ok(()) } else { Err("none") })
        })
        .await
    };
    wanted().await?;
    sqlx::query(SHOWN).execute(&db.pool).await?;
    page.hears("qr-update").await?;
    // As a worker writes it; see sql/session/release.sql.
    sqlx::query(
        "WITH ended AS (UPDATE wa.session SET status = 'new', status_reason = 'no QR code was scanned in time', desired = 'stopped'
                        RETURNING session_id, name)
         INSERT INTO wa.event (session, session_id, kind, data)
         SELECT name, session_id, 'connection_ended', '{\"end\": \"no_scan\"}' FROM ended",
    )
    .execute(&db.pool)
    .await?;
    let error = page.until("error").await?;
    ensure!(error["code"] == "QR_EXPIRED" && error["status"] == 410, "{error}");
    ensure!(error["message"] == "no QR code was scanned in time", "{error}");
    page.emit("request-qr", None).await?;
    wanted().await?;
    sqlx::query(SHOWN).execute(&db.pool).await?;
    page.hears("qr-update").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_h4_a_linking_that_somebody_ends_has_failed() -> Result<()> {
    let world = World::new().await?;
    let (worker, pages) = (world.worker().await?, serve(&world.db).await?);
    let company = company(&world.db, 1).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.until("qr-update").await?;
    sqlx::query("SELECT wa.close('company_1', 'by hand')").execute(world.pool()).await?;
    let error = page.until("error").await?;
    ensure!(error["code"] == "CONNECTION_FAILED" && error["status"] == 500, "{error}");
    page.emit("request-qr", None).await?;
    page.until("qr-update").await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_a_session_that_is_not_linked_is_closed_when_its_last_page_has_gone() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let pages = Pages::with(&world.db, |config| {
        settings(config);
        config.marketplace.page_grace_seconds = 8;
    })
    .await?;
    let company = company(&world.db, 1).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.until("qr-update").await?;
    // A page that loads again keeps its linking: what it sees is the code of the same connection.
    page.leave().await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.until("qr-update").await?;
    let renewed = "SELECT until > (SELECT max(created_at) FROM wa.session_job) + interval '16 s' FROM wa.company_watch";
    world.holds(renewed).await?;
    ensure!(world.count("SELECT count(*) FROM wa.session_job").await? == 1, "it was linked again");
    world.session_is("company_1", "linking").await?;
    page.leave().await?;
    world.holds("SELECT desired = 'stopped' FROM wa.session").await?;
    world.holds("SELECT status NOT IN ('linking', 'connecting') FROM wa.session").await?;
    ensure!(world.count("SELECT count(*) FROM wa.company_watch").await? == 0);
    // The next page begins anew.
    let mut page = Client::of(&pages.url, company, "polling").await?;
    page.until("qr-update").await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_h4_a_page_outlasts_a_database_that_is_away() -> Result<()> {
    let (db, server) = fresh_on_its_own().await;
    let pages = serve(&db).await?;
    let company = company(&db, 1).await?;
    sqlx::query("SELECT wa.link('company_1')").execute(&db.pool).await?;
    sqlx::query(SHOWN).execute(&db.pool).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.until("qr-update").await?;
    server.stop("fast").await?;
    let error = page.until("error").await?;
    ensure!(error["code"] == "DB_ERROR" && error["status"] == 503, "{error}");
    server.restart("fast").await?;
    let changed = "UPDATE wa.session SET qr = '2@later', qr_expires_at = now() + interval '60 s'";
    until("the database", async || Ok(sqlx::query(changed).execute(&db.pool).await)).await?;
    page.until("qr-update").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_h4_pages_of_one_company_wait_for_their_turn_and_not_for_the_database() -> Result<()> {
    let db = fresh().await;
    let pages = serve(&db).await?;
    let company = company(&db, 1).await?;
    sqlx::query("SELECT wa.link('company_1')").execute(&db.pool).await?;
    sqlx::query(SHOWN).execute(&db.pool).await?;
    let mut open = vec![];
    for _ in 0..4 {
        let mut page = Client::of(&pages.url, company, "websocket").await?;
        page.until("qr-update").await?;
        open.push(page);
    }
    sqlx::query("UPDATE wa.session SET status = 'new', desired = 'stopped', qr = NULL, qr_expires_at = NULL")
        .execute(&db.pool)
        .await?;
    for page in &mut open {
        page.until("error").await?;
    }
    let asks = async {
        for page in &mut open {
            page.emit("request-qr", None).await?;
        }
        anyhow::Ok(())
    };
    while_locked(&db, salon_of(company), asks).await??;
    until("a linking", async || {
        let begun: bool =
            sqlx::query_scalar("SELECT desired = 'connected' FROM wa.session").fetch_one(&db.pool).await?;
        Ok(if begun { Ok(()) } else { Err("none") })
    })
    .await?;
    sqlx::query(SHOWN).execute(&db.pool).await?;
    for page in &mut open {
        page.hears("qr-update").await?;
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_every_request_for_a_pairing_code_is_answered() -> Result<()> {
    let world = World::new().await?;
    let (worker, pages) = (world.worker().await?, serve(&world.db).await?);
    let company = company(&world.db, 1).await?;
    world.phone(NUMBER).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    // Before the page is connected, so that all arrive at once, and before anything is known of the company.
    let asks = [json!({}), json!({ "phoneNumber": "abc" }), json!({ "phoneNumber": NUMBER })];
    for ask in &asks {
        page.emit("request-pairing-code", Some(ask.clone())).await?;
    }
    page.emit("request-qr", None).await?;
    for wanted in ["PHONE_REQUIRED", "INVALID_PHONE_FORMAT"] {
        let error = page.answer().await?;
        ensure!(error["code"] == wanted, "{error} where {wanted} was expected");
    }
    let shown = page.answer().await?;
    ensure!(shown["phoneNumber"] == NUMBER && shown["code"].as_str().is_some_and(|code| code.len() == 9), "{shown}");
    // More than the page can have waiting.
    for _ in 0..40 {
        page.emit("request-pairing-code", Some(json!({}))).await?;
    }
    for _ in 0..40 {
        let error = page.answer().await?;
        ensure!(
            ["PHONE_REQUIRED", "REQUEST_IN_PROGRESS"].contains(&error["code"].as_str().unwrap_or_default()),
            "{error}"
        );
    }
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h3_h6_a_page_of_a_frozen_company_is_refused_until_somebody_comes_for_it_again() -> Result<()> {
    let db = fresh().await;
    let pages = serve(&db).await?;
    let company = company(&db, 1).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.hears("connect").await?;
    let state = async |wanted: &str| {
        until(wanted, async || {
            let found: bool = sqlx::query_scalar("SELECT desired::text = $1 FROM wa.session")
                .bind(wanted)
                .fetch_one(&db.pool)
                .await?;
            Ok(if found { Ok(()) } else { Err("another one") })
        })
        .await
    };
    state("connected").await?;
    sqlx::query("SELECT wa.hear_partner($1, 'freeze')").bind(salon_of(company)).execute(&db.pool).await?;
    let error = page.until("error").await?;
    ensure!(error["code"] == "COMPANY_NOT_FOUND" && error["status"] == 404, "{error}");
    Client::of(&pages.url, company, "polling").await?.is_refused("COMPANY_NOT_FOUND", 404).await?;
    state("stopped").await?;
    sqlx::query("UPDATE wa.company SET status = 'registered'").execute(&db.pool).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    page.hears("connect").await?;
    state("connected").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_a_page_that_asks_while_its_linking_begins_uses_up_one_link() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        settings(config);
        config.marketplace.pairing_code = true;
        config.marketplace.phone = Some(format!("+{NUMBER}"));
    })
    .await?;
    let company = company(&db, 1).await?;
    let mut page = Client::of(&pages.url, company, "websocket").await?;
    for _ in 0..3 {
        page.emit("request-qr", None).await?;
    }
    // Requests are answered in their order, so those before are done.
    page.emit("request-pairing-code", Some(json!({}))).await?;
    ensure!(page.answer().await?["code"] == "PHONE_REQUIRED");
    let links: i64 = sqlx::query_scalar("SELECT sum(links) FROM wa.company_numbers").fetch_one(&db.pool).await?;
    ensure!(links == 1, "{links}");
    pages.stop().await;
    Ok(())
}
