//! X3: draws the pictures for `ecosystem/sandbox/docs/sandbox.md`.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::page::open;
use crate::support::browser::Browser;
use crate::support::linked::{Linked, sandbox};

const SHOP: &str = "4915550101";
const NORA: &str = "4915550102";
const LEE: &str = "15550133";

/// Two loaves on a table, as JPEG in base64.
const LOAVES: &str = "
const canvas = document.createElement('canvas');
[canvas.width, canvas.height] = [960, 600];
const pen = canvas.getContext('2d');
const shade = (fill, ...stops) => { stops.forEach((stop, index) => fill.addColorStop(index / (stops.length - 1), stop)); pen.fillStyle = fill; };
let seed = 7;
const chance = () => (seed = seed * 16807 % 2147483647) / 2147483647;
shade(pen.createLinearGradient(0, 0, 960, 420), '#f3e7d3', '#d9c3a1');
pen.fillRect(0, 0, 960, 600);
shade(pen.createLinearGradient(0, 380, 0, 600), '#8a6443', '#5d3f28');
pen.fillRect(0, 380, 960, 220);
for (let line = 0; line < 60; line += 1) {
  pen.fillStyle = `rgba(40, 22, 10, ${chance() * .14})`;
  pen.fillRect(chance() * 960 - 200, 380 + chance() * 220, 200 + chance() * 500, 1 + chance() * 2);
}
const loaf = (x, y, wide, high, turn) => {
  pen.save();
  pen.translate(x, y);
  pen.rotate(turn);
  pen.save();
  pen.filter = 'blur(16px)';
  pen.fillStyle = '#2a1508b0';
  pen.beginPath();
  pen.ellipse(8, high * .8, wide * .97, high * .36, 0, 0, 7);
  pen.fill();
  pen.restore();
  pen.beginPath();
  pen.moveTo(-wide, high * .45);
  pen.bezierCurveTo(-wide * 1.02, -high * .9, -wide * .4, -high, 0, -high);
  pen.bezierCurveTo(wide * .4, -high, wide * 1.02, -high * .9, wide, high * .45);
  pen.bezierCurveTo(wide * .95, high * .95, -wide * .95, high * .95, -wide, high * .45);
  pen.clip();
  shade(pen.createRadialGradient(-wide * .25, -high * .55, 10, 0, 0, wide * 1.1), '#dca262', '#b87434', '#7c431b', '#4e270f');
  pen.fillRect(-wide, -high, wide * 2, high * 2);
  pen.filter = 'blur(1.2px)';
  for (const cut of [-.52, -.18, .16, .5]) {
    pen.beginPath();
    pen.moveTo(wide * (cut - .1), high * .2);
    pen.quadraticCurveTo(wide * (cut - .06), -high * .5, wide * (cut + .14), -high * .82);
    pen.quadraticCurveTo(wide * (cut + .1), -high * .3, wide * (cut - .1), high * .2);
    pen.fillStyle = '#f2d3a0';
    pen.fill();
    pen.strokeStyle = '#6b3815';
    pen.lineWidth = 3;
    pen.stroke();
  }
  pen.filter = 'none';
  for (let grain = 0; grain < 1500; grain += 1) {
    const [across, up] = [(chance() * 2 - 1) * wide, -high + Math.abs(chance() + chance() - .6) * high];
    pen.fillStyle = `rgba(255, 246, 228, ${chance() * .45})`;
    pen.fillRect(across, up, 1 + chance() * 2.4, 1 + chance() * 1.6);
  }
  pen.restore();
};
loaf(610, 330, 250, 140, .05);
loaf(330, 395, 265, 150, -.06);
return canvas.toDataURL('image/jpeg', .88).split(',')[1];";

async fn picture(browser: &Browser, name: &str) -> Result<()> {
    browser.run("document.activeElement.blur()").await?;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ecosystem/sandbox/docs").join(name);
    Ok(tokio::fs::write(path, browser.picture().await?).await?)
}

#[tokio::test]
#[ignore = "writes ecosystem/sandbox/docs/*.png"]
async fn x3_pictures_of_the_page() -> Result<()> {
    let browser = Browser::start(1360, 820).await?;
    let (sandbox, control) = sandbox().await?;
    let _shop = Linked::link(&sandbox, &control, SHOP).await?;
    let nora = Linked::link(&sandbox, &control, NORA).await?;
    control.post("/phones", json!({ "number": LEE })).await?;
    for (number, name) in [(SHOP, "Rye & Barley"), (NORA, "Nora Lindt")] {
        let name = json!({ "push_name": { "name": name } });
        control.post(&format!("/phones/{number}/app-state"), name).await?;
    }
    let send = async |from: &str, to: &str, what: Value| -> Result<String> {
        let mut body = what;
        body["to"] = to.into();
        let sent = control.post(&format!("/phones/{from}/send"), body).await?;
        Ok(sent["id"].as_str().context("no id")?.to_owned())
    };
    browser.open("about:blank").await?;
    let loaves = browser.run(LOAVES).await?;
    send(LEE, SHOP, json!({ "text": "Is order 2214 on its way?" })).await?;
    send(SHOP, LEE, json!({ "text": "It left our workshop this morning." })).await?;
    send(LEE, SHOP, json!({ "text": "Thank you, that was quick" })).await?;
    let members = json!({ "subject": "Sunday market", "creator": SHOP, "participants": [NORA, LEE] });
    let market = control.post("/groups", members).await?["jid"].as_str().context("no group")?.to_owned();
    send(LEE, &market, json!({ "text": "I bring the tables" })).await?;
    send(NORA, SHOP, json!({ "text": "Good morning! Do you still bake on Sundays?" })).await?;
    let fresh = json!({ "image": { "data": loaves, "mime": "image/jpeg", "caption": "We do, from seven to eleven." } });
    let fresh = send(SHOP, NORA, fresh).await?;
    let order =
        json!({ "reply": { "id": fresh, "text": "Two of the rye, please. I can be there at half past eight" } });
    let order = send(NORA, SHOP, order).await?;
    send(SHOP, NORA, json!({ "react": { "id": order, "emoji": "👍" } })).await?;
    let done = send(SHOP, NORA, json!({ "text": "Two rye for Nora at 8:30, it is in the book." })).await?;
    send(NORA, SHOP, json!({ "react": { "id": done, "emoji": "❤️" } })).await?;
    open(&browser, &sandbox.control_url(), SHOP, NORA).await?;
    browser.until(&format!("document.querySelector('#m-{done} .ticks.read')")).await?;
    browser.until("document.querySelector('.picture img').naturalWidth").await?;
    picture(&browser, "sandbox-page.png").await?;

    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.devtools("Emulation.setEmulatedMedia", dark).await?;
    let lost =
        json!({ "fault": { "lose": {} }, "stanza": "ack message", "direction": "out", "number": NORA, "times": 5 });
    control.post("/faults", lost).await?;
    let slow = json!({ "fault": { "delay": { "ms": 2000 } }, "stanza": "message", "direction": "out", "number": SHOP, "times": "always" });
    control.post("/faults", slow).await?;
    let sunday = nora.send(SHOP, "See you on Sunday!").await?;
    browser.shows(&format!("#m-{sunday}"), "See you").await?;
    browser.click("#open-faults").await?;
    browser.shows("#fault-list", "struck 1 of 5").await?;
    control.post(&format!("/phones/{NORA}/typing"), json!({ "to": SHOP, "state": "composing" })).await?;
    browser.until("document.querySelector('.typing')").await?;
    picture(&browser, "sandbox-page-dark.png").await?;
    sandbox.shutdown().await;
    Ok(())
}
