//! What a change from a page leaves behind: who made it, on how many sessions, and how soon pages show it (H2).

use super::{Pages, token, two_tenants};
use crate::support::db::{self, TestDb};
use crate::support::logins::run;
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::time::Instant;

async fn text(db: &TestDb, sql: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&db.pool).await?)
}

#[tokio::test]
async fn h2_s12_a_pause_from_a_page_is_by_the_name_of_its_token() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    run(&db.pool, "SELECT wa.add_token('anna@example.org', 'operator', proxy_user => true)").await?;
    let name = format!("olga{}", "x".repeat(96));
    let pages = Pages::with(&db, |config| {
        config.web.trusted_proxies = ["127.0.0.0/8"].iter().filter_map(|net| net.parse().ok()).collect();
        config.web.user_header = Some("X-User".into());
    })
    .await?;
    let olga = pages.sign_in(&token(&db, &name, "operator", Some("red")).await?).await?;
    let boss = pages.sign_in(&token(&db, "boss", "admin", None).await?).await?;
    for (act, cookie, form) in [
        ("pause", &olga, "session=red.shop&reason=stock"),
        ("pause_campaign", &olga, "session=red.shop&campaign=may"),
        ("pause_tenant", &boss, "tenant=blue"),
        // Of two pauses the first one counts.
        ("pause", &boss, "session=red.shop"),
    ] {
        let answer = pages.post(&format!("/act/{act}"), cookie, form).await?;
        ensure!(answer.status == 200, "{act}: {answer:?}");
    }
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('red.shop', '15550002', 'x', 'may')",
    )
    .await?;
    let why = text(&db, "SELECT wa.why('red.shop')").await?.unwrap_or_default();
    ensure!(why.contains(&format!("paused by {name} since")) && why.contains(": stock"), "{why}");
    ensure!(why.contains(&format!("campaign may paused by {name} since")), "{why}");
    let why = text(&db, "SELECT wa.why('blue.shop')").await?.unwrap_or_default();
    ensure!(why.contains("tenant blue paused by boss since"), "{why}");
    let user = ["x-user: anna@example.org", &format!("origin: {}", pages.url), "accept: application/json"];
    let answer = pages.request("POST /act/pause", &user, "session=blue.shop").await?;
    ensure!(answer.status == 200, "{answer:?}");
    let by = text(&db, "SELECT paused_by FROM wa.session WHERE name = 'blue.shop'").await?;
    ensure!(by.as_deref() == Some("anna@example.org"), "{by:?}");
    // In SQL it is the role.
    run(&db.pool, "SELECT wa.resume('blue.shop'), wa.pause('blue.shop')").await?;
    let by = text(&db, "SELECT (paused_by = session_user)::text FROM wa.session WHERE name = 'blue.shop'").await?;
    ensure!(by.as_deref() == Some("true"), "{by:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_campaign_is_paused_resumed_and_cancelled_on_all_its_sessions_at_once() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    run(
        &db.pool,
        "INSERT INTO wa.session (name, tenant) SELECT 'red.' || n, 'red' FROM generate_series(1, 120) n;
         INSERT INTO wa.outbound (session, recipient, body, campaign) SELECT name, '+79001234567', 'x', 'may' FROM wa.session",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "operator", Some("red")).await?).await?;
    let paused = "SELECT coalesce(string_agg(DISTINCT s.tenant, ','), '') || count(*) FROM wa.campaign c JOIN wa.session s USING (session_id) WHERE c.paused_at IS NOT NULL";
    for (act, statement, left) in
        [("pause", "wa.pause_campaigns('may');", "red121"), ("resume", "wa.resume_campaigns('may');", "0")]
    {
        let answer = pages.post(&format!("/act/{act}_campaigns"), &red, "campaign=may").await?;
        ensure!(answer.status == 200 && answer.body.contains(statement), "{act}: {answer:?}");
        let now = text(&db, paused).await?;
        ensure!(now.as_deref() == Some(left), "{act}: {now:?}");
    }
    let page = pages.get("/campaigns/may?tenant=red", &red).await?;
    ensure!(page.body.contains("/act/pause_campaigns") && page.body.contains("/act/cancel_campaigns"), "{}", page.body);
    let answer = pages.post("/act/cancel_campaigns", &red, "campaign=may&tenant=red").await?;
    ensure!(answer.status == 200, "{answer:?}");
    let left = text(
        &db,
        "SELECT string_agg(DISTINCT session || ' ' || status, ',') FROM wa.outbound WHERE status <> 'cancelled'",
    )
    .await?;
    ensure!(left.as_deref() == Some("blue.shop queued"), "{left:?}");
    // A viewer's token is not enough, whoever asks.
    let viewer = pages.sign_in(&token(&db, "eve", "viewer", None).await?).await?;
    ensure!(pages.post("/act/pause_campaigns", &viewer, "campaign=may").await?.status == 403);
    pages.stop().await;
    Ok(())
}

