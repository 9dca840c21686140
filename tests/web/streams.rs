//! Live pages: what they cost, what they resume, and what they do not show.

use super::{Pages, token, two_tenants};
use crate::support::db;
use crate::support::relay::Relay;
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use tokio::time::Instant;
use wagres::config::Config;

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
    let many = |config: &mut Config| (config.web.streams_per_address, config.web.clients_per_address) = (2000, 2000);
    let pages = Pages::with(&db, many).await?;
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
async fn h2_the_last_events_of_a_quiet_tenant_are_shown_among_many_of_others() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    let own = add_event(&db, "red.shop", "call").await?;
    let others = "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, 5000) WHERE name = 'blue.shop'";
    sqlx::query(others).execute(&db.pool).await?;
    let line = pages.stream("/stream/events", &red, "").await?.until("data-kind=\"call\"").await?;
    ensure!(line.contains(&format!("data-key=\"{own}\"")), "{line}");
    pages.stop().await;
    Ok(())
}

/// Of the events of others nothing is read, however often they happen.
#[tokio::test]
async fn h2_r9_the_events_of_a_quiet_tenant_cost_nothing_of_those_of_others() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let others = "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, 20000) WHERE name = 'blue.shop'";
    sqlx::raw_sql(others).execute(&db.pool).await?;
    sqlx::raw_sql("DELETE FROM wa.event WHERE session = 'red.shop'; ANALYZE wa.event").execute(&db.pool).await?;
    let rows_read =
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relid = 'wa.event'::regclass";
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(&db.pool).await?;
    let before: i64 = sqlx::query_scalar(rows_read).fetch_one(&db.pool).await?;
    let mut streams = vec![];
    for path in ["/stream/events", "/stream/events?after=0"] {
        streams.push(pages.stream(path, &red, "").await?);
    }
    for _ in 0..4 {
        // Its page shows that it has rung.
        let mut page = pages.stream("/stream?view=%2Ffleet", &red, "").await?;
        page.until("red.shop").await?;
        add_event(&db, "blue.shop", "call").await?;
    }
    let own = add_event(&db, "red.shop", "call").await?;
    for stream in &mut streams {
        let line = stream.until("data-kind=\"call\"").await?;
        ensure!(line.contains(&format!("data-key=\"{own}\"")), "{line}");
    }
    drop(streams);
    // A connection reports its counts when it ends.
    pages.stop().await;
    let after: i64 = sqlx::query_scalar(rows_read).fetch_one(&db.pool).await?;
    ensure!(after - before < 10_000, "{} rows read", after - before);
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

/// Two browsers show the same page; one is signed out. Only the other one gets what is new.
#[tokio::test]
async fn h2_a_revoked_token_gets_nothing_new_while_another_looks_on() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let (gone, stays) = (token(&db, "gone", "viewer", None).await?, token(&db, "stays", "viewer", None).await?);
    let (gone, stays) = (pages.sign_in(&gone).await?, pages.sign_in(&stays).await?);
    let mut page_of_gone = pages.stream("/stream?view=%2Ffleet", &gone, "").await?;
    let mut page_of_other = pages.stream("/stream?view=%2Ffleet", &stays, "").await?;
    let mut events_of_gone = pages.stream("/stream/events", &gone, "").await?;
    let mut events_of_other = pages.stream("/stream/events", &stays, "").await?;
    let before = add_event(&db, "shop", "call").await?;
    for events in [&mut events_of_gone, &mut events_of_other] {
        events.until(&format!("data-key=\"{before}\"")).await?;
    }
    for page in [&mut page_of_gone, &mut page_of_other] {
        page.until("shop").await?;
    }
    sqlx::query("SELECT wa.revoke_token('gone'), wa.add_session('late')").execute(&db.pool).await?;
    let after = add_event(&db, "shop", "picture_changed").await?;
    page_of_other.until("late").await?;
    events_of_other.until(&format!("data-key=\"{after}\"")).await?;
    let last = page_of_gone.until("event: reload").await?;
    ensure!(!last.contains("late"), "{last}");
    // Its stream of events has ended.
    ensure!(events_of_gone.until(&format!("data-key=\"{after}\"")).await.is_err(), "an event after the token");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_reader_that_was_away_for_long_misses_no_event() -> Result<()> {
    const MISSED: i64 = 3500;
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let first = add_event(&db, "shop", "call").await?;
    // A colleague keeps the feed.
    let mut colleague = pages.stream("/stream/events", &cookie, "").await?;
    colleague.until(&format!("data-key=\"{first}\"")).await?;
    sqlx::query("INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, $1)")
        .bind(MISSED)
        .execute(&db.pool)
        .await?;
    let mut back = pages.stream(&format!("/stream/events?after={first}"), &cookie, "").await?;
    for id in first + 1..=first + MISSED {
        back.until(&format!("data-key=\"{id}\"")).await.with_context(|| format!("event {id}"))?;
    }
    let next = add_event(&db, "shop", "call").await?;
    back.until(&format!("data-key=\"{next}\"")).await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_r9_streams_and_views_are_bounded() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::with(&db, |config: &mut Config| config.web.streams_per_address = 70).await?;
    let secret = token(&db, "ops", "viewer", None).await?;
    let (one, other) = (pages.sign_in(&secret).await?, pages.sign_in(&secret).await?);
    let mut open = vec![];
    // The views of a token, by whatever cookies.
    for n in 0..64 {
        let cookie = if n % 2 == 0 { &one } else { &other };
        open.push(pages.stream(&format!("/stream?view=%2Ffleet%3Fx%3D{n}"), cookie, "").await?);
    }
    let status = async |path: &str| -> Result<u16> {
        Ok(pages.request(&format!("GET {path}"), &[&format!("cookie: {one}")], "").await?.status)
    };
    ensure!(status("/stream?view=%2Ffleet%3Fx%3D64").await? == 429, "one more view");
    // Those that are open already serve more readers, until the address has too many.
    for _ in 0..6 {
        open.push(pages.stream("/stream?view=%2Ffleet%3Fx%3D1", &one, "").await?);
    }
    ensure!(status("/stream?view=%2Ffleet%3Fx%3D1").await? == 429, "one more stream");
    ensure!(status("/fleet").await? == 200, "pages are served");
    drop(open);
    until("a stream that ended makes room", async || {
        let opened = pages.stream("/stream?view=%2Ffleet", &one, "").await;
        Ok(opened.map(drop).map_err(|error| error.to_string()))
    })
    .await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn s2_h2_a_wrong_secret_of_a_link_opens_no_stream_and_counts_as_an_attempt() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::with(&db, |config: &mut Config| config.web.logins_per_minute = 3).await?;
    let mut answers = vec![];
    for _ in 0..5 {
        answers.push(pages.request("GET /link/wak_0/live", &["accept: text/event-stream"], "").await?.status);
    }
    ensure!(answers == [404, 404, 404, 429, 429], "{answers:?}");
    pages.stop().await;
    Ok(())
}

