//! What the pages say of rows that are not as they look: long texts, failures after a retry, sessions of dead workers, paused
//! tenants, and choices that limit a page (H2).

use super::{Answer, Pages, token, two_tenants};
use crate::support::db::{self, TestDb};
use crate::support::logins::run;
use crate::support::until::until;
use anyhow::{Result, ensure};

/// The main part of a page.
fn main(answer: &Answer) -> &str {
    answer.body.split("<main").nth(1).unwrap_or_default()
}

async fn inbox(db: &TestDb, bodies: &str, count: i32) -> Result<()> {
    run(
        &db.pool,
        &format!(
            "SELECT wa.add_session('shop');
             INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, received_at, message)
             SELECT 'shop', session_id, '79001234567@s.whatsapp.net', '79001234567@s.whatsapp.net', md5(n::text), 'text', {bodies}, false,
                    '2026-11-01 10:00:00Z', timestamptz '2026-11-01 10:00:00Z' + n * interval '1 ms', '{{}}'
             FROM wa.session, generate_series(1, {count}) n"
        ),
    )
    .await
}

const CHAT: &str = "/inbox/shop?chat=79001234567@s.whatsapp.net";

#[tokio::test]
async fn h2_m7_the_pages_of_a_chat_have_each_message_of_a_second_once_in_order() -> Result<()> {
    let db = db::fresh().await;
    inbox(&db, "format('[%s]', n)", 120).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let (mut path, mut found) = (CHAT.to_owned(), Vec::<i32>::new());
    loop {
        let page = pages.get(&path, &cookie).await?;
        let bodies = page.body.split("<span class=\"words\">[").skip(1);
        let numbers = bodies.map(|rest| Ok(rest.split(']').next().unwrap_or_default().parse()?));
        found.splice(0..0, numbers.collect::<Result<Vec<i32>>>()?);
        let Some(older) = page.body.split("rel=\"prev\" href=\"").nth(1) else { break };
        path = older.split('"').next().unwrap_or_default().replace("&amp;", "&");
    }
    ensure!(found == (1..=120).collect::<Vec<_>>(), "{found:?}");
    pages.stop().await;
    Ok(())
}

/// A page of one chat among ten million messages is read along the indexes.
#[tokio::test]
async fn h2_m7_a_page_of_a_chat_reads_no_table_as_a_whole() -> Result<()> {
    let db = db::fresh().await;
    inbox(&db, "format('[%s]', n)", 5_000).await?;
    run(
        &db.pool,
        "UPDATE wa.inbox SET chat = id || '@s.whatsapp.net' WHERE id > 30;
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '+7900123' || 4567 + n % 1000, 'x' FROM generate_series(0, 4999) n;
         UPDATE wa.outbound SET status = 'sent', sent_at = now();
         ANALYZE wa.inbox; ANALYZE wa.outbound",
    )
    .await?;
    let mut tx = db.pool.begin().await?;
    let page = "SELECT count(*) FROM wa.chat_page((SELECT session_id FROM wa.session), '79001234567@s.whatsapp.net', NULL, NULL, 50)";
    ensure!(sqlx::query_scalar::<_, i64>(page).fetch_one(&mut *tx).await? == 35);
    let whole = "SELECT coalesce(string_agg(relname, ' '), '') FROM pg_stat_xact_user_tables WHERE relname IN ('inbox', 'outbound') AND seq_scan > 0";
    let whole: String = sqlx::query_scalar(whole).fetch_one(&mut *tx).await?;
    ensure!(whole.is_empty(), "read as a whole: {whole}");
    Ok(())
}

