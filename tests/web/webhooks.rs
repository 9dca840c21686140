//! The screens of webhooks (H5): who sees them, and what operators do there.

use super::{Pages, sign_in, token, two_tenants};
use crate::support::browser::Browser;
use crate::support::db::{self, TestDb};
use crate::support::logins::{login, run};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sqlx::AssertSqlSafe;

/// Deliveries of every webhook in each state, as workers leave them.
pub(super) const DELIVERIES: &str = "
    INSERT INTO wa.webhook_lease (webhook_id, failures, failing_since, open_until, attempted_at, delivered_at, last_code, last_error)
    SELECT webhook_id, 7, now() - interval '1 hour', now() + interval '2 minutes', now(), now() - interval '1 hour', 503, 'HTTP status 503'
    FROM wa.webhook WHERE url LIKE '%failing%' ON CONFLICT (webhook_id) DO NOTHING;
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, happened_at, status, attempts, code, last_error, response, attempted_at, finished_at, run_at)
    SELECT w.webhook_id, e.event_id, e.type, e.source, e.source_id, now() - interval '2 hours', e.status, e.attempts, e.code, e.error, e.response,
           now() - interval '1 minute', CASE WHEN e.status IN ('done', 'dead') THEN now() END, now() + interval '1 hour'
    FROM wa.webhook w, (VALUES
        ('msg_900001', 'message.received', 'inbox', 900001, 'done', 1, 204, NULL, NULL),
        ('status_1_read_1', 'message.status', 'outbound', 1, 'done', 2, 200, NULL, NULL),
        ('msg_900002', 'message.received', 'inbox', 900002, 'queued', 3, 503, 'HTTP status 503', '<h1>Service Unavailable</h1>'),
        ('msg_900003', 'message.received', 'inbox', 900003, 'dead', 10, NULL, 'no answer within 20 seconds', NULL),
        ('event_900004', 'session.connected', 'event', 900004, 'waiting', 0, NULL, NULL, NULL)
    ) e (event_id, type, source, source_id, status, attempts, code, error, response)
    ON CONFLICT DO NOTHING;
    INSERT INTO wa.webhook_numbers (webhook_id, at, delivered, failed, dead, latency_seconds, latency)
    SELECT webhook_id, date_trunc('minute', now()) - m * interval '1 minute', 40 + m % 7 * 5, m % 5, 0, 12, ARRAY[20 + m % 9, 15, 5 + m % 4, 2, 1]
    FROM wa.webhook, generate_series(1, 55) m ON CONFLICT DO NOTHING";

async fn holds(db: &TestDb, sql: &str) -> Result<()> {
    until(sql, async || {
        let held: Option<bool> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {sql}"))).fetch_one(&db.pool).await?;
        Ok(if held == Some(true) { Ok(()) } else { Err(format!("{held:?}")) })
    })
    .await
}

#[tokio::test]
async fn h2_h5_each_tenant_sees_its_webhooks_alone_and_a_viewer_only_reads() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    for tenant in ["red", "blue"] {
        let app = login(&db, "wa_app", Some(tenant)).await?;
        run(&app, &format!("SELECT wa.add_webhook('crm', 'https://{tenant}.example.org/failing')")).await?;
    }
    run(&db.pool, DELIVERIES).await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "operator", Some("red")).await?).await?;
    let all = pages.get("/webhooks", &red).await?.body;
    ensure!(all.contains("https://red.example.org/failing") && !all.contains("blue.example.org"), "{all}");
    // Two that wait, one that is dead.
    for part in ["HTTP status 503", "failing", r#"data-label="Waiting">2<"#, r#"data-label="Dead">1<"#] {
        ensure!(all.contains(part), "no {part}: {all}");
    }
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT webhook_id FROM wa.webhook ORDER BY url").fetch_all(&db.pool).await?;
    let [blue_id, red_id] = ids[..] else { anyhow::bail!("{ids:?}") };
    for (list, shown, hidden) in [
        ("", ["msg_900001", "msg_900002", "msg_900003"].as_slice(), ["event_900004"].as_slice()),
        ("?list=retried", &["msg_900002", "Service Unavailable"], &["msg_900001", "msg_900003"]),
        ("?list=waiting", &["event_900004"], &["msg_900001", "msg_900002"]),
        ("?list=queued", &["None."], &["msg_900001", "event_900004"]),
        ("?list=dead", &["msg_900003", "no answer within 20 seconds"], &["msg_900001", "msg_900002"]),
    ] {
        let page = pages.get(&format!("/webhooks/{red_id}{list}"), &red).await?.body;
        for part in shown {
            ensure!(page.contains(part), "{list}: no {part}: {page}");
        }
        for part in hidden {
            ensure!(!page.contains(part), "{list}: {part}: {page}");
        }
        // What a receiver answers is text.
        ensure!(!page.contains("<h1>Service"), "{page}");
    }
    for path in [format!("/webhooks/{blue_id}"), "/webhooks/0".into(), "/webhooks/crm".into()] {
        ensure!(pages.get(&path, &red).await?.status == 404, "{path}");
    }
    let viewer = pages.sign_in(&token(&db, "eve", "viewer", Some("red")).await?).await?;
    let page = pages.get(&format!("/webhooks/{red_id}?list=dead"), &viewer).await?.body;
    ensure!(page.contains("msg_900003") && !page.contains("/act/"), "{page}");
    for act in ["test_webhook", "rotate_webhook", "replay_webhook", "disable_webhook", "enable_webhook"] {
        let refused = pages.post(&format!("/act/{act}"), &viewer, "name=crm").await?;
        ensure!(refused.status == 403, "{act}: {refused:?}");
    }
    pages.stop().await;
    Ok(())
}

