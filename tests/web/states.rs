//! What the pages say of states in which a plain number or word would mislead (H2).

use super::{Pages, token};
use crate::support::db::{self, TestDb};
use crate::support::logins::run;
use crate::support::world::wagres;
use anyhow::{Result, ensure};

/// A session that is linked and connected.
const LINKED: &str = "SELECT wa.add_session('shop'); UPDATE wa.session SET status = 'linking';
    UPDATE wa.session SET phone = '15550001', jid = '15550001@s.whatsapp.net', status = 'connected', desired = 'connected'";
/// A worker that holds it.
const WORKER: &str = "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES ('00000000-0000-0000-0000-000000000001', 'h1', 1, '1', now() + interval '1 hour');
    UPDATE wa.lease SET holder = '00000000-0000-0000-0000-000000000001', epoch = 1, taken_at = now()";

async fn pages(db: &TestDb) -> Result<(Pages, String)> {
    let pages = Pages::start(db).await?;
    let cookie = pages.sign_in(&token(db, "ops", "admin", None).await?).await?;
    Ok((pages, cookie))
}

/// The texts of the main part, without tags.
async fn text(pages: &Pages, path: &str, cookie: &str) -> Result<String> {
    let answer = pages.get(path, cookie).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    let main = answer.body.split("<main").nth(1).unwrap_or_default();
    Ok(main.split('<').filter_map(|part| Some(part.split_once('>')?.1)).collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn h2_the_last_worker_is_drained_with_a_warning() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, WORKER).await?;
    let (pages, cookie) = pages(&db).await?;
    let shown = text(&pages, "/workers", &cookie).await?;
    ensure!(shown.contains("No other worker runs") && !shown.contains("gives its sessions to the others"), "{shown}");
    run(&db.pool, "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES (gen_random_uuid(), 'h2', 1, '1', now() + interval '1 hour')").await?;
    let shown = text(&pages, "/workers", &cookie).await?;
    ensure!(!shown.contains("No other worker runs") && shown.contains("gives its sessions to the others"), "{shown}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_messages_of_a_session_that_does_not_send_are_not_ready_to_go() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, LINKED).await?;
    run(&db.pool, WORKER).await?;
    run(&db.pool, "SELECT wa.send_text('shop', '15550002', 'x')").await?;
    let (pages, cookie) = pages(&db).await?;
    let places = ["/queue/shop", "/queue?by=lanes", "/session/shop", "/message/1"];
    for place in places {
        let shown = text(&pages, place, &cookie).await?;
        ensure!(shown.contains("ready to go") && !shown.contains("held back by the session"), "{place}: {shown}");
    }
    run(&db.pool, "SELECT wa.set_pacing('shop', quiet_from => (now() - interval '1 hour')::time, quiet_until => (now() + interval '1 hour')::time)").await?;
    for place in places {
        let shown = text(&pages, place, &cookie).await?;
        ensure!(!shown.contains("ready to go") && shown.contains("held back by the session"), "{place}: {shown}");
    }
    let page = pages.get("/queue", &cookie).await?.body;
    ensure!(page.contains("data-label=\"Ready\">0<") && page.contains("data-label=\"Queued\">1<"), "{page}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_session_that_is_being_linked_is_no_alarm() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'); UPDATE wa.session SET desired = 'connected', status = 'linking', qr = '2@a', qr_expires_at = now() + interval '1 hour'").await?;
    run(&db.pool, WORKER).await?;
    let (pages, cookie) = pages(&db).await?;
    let page = pages.get("/session/shop", &cookie).await?.body;
    ensure!(page.contains("waits until somebody scans its QR code"), "{page}");
    ensure!(page.contains("class=\"flash info\"") && !page.contains("class=\"flash bad\""), "{page}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_campaign_is_listed_from_its_first_message_on() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let (pages, cookie) = pages(&db).await?;
    ensure!(text(&pages, "/campaigns", &cookie).await?.contains("No campaigns yet"));
    let missing = pages.get("/campaigns/november", &cookie).await?;
    ensure!(missing.status == 404 && missing.body.contains("there is no such campaign"), "{missing:?}");
    ensure!(!missing.body.contains("/act/pause_campaigns"), "{missing:?}");
    run(
        &db.pool,
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550002', 'x', 'november')",
    )
    .await?;
    for path in ["/campaigns", "/campaigns/november"] {
        let shown = text(&pages, path, &cookie).await?;
        ensure!(shown.contains("november") && shown.contains("counted within a minute"), "{path}: {shown}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_the_page_of_failures_says_how_many_a_retry_takes() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_tenant('red'), wa.add_tenant('blue'), wa.add_session('red.a', 'red'), wa.add_session('red.b', 'red'), wa.add_session('blue.a', 'blue');
         INSERT INTO wa.outbound (session, recipient, body, campaign) SELECT s, '+7900123' || 1000 + n, 'x', CASE WHEN n % 3 = 0 THEN 'may' END
         FROM unnest('{red.a,red.b,blue.a}'::text[]) s, generate_series(1, 30) n;
         UPDATE wa.outbound SET status = 'failed', failed_at = now() - CASE WHEN id % 10 = 0 THEN interval '2 days' ELSE '0' END, last_error = 'no file',
             failure = CASE WHEN id % 2 = 0 THEN 'media' ELSE 'connection' END",
    )
    .await?;
    let (pages, boss) = pages(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "operator", Some("red")).await?).await?;
    for (cookie, of_reader) in [(&boss, "true"), (&red, "s.tenant = 'red'")] {
        for (choice, of_choice) in [
            ("", "true"),
            ("session=red.a", "o.session = 'red.a'"),
            ("class=media", "o.failure = 'media'"),
            ("session=red.a&class=media", "o.session = 'red.a' AND o.failure = 'media'"),
            ("campaign=may", "o.campaign = 'may'"),
            (
                "campaign=may&session=red.b&class=media",
                "o.campaign = 'may' AND o.session = 'red.b' AND o.failure = 'media'",
            ),
            ("time=week", "true"),
        ] {
            let since = if choice == "time=week" { "3 days" } else { "1 day" };
            let count = format!(
                "SELECT count(*) FROM wa.outbound o JOIN wa.session s USING (session_id) WHERE failed_at > now() - interval '{since}' AND {of_reader} AND {of_choice}"
            );
            let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&db.pool).await?;
            let shown = text(&pages, &format!("/failures?{choice}"), cookie).await?;
            ensure!(shown.contains(&format!("failed now: {count} ")), "{choice}: not {count}: {shown}");
            ensure!(shown.contains(&format!("Messages now: {count}.")), "{choice}: {shown}");
        }
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_delivery_lists_the_sessions_that_sent_most_first_and_finds_one_by_its_name() -> Result<()> {
    let db = db::fresh().await;
    let (pages, cookie) = pages(&db).await?;
    // Of a few sessions all of the time counts for the order, of many the last hours.
    for (sessions, hours) in [(40, "3 days"), (1_100, "3 hours")] {
        run(
            &db.pool,
            &format!(
                "DELETE FROM wa.numbers; DELETE FROM wa.session;
                 SELECT wa.add_session('s' || n) FROM generate_series(1, {sessions}) n;
                 INSERT INTO wa.numbers (session_id, at, span, queued, sent)
                 SELECT s.session_id, date_trunc('hour', now() - h.ago), 'hour', 5, ltrim(s.name, 's')::integer % 8
                 FROM wa.session s, (VALUES (interval '0'), ('{hours}')) h (ago) WHERE s.name LIKE 's3%' OR s.name IN ('s7', 's21');
                 INSERT INTO wa.numbers (session_id, at, span, queued, sent)
                 SELECT session_id, date_trunc('hour', now()) - interval '2 days', 'hour', 5, 0 FROM wa.session WHERE name = 's1';
                 INSERT INTO wa.numbers (at, span, queued, sent) VALUES (date_trunc('hour', now()), 'hour', 15, 15)"
            ),
        )
        .await?;
        let listed = async |path: &str| -> Result<(Vec<String>, Option<String>)> {
            let page = pages.get(path, &cookie).await?.body;
            let names = page.split("data-key=\"session-").skip(1);
            let names = names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect();
            let next = page.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
            Ok((names, next.map(|next| next.replace("&amp;", "&"))))
        };
        let mut all = vec![];
        let mut path = Some("/delivery?time=week".to_owned());
        while let Some(next) = path {
            let (names, behind) = listed(&next).await?;
            ensure!(names.len() <= 10, "{next}: {names:?}");
            all.extend(names);
            path = behind;
        }
        let expected = "SELECT array_agg(name ORDER BY CASE name WHEN 's1' THEN 0 ELSE ltrim(name, 's')::integer % 8 END DESC, name)
                        FROM wa.session WHERE name LIKE 's3%' OR name IN ('s7', 's21', 's1')";
        let expected: Vec<String> = sqlx::query_scalar(expected).fetch_one(&db.pool).await?;
        ensure!(all == expected && all.len() > 10, "{all:?}, not {expected:?}");
        let (found, _) = listed("/delivery?time=week&name=S32").await?;
        ensure!(!found.is_empty() && found.iter().all(|name| name.starts_with("s32")), "{found:?}");
        let (one, _) = listed("/delivery?time=week&session=s33").await?;
        ensure!(one == ["s33"], "{one:?}");
        ensure!(text(&pages, "/delivery?name=zzz", &cookie).await?.contains("No session with this in its name"));
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s12_a_paused_campaign_is_named_where_its_messages_wait() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, LINKED).await?;
    run(&db.pool, WORKER).await?;
    let (pages, cookie) = pages(&db).await?;
    let list = async || -> Result<String> {
        let mut list = wagres();
        list.args(["--database-url", &db.url, "session", "list"]);
        Ok(String::from_utf8(list.output().await?.stdout)?)
    };
    let places = ["/fleet", "/session/shop", "/queue", "/queue/shop"];
    // Nothing waits for it.
    run(&db.pool, "SELECT wa.pause_campaign('shop', 'may')").await?;
    for place in places {
        let shown = text(&pages, place, &cookie).await?;
        ensure!(!shown.contains("campaign may paused"), "{place}: {shown}");
    }
    ensure!(!list().await?.contains("campaign may paused"), "{}", list().await?);
    // Two others wait, of which one is held; the session itself sends.
    let message = |campaign| {
        format!(
            "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '1555000{campaign}', 'x', nullif('{campaign}', '2'))"
        )
    };
    run(
        &db.pool,
        &[message("2"), message("3"), "SELECT wa.pause_campaign('shop', '4')".into(), message("4")].join(";"),
    )
    .await?;
    for place in places {
        let shown = text(&pages, place, &cookie).await?;
        ensure!(shown.contains("campaign 4 paused by"), "{place}: {shown}");
        ensure!(!shown.contains("campaign may paused") && !shown.contains("campaign 3 paused"), "{place}: {shown}");
        ensure!(!shown.contains("stuck"), "{place}: {shown}");
    }
    for place in ["/session/shop", "/queue/shop"] {
        let shown = text(&pages, place, &cookie).await?;
        ensure!(shown.contains("ready to go") && !shown.contains("held back by the session"), "{place}: {shown}");
        ensure!(shown.contains("Lift the pause: 4"), "{place}: {shown}");
    }
    ensure!(list().await?.contains("campaign 4 paused by"), "{}", list().await?);
    let answer = pages.post("/act/resume_campaign", &cookie, "session=shop&campaign=4").await?;
    ensure!(answer.status == 200, "{answer:?}");
    let shown = text(&pages, "/session/shop", &cookie).await?;
    ensure!(shown.contains("Nothing is in its way") && !list().await?.contains("campaign 4"), "{shown}");
    pages.stop().await;
    Ok(())
}

/// A code that no phone can use is not shown, whatever the row still has.
#[tokio::test]
async fn h2_s2_a_code_that_is_over_or_used_is_not_shown_on_the_page_of_the_session() -> Result<()> {
    let db = db::fresh().await;
    let linking =
        "SELECT wa.add_session('shop'); UPDATE wa.session SET desired = 'connected', status = 'linking', qr = '2@a',
        qr_expires_at = now() + interval '1 hour', code = 'ABCD-EFGH', code_expires_at = now() + interval '1 hour'";
    run(&db.pool, linking).await?;
    run(&db.pool, WORKER).await?;
    let (pages, cookie) = pages(&db).await?;
    let codes = async || -> Result<(bool, bool)> {
        let page = pages.get("/session/shop", &cookie).await?.body;
        Ok((page.contains("QR code to scan with the phone"), page.contains("ABCD-EFGH")))
    };
    ensure!(codes().await? == (true, true));
    for (change, expected) in [
        ("UPDATE wa.session SET qr_expires_at = now()", (false, true)),
        ("UPDATE wa.session SET code_expires_at = now()", (false, false)),
        (
            "UPDATE wa.session SET qr_expires_at = now() + interval '1 hour', code_expires_at = now() + interval '1 hour'",
            (true, true),
        ),
        // A phone has used the code, and WhatsApp demands the passkey.
        (
            "INSERT INTO wa.passkey (session_id, session, stage, request, expires_at) SELECT session_id, name, 'requested', '{}', now() + interval '5 min' FROM wa.session",
            (false, false),
        ),
        ("UPDATE wa.passkey SET stage = 'failed', error = 'x'", (true, true)),
        // The connection that the codes belong to ended with its worker.
        ("UPDATE wa.worker SET lease_until = now() - interval '1 s'", (false, false)),
    ] {
        run(&db.pool, change).await?;
        let shown = codes().await?;
        ensure!(shown == expected, "{change}: {shown:?}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s2_the_page_of_a_session_says_that_whatsapp_gave_no_pairing_code() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'); UPDATE wa.session SET desired = 'connected', status = 'linking', qr = '2@a', qr_expires_at = now() + interval '1 hour'").await?;
    run(&db.pool, WORKER).await?;
    let (pages, cookie) = pages(&db).await?;
    let shown = text(&pages, "/session/shop", &cookie).await?;
    ensure!(!shown.contains("gave no pairing code"), "{shown}");
    // As sql/session/set_code.sql writes it.
    run(&db.pool, "UPDATE wa.session SET status_reason = r, status_code = wa.status_code(r) FROM (VALUES ('no pairing code: 429 rate-overlimit; scan the QR code')) v (r)").await?;
    let panel = |page: &str| page.split("<h2>Linking").nth(1).unwrap_or_default().to_owned();
    let page = panel(&pages.get("/session/shop", &cookie).await?.body);
    ensure!(
        page.contains("WhatsApp gave no pairing code for this number.") && page.contains("429 rate-overlimit"),
        "{page}"
    );
    let russian = pages.get("/session/shop", &format!("{cookie}; wagres_language=ru")).await?.body;
    ensure!(russian.contains("WhatsApp не дал кода для этого номера."), "{russian}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_s2_an_operator_refuses_a_passkey_code_on_the_page_of_the_session() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'); UPDATE wa.session SET desired = 'connected', status = 'linking';
         INSERT INTO wa.passkey (session_id, session, stage, code, request, expires_at) SELECT session_id, name, 'code', 'ABCD-EFGH', '{}', now() + interval '5 min' FROM wa.session").await?;
    run(&db.pool, WORKER).await?;
    let (pages, cookie) = pages(&db).await?;
    let viewer = pages.sign_in(&token(&db, "eve", "viewer", None).await?).await?;
    ensure!(pages.post("/act/refuse_passkey", &viewer, "session=shop").await?.status == 403);
    let page = pages.get("/session/shop", &cookie).await?.body;
    ensure!(
        page.contains("/act/refuse_passkey") && page.contains("SELECT wa.refuse_passkey(&#39;shop&#39;);")
            || page.contains("SELECT wa.refuse_passkey('shop');"),
        "{page}"
    );
    let answer = pages.post("/act/refuse_passkey", &cookie, "session=shop").await?;
    ensure!(answer.status == 200 && answer.body.contains("Refused"), "{answer:?}");
    let closed =
        "SELECT desired = 'stopped' AND EXISTS (SELECT FROM wa.session_job WHERE kind = 'close') FROM wa.session";
    ensure!(sqlx::query_scalar::<_, bool>(closed).fetch_one(&db.pool).await?, "not closed");
    for (cookie, says) in [
        (cookie.clone(), "Stopped: the phone shows another code."),
        (format!("{cookie}; wagres_language=ru"), "Остановлено: на телефоне другой код."),
    ] {
        let page = pages.get("/session/shop", &cookie).await?.body;
        ensure!(
            page.contains(says) && !page.contains("/act/refuse_passkey") && !page.contains("/act/confirm_passkey"),
            "{page}"
        );
    }
    // Nothing is left to refuse.
    let answer = pages.post("/act/refuse_passkey", &cookie, "session=shop").await?;
    ensure!(answer.status == 422 && answer.body.contains("its stage is failed"), "{answer:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_reasons_on_pages_name_buttons_and_no_functions() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, LINKED).await?;
    run(&db.pool, WORKER).await?;
    run(&db.pool, "SELECT wa.add_session('new'), wa.pause('shop'), wa.send_text('shop', '15550002', 'x'), wa.send_text('shop', '15550003', 'x'); SELECT wa.cancel(2);
         INSERT INTO wa.event (session, session_id, kind, data) SELECT name, session_id, 'connection_ended', '{\"end\": \"no_scan\", \"advice\": \"call wa.link when somebody is there to scan\"}' FROM wa.session").await?;
    let (pages, cookie) = pages(&db).await?;
    for (place, button) in [
        ("/fleet", "(button “Resume”)"),
        ("/fleet", "not linked (button “Link here”)"),
        ("/session/shop", "(button “Resume”)"),
        ("/queue", "(button “Resume”)"),
        ("/queue/shop", "(button “Resume”)"),
        ("/message/1", "(button “Resume”)"),
        ("/message/2", "(button “Retry now”)"),
        ("/session/new?tab=events", "press “Link here” when somebody is there to scan"),
    ] {
        let page = pages.get(place, &cookie).await?.body;
        let main = page.split("<main").nth(1).unwrap_or_default();
        ensure!(main.contains(button), "{place}: {main}");
        // Statements are shown as such.
        let said: String = main
            .split("<code")
            .enumerate()
            .map(|(at, part)| if at == 0 { part } else { part.split_once("</code>").map_or("", |it| it.1) })
            .collect();
        let said: Vec<_> = said
            .split('<')
            .filter_map(|part| Some(part.split_once('>')?.1))
            .filter(|text| text.contains("wa."))
            .collect();
        ensure!(said.is_empty(), "{place}: {said:?}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_the_page_of_failures_says_when_it_counts() -> Result<()> {
    let db = db::fresh().await;
    let (pages, cookie) = pages(&db).await?;
    let shown = text(&pages, "/failures", &cookie).await?;
    ensure!(shown.contains("Counted once a minute"), "{shown}");
    let shown = text(&pages, "/failures", &format!("{cookie}; wagres_language=ru")).await?;
    ensure!(shown.contains("Подсчёт раз в минуту"), "{shown}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_the_inbox_has_a_search_of_its_own_and_says_what_to_do_while_it_is_empty() -> Result<()> {
    let db = db::fresh().await;
    let (pages, cookie) = pages(&db).await?;
    let shown = text(&pages, "/inbox", &cookie).await?;
    ensure!(shown.contains("No sessions yet") && shown.contains("link a phone to it"), "{shown}");
    ensure!(!shown.contains("No session matches"), "{shown}");
    run(&db.pool, LINKED).await?;
    run(&db.pool, "SELECT wa.add_session('new')").await?;
    let page = pages.get("/inbox?q=sho", &cookie).await?.body;
    let (top, main) = page.split_once("<main").unwrap_or_default();
    ensure!(
        main.contains("Find a session") && main.contains("value=\"sho\"") && main.contains("href=\"/inbox/shop\""),
        "{main}"
    );
    ensure!(!main.contains("href=\"/inbox/new\""), "{main}");
    // The search of the fleet stands above it, and is another one.
    ensure!(top.contains("action=\"/fleet\"") && !top.contains("value=\"sho\""), "{top}");
    ensure!(
        pages
            .get("/fleet?q=sho", &cookie)
            .await?
            .body
            .split("<main")
            .next()
            .unwrap_or_default()
            .contains("value=\"sho\"")
    );
    let shown = text(&pages, "/inbox?q=zzz", &cookie).await?;
    ensure!(shown.contains("No session matches") && shown.contains("Show all sessions"), "{shown}");
    let shown = text(&pages, "/inbox/new", &cookie).await?;
    ensure!(shown.contains("No phone is linked to this session") && shown.contains("To the session"), "{shown}");
    let shown = text(&pages, "/inbox/shop", &cookie).await?;
    ensure!(shown.contains("search for a number above"), "{shown}");
    pages.stop().await;
    Ok(())
}