#[tokio::test]
async fn h2_a_search_says_how_far_back_it_looked() -> Result<()> {
    let db = db::fresh().await;
    inbox(&db, "CASE n WHEN 1 THEN 'oldest' WHEN 5000 THEN 'newest' ELSE 'between' END", 5000).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    for place in ["/inbox/shop?", "/inbox/shop?chat=79001234567@s.whatsapp.net&"] {
        for (word, is_found) in [("newest", true), ("oldest", false)] {
            let page = pages.get(&format!("{place}q={word}"), &cookie).await?;
            let shown = main(&page);
            ensure!(shown.contains("Nothing found") != is_found, "{place} {word}: {shown}");
            ensure!(shown.contains("Searched: the last"), "{place} {word}: {shown}");
        }
    }
    let indexes = "CREATE INDEX ON wa.inbox USING gin (to_tsvector('simple', body)); CREATE INDEX ON wa.outbound USING gin (to_tsvector('simple', body))";
    run(&db.pool, indexes).await?;
    for place in ["/inbox/shop?", "/inbox/shop?chat=79001234567@s.whatsapp.net&"] {
        // What takes long on a busy machine is searched for among the newest.
        until(&format!("{place}: the oldest message is found by the indexes"), async || {
            let page = pages.get(&format!("{place}q=oldest"), &cookie).await?;
            let shown = main(&page);
            let is_whole =
                !shown.contains("Nothing found") && shown.contains("Searched: all messages of this session.");
            Ok(if is_whole { Ok(()) } else { Err(shown.to_owned()) })
        })
        .await?;
    }
    // Found by the indexes at once, and then read, compared and sorted one by one: much longer than a page may take.
    run(&db.pool, FREQUENT).await?;
    for place in ["/inbox/shop?", "/inbox/shop?chat=79001234567@s.whatsapp.net&"] {
        let page = pages.get(&format!("{place}q=frequent"), &cookie).await?;
        let shown = main(&page);
        ensure!(shown.contains("Searched: the last") && !shown.contains("Nothing found"), "{place}: {shown}");
    }
    pages.stop().await;
    Ok(())
}

/// A word of each of many messages.
const FREQUENT: &str = "
    INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, received_at, message)
    SELECT 'shop', session_id, '79001234567@s.whatsapp.net', '79001234567@s.whatsapp.net', md5(n::text), 'text', 'frequent', false,
           '2026-11-02 10:00:00Z', timestamptz '2026-11-02 10:00:00Z' + n * interval '1 ms', '{}'
    FROM wa.session, generate_series(10001, 60000) n;
    ANALYZE wa.inbox";

#[tokio::test]
async fn h2_a_chat_shows_the_beginning_of_long_texts() -> Result<()> {
    let db = db::fresh().await;
    inbox(&db, "repeat('я', 1000000)", 50).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let page = pages.get(CHAT, &cookie).await?;
    ensure!(page.status == 200 && page.body.len() < 1_000_000, "{} bytes", page.body.len());
    ensure!(page.body.contains("1\u{202f}000\u{202f}000 characters"), "the length is not said");
    ensure!(page.body.contains("SELECT body FROM wa.inbox WHERE id = 1;"), "the way to the whole is not said");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_failures_count_what_is_chosen_and_say_what_failed_again() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        r#"SELECT wa.add_session('shop'), wa.send_text('shop', '+79001234567', 'x'), wa.send_text('shop', '+79001234568', 'y');
           UPDATE wa.outbound SET status = 'failed', failed_at = now(), failure = 'media', last_error = 'no file', attempts = 1,
               errors = '[{"attempt": 1, "at": "2026-11-01T10:00:00Z", "error": "no file"}, {"attempt": 1, "at": "2026-11-01T11:00:00Z", "error": "no file"}]' WHERE id = 1;
           UPDATE wa.outbound SET status = 'failed', failed_at = now(), failure = 'server', last_error = '500', attempts = 2,
               errors = '[{"attempt": 1, "at": "2026-11-01T10:00:00Z", "error": "500"}, {"attempt": 2, "at": "2026-11-01T11:00:00Z", "error": "500"}]' WHERE id = 2;
           INSERT INTO wa.numbers (at, span, failed, failed_media, failed_server) VALUES (date_trunc('hour', now(), 'UTC'), 'hour', 7, 3, 4)"#,
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    for (path, count, again) in [("/failures", 7, 1), ("/failures?class=media", 3, 1), ("/failures?class=server", 4, 0)]
    {
        let page = pages.get(path, &cookie).await?;
        ensure!(main(&page).contains(&format!("Failed in this time: {count}")), "{path}: {}", main(&page));
        ensure!(main(&page).matches("failed again after a retry").count() == again, "{path}: {}", main(&page));
    }
    pages.stop().await;
    Ok(())
}

