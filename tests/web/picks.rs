//! What the fleet page does with several sessions at once (H2): all of them or none, never another tenant's.

use super::{Pages, sign_in, token, two_tenants};
use crate::support::browser::Browser;
use crate::support::db;
use crate::support::logins::run;
use anyhow::{Result, ensure};
use sqlx::PgPool;

async fn paused(pool: &PgPool) -> Result<String> {
    let names = "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM wa.session WHERE paused_at IS NOT NULL";
    Ok(sqlx::query_scalar(names).fetch_one(pool).await?)
}

#[tokio::test]
async fn h2_r9_an_act_on_several_sessions_changes_all_or_none_and_none_of_another_tenant() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    run(&db.pool, "SELECT wa.add_session('red.office', 'red')").await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "operator", Some("red")).await?).await?;
    let viewer = pages.sign_in(&token(&db, "eve", "viewer", Some("red")).await?).await?;
    for picked in
        ["sessions=red.office&sessions=blue.shop", "sessions=blue.shop&sessions=red.shop", "sessions=blue.shop"]
    {
        let answer = pages.post("/act/pause_sessions", &red, picked).await?;
        ensure!(answer.status == 422 && paused(&db.pool).await?.is_empty(), "{picked}: {answer:?}");
    }
    let answer = pages.post("/act/pause_sessions", &red, "sessions=red.shop&sessions=red.office").await?;
    ensure!(answer.status == 200 && paused(&db.pool).await? == "red.office red.shop", "{answer:?}");
    let shown = "SELECT wa.pause(session) FROM unnest('{red.office,red.shop}'::text[]) AS session;";
    ensure!(answer.body.contains(shown) && answer.body.contains("Sessions paused: 2"), "{answer:?}");
    // Workers are everybody's, so only an admin moves.
    let answer = pages.post("/act/move_sessions", &red, "sessions=red.shop").await?;
    ensure!(answer.status == 403, "{answer:?}");
    for (cookie, boxes) in [(&red, 2), (&viewer, 0)] {
        let page = pages.get("/fleet", cookie).await?;
        ensure!(page.body.matches("name=\"sessions\"").count() == boxes, "{boxes}: {}", page.body);
        ensure!(
            page.body.contains("id=\"picked\"") == (boxes > 0) && !page.body.contains("move_sessions"),
            "{}",
            page.body
        );
    }
    // A name is a value and no part of the statement.
    let answer = pages.post("/act/resume_sessions", &red, "sessions=x%22%7D&sessions=NULL&sessions=%5C").await?;
    ensure!(answer.status == 422 && paused(&db.pool).await? == "red.office red.shop", "{answer:?}");
    // What was paused one by one is resumed together.
    run(&db.pool, "SELECT wa.resume('red.shop'), wa.pause('red.shop', 'stock')").await?;
    let answer = pages.post("/act/resume_sessions", &red, "sessions=red.shop&sessions=red.office").await?;
    ensure!(answer.status == 200 && answer.body.contains("Sessions resumed: 2"), "{answer:?}");
    ensure!(paused(&db.pool).await?.is_empty());
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_sessions_are_picked_paused_and_moved_together() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('session-' || n) FROM generate_series(1, 5) n;
         INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
         SELECT gen_random_uuid(), 'host-' || n, n, '1', now() + interval '1 hour', 100 * n FROM generate_series(1, 2) n",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let secret = token(&db, "ops", "admin", None).await?;
    let browser = Browser::start(1280, 800).await?;
    sign_in(&browser, &pages, &secret).await?;
    let box_of = |name: &str| format!("input[value='{name}']");
    let is_shown = "getComputedStyle(document.querySelector('#picked')).display !== 'none'";
    browser.until(&format!("!({is_shown})")).await?;
    browser.click(&box_of("session-2")).await?;
    browser.click(&box_of("session-4")).await?;
    browser.until(&format!("{is_shown} && document.querySelector('[data-picked]').textContent === '2'")).await?;
    // A change that the page shows by itself takes nothing away from what is picked.
    run(&db.pool, "SELECT wa.pause('session-1', 'stock')").await?;
    browser.shows("tr[data-key=session-1]", "paused").await?;
    browser.until(&format!("{is_shown} && document.querySelector('[data-picked]').textContent === '2'")).await?;
    browser.click("button[formaction='/act/pause_sessions']").await?;
    browser.shows("#toasts", "FROM unnest('{session-2,session-4}'::text[]) AS session;").await?;
    ensure!(paused(&db.pool).await? == "session-1 session-2 session-4");
    browser.until(&format!("!({is_shown})")).await?;
    browser.click(&box_of("session-3")).await?;
    browser.click("[data-pick]").await?;
    browser.until("document.querySelector('[data-picked]').textContent === '5'").await?;
    // The one with most room comes first.
    browser.run("document.querySelector('#picked select').selectedIndex = 1").await?;
    browser.click("button[formaction='/act/move_sessions']").await?;
    browser.shows("#toasts", "Sessions whose worker is chosen: 5").await?;
    let moved = "SELECT count(*) FROM wa.move_request r JOIN wa.worker w USING (worker_id) WHERE w.host = 'host-2'";
    ensure!(sqlx::query_scalar::<_, i64>(moved).fetch_one(&db.pool).await? == 5);
    pages.stop().await;
    Ok(())
}
