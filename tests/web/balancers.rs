//! What programs ask of the pages: balancers whether they are ready (H1), scripts with a token of their own (H2), and
//! whoever comes first after a restart of Postgres (R3).

use super::{Pages, sign_in, token};
use crate::support::browser::Browser;
use crate::support::db;
use crate::support::until::until;
use anyhow::{Result, ensure};

#[tokio::test]
async fn h1_h2_balancers_learn_whether_pages_can_be_shown_and_no_more() -> Result<()> {
    let (db, server) = db::fresh_on_its_own().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let livez = pages.get("/livez", "").await?;
    ensure!((livez.status, livez.body.as_str()) == (200, r#"{"alive":true}"#), "{livez:?}");
    let health = pages.get("/health", "").await?;
    ensure!((health.status, health.body.as_str()) == (200, r#"{"status":"ok"}"#), "{health:?}");
    server.stop("fast").await?;
    // An answer of the database counts for a moment.
    until("waiting", async || {
        let health = pages.get("/health", "").await?;
        let is_waiting = (health.status, health.body.as_str()) == (503, r#"{"status":"waiting"}"#);
        Ok(if is_waiting { Ok(()) } else { Err(format!("{health:?}")) })
    })
    .await?;
    ensure!(pages.get("/livez", "").await?.status == 200, "Postgres is away, and the process lives");
    server.restart("fast").await?;
    until("ready again", async || {
        let health = pages.get("/health", "").await?;
        Ok(if health.status == 200 { Ok(()) } else { Err(format!("{health:?}")) })
    })
    .await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn r3_h2_the_first_request_after_a_restart_of_postgres_is_answered() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let warm = futures::future::try_join_all((0..16).map(|_| pages.get("/fleet", &cookie))).await?;
    ensure!(warm.iter().all(|answer| answer.status == 200), "{warm:?}");
    // What a restart does to each connection of the pool.
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'wagres web' AND datname = current_database()",
    )
    .fetch_all(&db.pool)
    .await?;
    ensure!(ended.len() > 2, "{ended:?}");
    let answer = pages.get("/fleet", &cookie).await?;
    ensure!(answer.status == 200, "{answer:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_wrong_token_of_a_program_is_refused_and_not_led_to_a_form() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    for path in ["/fleet", "/session/shop", "/stream?view=%2Ffleet"] {
        let answer = pages.request(&format!("GET {path}"), &["authorization: Bearer wat_0"], "").await?;
        ensure!(answer.status == 401 && answer.header("www-authenticate") == Some("Bearer"), "{path}: {answer:?}");
        ensure!(answer.body.contains("secret: ") && answer.body.contains("hint"), "{path}: {answer:?}");
    }
    // A browser is led to the form.
    ensure!(pages.get("/fleet", "wagres=wac_0").await?.status == 303);
    pages.stop().await;
    Ok(())
}

/// The stream of an open page is refused after its token was revoked, for example when a laptop wakes up.
#[tokio::test]
async fn h2_a_page_whose_token_was_revoked_leads_to_the_login() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let secret = token(&db, "ops", "viewer", None).await?;
    let browser = Browser::start(1280, 800).await?;
    sign_in(&browser, &pages, &secret).await?;
    browser.shows("main", "shop").await?;
    // As when the browser puts the page aside, and shows it again later.
    browser.run("dispatchEvent(new PageTransitionEvent('pagehide'))").await?;
    sqlx::query("SELECT wa.revoke_token('ops')").execute(&db.pool).await?;
    browser.run("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))").await?;
    browser.until("location.pathname === '/login'").await?;
    pages.stop().await;
    Ok(())
}
