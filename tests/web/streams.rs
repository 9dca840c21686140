//! Live pages: what they cost, what they resume, and what they do not show.

use super::{Pages, token, two_tenants};
use crate::support::db;
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};

#[tokio::test]
async fn h2_a_page_shows_a_change_of_a_session() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let mut stream = pages.stream("/stream?view=%2Ffleet", &cookie, "").await?;
    stream.until("shop").await?;
    sqlx::query("SELECT wa.add_session('second')").execute(&db.pool).await?;
    stream.until("second").await?;
    pages.stop().await;
    Ok(())
}

/// A thousand open pages of the same view are rendered once. Every rendering enters with its token once, and so does the
/// opening of each stream.
#[tokio::test]
async fn h2_a_thousand_open_pages_cost_what_one_costs() -> Result<()> {
    let count_calls =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = ''all''', current_database()); END $$";
    let db = db::fresh_with(Some(count_calls)).await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let mut streams = vec![];
    for _ in 0..1000 {
        streams.push(pages.stream("/stream?view=%2Ffleet", &cookie, "").await?);
    }
    for session in ["second", "third", "fourth"] {
        sqlx::query("SELECT wa.add_session($1)").bind(session).execute(&db.pool).await?;
        for stream in &mut streams {
            stream.until(session).await?;
        }
    }
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wagres web' AND datname = current_database()";
    let connections: i64 = sqlx::query_scalar(connections).fetch_one(&db.pool).await?;
    ensure!(connections <= 8, "{connections} connections");
    drop(streams);
    // A connection reports its counts when it ends.
    pages.stop().await;
    let calls = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_user_functions WHERE funcname = 'web_enter'";
    let calls = until("the counts", async || {
        let calls: i64 = sqlx::query_scalar(calls).fetch_one(&db.pool).await?;
        Ok(if calls >= 1000 { Ok(calls) } else { Err(calls) })
    })
    .await?;
    ensure!(calls < 1500, "{} renderings", calls - 1000);
    Ok(())
}

async fn add_event(db: &db::TestDb, session: &str, kind: &str) -> Result<i64> {
    let insert = "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, $2 FROM wa.session WHERE name = $1 RETURNING id";
    Ok(sqlx::query_scalar(insert).bind(session).bind(kind).fetch_one(&db.pool).await?)
}

#[tokio::test]
async fn h2_events_come_as_they_happen_and_resume_after_a_pause() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let first = add_event(&db, "shop", "call").await?;
    let mut stream = pages.stream("/stream/events", &cookie, "").await?;
    stream.until(&format!("data-key=\"{first}\"")).await?;
    let second = add_event(&db, "shop", "call").await?;
    stream.until(&format!("data-key=\"{second}\"")).await?;
    drop(stream);
    let third = add_event(&db, "shop", "call").await?;
    for resume in [format!("last-event-id: {second}\r\n"), String::new()] {
        let path = if resume.is_empty() { format!("/stream/events?after={second}") } else { "/stream/events".into() };
        pages.stream(&path, &cookie, &resume).await?.until(&format!("data-key=\"{third}\"")).await?;
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_q14_a_stream_has_no_event_of_another_tenant_whatever_id_it_asks_for() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    let foreign = add_event(&db, "blue.shop", "call").await?;
    let mut stream = pages.stream("/stream/events?after=0", &red, "").await?;
    add_event(&db, "blue.shop", "call").await?;
    let own = add_event(&db, "red.shop", "call").await?;
    let line = stream.until("data-kind=\"call\"").await?;
    ensure!(line.contains(&format!("data-key=\"{own}\"")), "{foreign}: {line}");
    let by_name = pages.stream("/stream?view=%2Fsession%2Fblue.shop", &red, "").await;
    if let Ok(mut stream) = by_name {
        let line = stream.until("data:").await.context("no answer")?;
        ensure!(!line.contains("blue.shop</h1>"), "{line}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_stream_ends_with_its_token() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let mut stream = pages.stream("/stream?view=%2Ffleet", &cookie, "").await?;
    stream.until("data:").await?;
    sqlx::query("SELECT wa.revoke_token('ops'), wa.add_session('late')").execute(&db.pool).await?;
    stream.until("event: reload").await?;
    let refused = pages.request("GET /stream?view=%2Ffleet", &[&format!("cookie: {cookie}")], "").await?;
    ensure!(refused.status == 401, "{refused:?}");
    pages.stop().await;
    Ok(())
}
