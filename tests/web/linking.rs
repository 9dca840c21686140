//! S2: the link page in a real browser, with the sandbox's phones.

use super::{Pages, picture};
use crate::support::browser::Browser;
use crate::support::world::World;
use anyhow::{Context as _, Result, ensure};
use image::GrayImage;
use serde_json::{Value, json};

const NUMBER: &str = "15550001";
/// On the page of a session that is linked.
const CONNECTED: &str = "Connected as +15550001";

/// A worker, the pages, a browser, and a session without a phone.
async fn ready() -> Result<(World, crate::support::world::Worker, Pages, Browser)> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let pages = Pages::start(&world.db).await?;
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;
    let browser = Browser::start(390, 844).await?;
    Ok((world, worker, pages, browser))
}

async fn link_url(world: &World) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT wa.link_url('shop')").fetch_one(world.pool()).await?)
}

/// Opens the link page and asks for a QR code, until the page shows one; returns the page's address.
async fn shows_qr(world: &World, browser: &Browser) -> Result<String> {
    let url = link_url(world).await?;
    browser.open(&url).await?;
    browser.click("form[action$='/start'] button").await?;
    browser.until("document.querySelector('.qr svg')").await?;
    Ok(url)
}

/// What a camera reads from the picture that the page offers.
async fn read_qr(pages: &Pages, url: &str) -> Result<Option<String>> {
    let path = url.trim_start_matches(&pages.url);
    let answer = pages.bytes(&format!("{path}/qr.png")).await?;
    let Ok(picture) = image::load_from_memory(&answer) else { return Ok(None) };
    let picture: GrayImage = picture.to_luma8();
    let (width, height) = picture.dimensions();
    let mut prepared =
        rqrr::PreparedImage::prepare_from_greyscale(usize::try_from(width)?, usize::try_from(height)?, |x, y| {
            picture.as_raw()[y * width as usize + x]
        });
    let grids = prepared.detect_grids();
    Ok(grids.first().and_then(|grid| grid.decode().ok()).map(|(_, text)| text))
}

/// Scans the page's code with the phone, each new one until the phone takes it.
async fn scan(world: &World, pages: &Pages, url: &str) -> Result<Value> {
    crate::support::until::until("a code that the phone takes", async || {
        let Some(qr) = read_qr(pages, url).await? else { return Ok(Err("no code".to_owned())) };
        let answer =
            world.control.request("POST", &format!("/phones/{NUMBER}/scan"), Some(json!({ "qr": qr }))).await?;
        Ok(if answer.0 == 200 { Ok(answer.1) } else { Err(answer.1.to_string()) })
    })
    .await
}

/// Nothing is wrong on the page, and nothing is wider than the screen.
async fn is_well(browser: &Browser) -> Result<()> {
    let wide = browser.run("return document.documentElement.scrollWidth > window.innerWidth").await?;
    ensure!(wide == Value::Bool(false), "the page is wider than the screen");
    let log: Vec<_> = browser.log().await?.into_iter().filter(|line| line.contains("SEVERE")).collect();
    ensure!(log.is_empty(), "{log:?}");
    Ok(())
}

