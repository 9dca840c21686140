//! M4: edits and revocations by somebody else than the author.

use super::stage::{Peer, SHOP, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The row of a message in the inbox of `shop`: kind, target, whether the author matches, whether an admin did it.
async fn judged(stage: &Stage, message_id: &str) -> Result<Value> {
    let row = format!(
        "SELECT jsonb_build_array(kind, target_id, author_matches, by_admin) FROM wa.inbox
         WHERE session = 'shop' AND message_id = '{message_id}'"
    );
    stage.world.until(&row).await
}

async fn forge(stage: &mut Stage, to: &str, protocol: Value) -> Result<String> {
    let sent = stage.baileys()?.send_content(to, json!({ "raw": { "protocolMessage": protocol } })).await?;
    sent["message_id"].as_str().map(str::to_owned).with_context(|| format!("no id: {sent}"))
}

fn edit(chat: &str, id: &str) -> Value {
    let key = json!({ "remoteJid": chat, "fromMe": true, "id": id });
    json!({ "type": "MESSAGE_EDIT", "key": key, "editedMessage": { "conversation": "Forged" }, "timestampMs": "1" })
}

#[tokio::test]
async fn m4_forged_edits_and_revocations_are_marked_and_not_in_the_history() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let (phone, baileys) = (Peer::Phone.number(), Peer::Baileys.number());
    let group = json!({ "subject": "Team", "creator": phone, "participants": [baileys, SHOP] });
    let group = stage.world.control.post("/groups", group).await?["jid"].as_str().context("no jid")?.to_owned();
    let say = async |stage: &Stage, what: Value| -> Result<String> {
        let mut what = what;
        what["to"] = group.clone().into();
        let sent = stage.world.control.post(&format!("/phones/{phone}/send"), what).await?;
        sent["id"].as_str().map(str::to_owned).with_context(|| format!("no id: {sent}"))
    };
    let theirs = say(&stage, json!({ "text": "Mine" })).await?;
    stage.world.holds(&format!("SELECT true FROM wa.inbox WHERE message_id = '{theirs}'")).await?;
    // The author edits; a stranger edits and revokes, in two ways.
    let edited = say(&stage, json!({ "edit": { "id": theirs, "text": "Mine, too" } })).await?;
    ensure!(judged(&stage, &edited).await? == json!(["edit", theirs, true, false]));
    let forged = forge(&mut stage, &group, edit(&group, &theirs)).await?;
    ensure!(judged(&stage, &forged).await? == json!(["edit", theirs, false, false]));
    let others = json!({
        "remoteJid": group, "fromMe": false, "id": theirs, "participant": format!("{phone}@s.whatsapp.net"),
    });
    for key in [others.clone(), json!({ "remoteJid": group, "fromMe": true, "id": theirs })] {
        let forged = forge(&mut stage, &group, json!({ "type": "REVOKE", "key": key })).await?;
        ensure!(judged(&stage, &forged).await? == json!(["revoke", theirs, false, false]));
    }
    // Nobody knows the message.
    let unknown = forge(&mut stage, &group, edit(&group, "NOBODY")).await?;
    ensure!(judged(&stage, &unknown).await? == json!(["edit", "NOBODY", null, false]));
    // A message of ours.
    let chat = format!("{SHOP}@s.whatsapp.net");
    stage.peer_says_hi(Peer::Baileys).await?;
    let ours = stage.send("text", baileys, "'Ours'").await?;
    let forged = forge(&mut stage, SHOP, edit(&chat, &ours)).await?;
    ensure!(judged(&stage, &forged).await? == json!(["edit", ours, false, false]));
    // An admin may revoke what others wrote.
    let promote = json!({ "by": phone, "promote": [baileys] });
    stage.world.control.post(&format!("/groups/{group}/participants"), promote).await?;
    let revoke = json!({ "method": "sendMessage", "args": [group, { "delete": others }] });
    let sent = stage.baileys()?.command("call", revoke).await?;
    let revoked = sent["key"]["id"].as_str().with_context(|| format!("no id: {sent}"))?.to_owned();
    ensure!(judged(&stage, &revoked).await? == json!(["revoke", theirs, false, true]));
    let history = "SELECT jsonb_agg(jsonb_build_array(kind, message_id) ORDER BY inbox_id) FROM wa.history
                   WHERE session = 'shop' AND inbox_id IS NOT NULL AND kind IN ('edit', 'revoke')";
    let history: Value = stage.world.until(history).await?;
    let expected = json!([["edit", edited], ["edit", unknown], ["revoke", revoked]]);
    ensure!(history == expected, "{history:#}");
    worker.stop().await
}
