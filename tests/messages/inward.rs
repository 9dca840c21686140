//! M4: the columns of the inbox for each kind of received message.

use super::stage::{Peer, SHOP, Stage, contains, matrix_table};
use crate::support::docs;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use wacore::poll::{compute_option_hash, encrypt_poll_vote_with_secret};

/// The messages that a peer sends: the draft as that peer takes it, and the inbox columns expected. `{ours}` is a message
/// of ours, `{theirs}` one of the peer's.
fn drafts(peer: Peer) -> Vec<(Value, Value)> {
    let data = "AAAA";
    let mut all = vec![
        (json!({ "text": "Good day" }), json!({ "kind": "text", "body": "Good day" })),
        (
            json!({ "reply": { "id": "{ours}", "text": "Yes" } }),
            json!({ "kind": "text", "body": "Yes", "quoted_id": "{ours}" }),
        ),
        (
            json!({ "react": { "id": "{ours}", "emoji": "👍" } }),
            json!({ "kind": "reaction", "body": "👍", "target_id": "{ours}" }),
        ),
        (
            json!({ "edit": { "id": "{theirs}", "text": "Hello" } }),
            json!({ "kind": "edit", "body": "Hello", "target_id": "{theirs}" }),
        ),
        (json!({ "revoke": { "id": "{theirs}" } }), json!({ "kind": "revoke", "target_id": "{theirs}" })),
        (
            json!({ "image": { "data": data, "mime": "image/png", "caption": "Look" } }),
            json!({ "kind": "image", "body": "Look" }),
        ),
    ];
    if peer == Peer::Phone {
        all.extend([
            (json!({ "video": { "data": data, "caption": "Moving" } }), json!({ "kind": "video", "body": "Moving" })),
            (json!({ "audio": { "data": data } }), json!({ "kind": "audio" })),
            (json!({ "audio": { "data": data, "voice": true } }), json!({ "kind": "voice" })),
            (
                json!({ "document": { "data": data, "file_name": "a.pdf", "caption": "Read" } }),
                json!({ "kind": "document", "body": "Read" }),
            ),
            (json!({ "sticker": { "data": data } }), json!({ "kind": "sticker" })),
        ]);
    } else {
        let key = json!({ "remoteJid": "15550001@s.whatsapp.net", "fromMe": false, "id": "{ours}" });
        let raw = |message: Value, columns| (json!({ "raw": message }), columns);
        all.extend([
            raw(json!({ "videoMessage": { "gifPlayback": true, "caption": "Moving" } }), json!({ "kind": "gif", "body": "Moving" })),
            raw(json!({ "videoMessage": { "caption": "Moving" } }), json!({ "kind": "video", "body": "Moving" })),
            raw(json!({ "audioMessage": { "ptt": true } }), json!({ "kind": "voice" })),
            raw(json!({ "audioMessage": { "ptt": false } }), json!({ "kind": "audio" })),
            raw(
                json!({ "documentWithCaptionMessage": { "message": { "documentMessage": {
                    "caption": "Read", "contextInfo": { "stanzaId": "{ours}", "participant": "15550001@s.whatsapp.net" },
                } } } }),
                json!({ "kind": "document", "body": "Read", "quoted_id": "{ours}" }),
            ),
            raw(json!({ "stickerMessage": { "mimetype": "image/webp" } }), json!({ "kind": "sticker" })),
            raw(json!({ "locationMessage": { "degreesLatitude": 1, "degreesLongitude": 2 } }), json!({ "kind": "location" })),
            raw(json!({ "contactMessage": { "displayName": "Bob", "vcard": "x" } }), json!({ "kind": "contact" })),
            raw(
                json!({ "pollCreationMessageV3": { "name": "Well?", "options": [{ "optionName": "A" }, { "optionName": "B" }] } }),
                json!({ "kind": "poll", "body": "Well?" }),
            ),
            raw(
                json!({ "pollUpdateMessage": { "pollCreationMessageKey": key, "vote": { "encPayload": data, "encIv": data } } }),
                json!({ "kind": "poll_vote", "target_id": "{ours}" }),
            ),
        ]);
    }
    all
}

