//! M4, M8: answers, cards, and messages that nobody wrote.

use super::events::event_is;
use super::stage::{Peer, SHOP, Stage, contains};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Sends a message of Baileys as it is, and returns its id.
async fn send_raw(stage: &mut Stage, message: Value) -> Result<String> {
    let sent = stage.baileys()?.send_content(SHOP, json!({ "raw": message })).await?;
    sent["message_id"].as_str().map(str::to_owned).with_context(|| format!("no id: {sent}"))
}

/// Messages of Baileys, and the inbox columns expected; the answers quote `ours`.
fn cases(ours: &str) -> Vec<(Value, Value)> {
    let context = json!({ "stanzaId": ours, "participant": format!("{SHOP}@s.whatsapp.net") });
    let reply = |kind: &str, body: &str| json!({ "kind": kind, "body": body, "quoted_id": ours });
    let card = |kind: &str, body: &str| json!({ "kind": kind, "body": body });
    vec![
        (
            json!({ "buttonsResponseMessage": {
                "selectedButtonId": "1", "selectedDisplayText": "Yes, please", "type": "DISPLAY_TEXT", "contextInfo": context,
            } }),
            reply("button_reply", "Yes, please"),
        ),
        (
            json!({ "templateButtonReplyMessage": {
                "selectedId": "1", "selectedDisplayText": "No", "selectedIndex": 1, "contextInfo": context,
            } }),
            reply("button_reply", "No"),
        ),
        (
            json!({ "listResponseMessage": {
                "title": "Soup", "description": "Hot", "listType": "SINGLE_SELECT",
                "singleSelectReply": { "selectedRowId": "soup" }, "contextInfo": context,
            } }),
            json!({ "kind": "list_reply", "body": "Soup\nHot", "quoted_id": ours,
                    "message": { "list_response_message": { "single_select_reply": { "selected_row_id": "soup" } } } }),
        ),
        (
            json!({ "interactiveResponseMessage": {
                "body": { "text": "Paid" }, "contextInfo": context,
                "nativeFlowResponseMessage": { "name": "payment", "paramsJson": "{\"paid\":true}", "version": 3 },
            } }),
            reply("interactive_reply", "Paid"),
        ),
        (
            json!({ "interactiveMessage": {
                "header": { "title": "Shop" }, "body": { "text": "Pay now?" },
                "nativeFlowMessage": { "buttons": [{ "name": "cta_url", "buttonParamsJson": "{}" }] },
            } }),
            card("interactive", "Shop\nPay now?"),
        ),
        (
            json!({ "listMessage": {
                "title": "Lunch", "description": "Choose one", "buttonText": "Open", "listType": "SINGLE_SELECT",
            } }),
            card("list", "Lunch\nChoose one"),
        ),
        (
            json!({ "eventMessage": { "name": "Party", "description": "Bring cake", "startTime": "1800000000" } }),
            card("event", "Party\nBring cake"),
        ),
        (
            json!({ "groupInviteMessage": {
                "groupJid": "120363000000000001@g.us", "inviteCode": "CODE", "groupName": "Team", "caption": "Join us",
            } }),
            card("group_invite", "Team\nJoin us"),
        ),
        (json!({ "callLogMesssage": { "isVideo": true } }), json!({ "kind": "call_log" })),
        (
            json!({ "chat": { "displayName": "A", "id": "B" } }),
            json!({ "kind": "unknown", "message": { "chat": { "display_name": "A" } } }),
        ),
    ]
}

#[tokio::test]
async fn m4_answers_and_cards_have_their_words_and_the_message_that_they_answer() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    stage.peer_says_hi(Peer::Baileys).await?;
    let ours = stage.send("text", Peer::Baileys.number(), "'Lunch?'").await?;
    for (message, columns) in cases(&ours) {
        let sent = send_raw(&mut stage, message).await?;
        let row = format!("SELECT to_jsonb(i) FROM wa.inbox i WHERE session = 'shop' AND message_id = '{sent}'");
        let row: Value = stage.world.until(&row).await.with_context(|| columns.to_string())?;
        ensure!(contains(&row, &columns), "the inbox has {row:#}, not {columns:#}");
        for name in ["body", "quoted_id", "target_id"] {
            ensure!(columns.get(name).is_some() || row[name].is_null(), "{name} of {row:#}");
        }
    }
    worker.stop().await
}

#[tokio::test]
async fn m8_timers_and_pins_are_events_and_key_shares_are_stored_nowhere() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    stage.peer_says_hi(Peer::Baileys).await?;
    let ours = stage.send("text", Peer::Baileys.number(), "'Read this'").await?;
    let baileys = format!("{}@s.whatsapp.net", Peer::Baileys.number());
    let key = json!({ "remoteJid": format!("{SHOP}@s.whatsapp.net"), "fromMe": false, "id": ours });
    let mut unwritten = vec![];
    for (message, event) in [
        (
            json!({ "protocolMessage": { "type": "EPHEMERAL_SETTING", "ephemeralExpiration": 86_400 } }),
            Some(("chat_timer_changed", json!({ "chat": baileys, "by": baileys, "seconds": 86_400 }))),
        ),
        (
            json!({ "pinInChatMessage": { "key": key, "type": "PIN_FOR_ALL", "senderTimestampMs": "1" } }),
            Some(("message_pinned", json!({ "chat": baileys, "by": baileys, "message_id": ours, "pinned": true }))),
        ),
        (
            json!({ "pinInChatMessage": { "key": key, "type": "UNPIN_FOR_ALL", "senderTimestampMs": "2" } }),
            Some(("message_pinned", json!({ "message_id": ours, "pinned": false }))),
        ),
        (
            json!({ "keepInChatMessage": { "key": key, "keepType": "KEEP_FOR_ALL", "timestampMs": "3" } }),
            Some(("message_kept", json!({ "chat": baileys, "message_id": ours, "kept": true }))),
        ),
        (json!({ "protocolMessage": { "type": "APP_STATE_SYNC_KEY_REQUEST", "appStateSyncKeyRequest": {} } }), None),
        (json!({ "protocolMessage": { "type": "INITIAL_SECURITY_NOTIFICATION_SETTING_SYNC" } }), None),
    ] {
        unwritten.push(send_raw(&mut stage, message).await?);
        if let Some((kind, data)) = event {
            event_is(&stage, kind, data).await?;
        }
    }
    let last = stage.baileys()?.send(SHOP, "Something written").await?;
    stage.world.holds(&format!("SELECT count(*) = 1 FROM wa.inbox WHERE message_id = '{last}'")).await?;
    let rows = format!("SELECT count(*) FROM wa.inbox WHERE message_id = ANY ('{{{}}}')", unwritten.join(","));
    ensure!(stage.world.count(&rows).await? == 0, "messages that nobody wrote are in the inbox");
    // All of them are acknowledged.
    let settled = |it: &Value| {
        let phone = it["phones"].as_array()?.iter().find(|phone| phone["number"] == SHOP)?;
        (phone["devices"][0]["unacknowledged"] == 0).then_some(())
    };
    stage.world.control.until("/phones", settled).await?;
    worker.stop().await
}
