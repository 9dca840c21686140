//! M4, R5: any message of a peer is stored, and so are those after it.

use super::stage::{Peer, SHOP, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// A text that quotes a text, so many levels deep.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({ "conversation": "the first" }), |quoted, level| {
        json!({ "extendedTextMessage": { "text": format!("level {level}"), "contextInfo": {
            "stanzaId": format!("Q{level}"), "participant": "15550001@s.whatsapp.net", "quotedMessage": quoted,
        } } })
    })
}

#[tokio::test]
async fn m4_huge_odd_or_broken_messages_are_stored_and_hold_nothing_up() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    stage.peer_says_hi(Peer::Phone).await?;
    let mentions: Vec<String> = (0..10_000).map(|n| format!("1556{n:07}@s.whatsapp.net")).collect();
    let zalgo = format!("a{}b\u{202e}c\u{0}d\u{feff}\u{1f468}\u{200d}\u{1f469}", "\u{301}".repeat(5000));
    let cases = [
        ("text", json!({ "conversation": "x".repeat(300_000) })),
        ("text", json!({ "conversation": zalgo })),
        ("text", json!({ "extendedTextMessage": { "text": "@all", "contextInfo": { "mentionedJid": mentions } } })),
        ("text", nested(20)),
        (
            "reaction",
            json!({ "reactionMessage": { "text": "👍", "key": { "remoteJid": "?", "fromMe": false, "id": "'; DROP SCHEMA wa; --" } } }),
        ),
        ("revoke", json!({ "protocolMessage": { "type": "REVOKE", "key": { "remoteJid": "x", "id": "" } } })),
        ("location", json!({ "locationMessage": { "degreesLatitude": 1e300, "degreesLongitude": -1e300 } })),
        ("contact", json!({ "contactMessage": { "displayName": "\u{0}", "vcard": "\u{1}".repeat(1000) } })),
        (
            "document",
            json!({ "documentMessage": { "fileName": "../../../etc/passwd", "mimetype": "a\u{0}b", "fileLength": "18446744073709551615", "mediaKey": "" } }),
        ),
        (
            "image",
            json!({ "imageMessage": { "caption": "no file", "height": 4_294_967_295_u32, "jpegThumbnail": "AAAA" } }),
        ),
    ];
    for (kind, message) in cases {
        let baileys = stage.baileys()?;
        let sent = baileys.send_content(SHOP, json!({ "raw": message })).await;
        let sent = sent.with_context(|| kind.to_owned())?["message_id"].as_str().context("no id")?.to_owned();
        let row =
            format!("SELECT to_jsonb(i) - 'message' FROM wa.inbox i WHERE session = 'shop' AND message_id = '{sent}'");
        let row: Value = stage.world.until(&row).await.with_context(|| kind.to_owned())?;
        ensure!(row["kind"] == kind, "{row}");
        ensure!(row["body"].as_str().is_none_or(|body| !body.contains('\u{0}')), "{row}");
    }
    let whole = "SELECT length(body) = 300000 FROM wa.inbox WHERE session = 'shop' AND length(body) > 100000";
    stage.world.holds(whole).await?;
    let all = "SELECT jsonb_array_length(message #> '{extended_text_message,context_info,mentioned_jid}') = 10000 FROM wa.inbox WHERE session = 'shop' AND body = '@all'";
    stage.world.holds(all).await?;
    // Odd texts are sent as well.
    let odd = format!("E'{}\u{1f468}\u{200d}\u{1f469}\u{202e}'", "ä".repeat(65_000));
    stage.send("text", Peer::Session.number(), &odd).await?;
    stage
        .world
        .holds("SELECT length(body) = 65004 FROM wa.inbox WHERE session = 'anna' ORDER BY id DESC LIMIT 1")
        .await?;
    worker.stop().await
}

/// Something that cannot be read now is no outage: whoever refers to it learns so at once, and holds up nothing.
#[tokio::test]
async fn q8_r10_a_message_that_refers_to_one_that_cannot_be_read_fails_for_good() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let to = Peer::Phone.number();
    let deep = format!(
        r#"INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
           SELECT name, session_id, '{to}@s.whatsapp.net', '{to}@s.whatsapp.net', 'DEEP', 'text', 'hi', false, now(),
                  (repeat('{{"a":', 130) || '1' || repeat('}}', 130))::jsonb FROM wa.session"#
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(deep)).execute(stage.world.pool()).await?;
    let reply = format!("SELECT wa.send_text('shop', '{to}', 'Yes', quote => 'DEEP')");
    let reply: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(reply)).fetch_one(stage.world.pool()).await?;
    let after = stage.world.send("shop", to, "Goes on").await?;
    stage.world.message_is(reply, "failed").await?;
    stage
        .world
        .holds(&format!("SELECT failure = 'content' AND attempts = 1 FROM wa.outbound WHERE id = {reply}"))
        .await?;
    stage.world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {after}")).await?;
    worker.stop().await
}