#[tokio::test]
async fn m4_every_received_kind_fills_the_columns_of_the_inbox() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let mut matrix: BTreeMap<String, BTreeSet<Peer>> = BTreeMap::new();
    for peer in [Peer::Baileys, Peer::Phone] {
        let theirs = stage.peer_says_hi(peer).await?;
        let ours = stage.send("text", peer.number(), "'Our words'").await?;
        let (columns, message) = (json!({ "kind": "text" }), json!({ "conversation": "Our words" }));
        stage.check_received(peer, &ours, &columns, &message).await?;
        for (draft, columns) in drafts(peer) {
            let named = |value: &Value| value.to_string().replace("{ours}", &ours).replace("{theirs}", &theirs);
            let (mut draft, columns): (Value, Value) =
                (serde_json::from_str(&named(&draft))?, serde_json::from_str(&named(&columns))?);
            let sent = if peer == Peer::Baileys {
                stage.baileys()?.send_content(SHOP, draft).await?["message_id"].clone()
            } else {
                draft["to"] = SHOP.into();
                stage.world.control.post(&format!("/phones/{}/send", peer.number()), draft).await?["id"].clone()
            };
            let sent = sent.as_str().with_context(|| format!("no id for {columns}"))?;
            let row = format!("SELECT to_jsonb(i) FROM wa.inbox i WHERE session = 'shop' AND message_id = '{sent}'");
            let row: Value = stage.world.until(&row).await?;
            ensure!(contains(&row, &columns), "of {peer:?} the inbox has {row:#}, not {columns:#}");
            for name in ["body", "quoted_id", "target_id"] {
                ensure!(columns.get(name).is_some() || row[name].is_null(), "{name} of {row:#}");
            }
            let kind = columns["kind"].as_str().context("kind")?.to_owned();
            matrix.entry(kind).or_default().insert(peer);
        }
    }
    docs::table("docs/messages.md", "kinds in", &matrix_table(&matrix, &[Peer::Baileys, Peer::Phone]))?;
    worker.stop().await
}

#[tokio::test]
async fn m4_a_vote_names_the_chosen_options() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let theirs = stage.peer_says_hi(Peer::Phone).await?;
    let (creator, voter) = (format!("{SHOP}@s.whatsapp.net"), format!("{}@s.whatsapp.net", Peer::Baileys.number()));
    stage.baileys()?.send(SHOP, "Hi").await?;
    let poll = stage.send("poll", Peer::Baileys.number(), "'Days?', '{Mon,\"Tue, late\",Wed}', choices => 0").await?;
    let secret: String = stage
        .world
        .until(&format!("SELECT content #>> '{{secret,data}}' FROM wa.outbound WHERE message_id = '{poll}'"))
        .await?;
    let secret = BASE64_STANDARD.decode(secret)?;
    for (poll_id, options, expected) in [
        (&poll, &["Wed", "Tue, late"][..], json!(["Wed", "Tue, late"])),
        (&poll, &[], json!([])),
        (&poll, &["Mon", "never offered"], json!(["Mon"])),
        (&theirs, &["Mon"], Value::Null),
    ] {
        let hashes: Vec<Vec<u8>> = options.iter().map(|option| compute_option_hash(option).to_vec()).collect();
        let (payload, iv) = encrypt_poll_vote_with_secret(&hashes, &secret, poll_id, &creator, &voter)?;
        let key = json!({ "remoteJid": creator, "fromMe": false, "id": poll_id });
        let vote = json!({ "encPayload": BASE64_STANDARD.encode(payload), "encIv": BASE64_STANDARD.encode(iv) });
        let update = json!({ "raw": { "pollUpdateMessage": { "pollCreationMessageKey": key, "vote": vote } } });
        let baileys = stage.baileys()?;
        let sent = baileys.send_content(SHOP, update).await?["message_id"].as_str().context("no id")?.to_owned();
        let row = format!("SELECT to_jsonb(i) FROM wa.inbox i WHERE session = 'shop' AND message_id = '{sent}'");
        let row: Value = stage.world.until(&row).await?;
        ensure!(row["choices"] == expected && row["target_id"] == poll_id.as_str(), "{row:#}");
    }
    worker.stop().await
}