/// Without a worker: what the pages ask for is in the rows.
#[tokio::test]
async fn h2_h5_a_webhook_is_tested_replayed_rotated_and_disabled_from_its_page() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'), wa.add_webhook('crm', 'https://example.org/failing')").await?;
    run(&db.pool, DELIVERIES).await?;
    let pages = Pages::start(&db).await?;
    let secret = token(&db, "ops", "operator", None).await?;
    let browser = Browser::start(1280, 800).await?;
    sign_in(&browser, &pages, &secret).await?;
    browser.open(&format!("{}/webhooks", pages.url)).await?;
    browser.click("main tbody a").await?;
    browser.shows("main h1", "crm").await?;
    let act = |name: &str, values: &str| format!("details[data-key='act-{name}-crm{values}']");

    browser.click(&format!("{} > summary", act("test_webhook", ""))).await?;
    browser.click(&format!("{} button", act("test_webhook", ""))).await?;
    holds(&db, "count(*) = 1 FROM wa.delivery WHERE source = 'test'").await?;

    // The secret stays where it is when the page is rendered again, and leaves with its panel.
    let rotate = act("rotate_webhook", "");
    browser.click(&format!("{rotate} > summary")).await?;
    browser.click(&format!("{rotate} form > .row button")).await?;
    browser.shows(&format!("{rotate} output"), "whsec_").await?;
    let shown = browser.run(&format!("return document.querySelector(\"{rotate} output\").textContent")).await?;
    let kept = "SELECT value ->> 'data' FROM wa.webhook_secret WHERE purpose = 'signing' AND expires_at IS NULL";
    let kept: String = sqlx::query_scalar(kept).fetch_one(&db.pool).await?;
    ensure!(shown.as_str().map(str::as_bytes) == Some(&BASE64_STANDARD.decode(kept)?), "{shown}");
    holds(&db, "count(*) = 1 FROM wa.webhook_secret WHERE expires_at BETWEEN now() + interval '23 hours' AND now() + interval '25 hours'").await?;
    run(&db.pool, "INSERT INTO wa.delivery (webhook_id, event_id, type, source, happened_at, status, attempts, finished_at)
                   SELECT webhook_id, 'msg_900005', 'message.received', 'inbox', now(), 'done', 1, now() FROM wa.webhook;
                   INSERT INTO wa.event (kind) VALUES ('keys_swept')").await?;
    browser.shows("main", "msg_900005").await?;
    browser.shows(&format!("{rotate} output"), "whsec_").await?;
    browser.write(&format!("{rotate} output + button"), "\u{E00C}").await?;
    browser
        .until(&format!(
            "!document.querySelector(\"{rotate}\").open && !document.querySelector(\"{rotate} output\").textContent"
        ))
        .await?;

    let replay = act("replay_webhook", "");
    browser.click(&format!("{replay} > summary")).await?;
    browser.run(&format!("document.querySelector(\"{replay} [name=since]\").value = '2026-01-02T03:04'")).await?;
    browser.click(&format!("{replay} form > .row button")).await?;
    holds(&db, "count(*) = 1 FROM wa.webhook_replay WHERE since = '2026-01-02 03:04Z' AND NOT only_dead").await?;
    let here = browser.run("return location.href").await?;
    let here = here.as_str().context("no address")?;
    browser.open(&format!("{here}?list=dead")).await?;
    let replay = act("replay_webhook", "--infinity-true");
    browser.click(&format!("{replay} > summary")).await?;
    browser.click(&format!("{replay} form > .row button")).await?;
    holds(&db, "count(*) = 1 FROM wa.webhook_replay WHERE since < '2001-01-01' AND only_dead").await?;

    // The list is further down.
    browser.open(here).await?;
    let disable = act("disable_webhook", "");
    browser.click(&format!("{disable} > summary")).await?;
    browser.write(&format!("{disable} [name=reason]"), "moving").await?;
    browser.click(&format!("{disable} form > .row button")).await?;
    holds(&db, "status = 'disabled' AND disabled_reason = 'moving' FROM wa.webhooks").await?;
    // The page shows it by itself.
    browser.shows("main .flash", "moving").await?;
    let enable = act("enable_webhook", "");
    browser.click(&format!("{enable} > summary")).await?;
    browser.click(&format!("{enable} form > .row button")).await?;
    holds(&db, "status <> 'disabled' FROM wa.webhooks").await?;
    browser.shows("main .acts", "Send a test").await?;
    pages.stop().await;
    Ok(())
}