#[tokio::test]
async fn s2_h2_a_phone_is_linked_by_the_pages_qr_code() -> Result<()> {
    let (world, worker, pages, browser) = ready().await?;
    world.phone(NUMBER).await?;
    let url = shows_qr(&world, &browser).await?;
    is_well(&browser).await?;
    picture(&browser, "link-390").await?;
    // The text of the code travels in no notification and stands in no page but this one.
    scan(&world, &pages, &url).await?;
    browser.shows("main", CONNECTED).await?;
    is_well(&browser).await?;
    // The link is spent: another browser that has it sees no code and can do nothing.
    browser.open("about:blank").await?;
    browser.open(&url).await?;
    browser.shows("main", CONNECTED).await?;
    let path = url.trim_start_matches(&pages.url);
    let refused = pages.post(&format!("{path}/start"), "", "").await?;
    ensure!(refused.status == 422, "{refused:?}");
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn s2_h2_a_phone_is_linked_by_the_pages_pairing_code() -> Result<()> {
    let (world, worker, pages, browser) = ready().await?;
    world.phone(NUMBER).await?;
    browser.open(&link_url(&world).await?).await?;
    browser.write("#phone", "+1 555 0001\u{E007}").await?;
    browser.until("document.querySelector('.letters')").await?;
    is_well(&browser).await?;
    let code = browser.run("return document.querySelector('.letters').getAttribute('aria-label')").await?;
    world.control.post(&format!("/phones/{NUMBER}/confirm"), json!({ "code": code })).await?;
    browser.shows("main", CONNECTED).await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn s2_h2_an_account_with_a_passkey_is_linked_on_the_page() -> Result<()> {
    let (world, worker, pages, browser) = ready().await?;
    world.control.post("/phones", json!({ "number": NUMBER, "passkey": true })).await?;
    let url = shows_qr(&world, &browser).await?;
    scan(&world, &pages, &url).await?;
    browser.until("document.querySelector('#passkey-line')").await?;
    let line = browser.run("return document.querySelector('#passkey-line').textContent").await?;
    let line = line.as_str().context("no line")?;
    let request = line
        .split("parseRequestOptionsFromJSON(")
        .nth(1)
        .and_then(|it| it.rsplit_once(")}))"))
        .context("no request")?
        .0;
    let request: Value = serde_json::from_str(request)?;
    let answer = world.control.post(&format!("/phones/{NUMBER}/passkey"), json!({ "request": request })).await?;
    browser.write("#answer", &answer["assertion"].to_string()).await?;
    browser.click("form[action$='/answer'] button").await?;
    browser.until("document.querySelector('form[action$=\"/confirm\"]')").await?;
    is_well(&browser).await?;
    browser.click("form[action$='/confirm'] button").await?;
    browser.shows("main", CONNECTED).await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn s2_h2_the_page_survives_a_dead_worker_a_reload_and_a_lost_connection() -> Result<()> {
    let (world, worker, pages, browser) = ready().await?;
    world.phone(NUMBER).await?;
    let url = shows_qr(&world, &browser).await?;
    world.kill(worker).await?;
    let worker = world.worker().await?;
    browser.open(&url).await?;
    let offline = json!({ "offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0 });
    let online = json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.devtools("Network.emulateNetworkConditions", offline).await?;
    browser.devtools("Network.emulateNetworkConditions", online).await?;
    scan(&world, &pages, &url).await?;
    browser.shows("main", CONNECTED).await?;
    pages.stop().await;
    worker.stop().await
}

/// Whoever holds the link is a customer, who knows nothing of sessions, jobs and SQL.
#[tokio::test]
async fn s2_h2_the_link_page_speaks_plainly() -> Result<()> {
    let world = World::new().await?;
    let pages = Pages::start(&world.db).await?;
    sqlx::raw_sql(
        r#"SELECT wa.add_session('shop');
           INSERT INTO wa.session_job (session, kind) VALUES ('shop', 'link');
           UPDATE wa.session_job SET status = 'failed', last_error = 'permission denied for function wa.link';
           UPDATE wa.session SET status = 'disconnected', status_reason = 'not linked (wa.link)';
           INSERT INTO wa.event (session, session_id, kind, data) SELECT name, session_id, 'connection_ended',
               '{"end": "no_scan", "advice": "call wa.link when somebody is there to scan"}' FROM wa.session"#,
    )
    .execute(world.pool())
    .await?;
    let url = link_url(&world).await?;
    let path = url.trim_start_matches(&pages.url).to_owned();
    let page = pages.get(&path, "").await?;
    let main = page.body.split("<main").nth(1).unwrap_or_default();
    ensure!(main.contains("Nobody scanned the code in time."), "{main}");
    ensure!(!main.contains("wa.") && !main.contains("SELECT"), "{main}");
    for (form, says) in [("phone=12", "This is not a phone number"), ("phone=%2B15550001", "Code requested")] {
        let answer = pages.post(&format!("{path}/start"), "", form).await?;
        ensure!(answer.body.contains(says) && !answer.body.contains("wa."), "{form}: {answer:?}");
    }
    sqlx::query("SELECT wa.revoke_link('shop')").execute(world.pool()).await?;
    let answer = pages.post(&format!("{path}/start"), "", "").await?;
    ensure!(
        answer.status == 422 && answer.body.contains("not valid any more") && !answer.body.contains("wa."),
        "{answer:?}"
    );
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn s2_h2_a_link_that_is_over_says_why_and_what_to_do() -> Result<()> {
    let world = World::new().await?;
    let pages = Pages::start(&world.db).await?;
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;
    let main = async |url: &str| -> Result<String> {
        let answer = pages.get(url.trim_start_matches(&pages.url), "").await?;
        Ok(answer.body.split("<main").nth(1).unwrap_or_default().to_owned())
    };
    let expired = link_url(&world).await?;
    sqlx::query("UPDATE wa.token SET expires_at = now() - interval '1 s'").execute(world.pool()).await?;
    ensure!(main(&expired).await?.contains("This link has expired"));
    let revoked = link_url(&world).await?;
    sqlx::query("SELECT wa.revoke_link('shop')").execute(world.pool()).await?;
    ensure!(main(&revoked).await?.contains("This link has been revoked"));
    ensure!(main("/link/wak_0").await?.contains("There is no such link"));
    for over in [&expired, &revoked] {
        let page = main(over).await?;
        ensure!(!page.contains("<form") && page.contains("Ask whoever sent it"), "{page}");
    }
    pages.stop().await;
    Ok(())
}
