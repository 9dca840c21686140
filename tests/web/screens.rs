//! Every screen in a real browser: wide and narrow, light and dark, without an error in the console, without overflow, and
//! without a serious fault for people who cannot see it.

use super::webhooks::DELIVERIES;
use super::{Pages, picture, sign_in, token};
use crate::support::browser::Browser;
use crate::support::npm;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use tokio::net::TcpListener;

const SCREENS: [&str; 28] = [
    "fleet",
    "fleet?q=nothing",
    "fleet?wish=stuck",
    "session/shop",
    "session/shop?tab=events",
    "session/shop?tab=settings",
    "risk",
    "queue",
    "queue/shop",
    "queue?by=lanes",
    "message/1",
    "failures",
    "failures?class=not_on_whatsapp",
    "delivery",
    "campaigns",
    "campaigns/november?tenant=default",
    "inbox",
    "inbox/shop",
    "inbox/shop?chat=15550002@s.whatsapp.net",
    "inbox/shop?q=order",
    "consumers",
    "webhooks",
    "webhooks/1",
    "webhooks/1?list=dead",
    "schedules",
    "maintenance",
    "workers",
    "live",
];

/// Of these the documentation has no picture: another one of the same screen says more.
const NOT_PICTURED: [&str; 2] = ["queue/shop", "campaigns/november?tenant=default"];

/// The text of axe-core, which finds faults of accessibility.
async fn axe() -> Result<String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web/axe");
    npm::install(&home).await?;
    Ok(tokio::fs::read_to_string(home.join("node_modules/axe-core/axe.min.js")).await?)
}

/// What is wrong on the page: what is too wide, errors in the console, serious faults of accessibility.
async fn faults_of(browser: &Browser, axe: &str, place: &str) -> Result<Vec<String>> {
    let mut faults = vec![];
    let over = browser.run("return document.documentElement.scrollWidth - window.innerWidth").await?;
    if over.as_i64().unwrap_or_default() > 0 {
        faults.push(format!("{place}: {over} pixels too wide"));
    }
    let log = browser.log().await?.into_iter().filter(|line| line.contains("SEVERE"));
    faults.extend(log.map(|line| format!("{place}: {line}")));
    let script = format!(
        "{axe}; return axe.run().then((found) => found.violations.filter((it) => ['serious', 'critical'].includes(it.impact))
             .map((it) => it.id + ': ' + it.nodes.map((node) => node.html.slice(0, 200)).slice(0, 3).join(' | ')))"
    );
    let found = browser.run(&script).await?;
    let found = found.as_array().context("axe gave no list")?.iter().filter_map(Value::as_str);
    faults.extend(found.map(|fault| format!("{place}: {fault}")));
    Ok(faults)
}

/// A receiver of webhooks that accepts everything.
async fn receiver() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/whatsapp", listener.local_addr()?);
    let accepting = Router::new().fallback(async || StatusCode::NO_CONTENT);
    tokio::spawn(async move { axum::serve(listener, accepting).await });
    Ok(url)
}

/// A fleet in which every screen has something to show.
async fn fleet(world: &World) -> Result<()> {
    let webhook = "SELECT wa.add_webhook('crm', $1, '{*}', headers => '{\"Authorization\": \"Bearer abc123\"}')";
    sqlx::query(webhook).bind(receiver().await?).execute(world.pool()).await?;
    let disabled = "SELECT wa.add_webhook('archive', 'https://archive.example.org/whatsapp'); SELECT wa.disable_webhook('archive', 'moving')";
    sqlx::raw_sql(disabled).execute(world.pool()).await?;
    for (session, number) in [("shop", "15550001"), ("support", "15550003")] {
        world.link(session, number).await?;
    }
    world.phone("15550002").await?;
    let pool = world.pool();
    // The longest name that there is, in every list.
    let sql = "SELECT wa.add_session('crm-with-a-rather-long-name-0123456789'), wa.add_session(rpad('longest-', 63, 'abcdefghij')), wa.add_consumer('crm', 'shop');
               SELECT wa.send_text(rpad('longest-', 63, 'abcdefghij'), '15550002', 'waits');
               SELECT wa.pause('support', 'stock-taking'), wa.set_pacing('shop', per_minute => 600, burst => 100);
               INSERT INTO wa.outbound (session, recipient, body, campaign)
               SELECT 'shop', '15550002', 'Your order ' || n || ' is ready', 'november' FROM generate_series(1, 12) n;
               SELECT wa.send_text('shop', '15559999', 'nobody there'), wa.send_text('support', '15550002', 'held back')";
    sqlx::raw_sql(sql).execute(pool).await?;
    let talk = "/phones/15550002/send";
    world.control.post(talk, json!({ "to": "15550001", "text": "Thank you! When do you open tomorrow?" })).await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body LIKE 'Thank%'").await?;
    world.holds("SELECT count(*) = 12 FROM wa.outbound WHERE delivered_at IS NOT NULL").await?;
    world.holds("SELECT failed_at IS NOT NULL FROM wa.outbound WHERE body = 'nobody there'").await?;
    // What the worker writes once a minute.
    let numbers = "INSERT INTO wa.numbers (session_id, tenant, at, span, queued, sent, delivered, read, received, failed, failed_connection, failed_not_on_whatsapp)
                   SELECT o.session_id, o.tenant, date_trunc('hour', now()) - h * interval '1 hour', 'hour', 40 + h % 7 * 5, 40 + h % 7 * 5,
                          38 + h % 5 * 5, 20 + h % 3 * 9, 12 + h % 4 * 4, h % 4 + h % 3, h % 4, h % 3
                   FROM (SELECT session_id, NULL::text FROM wa.session WHERE name = 'shop' UNION ALL VALUES (NULL::bigint, 'default'), (NULL, NULL)) o (session_id, tenant),
                        generate_series(1, 30) h
                   ON CONFLICT DO NOTHING;
                   INSERT INTO wa.numbers (session_id, tenant, campaign, at, span, queued, sent, delivered, read, failed, failed_connection)
                   SELECT o.session_id, o.tenant, 'november', date_trunc('hour', now()) - interval '3 hours', 'hour', 200, 190, 171, 96, 10, 10
                   FROM (SELECT session_id, NULL::text FROM wa.session WHERE name = 'shop' UNION ALL VALUES (NULL::bigint, 'default')) o (session_id, tenant)
                   ON CONFLICT DO NOTHING";
    sqlx::raw_sql(numbers).execute(pool).await?;
    sqlx::raw_sql(DELIVERIES).execute(pool).await?;
    Ok(())
}