/// The tenant whose turn in it is the longest ago.
#[tokio::test]
async fn h2_the_progress_of_a_campaign_of_many_tenants_is_that_of_the_chosen_one() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "INSERT INTO wa.tenant (tenant) SELECT 't' || n FROM generate_series(1, 70) n;
         INSERT INTO wa.session (name, tenant) SELECT tenant || '.shop', tenant FROM wa.tenant WHERE tenant LIKE 't%';
         INSERT INTO wa.outbound (session, recipient, body, campaign) SELECT name, '+79001234567', 'x', 'may' FROM wa.session;
         INSERT INTO wa.numbers (tenant, campaign, at, span, queued, sent, last_at)
         SELECT 't' || n, 'may', date_trunc('hour', now()) - interval '1 hour', 'hour', 7, 7, now() - interval '2 hours' + n * interval '1 minute' FROM generate_series(1, 70) n;
         UPDATE wa.campaign SET created_at = now() - interval '1 day'",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    for (path, begun) in [("?tenant=t1", "<b>7 / 7</b>"), ("", "<b>490 / 490</b>")] {
        let page = pages.get(&format!("/campaigns/may{path}"), &cookie).await?;
        let panel = page.body.split("section class=\"panel\"").nth(1).and_then(|rest| rest.split("</section>").next());
        ensure!(panel.is_some_and(|panel| panel.contains(begun)), "{path}: {panel:?}");
    }
    pages.stop().await;
    Ok(())
}

/// Without a notification a view waits for its tick, which is five seconds for the fleet.
#[tokio::test]
async fn h2_the_fleet_shows_a_new_session_and_a_changed_wish_before_its_tick() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let mut stream = pages.stream("/stream?view=%2Ffleet", &cookie, "").await?;
    stream.until("shop").await?;
    for (change, shown) in [
        ("SELECT wa.add_session('second')", "second"),
        ("UPDATE wa.session SET desired = 'connected' WHERE name = 'shop'", "should be connected <b>1</b>"),
        ("SELECT wa.add_session('third')", "third"),
    ] {
        let begun = Instant::now();
        run(&db.pool, change).await?;
        stream.until(shown).await?;
        ensure!(begun.elapsed() < Duration::from_secs(4), "{change}: {:?}", begun.elapsed());
    }
    pages.stop().await;
    Ok(())
}

/// Pacing is announced by nobody; whoever sets it on a page sees it at once. Consumers have a tick of five seconds.
#[tokio::test]
async fn h2_a_page_shows_its_own_change_before_its_tick() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'), wa.add_consumer('first', 'shop'), wa.add_consumer('second', 'shop')")
        .await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "admin", None).await?).await?;
    let mut stream = pages.stream("/stream?view=%2Fconsumers", &cookie, "").await?;
    stream.until("first").await?;
    for name in ["second", "first"] {
        let begun = Instant::now();
        let answer = pages.post("/act/drop_consumer", &cookie, &format!("name={name}")).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let gone = stream.until("data:").await?;
        ensure!(!gone.contains(&format!(">{name}<")), "{gone}");
        ensure!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
    pages.stop().await;
    Ok(())
}

/// Behind a pooler there are no notifications.
#[tokio::test]
async fn h2_q9_pages_behind_a_pooler_look_by_themselves() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let pages = Pages::with(&db, |config| config.database_pooler = true).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let mut stream = pages.stream("/stream?view=%2Ffleet", &cookie, "").await?;
    stream.until("shop").await?;
    run(&db.pool, "SELECT wa.add_session('second')").await?;
    stream.until("second").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s6_a_proxy_is_removed_by_a_button_of_its_own() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'), wa.set_proxy('shop', 'http://proxy.example.com:3128')").await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let page = pages.get("/session/shop?tab=settings", &cookie).await?;
    let form =
        page.body.split("/act/set_proxy").nth(1).and_then(|rest| rest.split("</form>").next()).unwrap_or_default();
    ensure!(form.contains("name=\"url\" required"), "{form}");
    ensure!(page.body.contains("SELECT wa.set_proxy('shop', NULL);"), "{}", page.body);
    let answer = pages.post("/act/remove_proxy", &cookie, "session=shop").await?;
    ensure!(answer.body.contains("SELECT wa.set_proxy('shop', NULL);"), "{answer:?}");
    ensure!(text(&db, "SELECT proxy FROM wa.session").await?.is_none());
    pages.stop().await;
    Ok(())
}