/// The last events of one session, however many others have happened since; and where to go on, though nothing of it happened.
#[tokio::test]
async fn h2_events_of_one_session_come_from_its_own_past() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('quiet'), wa.add_session('busy')").execute(&db.pool).await?;
    let own = add_event(&db, "quiet", "call").await?;
    let other = add_event(&db, "quiet", "session_paused").await?;
    let flood = "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, 300) WHERE name = 'busy'";
    sqlx::raw_sql(flood).execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let mut stream = pages.stream("/stream/events?session=quiet", &cookie, "").await?;
    stream.until(&format!("data-key=\"{own}\"")).await?;
    stream.until(&format!("data-key=\"{other}\"")).await?;
    sqlx::raw_sql(flood).execute(&db.pool).await?;
    let passed = stream.until("id: ").await?;
    let passed: i64 = passed.trim_start_matches("id: ").parse()?;
    ensure!(passed > other, "{passed}");
    let mut stream = pages.stream("/stream/events?session=quiet&kind=session_", &cookie, "").await?;
    stream.until(&format!("data-key=\"{other}\"")).await?;
    let next = add_event(&db, "quiet", "session_paused").await?;
    let resumed = format!("last-event-id: {passed}\r\n");
    let mut stream = pages.stream("/stream/events?session=quiet", &cookie, &resumed).await?;
    stream.until(&format!("data-key=\"{next}\"")).await?;
    pages.stop().await;
    Ok(())
}

/// Nothing happens that would wake the stream.
#[tokio::test]
async fn h2_a_quiet_stream_ends_with_its_token() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let (gone, stays) = (token(&db, "gone", "viewer", None).await?, token(&db, "stays", "viewer", None).await?);
    let (gone, stays) = (pages.sign_in(&gone).await?, pages.sign_in(&stays).await?);
    let first = add_event(&db, "shop", "call").await?;
    let mut streams = vec![];
    for cookie in [&stays, &gone] {
        let mut events = pages.stream("/stream/events", cookie, "").await?;
        events.until(&format!("data-key=\"{first}\"")).await?;
        streams.push(events);
    }
    let mut page = pages.stream("/stream?view=%2Fconsumers", &gone, "").await?;
    page.until("data:").await?;
    let revoked = Instant::now();
    sqlx::query("SELECT wa.revoke_token('gone')").execute(&db.pool).await?;
    page.until("event: reload").await?;
    // The connection stays, for other requests.
    loop {
        let line = streams[1].line().await?;
        ensure!(!line.contains("data-key"), "an event after the token: {line}");
        if line == "0" {
            break;
        }
    }
    ensure!(revoked.elapsed() < Duration::from_secs(10), "{:?}", revoked.elapsed());
    let second = add_event(&db, "shop", "call").await?;
    streams[0].until(&format!("data-key=\"{second}\"")).await?;
    pages.stop().await;
    Ok(())
}

