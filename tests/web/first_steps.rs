//! The first minutes of a new user, in a real browser and without psql (H2, S2).

use crate::control::Control;
use crate::support::browser::Browser;
use crate::support::until::until;
use crate::support::world::{Worker, wagres};
use anyhow::{Context as _, Result};
use serde_json::json;

#[tokio::test]
async fn h2_s2_a_new_user_links_a_phone_and_sends_a_message_without_psql() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("wagres-first-{}", uuid::Uuid::new_v4()));
    let mut command = wagres();
    command.args(["up", "--sandbox", "--json", "--http", "127.0.0.1:0", "--data"]).arg(&folder);
    let up = Worker::start(command).await?;
    let url = |name: &str| up.ready[name].as_str().map(str::to_owned).with_context(|| format!("{name}: {}", up.ready));
    let control = Control::new(&url("sandbox_control")?);
    for number in ["15550001", "15550002"] {
        control.post("/phones", json!({ "number": number })).await?;
    }
    let browser = Browser::start(1280, 1000).await?;
    browser.open(&url("web_login")?).await?;
    browser.click("main form button").await?;
    browser.until("location.pathname === '/fleet'").await?;
    browser.click("details[data-key='act-add_session'] summary").await?;
    browser.write("#act-add_session-name", "shop\u{E007}").await?;
    browser.until("location.pathname === '/session/shop'").await?;
    browser.click("details[data-key='act-link-shop'] summary").await?;
    browser.click("details[data-key='act-link-shop'] form button").await?;
    browser.until("document.querySelector('.qr svg')").await?;
    until("a code that the phone takes", async || {
        let Some(qr) = super::qr_of(&browser.picture().await?)? else { return Ok(Err("no code".to_owned())) };
        let answer = control.request("POST", "/phones/15550001/scan", Some(json!({ "qr": qr }))).await?;
        Ok(if answer.0 == 200 { Ok(()) } else { Err(answer.1.to_string()) })
    })
    .await?;
    browser.shows("main h1", "connected").await?;
    browser.click("details[data-key='act-send_text-shop'] summary").await?;
    browser.write("#act-send_text-shop-recipient", "+15550002").await?;
    browser.write("#act-send_text-shop-body", "Good morning").await?;
    browser.click("details[data-key='act-send_text-shop'] form button").await?;
    // What became of it.
    browser.until("document.querySelector('#toasts a')").await?;
    browser.click("#toasts a").await?;
    browser.until("location.pathname === '/message/1'").await?;
    // By now the phone may have read it, too.
    browser.shows("main", "delivered at").await?;
    control.shown("15550002", "Good morning").await?;
    drop(browser);
    up.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