/// Opens every screen of a fleet at these sizes, in these lights and in this language.
async fn every_screen(sizes: &[(u32, u32, &[&str])], language: &str) -> Result<()> {
    let axe = axe().await?;
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WEBHOOK__PRIVATE_NETWORKS", "true");
    let worker = Worker::start(command).await?;
    let pages = Pages::start(&world.db).await?;
    fleet(&world).await?;
    let secret = token(&world.db, "ops", "admin", None).await?;
    let browser = Browser::start(1280, 800).await?;
    sign_in(&browser, &pages, &secret).await?;
    let mut faults = vec![];
    browser.open(&format!("{}/language/{language}?to=/fleet", pages.url)).await?;
    for &(width, height, lights) in sizes {
        browser.resize(width, height).await?;
        for light in lights.iter().copied() {
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": light }] });
            browser.devtools("Emulation.setEmulatedMedia", features).await?;
            for screen in SCREENS {
                browser.open(&format!("{}/{screen}", pages.url)).await?;
                let shown =
                    format!("document.documentElement.lang === '{language}' && document.querySelector('main h1')");
                browser.until(&shown).await?;
                faults.extend(faults_of(&browser, &axe, &format!("{screen} {width} {light}")).await?);
                if language == "en"
                    && [(1280, "light"), (390, "dark")].contains(&(width, light))
                    && (!screen.contains('?') || screen.contains("chat"))
                    && !NOT_PICTURED.contains(&screen)
                {
                    let name = screen.split(['?', '/']).next().unwrap_or(screen);
                    picture(&browser, &format!("{name}-{width}")).await?;
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h2_every_screen_is_well_on_a_desktop_in_each_light() -> Result<()> {
    every_screen(&[(1280, 800, &["light", "dark"])], "en").await
}

#[tokio::test]
async fn h2_every_screen_is_well_on_a_phone_in_each_light() -> Result<()> {
    every_screen(&[(390, 844, &["light", "dark"])], "en").await
}

/// A tablet has the layout of one of the others, so one light is enough.
#[tokio::test]
async fn h2_every_screen_is_well_on_a_tablet() -> Result<()> {
    every_screen(&[(820, 1180, &["light"])], "en").await
}

/// Russian words are longer.
#[tokio::test]
async fn h2_every_screen_is_well_in_russian_on_a_phone() -> Result<()> {
    every_screen(&[(390, 844, &["light", "dark"]), (320, 640, &["light"])], "ru").await
}

#[tokio::test]
async fn h2_every_screen_is_well_in_russian_on_a_tablet() -> Result<()> {
    every_screen(&[(820, 1180, &["light"])], "ru").await
}

#[tokio::test]
async fn h2_every_screen_is_well_in_russian_on_a_desktop() -> Result<()> {
    every_screen(&[(1280, 800, &["light", "dark"]), (1100, 800, &["light"])], "ru").await
}

/// The login, the page of an error, and the link page before and while a phone is linked.
#[tokio::test]
async fn h2_s2_pages_without_a_frame_are_well_at_each_width_and_in_each_light() -> Result<()> {
    let axe = axe().await?;
    let db = crate::support::db::fresh().await;
    let pages = Pages::start(&db).await?;
    sqlx::raw_sql("SELECT wa.add_session('shop'), wa.add_session('linking'); UPDATE wa.session SET status = 'linking', qr = repeat('2@abc,', 40), qr_expires_at = now() + interval '1 hour' WHERE name = 'linking'")
        .execute(&db.pool)
        .await?;
    let link = async |session: &str| -> Result<String> {
        let url: String = sqlx::query_scalar("SELECT wa.link_url($1)").bind(session).fetch_one(&db.pool).await?;
        Ok(url.trim_start_matches(&pages.url).trim_start_matches('/').to_owned())
    };
    let secret = token(&db, "ops", "viewer", None).await?;
    let browser = Browser::start(1280, 800).await?;
    let places = ["login".to_owned(), link("shop").await?, link("linking").await?, "session/nobody".to_owned()];
    let mut faults = vec![];
    for (at, place) in places.iter().enumerate() {
        // Only whoever is signed in learns that there is no such page.
        if at == 3 {
            sign_in(&browser, &pages, &secret).await?;
        }
        for (width, height) in [(1280, 800), (390, 844)] {
            browser.resize(width, height).await?;
            for light in ["light", "dark"] {
                let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": light }] });
                browser.devtools("Emulation.setEmulatedMedia", features).await?;
                browser.open(&format!("{}/{place}", pages.url)).await?;
                browser.until("document.querySelector('main h1')").await?;
                let name = ["login", "link", "linking", "error"][at];
                let found = faults_of(&browser, &axe, &format!("{name} {width} {light}")).await?;
                // A browser reports a page that is not there.
                faults.extend(found.into_iter().filter(|fault| at != 3 || !fault.contains("404")));
                if (name, width, light) == ("linking", 1280, "dark") {
                    picture(&browser, "link-1280").await?;
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_received_message_is_answered_in_the_inbox() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let pages = Pages::start(&world.db).await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    world.control.post("/phones/15550002/send", json!({ "to": "15550001", "text": "Are you there?" })).await?;
    world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'Are you there?'").await?;
    let secret = token(&world.db, "ops", "operator", None).await?;
    let browser = Browser::start(390, 844).await?;
    sign_in(&browser, &pages, &secret).await?;
    browser.open(&format!("{}/inbox/shop?chat=15550002@s.whatsapp.net", pages.url)).await?;
    browser.shows("main", "Are you there?").await?;
    browser.write("#answer", "Yes, we are.").await?;
    browser.click("form:has(#answer) button").await?;
    world.control.shown("15550002", "Yes, we are.").await?;
    // The page shows it by itself.
    browser.shows("main", "Yes, we are.").await?;
    pages.stop().await;
    worker.stop().await
}

#[tokio::test]
async fn h2_the_screen_of_events_filters_and_pauses_and_keys_lead_to_screens() -> Result<()> {
    let db = crate::support::db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let secret = token(&db, "ops", "viewer", None).await?;
    let browser = Browser::start(1280, 800).await?;
    sign_in(&browser, &pages, &secret).await?;
    let happens = async |kind: &str| -> Result<()> {
        let event = "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, $1 FROM wa.session";
        sqlx::query(event).bind(kind).execute(&db.pool).await?;
        Ok(())
    };
    browser.open(&format!("{}/live", pages.url)).await?;
    happens("call").await?;
    browser.shows(".events", "call").await?;
    browser.write("[data-events-filter]", "picture").await?;
    browser.until("[...document.querySelectorAll('.events li')].every((row) => row.hidden)").await?;
    happens("picture_changed").await?;
    browser.until("document.querySelectorAll('.events li:not([hidden])').length === 1").await?;
    browser.click("[data-events-pause]").await?;
    happens("picture_changed").await?;
    browser.until("document.querySelector('[data-events-waiting]').textContent === '1 new'").await?;
    browser.until("document.querySelectorAll('.events li:not([hidden])').length === 1").await?;
    browser.click("[data-events-pause]").await?;
    browser.until("document.querySelectorAll('.events li:not([hidden])').length === 2").await?;
    browser.write("body", "?").await?;
    browser.until("document.querySelector('#shortcuts').open").await?;
    browser.click("#shortcuts button").await?;
    for (keys, path) in [("gq", "/queue"), ("gw", "/workers"), ("gf", "/fleet")] {
        browser.write("body", keys).await?;
        browser.until(&format!("location.pathname === '{path}' && document.readyState === 'complete'")).await?;
    }
    browser.write("body", "/").await?;
    browser.until("document.activeElement.matches('[data-search]')").await?;
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_pages_survive_a_database_that_goes_and_comes_back() -> Result<()> {
    let (db, server) = crate::support::db::fresh_on_its_own().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let secret = token(&db, "ops", "operator", None).await?;
    let browser = Browser::start(1280, 800).await?;
    sign_in(&browser, &pages, &secret).await?;
    browser.shows("main", "shop").await?;
    server.stop("fast").await?;
    browser.until("document.querySelector('#live').textContent !== ''").await?;
    browser.shows("main", "shop").await?;
    server.restart("fast").await?;
    browser.until("document.querySelector('#live').textContent === ''").await?;
    crate::support::until::until("the database", async || {
        let added = sqlx::query("SELECT wa.add_session('second')").execute(&db.pool).await;
        Ok(added.map(drop).map_err(|error| error.to_string()))
    })
    .await?;
    browser.shows("main", "second").await?;
    pages.stop().await;
    Ok(())
}
