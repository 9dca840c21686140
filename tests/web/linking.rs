//! S2: the link page in a real browser, with the sandbox's phones.

use super::{Pages, picture, qr_of};
use crate::support::browser::Browser;
use crate::support::world::World;
use anyhow::{Context as _, Result, ensure};
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
    qr_of(&answer)
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
        r"SELECT wa.add_session('shop');
           INSERT INTO wa.session_job (session, kind) VALUES ('shop', 'link');
           UPDATE wa.session_job SET status = 'failed', last_error = 'permission denied for function wa.link';
           UPDATE wa.session SET status = 'disconnected', status_reason = 'not linked (wa.link)'",
    )
    .execute(world.pool())
    .await?;
    let ended = r#"INSERT INTO wa.event (session, session_id, kind, data, created_at) SELECT name, session_id, 'connection_ended',
                   '{"end": "no_scan", "advice": "call wa.link when somebody is there to scan"}', clock_timestamp() FROM wa.session"#;
    sqlx::raw_sql(ended).execute(world.pool()).await?;
    let url = link_url(&world).await?;
    let path = url.trim_start_matches(&pages.url).to_owned();
    // What happened before the link was made is nothing to whoever gets it.
    let page = pages.get(&path, "").await?;
    let main = page.body.split("<main").nth(1).unwrap_or_default();
    ensure!(!main.contains("in time") && !main.contains("No phone is linked"), "{main}");
    sqlx::raw_sql(ended).execute(world.pool()).await?;
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

#[tokio::test]
async fn s2_h2_the_link_page_of_a_linked_session_says_so_and_ends_with_the_session() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let pages = Pages::start(&db).await?;
    sqlx::raw_sql("SELECT wa.add_session('shop'); UPDATE wa.session SET status = 'linking', qr = repeat('2@abc,', 40), qr_expires_at = now() + interval '1 hour'")
        .execute(&db.pool)
        .await?;
    let url: String = sqlx::query_scalar("SELECT wa.link_url('shop')").fetch_one(&db.pool).await?;
    let path = url.trim_start_matches(&pages.url).to_owned();
    ensure!(pages.get(&path, "").await?.body.contains("valid until a phone is linked"));
    let mut stream = pages.stream(&format!("{path}/live"), "", "").await?;
    stream.until("QR code to scan").await?;
    let begun = std::time::Instant::now();
    sqlx::raw_sql("DELETE FROM wa.session").execute(&db.pool).await?;
    let last = stream.until("data:").await?;
    ensure!(last.contains("There is no such link") && !last.contains("QR code to scan"), "{last}");
    ensure!(begun.elapsed() < std::time::Duration::from_secs(4), "{:?}", begun.elapsed());
    sqlx::raw_sql("SELECT wa.add_session('shop'); UPDATE wa.session SET status = 'linking'; UPDATE wa.session SET phone = '15550001', jid = '15550001@s.whatsapp.net', status = 'connected'")
        .execute(&db.pool)
        .await?;
    let url: String = sqlx::query_scalar("SELECT wa.link_url('shop')").fetch_one(&db.pool).await?;
    let page = pages.get(url.trim_start_matches(&pages.url), "").await?.body;
    ensure!(page.contains("Connected as +15550001") && page.contains("linked already"), "{page}");
    ensure!(!page.contains("valid until a phone is linked"), "{page}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn s2_h2_a_passkey_code_that_differs_is_refused_on_the_page() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let pages = Pages::start(&db).await?;
    sqlx::raw_sql("SELECT wa.add_session('shop'); UPDATE wa.session SET status = 'linking'").execute(&db.pool).await?;
    let url: String = sqlx::query_scalar("SELECT wa.link_url('shop')").fetch_one(&db.pool).await?;
    let path = url.trim_start_matches(&pages.url).to_owned();
    sqlx::raw_sql("INSERT INTO wa.passkey (session_id, session, stage, code, request, expires_at) SELECT session_id, name, 'code', 'ABCD-EFGH', '{}', now() + interval '5 min' FROM wa.session")
        .execute(&db.pool)
        .await?;
    ensure!(pages.get(&path, "").await?.body.contains("/refuse"));
    let answer = pages.post(&format!("{path}/refuse"), "", "").await?;
    ensure!(answer.status == 200 && answer.body.contains("another code"), "{answer:?}");
    let closed =
        "SELECT desired = 'stopped' AND EXISTS (SELECT FROM wa.session_job WHERE kind = 'close') FROM wa.session";
    ensure!(sqlx::query_scalar::<_, bool>(closed).fetch_one(&db.pool).await?, "not closed");
    let page = pages.get(&path, "").await?.body;
    ensure!(
        page.contains("the phone shows another code") && page.contains("/start") && !page.contains("/confirm"),
        "{page}"
    );
    // Its code is not accepted any more.
    ensure!(pages.post(&format!("{path}/confirm"), "", "code=ABCD-EFGH").await?.status == 422);
    pages.stop().await;
    Ok(())
}

