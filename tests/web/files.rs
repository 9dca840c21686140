//! Files of messages in the inbox: shown to whoever sees the message, and never run as a page of this server (H2, M6).

use super::{Pages, token, two_tenants};
use crate::support::db;
use crate::support::logins::run;
use anyhow::{Context as _, Result, ensure};

#[tokio::test]
async fn h2_m6_files_are_shown_to_those_who_see_the_message_and_to_nobody_else() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    run(
        &db.pool,
        "SELECT wa.add_media('red.shop', decode(repeat('89504e47', 600000), 'hex'), 'image/png'), wa.add_media('red.shop', '<script>', 'text/html'),
                  wa.add_media('red.shop', '<svg/>', 'image/svg+xml'), wa.add_media('red.shop', 'ogg', 'audio/ogg; codecs=opus');
           INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message, media, media_id)
           SELECT 'red.shop', s.session_id, '79001234567@s.whatsapp.net', '79001234567@s.whatsapp.net', coalesce(m.id::text, 'x'), m.kind, false, now(), '{}',
                  jsonb_build_object('mime', m.mime, 'file_name', 'a b.bin'), m.id
           FROM wa.session s, (VALUES (1, 'image', 'image/png'), (2, 'document', 'text/html'), (4, 'voice', 'audio/ogg'), (NULL, 'video', 'video/mp4')) m (id, kind, mime)
           WHERE s.name = 'red.shop'",
    )
    .await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "operator", Some("red")).await?).await?;
    let blue = pages.sign_in(&token(&db, "blue", "operator", Some("blue")).await?).await?;
    let page = pages.get("/inbox/red.shop?chat=79001234567@s.whatsapp.net", &red).await?;
    for shown in [
        "<img src=\"/media/1?name=",
        "<a class=\"file\" href=\"/media/2?name=",
        "<audio class=\"file\" src=\"/media/4?name=",
        "/act/download",
    ] {
        ensure!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    for (id, kind, disposition) in [
        (1, "image/png", "inline"),
        (2, "application/octet-stream", "attachment"),
        (3, "application/octet-stream", "attachment"),
        (4, "audio/ogg", "inline"),
    ] {
        let file = pages.get(&format!("/media/{id}?name=a%20b.bin"), &red).await?;
        ensure!(file.status == 200 && file.header("content-type") == Some(kind), "{id}: {}", file.head);
        let shown = file.header("content-disposition").context("no disposition")?;
        ensure!(shown == format!("{disposition}; filename*=UTF-8''a%20b%2Ebin"), "{shown}");
        ensure!(file.header("x-content-type-options") == Some("nosniff"), "{}", file.head);
        let policy = file.header("content-security-policy").unwrap_or_default();
        ensure!(policy.contains("default-src 'none'") && policy.contains("media-src 'self'"), "{policy}");
        // A browser in which somebody else signs in asks again.
        ensure!(file.header("vary").is_some_and(|vary| vary.contains("cookie")), "{}", file.head);
        // Those of another tenant, and those that are not there, are the same.
        ensure!(pages.get(&format!("/media/{id}"), &blue).await?.status == 404, "{id}");
        ensure!(pages.get(&format!("/media/{id}"), "").await?.status == 303, "{id}");
    }
    let whole = pages.exchange("GET /media/1", &[&format!("cookie: {red}")], "").await?;
    let head = whole.windows(4).position(|end| end == b"\r\n\r\n").context("no HTTP answer")?;
    ensure!(whole.len() - head - 4 == 2_400_000, "{} bytes", whole.len() - head - 4);
    let out = pages.post("/logout", &blue, "").await?;
    ensure!(out.header("clear-site-data") == Some("\"cache\""), "{}", out.head);
    for absent in ["99", "x", "-1"] {
        ensure!(pages.get(&format!("/media/{absent}"), &red).await?.status == 404, "{absent}");
    }
    pages.stop().await;
    Ok(())
}
