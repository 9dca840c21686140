//! M1: files of every kind reach every peer byte for byte.

use super::files::{film, music, picture, speech};
use super::stage::{PEERS, Peer, Stage, matrix_table};
use crate::support::docs;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::ImageFormat::{Gif, Jpeg, Png, WebP};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One of our messages with a file.
struct Case {
    kind: &'static str,
    file: Vec<u8>,
    /// SQL arguments after the file.
    more: &'static str,
    /// The expected columns of the peer's `wa.inbox`.
    columns: Value,
    /// The expected fields of the message.
    message: Value,
}

fn cases() -> Result<Vec<Case>> {
    let case = |kind, file, more, columns, message| Case { kind, file, more, columns, message };
    let context = json!({ "stanza_id": "{theirs}" });
    let mentioning = json!({ "stanza_id": "{theirs}", "mentioned_jid": ["15550009@s.whatsapp.net"] });
    Ok(vec![
        case(
            "image",
            picture(Jpeg, 640, 320)?,
            "body => 'Look, @15550009', quote => '{theirs}', mentions => '{15550009}'",
            json!({ "kind": "image", "body": "Look, @15550009", "quoted_id": "{theirs}" }),
            json!({ "image_message": {
                "mimetype": "image/jpeg", "width": 640, "height": 320, "caption": "Look, @15550009", "context_info": mentioning,
            } }),
        ),
        case(
            "image",
            picture(Png, 32, 64)?,
            "",
            json!({ "kind": "image" }),
            json!({ "image_message": { "mimetype": "image/png", "height": 64 } }),
        ),
        case(
            "image",
            picture(Gif, 8, 8)?,
            "",
            json!({ "kind": "image" }),
            json!({ "image_message": { "mimetype": "image/gif" } }),
        ),
        case(
            "video",
            film(),
            "body => 'Moving', thumbnail => '\\xffd8', mentions => '{15550009}', quote => '{theirs}'",
            json!({ "kind": "video", "body": "Moving", "quoted_id": "{theirs}" }),
            json!({ "video_message": {
                "mimetype": "video/mp4", "width": 640, "height": 360, "seconds": 3, "caption": "Moving", "context_info": mentioning,
            } }),
        ),
        case(
            "gif",
            film(),
            "body => 'Again', thumbnail => '\\xffd8', mentions => '{15550009}', quote => '{theirs}'",
            json!({ "kind": "gif", "body": "Again", "quoted_id": "{theirs}" }),
            json!({ "video_message": { "gif_playback": true, "seconds": 3, "context_info": mentioning } }),
        ),
        case(
            "audio",
            music(),
            "quote => '{theirs}'",
            json!({ "kind": "audio", "quoted_id": "{theirs}" }),
            json!({ "audio_message": { "mimetype": "audio/mpeg", "seconds": 3, "ptt": false, "context_info": context } }),
        ),
        case(
            "voice",
            speech(),
            "quote => '{theirs}'",
            json!({ "kind": "voice", "quoted_id": "{theirs}" }),
            json!({ "audio_message": { "mimetype": "audio/ogg; codecs=opus", "seconds": 3, "ptt": true, "context_info": context } }),
        ),
        case(
            "document",
            b"%PDF-1.7 not much of one".to_vec(),
            "file_name => 'Offer; May.pdf'",
            json!({ "kind": "document" }),
            json!({ "document_message": { "mimetype": "application/pdf", "file_name": "Offer; May.pdf", "title": "Offer; May.pdf" } }),
        ),
        case(
            "document",
            b"a,b\n1,2\n".to_vec(),
            "file_name => 'table.csv', body => 'Read, @15550009', mentions => '{15550009}', quote => '{theirs}', thumbnail => '\\xffd8'",
            json!({ "kind": "document", "body": "Read, @15550009", "quoted_id": "{theirs}" }),
            json!({ "document_with_caption_message": { "message": { "document_message": {
                "mimetype": "text/csv", "caption": "Read, @15550009", "context_info": mentioning,
            } } } }),
        ),
        case(
            "document",
            vec![0],
            "mime => 'application/x-odd'",
            json!({ "kind": "document" }),
            json!({ "document_message": { "mimetype": "application/x-odd" } }),
        ),
        case(
            "sticker",
            picture(WebP, 512, 512)?,
            "quote => '{theirs}'",
            json!({ "kind": "sticker", "quoted_id": "{theirs}" }),
            json!({ "sticker_message": { "mimetype": "image/webp", "width": 512, "is_animated": false, "context_info": context } }),
        ),
    ])
}