/// Each way to fail in words, and a way on.
#[tokio::test]
async fn s2_h2_the_link_page_says_why_no_phone_was_linked() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let pages = Pages::start(&db).await?;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let url: String = sqlx::query_scalar("SELECT wa.link_url('shop')").fetch_one(&db.pool).await?;
    let path = url.trim_start_matches(&pages.url).to_owned();
    let main = async || -> Result<String> {
        Ok(pages.get(&path, "").await?.body.split("<main").nth(1).unwrap_or_default().to_owned())
    };
    let run = async |sql: &str| sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&db.pool).await;
    run("UPDATE wa.session SET status = 'linking'; UPDATE wa.session SET status = 'disconnected'").await?;
    for (end, says) in [
        ("no_scan", "Nobody scanned"),
        ("code_expired", "not typed in time"),
        ("replaced", "Another program has taken over"),
        ("outdated", "needs an update"),
        ("refused", "refused the connection"),
        ("stream_error", "ended the connection"),
        ("rate_limited", "asks to wait"),
        ("something_new", "did not work this time"),
    ] {
        run(&format!(
            "INSERT INTO wa.event (session, session_id, kind, data, created_at) SELECT name, session_id, 'connection_ended', '{{\"end\": \"{end}\"}}', clock_timestamp() FROM wa.session"
        ))
        .await?;
        let page = main().await?;
        ensure!(page.contains(says) && page.contains("/start"), "{end}: {page}");
    }
    // A pairing code that was not typed: the next connection shows QR codes, and the page says what became of the code.
    run("INSERT INTO wa.event (session, session_id, kind, data, created_at) SELECT name, session_id, 'connection_ended', '{\"end\": \"code_expired\"}', clock_timestamp() FROM wa.session;
         UPDATE wa.session SET status = 'linking', qr = 'code', qr_expires_at = now() + interval '1 min'").await?;
    let page = main().await?;
    ensure!(page.contains("not typed in time") && page.contains("name=\"phone\""), "{page}");
    // No code was given, also while QR codes follow each other.
    run("UPDATE wa.session SET status_reason = 'no pairing code: rate-overlimit; scan the QR code'").await?;
    let page = main().await?;
    ensure!(page.contains("gave no pairing code") && page.contains("name=\"phone\""), "{page}");
    run("UPDATE wa.session SET status_reason = NULL;
         INSERT INTO wa.passkey (session_id, session, stage, request, expires_at) SELECT session_id, name, 'requested', '{}', now() + interval '5 min' FROM wa.session").await?;
    let page = main().await?;
    ensure!(page.contains("passkey-line") && page.contains("To be finished in"), "{page}");
    run("UPDATE wa.passkey SET stage = 'failed', error = 'WhatsApp refused the answer: 401'").await?;
    let page = main().await?;
    ensure!(page.contains("WhatsApp refused the answer: 401") && page.contains("/start"), "{page}");
    run("DELETE FROM wa.passkey; UPDATE wa.session SET status = 'banned'").await?;
    let page = main().await?;
    ensure!(page.contains("WhatsApp has banned this number") && !page.contains("/start"), "{page}");
    // Linked by somebody else meanwhile.
    run("UPDATE wa.session SET status = 'linking'; UPDATE wa.session SET phone = '15550001', jid = '15550001@s.whatsapp.net', status = 'connected'").await?;
    let page = main().await?;
    ensure!(page.contains("Connected as +15550001") && !page.contains("/start"), "{page}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn s2_h2_the_link_page_says_when_too_many_codes_were_asked_for() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let pages = Pages::start(&db).await?;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let url: String = sqlx::query_scalar("SELECT wa.link_url('shop')").fetch_one(&db.pool).await?;
    let path = format!("{}/start", url.trim_start_matches(&pages.url));
    for attempt in 0..6 {
        let answer = pages.post(&path, "", "phone=%2B15550001").await?;
        let (status, says) = if attempt < 5 { (200, "Code requested") } else { (422, "Wait an hour") };
        ensure!(answer.status == status && answer.body.contains(says), "{attempt}: {answer:?}");
        sqlx::raw_sql("UPDATE wa.session_job SET status = 'failed', finished_at = now() WHERE status = 'queued'")
            .execute(&db.pool)
            .await?;
    }
    pages.stop().await;
    Ok(())
}
