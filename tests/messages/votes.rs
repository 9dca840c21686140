//! M4: votes under each form of address.

use super::stage::{Peer, SHOP, Stage};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use wacore::poll::{compute_option_hash, encrypt_poll_vote_with_secret};

/// The addresses of a number: with the number and, as the sandbox makes them, with the LID.
fn addresses(number: &str) -> [String; 2] {
    [format!("{number}@s.whatsapp.net"), format!("9{number}@lid")]
}

/// A vote of Baileys for "Salad", sent to a chat; returns its row.
async fn vote(stage: &mut Stage, to: &str, poll: &str, secret: &[u8], [creator, voter]: [&str; 2]) -> Result<Value> {
    let chosen = [compute_option_hash("Salad").to_vec()];
    let (payload, iv) = encrypt_poll_vote_with_secret(&chosen, secret, poll, creator, voter)?;
    let key = json!({ "remoteJid": to, "fromMe": false, "id": poll, "participant": creator });
    let vote = json!({ "encPayload": BASE64_STANDARD.encode(payload), "encIv": BASE64_STANDARD.encode(iv) });
    let update = json!({ "raw": { "pollUpdateMessage": { "pollCreationMessageKey": key, "vote": vote } } });
    let sent = stage.baileys()?.send_content(to, update).await?["message_id"].as_str().context("no id")?.to_owned();
    let row = format!("SELECT to_jsonb(i) FROM wa.inbox i WHERE session = 'shop' AND message_id = '{sent}'");
    stage.world.until(&row).await
}

async fn secret_of(stage: &Stage, poll: &str) -> Result<Vec<u8>> {
    let secret = format!("SELECT content #>> '{{secret,data}}' FROM wa.outbound WHERE message_id = '{poll}'");
    Ok(BASE64_STANDARD.decode(stage.world.until::<String>(&secret).await?)?)
}

#[tokio::test]
async fn m4_votes_name_their_options_in_chats_and_groups_that_use_lids() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let baileys = Peer::Baileys.number();
    stage.peer_says_hi(Peer::Baileys).await?;
    let group = json!({
        "subject": "Lunch", "creator": Peer::Phone.number(), "participants": [baileys, SHOP], "addressing": "lid",
    });
    let group = stage.world.control.post("/groups", group).await?["jid"].as_str().context("no jid")?.to_owned();
    stage.baileys()?.send(&group, "Hello all").await?;
    stage.world.holds(&format!("SELECT true FROM wa.inbox WHERE session = 'shop' AND chat = '{group}'")).await?;
    let (ours, theirs) = (addresses(SHOP), addresses(baileys));
    let in_group = stage.send("poll", &group, "'Lunch?', '{Soup,Salad}'").await?;
    let in_chat = stage.send("poll", baileys, "'Lunch?', '{Soup,Salad}'").await?;
    for (to, poll) in [(group.as_str(), &in_group), (ours[1].as_str(), &in_chat)] {
        let secret = secret_of(&stage, poll).await?;
        for (creator, voter) in [(1, 1), (0, 0), (0, 1), (1, 0)] {
            let row = vote(&mut stage, to, poll, &secret, [&ours[creator], &theirs[voter]]).await?;
            ensure!(row["choices"] == json!(["Salad"]), "to {to} as {creator} and {voter}: {row:#}");
        }
        // The key of a stranger opens nothing.
        let row = vote(&mut stage, to, poll, &[1; 32], [&ours[1], &theirs[1]]).await?;
        ensure!(row["choices"].is_null() && row["kind"] == "poll_vote", "{row:#}");
    }
    // A poll of somebody else, on which they vote as well.
    let secret = [9; 32];
    let poll = json!({ "raw": {
        "messageContextInfo": { "messageSecret": BASE64_STANDARD.encode(secret) },
        "pollCreationMessageV3": {
            "name": "Dinner?", "options": [{ "optionName": "Soup" }, { "optionName": "Salad" }], "selectableOptionsCount": 1,
        },
    } });
    let sent = stage.baileys()?.send_content(&group, poll).await?;
    let poll = sent["message_id"].as_str().context("no id")?.to_owned();
    stage.world.holds(&format!("SELECT kind = 'poll' FROM wa.inbox WHERE message_id = '{poll}'")).await?;
    let row = vote(&mut stage, &group, &poll, &secret, [&theirs[1], &theirs[1]]).await?;
    ensure!(row["choices"] == json!(["Salad"]), "{row:#}");
    worker.stop().await
}
