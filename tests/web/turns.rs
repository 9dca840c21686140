//! What a tenant has of the connections to the database: others go on, whatever its own pages wait for (H2, R9).

use super::{Pages, token, two_tenants};
use crate::support::db;
use crate::support::logins::run;
use anyhow::{Result, ensure};
use futures::future::{join, join_all, try_join_all};
use std::time::Duration;
use tokio::time::Instant;

/// A page that waits for a lock does so for two seconds.
const SOON: Duration = Duration::from_millis(1500);

/// Applications keep rows of two tenants locked. Their operators wait, nobody else; and they go on as soon as the row is free.
#[tokio::test]
async fn h2_r8_changes_that_wait_for_a_lock_leave_connections_to_others() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    run(&db.pool, "SELECT wa.add_tenant('green')").await?;
    run(&db.pool, "SELECT wa.add_session('green.shop', 'green')").await?;
    let pages = Pages::with(&db, |config| config.web.connections = 4).await?;
    let sign_in = async |tenant| pages.sign_in(&token(&db, tenant, "operator", Some(tenant)).await?).await;
    let (red, green, blue) = (sign_in("red").await?, sign_in("green").await?, sign_in("blue").await?);
    let lock = async |sql: &'static str| -> Result<_> {
        let mut application = db.pool.begin().await?;
        sqlx::query(sql).execute(&mut *application).await?;
        Ok(application)
    };
    let stays = lock("SELECT wa.pause('red.shop')").await?;
    let leaves = lock("SELECT wa.pause('green.shop')").await?;
    let of_red = try_join_all((0..8).map(|_| pages.post("/act/pause", &red, "session=red.shop")));
    let of_green = try_join_all((0..3).map(|_| pages.post("/act/pause", &green, "session=green.shop")));
    let of_blue = async {
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = pages.post("/act/pause", &blue, "session=blue.shop").await?;
            ensure!(answer.status == 200 && begun.elapsed() < SOON, "{:?}: {answer:?}", begun.elapsed());
        }
        leaves.rollback().await?;
        anyhow::Ok(())
    };
    let ((of_red, of_green), of_blue) = join(join(of_red, of_green), of_blue).await;
    of_blue?;
    for answer in of_red? {
        ensure!(answer.status == 503 && answer.body.contains("is changing the same"), "{answer:?}");
    }
    for answer in of_green? {
        ensure!(answer.status == 200, "{answer:?}");
    }
    drop(stays);
    pages.stop().await;
    Ok(())
}

/// Chats take long, here because somebody holds their table.
#[tokio::test]
async fn h2_r9_pages_of_a_tenant_that_take_long_leave_connections_to_others() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let pages = Pages::with(&db, |config| config.web.connections = 4).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    let blue = pages.sign_in(&token(&db, "blue", "viewer", Some("blue")).await?).await?;
    let mut holds = db.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.past IN ACCESS EXCLUSIVE MODE").execute(&mut *holds).await?;
    // Views, too: each is one of its own.
    let views = (0..8).map(|n| format!("/stream?view=%2Finbox%2Fred.shop%3Fchat%3Da%26x%3D{n}"));
    let views: Vec<_> = views.collect();
    let views = try_join_all(views.iter().map(|path| pages.stream(path, &red, ""))).await?;
    let of_red = join_all((0..20).map(|_| pages.get("/inbox/red.shop?chat=a", &red)));
    let of_blue = async {
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = pages.get("/consumers", &blue).await?;
            ensure!(answer.status == 200 && begun.elapsed() < SOON, "{:?}: {answer:?}", begun.elapsed());
            let begun = Instant::now();
            pages.stream("/stream?view=%2Ffleet", &blue, "").await?.until("blue.shop").await?;
            ensure!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        }
        anyhow::Ok(())
    };
    let (of_red, of_blue) = join(of_red, of_blue).await;
    of_blue?;
    for answer in of_red {
        let answer = answer?;
        ensure!(answer.status == 503, "{answer:?}");
    }
    drop(views);
    holds.rollback().await?;
    let answer = pages.get("/inbox/red.shop?chat=a", &red).await?;
    ensure!(answer.status == 200, "{answer:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_r9_a_search_is_bounded_and_no_live_view() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    for place in ["/inbox", "/inbox/red.shop?q=words", "/inbox/red.shop?chat=a&before=b", "/live"] {
        let page = pages.get(place, &red).await?;
        ensure!(page.status == 200 && !page.body.contains("data-live"), "{place}: {page:?}");
        let place: String = url::form_urlencoded::byte_serialize(place.as_bytes()).collect();
        let answer = pages.get(&format!("/stream?view={place}"), &red).await?;
        ensure!(answer.status == 404, "{place}: {answer:?}");
    }
    let many: Vec<String> = (1..=40).map(|n| format!("w{n}")).collect();
    let page = pages.get(&format!("/inbox/red.shop?q={}", many.join("+")), &red).await?;
    let found = page
        .body
        .split("conversation-pane")
        .nth(1)
        .and_then(|pane| pane.split("<h2>").nth(1))
        .and_then(|rest| rest.split("</h2>").next())
        .unwrap_or_default();
    ensure!(found.contains("w20") && !found.contains("w21"), "{found}");
    let page = pages.get(&format!("/inbox/red.shop?q={}", "%D1%8F".repeat(2000)), &red).await?;
    let letters = |text: &str| text.matches('\u{44f}').count();
    let found = page
        .body
        .split("conversation-pane")
        .nth(1)
        .and_then(|pane| pane.split("<h2>").nth(1))
        .and_then(|rest| rest.split("</h2>").next())
        .unwrap_or_default();
    ensure!(page.status == 200 && letters(found) == 200, "{found}");
    pages.stop().await;
    Ok(())
}

/// Reads past events and pages of links, both of which wait here, because somebody holds a table of theirs.
#[tokio::test]
async fn h2_r9_past_events_and_pages_of_links_leave_connections_to_others() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let pages = Pages::with(&db, |config| config.web.connections = 4).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    let blue = pages.sign_in(&token(&db, "blue", "viewer", Some("blue")).await?).await?;
    run(&db.pool, "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session WHERE name = 'red.shop'").await?;
    // The feed has begun.
    let mut first = pages.stream("/stream/events", &red, "").await?;
    first.until("data-kind=\"call\"").await?;
    let mut links = vec![];
    for _ in 0..10 {
        let url: String = sqlx::query_scalar("SELECT wa.link_url('red.shop')").fetch_one(&db.pool).await?;
        links.push(format!("/link/{}", url.rsplit('/').next().unwrap_or_default()));
    }
    let is_served_soon = async || -> Result<()> {
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = pages.get("/consumers", &blue).await?;
            ensure!(answer.status == 200 && begun.elapsed() < SOON, "{:?}: {answer:?}", begun.elapsed());
        }
        Ok(())
    };

    let mut holds = db.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.event IN ACCESS EXCLUSIVE MODE").execute(&mut *holds).await?;
    let streams = try_join_all((0..10).map(|_| pages.stream("/stream/events?after=0&kind=nothing", &red, ""))).await?;
    is_served_soon().await?;
    drop(streams);
    holds.rollback().await?;

    let mut holds = db.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.company IN ACCESS EXCLUSIVE MODE").execute(&mut *holds).await?;
    let of_links = join_all(links.iter().map(|link| pages.get(link, "")));
    let (_, of_blue) = join(of_links, is_served_soon()).await;
    of_blue?;
    holds.rollback().await?;
    ensure!(pages.get(&links[0], "").await?.status == 200);
    pages.stop().await;
    Ok(())
}