/// The file of a message as the peer downloads and decrypts it.
async fn peer_file(stage: &mut Stage, peer: Peer, message_id: &str) -> Result<Vec<u8>> {
    match peer {
        Peer::Baileys => {
            let baileys = stage.baileys()?;
            let found = baileys.command("download", json!({ "message": message_id })).await?;
            Ok(BASE64_STANDARD.decode(found["data"].as_str().context("data")?)?)
        }
        Peer::Phone => {
            let found = stage.world.control.settled(peer.number(), message_id).await?;
            ensure!(found["media"]["state"] == "ready", "{found}");
            stage.world.control.file(peer.number(), message_id).await
        }
        Peer::Session => {
            let download =
                format!("SELECT wa.download(id) FROM wa.inbox WHERE session = 'anna' AND message_id = '{message_id}'");
            let job: i64 = stage.world.until(&download).await?;
            let done = format!("SELECT status::text FROM wa.session_job WHERE id = {job} AND finished_at IS NOT NULL");
            let status: String = stage.world.until(&done).await?;
            ensure!(status == "done", "{status}");
            let bytes = format!(
                "SELECT m.data FROM wa.session_job j JOIN wa.media m ON m.media_id = (j.result ->> 'media')::bigint WHERE j.id = {job}"
            );
            stage.world.until(&bytes).await
        }
    }
}

#[tokio::test]
async fn m1_every_kind_of_file_reaches_every_client_byte_for_byte() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let mut matrix: BTreeMap<String, BTreeSet<Peer>> = BTreeMap::new();
    for peer in PEERS {
        let theirs = stage.peer_says_hi(peer).await?;
        for Case { kind, file, more, columns, message } in cases()? {
            let named = |text: &str| text.replace("{theirs}", &theirs);
            let more = if more.is_empty() { String::new() } else { format!(", {}", named(more)) };
            let data = BASE64_STANDARD.encode(&file);
            let sent = stage.send(kind, peer.number(), &format!("data => decode('{data}', 'base64'){more}")).await?;
            let read = |value: &Value| serde_json::from_str::<Value>(&named(&value.to_string()));
            let received = stage.check_received(peer, &sent, &read(&columns)?, &read(&message)?).await;
            received.with_context(|| format!("{kind}{more} to {peer:?}"))?;
            ensure!(peer_file(&mut stage, peer, &sent).await? == file, "the {kind} for {peer:?} has other bytes");
            matrix.entry(kind.to_owned()).or_default().insert(peer);
        }
        // A sticker from another format is converted to WebP.
        let data = BASE64_STANDARD.encode(picture(Png, 100, 50)?);
        let sent = stage.send("sticker", peer.number(), &format!("data => decode('{data}', 'base64')")).await?;
        let message = json!({ "sticker_message": { "mimetype": "image/webp", "width": 512, "height": 512 } });
        stage.check_received(peer, &sent, &json!({ "kind": "sticker" }), &message).await?;
        let sticker = image::load_from_memory_with_format(&peer_file(&mut stage, peer, &sent).await?, WebP)?.to_rgba8();
        ensure!(
            sticker.dimensions() == (512, 512) && sticker.get_pixel(256, 0)[3] == 0,
            "the sticker is not a square on a transparent ground"
        );
    }
    // The thumbnail, which is shown before the file is loaded.
    let row = "SELECT message FROM wa.inbox WHERE session = 'anna' AND kind = 'image' AND body IS NOT NULL";
    let message: Value = stage.world.until(row).await?;
    let thumbnail = message["image_message"]["jpeg_thumbnail"]["data"].as_str().context("no thumbnail")?;
    let small = image::load_from_memory_with_format(&BASE64_STANDARD.decode(thumbnail)?, Jpeg)?;
    ensure!((small.width(), small.height()) == (100, 50), "{} by {}", small.width(), small.height());
    // The kinds of file that a status takes.
    let audience = PEERS.map(Peer::number);
    for (kind, file) in [("image", picture(Jpeg, 20, 20)?), ("video", film()), ("gif", film()), ("voice", speech())] {
        let (data, to) = (BASE64_STANDARD.encode(&file), audience.join(","));
        let arguments = format!("data => decode('{data}', 'base64'), audience => '{{{to}}}'");
        let sent = stage.send(kind, "status@broadcast", &arguments).await?;
        ensure!(peer_file(&mut stage, Peer::Session, &sent).await? == file, "the {kind} of the status has other bytes");
    }
    // Every documented field was sent; the sources of files have tests of their own.
    let never = "SELECT string_agg(d.kind || '.' || d.field, ', ') FROM wa.message_fields() d
                 WHERE d.kind IN (SELECT m.kind FROM wa.media_kinds() m) AND d.field NOT IN ('data', 'url', 'large_object', 'file')
                   AND NOT EXISTS (SELECT FROM wa.outbound o WHERE o.kind = d.kind AND o.content ? d.field AND o.sent_at IS NOT NULL)";
    let never: Option<String> = sqlx::query_scalar(never).fetch_one(stage.world.pool()).await?;
    ensure!(never.is_none(), "never sent: {never:?}");
    docs::table("docs/messages.md", "files out", &matrix_table(&matrix, &PEERS))?;
    worker.stop().await
}