/// The server holds its connections and answers nothing, as one that is stopped (SIGSTOP) or whose disk hangs.
#[tokio::test]
async fn h2_streams_say_that_a_database_that_keeps_its_connections_does_not_answer() -> Result<()> {
    let mut db = db::fresh().await;
    let relay = Relay::to(&db.url).await?;
    db.url.clone_from(&relay.url);
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let mut page = pages.stream("/stream?view=%2Fconsumers", &cookie, "").await?;
    page.until("data:").await?;
    let mut events = pages.stream("/stream/events", &cookie, "").await?;
    let stalled = Instant::now();
    relay.stall();
    page.until("event: away").await?;
    events.until("event: away").await?;
    ensure!(stalled.elapsed() < Duration::from_secs(8), "{:?}", stalled.elapsed());
    relay.resume();
    page.until("event: back").await?;
    events.until("event: back").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_streams_say_that_their_server_ends() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let mut page = pages.stream("/stream?view=%2Fworkers", &cookie, "").await?;
    page.until("data:").await?;
    let mut events = pages.stream("/stream/events", &cookie, "").await?;
    let told = async { (page.until("event: stops").await, events.until("event: stops").await) };
    let (told, ()) = tokio::join!(told, pages.stop());
    told.0.and(told.1).map(drop)
}

/// Of a kind that never happens, too, only so many events are read at a time; the stream says how far it is.
#[tokio::test]
async fn h2_r9_a_reading_of_events_is_bounded_whatever_kind_is_wanted() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let many = "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, 30000) WHERE name = 'red.shop'";
    sqlx::raw_sql(many).execute(&db.pool).await?;
    sqlx::raw_sql("ANALYZE wa.event").execute(&db.pool).await?;
    let last = add_event(&db, "red.shop", "session_paused").await?;
    let rows_read =
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relid = 'wa.event'::regclass";
    for (path, read) in [
        ("/stream/events?session=red.shop&after=0&kind=nothing", None),
        ("/stream/events?after=0&kind=nothing", None),
        ("/stream/events?session=red.shop&kind=nothing", Some(12_000)),
        ("/stream/events?kind=nothing", Some(12_000)),
    ] {
        let pages = Pages::start(&db).await?;
        let red = pages.sign_in(&token(&db, &format!("red{}", path.len()), "viewer", Some("red")).await?).await?;
        let before: i64 = sqlx::query_scalar(rows_read).fetch_one(&db.pool).await?;
        let mut stream = pages.stream(path, &red, "").await?;
        if read.is_none() {
            // Far from the end it says where to go on.
            let passed = stream.until("id: ").await?;
            let passed: i64 = passed.trim_start_matches("id: ").parse()?;
            ensure!(passed < last - 20_000, "{path}: {passed} of {last}");
        } else {
            let mut page = pages.stream("/stream?view=%2Ffleet", &red, "").await?;
            page.until("red.shop").await?;
        }
        drop(stream);
        // A connection reports its counts when it ends.
        pages.stop().await;
        let after: i64 = sqlx::query_scalar(rows_read).fetch_one(&db.pool).await?;
        ensure!(read.is_none_or(|most| after - before < most), "{path}: {} rows read", after - before);
    }
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    for path in ["/stream/events?session=red.shop&after=0&kind=session_", "/stream/events?after=0&kind=session_"] {
        let line = pages.stream(path, &red, "").await?.until("data-kind=\"session_paused\"").await?;
        ensure!(line.contains(&format!("data-key=\"{last}\"")), "{path}: {line}");
    }
    pages.stop().await;
    Ok(())
}

/// One session has many events, others few, and each reading has only some of each.
#[tokio::test]
async fn h2_a_tenant_that_was_away_misses_no_event_of_any_session() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    sqlx::raw_sql(
        "SELECT wa.add_session('red.s' || n, 'red') FROM generate_series(1, 300) n;
         INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, 700) WHERE name = 'red.shop';
         INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session WHERE name LIKE 'red.s%';
         INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session, generate_series(1, 700) WHERE name IN ('red.shop', 'red.s7');
         INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session WHERE name LIKE 'red.s%'",
    )
    .execute(&db.pool)
    .await?;
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM wa.event WHERE kind = 'call' ORDER BY id").fetch_all(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "viewer", Some("red")).await?).await?;
    let mut stream = pages.stream("/stream/events?after=0&kind=call", &red, "").await?;
    for id in ids {
        let line = stream.until("data-key=").await.with_context(|| format!("event {id}"))?;
        ensure!(line.contains(&format!("data-key=\"{id}\"")), "event {id}: {line}");
    }
    pages.stop().await;
    Ok(())
}