/// The numbers, the examples and the retry of the screen are of one time.
#[tokio::test]
async fn h2_examples_of_failures_are_of_the_chosen_time() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('shop'), wa.add_session('other');
         INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '+79001234567', 'x', 'may'), ('shop', '+79001234568', 'y', 'may');
         UPDATE wa.outbound SET status = 'failed', failure = 'media', last_error = 'as of now', failed_at = now() WHERE id = 1;
         UPDATE wa.outbound SET status = 'failed', failure = 'media', last_error = 'of last week', failed_at = now() - interval '3 days' WHERE id = 2",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let all = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let one = pages.sign_in(&token(&db, "anna", "operator", Some("default")).await?).await?;
    for cookie in [all, one] {
        for choice in [
            "",
            "&session=shop",
            "&class=media",
            "&session=shop&class=media",
            "&campaign=may",
            "&campaign=may&class=media",
        ] {
            for (time, older) in [("day", false), ("week", true)] {
                let page = pages.get(&format!("/failures?time={time}{choice}"), &cookie).await?;
                let shown = ["as of now", "of last week"].map(|error| main(&page).contains(error));
                ensure!(shown == [true, older], "{time}{choice}: {shown:?}");
            }
        }
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s12_the_fleet_says_which_sessions_no_live_worker_holds() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('alive'), wa.add_session('lost'), wa.add_session('gone');
         INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES
             ('00000000-0000-0000-0000-000000000001', 'one', 1, '1', now() + interval '1 hour'),
             ('00000000-0000-0000-0000-000000000002', 'two', 2, '1', now() - interval '1 hour');
         UPDATE wa.session SET desired = 'connected', phone = '15550001', jid = '15550001@s.whatsapp.net' WHERE name <> 'gone';
         UPDATE wa.session SET status = 'linking'; UPDATE wa.session SET status = 'connected';
         UPDATE wa.session SET status = 'logged_out', phone = '15550002', jid = NULL WHERE name = 'gone';
         UPDATE wa.lease l SET epoch = 1, holder = CASE s.name WHEN 'alive' THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE '00000000-0000-0000-0000-000000000002' END
         FROM wa.session s WHERE s.session_id = l.session_id AND s.name <> 'gone'",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let fleet = pages.get("/fleet?status=no_worker", &cookie).await?;
    ensure!(main(&fleet).contains(">lost</a>") && !main(&fleet).contains(">alive</a>"), "{}", main(&fleet));
    let fleet = pages.get("/fleet?status=connected", &cookie).await?;
    ensure!(main(&fleet).contains(">alive</a>") && !main(&fleet).contains(">lost</a>"), "{}", main(&fleet));
    ensure!(main(&pages.get("/session/lost", &cookie).await?).contains("no live worker"));
    ensure!(!main(&pages.get("/session/alive", &cookie).await?).contains("no live worker"));
    // Of a session that is not linked the page offers to link a phone, not to connect.
    let fleet = pages.get("/fleet?status=logged_out", &cookie).await?;
    // The bar of acts on several sessions is above the table.
    let table = main(&fleet).split_once("<tbody").map_or("", |(_, rows)| rows).to_owned();
    ensure!(table.contains("Link a phone") && !table.contains("/act/connect\""), "{}", main(&fleet));
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_q13_a_tenant_is_paused_and_resumed_on_the_fleet_page() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    run(&db.pool, "SELECT wa.add_session('red.second', 'red')").await?;
    let pages = Pages::start(&db).await?;
    let admin = pages.sign_in(&token(&db, "boss", "admin", None).await?).await?;
    let red = pages.get("/fleet?tenant=red", &admin).await?;
    ensure!(main(&red).contains("Sessions: 2") && main(&red).contains("Pause tenant"), "{}", main(&red));
    let paused = pages.post("/act/pause_tenant", &admin, "tenant=red&reason=unpaid").await?;
    ensure!(paused.status == 200 && paused.body.contains("SELECT wa.pause_tenant('red', 'unpaid');"), "{paused:?}");
    // An operator of the tenant sees why nothing goes, and cannot change it.
    let operator = pages.sign_in(&token(&db, "ops", "operator", Some("red")).await?).await?;
    let fleet = pages.get("/fleet", &operator).await?;
    ensure!(main(&fleet).contains("The tenant red is paused") && main(&fleet).contains("unpaid"), "{}", main(&fleet));
    ensure!(!main(&fleet).contains("/act/resume_tenant"), "{}", main(&fleet));
    ensure!(pages.post("/act/resume_tenant", &operator, "tenant=red").await?.status == 403);
    ensure!(pages.post("/act/resume_tenant", &admin, "tenant=red").await?.status == 200);
    ensure!(!main(&pages.get("/fleet", &operator).await?).contains("is paused"));
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s12_the_fleet_counts_and_shows_the_sessions_that_need_a_person() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('well'), wa.add_session('unlinked'), wa.add_session('gone'), wa.add_session('held');
         INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, memory_mb) VALUES ('00000000-0000-0000-0000-000000000001', 'one', 1, '1', now() + interval '1 hour', 123);
         UPDATE wa.session SET desired = 'connected', phone = '1555' || session_id, jid = '1555' || session_id || '@s.whatsapp.net' WHERE name IN ('well', 'held', 'gone');
         UPDATE wa.session SET status = 'linking' WHERE name <> 'unlinked'; UPDATE wa.session SET status = 'connected' WHERE name <> 'unlinked';
         UPDATE wa.lease SET epoch = 1, holder = '00000000-0000-0000-0000-000000000001';
         UPDATE wa.session SET status = 'logged_out', jid = NULL WHERE name = 'gone';
         SELECT wa.pause('held'), wa.send_text('held', '+79001234567', 'x')",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let fleet = pages.get("/fleet", &cookie).await?;
    let tile =
        main(&fleet).split("data-key=\"stuck\"").nth(1).and_then(|rest| rest.split("</li>").next()).unwrap_or_default();
    ensure!(tile.contains("<b class=\"number\">2</b>"), "{tile}: {}", main(&fleet));
    let fleet = pages.get("/fleet?wish=stuck", &cookie).await?;
    let names: Vec<_> = ["well", "unlinked", "gone", "held"]
        .into_iter()
        .filter(|name| main(&fleet).contains(&format!(">{name}</a>")))
        .collect();
    ensure!(names == ["gone", "held"], "{names:?}");
    // Its moments are in the reader's zone.
    let zoned = pages.get("/session/held", &format!("{cookie}; wagres_zone=Europe/Berlin")).await?;
    let why = main(&zoned).split("class=\"flash").nth(1).and_then(|rest| rest.split("</p>").next()).unwrap_or_default();
    ensure!(why.contains("paused by") && why.contains("<time datetime=") && !why.contains("+00</span>"), "{why}");
    ensure!(main(&zoned).contains("123 MB"), "{}", main(&zoned));
    ensure!(main(&pages.get("/workers", &cookie).await?).contains("123 MB"));
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s2_a_passkey_is_answered_on_the_page_of_its_session() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('shop'); UPDATE wa.session SET status = 'linking';
         INSERT INTO wa.passkey (session_id, session, stage, request, expires_at) SELECT session_id, name, 'requested', '{\"challenge\": \"abc\"}', now() + interval '5 min' FROM wa.session",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let page = pages.get("/session/shop", &cookie).await?;
    ensure!(
        main(&page).contains("passkey-line")
            && main(&page).contains("challenge")
            && main(&page).contains("data-until=\"clock\""),
        "{}",
        main(&page)
    );
    let answer = pages.post("/act/answer_passkey", &cookie, "session=shop&assertion=%7B%22id%22%3A%22eA%22%2C%22response%22%3A%7B%22clientDataJSON%22%3A%22eA%22%2C%22authenticatorData%22%3A%22eA%22%2C%22signature%22%3A%22eA%22%7D%7D").await?;
    let stage: String = sqlx::query_scalar("SELECT stage FROM wa.passkey").fetch_one(&db.pool).await?;
    ensure!(answer.status == 200 && stage == "answered", "{stage}: {answer:?}");
    // Whoever only looks on gets none of it.
    let viewer = pages.sign_in(&token(&db, "eve", "viewer", None).await?).await?;
    let page = pages.get("/session/shop", &viewer).await?;
    ensure!(!main(&page).contains("passkey-line") && !main(&page).contains("challenge"), "{}", main(&page));
    pages.stop().await;
    Ok(())
}
