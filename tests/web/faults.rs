//! Rows that a page cannot show, such as moments beyond any calendar: they cost one answer, and nothing that comes after it.

use super::{Pages, token};
use crate::support::db;
use crate::support::logins::run;
use anyhow::{Context as _, Result, ensure};

/// Nobody but an administrator writes such a moment; the driver panics when it reads it.
const BROKEN: &str = "UPDATE wa.worker SET started_at = 'infinity'";
const MENDED: &str = "UPDATE wa.worker SET started_at = now()";

#[tokio::test]
async fn h1_h2_a_page_that_panics_is_an_answer_and_its_live_view_recovers() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES (gen_random_uuid(), 'mill', 1, '1', now() + interval '1 hour')",
    )
    .await?;
    let pages = Pages::with(&db, |config| config.web.connections = 2).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let mut stream = pages.stream("/stream?view=%2Fworkers", &cookie, "").await?;
    stream.until("mill").await?;
    run(&db.pool, BROKEN).await?;
    stream.until("event: away").await?;
    // More often than there are connections.
    for _ in 0..8 {
        let answer = pages.get("/workers", &cookie).await?;
        ensure!(answer.status == 500 && answer.body.contains("the log has the reason"), "{answer:?}");
        ensure!(answer.header("content-security-policy").is_some(), "{}", answer.head);
    }
    ensure!(pages.get("/consumers", &cookie).await?.status == 200);
    run(&db.pool, MENDED).await?;
    stream.until("mill").await?;
    ensure!(pages.get("/workers", &cookie).await?.status == 200);
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h1_h2_an_event_that_cannot_be_read_ends_no_stream_for_good() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let add = async |data: &str| -> Result<i64> {
        let insert = "INSERT INTO wa.event (session, session_id, kind, data) SELECT name, session_id, 'call', $1::jsonb FROM wa.session RETURNING id";
        Ok(sqlx::query_scalar(insert).bind(data).fetch_one(&db.pool).await?)
    };
    let first = add("{}").await?;
    let mut stream = pages.stream("/stream/events", &cookie, "").await?;
    stream.until(&format!("data-key=\"{first}\"")).await?;
    let broken = "INSERT INTO wa.event (session, session_id, kind, created_at) SELECT name, session_id, 'broken', 'infinity' FROM wa.session";
    let refused = run(&db.pool, broken).await.err().context("an event without end was accepted")?;
    ensure!(format!("{refused:#}").contains("event_created_at_check"), "{refused:#}");
    run(&db.pool, &format!("ALTER TABLE wa.event DROP CONSTRAINT event_created_at_check; {broken}")).await?;
    // The feed has met it.
    let mut other = pages.stream("/stream/events", &cookie, "").await?;
    loop {
        let line = other.line().await?;
        ensure!(!line.contains("data-kind"), "{line}");
        if line == "0" {
            break;
        }
    }
    run(&db.pool, "DELETE FROM wa.event WHERE kind = 'broken'").await?;
    // JSON that this program's numbers and its stack have no room for is text.
    for data in [r#"{"huge": 1e400}"#.to_owned(), format!("{}{}", "[".repeat(200), "]".repeat(200))] {
        let id = add(&data).await?;
        stream.until(&format!("data-key=\"{id}\"")).await?;
        let page = pages.get("/session/shop?tab=events", &cookie).await?;
        ensure!(page.status == 200 && page.body.contains("call"), "{page:?}");
    }
    pages.stop().await;
    Ok(())
}

/// What a sender says of a file is the sender's.
#[tokio::test]
async fn h2_r9_a_chat_shows_files_with_any_size_and_name() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let insert = "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, push_name, message, media)
                  SELECT name, session_id, '79001234567@s.whatsapp.net', '79001234567@s.whatsapp.net', $1, 'document', false, now(), repeat('p', 9000), '{}',
                         jsonb_build_object('size', $1::numeric, 'file_name', repeat('f', 9000), 'mime', repeat('m', 9000))
                  FROM wa.session";
    for size in ["9223372036854775807", "9223372036854775808", "-1", "1e300", "2097152"] {
        sqlx::query(insert).bind(size).execute(&db.pool).await?;
    }
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let page = pages.get("/inbox/shop?chat=79001234567@s.whatsapp.net", &cookie).await?;
    ensure!(page.status == 200 && page.body.contains(">2 MB<"), "{page:?}");
    for letter in ["f", "m"] {
        let (most, more) = (letter.repeat(255), letter.repeat(256));
        ensure!(page.body.contains(&most) == (letter == "f") && !page.body.contains(&more), "{letter}: {}", page.body);
    }
    pages.stop().await;
    Ok(())
}
