//! Notices of what an act did, on a phone (H2): they cover no button.

use super::{Pages, sign_in, token};
use crate::support::browser::Browser;
use crate::support::db;
use crate::support::logins::run;
use anyhow::{Context as _, Result, ensure};

/// Keeps the buttons, links and fields that can be pressed where they are, for [`COVERED`].
const FREE: &str = "window.free = [...document.querySelectorAll('button, summary, a, input, textarea')].filter(one => {
        const { left, top, width, height } = one.getBoundingClientRect();
        return width && one.contains(document.elementFromPoint(left + width / 2, top + height / 2));
    });
    return window.free.length";
/// How many of them a notice covers.
const COVERED: &str = "return window.free.filter(one => {
        const { left, top, width, height } = one.getBoundingClientRect();
        return document.elementFromPoint(left + width / 2, top + height / 2)?.closest('#toasts');
    }).length";

/// Makes a notice, and waits for it.
async fn notice(browser: &Browser, text: &str) -> Result<()> {
    let show = format!(
        "const {{ toast }} = await import(document.querySelector('script[src*=\"web.js\"]').src.replace('web.js', 'acts.js')); toast({text:?}, 'SELECT 1;')"
    );
    browser.run(&format!("(async () => {{ {show} }})()")).await?;
    browser.shows("#toasts", text).await
}

#[tokio::test]
async fn h2_a_notice_on_a_phone_covers_no_button() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_session('session-' || n) FROM generate_series(10, 40) n;
         UPDATE wa.session SET status = 'linking';
         UPDATE wa.session SET phone = '15550001', jid = '15550001@s.whatsapp.net', status = 'connected', desired = 'connected'",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let browser = Browser::start(390, 800).await?;
    sign_in(&browser, &pages, &token(&db, "ops", "admin", None).await?).await?;
    for path in ["/fleet", "/session/session-10", "/session/session-10?tab=settings", "/inbox", "/inbox/session-10"] {
        for place in ["0", "document.documentElement.scrollHeight / 2", "document.documentElement.scrollHeight"] {
            browser.open(&format!("{}{path}", pages.url)).await?;
            browser.run(&format!("scrollTo(0, {place})")).await?;
            let free = browser.run(FREE).await?.as_u64().context("no number")?;
            ensure!(free > 1, "{path} at {place}: {free} buttons");
            notice(&browser, "The session is paused.").await?;
            let covered = browser.run(COVERED).await?;
            ensure!(covered == 0, "{path} at {place}: a notice covers {covered} of {free}");
            let is_seen = "(() => { const { top, bottom } = document.querySelector('#toasts p').getBoundingClientRect(); return top >= 0 && bottom <= innerHeight; })()";
            browser.until(is_seen).await?;
        }
    }
    // By pressing a button as well, while the boxes of some sessions are checked.
    browser.open(&format!("{}/fleet", pages.url)).await?;
    browser.click("input[value='session-12']").await?;
    browser.click("button[formaction='/act/pause_sessions']").await?;
    browser.shows("#toasts", "Sessions paused: 1").await?;
    pages.stop().await;
    Ok(())
}
