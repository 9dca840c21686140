//! M1: what is sent to a chat whose messages disappear, disappears too.

use super::stage::{Peer, SHOP, Stage};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// The timer of a chat, once it is this.
async fn timer_is(stage: &Stage, chat: &str, seconds: u32) -> Result<()> {
    let timer = format!(
        "SELECT seconds = {seconds} FROM wa.chat_timer JOIN wa.session USING (session_id) WHERE name = 'shop' AND chat = '{chat}'"
    );
    stage.world.holds(&timer).await
}

/// Sends a message of a kind to Baileys, which receives it with this timer.
async fn arrives(stage: &mut Stage, to: &str, kind: &str, arguments: &str, timer: Option<u32>) -> Result<()> {
    let id = stage.send(kind, to, arguments).await?;
    let find = |line: &Value| (line["event"] == "message" && line["id"] == id).then(|| line["content"].clone());
    let content = stage.baileys()?.wait(find).await?;
    let contexts = content.as_object().context("no content")?;
    let found = contexts.values().find_map(|field| field["contextInfo"]["expiration"].as_u64());
    ensure!(found == timer.map(u64::from), "{kind} to {to}: {content:#}");
    Ok(())
}

async fn switch(stage: &mut Stage, to: &str, seconds: u32) -> Result<()> {
    let protocol = json!({ "type": "EPHEMERAL_SETTING", "ephemeralExpiration": seconds });
    stage.baileys()?.send_content(to, json!({ "raw": { "protocolMessage": protocol } })).await.map(drop)
}

async fn say_with_timer(stage: &mut Stage, to: &str, seconds: u32) -> Result<()> {
    let text = json!({ "text": format!("gone in {seconds}"), "contextInfo": { "expiration": seconds } });
    stage.baileys()?.send_content(to, json!({ "raw": { "extendedTextMessage": text } })).await?;
    let row = format!("SELECT true FROM wa.inbox WHERE session = 'shop' AND body = 'gone in {seconds}'");
    stage.world.holds(&row).await
}

#[tokio::test]
async fn m1_messages_to_a_disappearing_chat_carry_its_timer() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let to = Peer::Baileys.number();
    let chat = format!("{to}@s.whatsapp.net");
    let hi = stage.peer_says_hi(Peer::Baileys).await?;
    arrives(&mut stage, to, "text", "'Here to stay'", None).await?;
    switch(&mut stage, SHOP, 86_400).await?;
    timer_is(&stage, &chat, 86_400).await?;
    arrives(&mut stage, to, "text", "'Gone tomorrow'", Some(86_400)).await?;
    arrives(&mut stage, to, "text", &format!("'An answer', quote => '{hi}'"), Some(86_400)).await?;
    arrives(&mut stage, to, "location", "52.5, 13.4", Some(86_400)).await?;
    arrives(&mut stage, to, "poll", "'Lunch?', '{Soup,Salad}'", Some(86_400)).await?;
    arrives(&mut stage, to, "forward", &format!("'{hi}'"), Some(86_400)).await?;
    // A reaction has no timer, and goes all the same.
    stage.send("reaction", to, &format!("'{hi}', '👍'")).await?;
    switch(&mut stage, SHOP, 0).await?;
    timer_is(&stage, &chat, 0).await?;
    arrives(&mut stage, to, "text", "'Here to stay again'", None).await?;
    // Other chats have no timer.
    let other = stage.send("text", Peer::Session.number(), "'Plain'").await?;
    let plain = format!(
        "SELECT message ->> 'conversation' = 'Plain' FROM wa.inbox WHERE session = 'anna' AND message_id = '{other}'"
    );
    stage.world.holds(&plain).await?;
    // The messages of a chat tell its timer, too.
    say_with_timer(&mut stage, SHOP, 604_800).await?;
    timer_is(&stage, &chat, 604_800).await?;
    arrives(&mut stage, to, "text", "'Gone next week'", Some(604_800)).await?;
    worker.stop().await
}

#[tokio::test]
async fn m1_a_group_announces_its_timer_and_members_cannot_make_it_up() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let phone = Peer::Phone.number();
    let group = json!({ "subject": "Team", "creator": phone, "participants": [Peer::Baileys.number(), SHOP] });
    let group = stage.world.control.post("/groups", group).await?["jid"].as_str().context("no jid")?.to_owned();
    let announce = async |stage: &Stage, seconds: u32| {
        let settings = json!({ "by": phone, "ephemeral": seconds });
        stage.world.control.post(&format!("/groups/{group}/settings"), settings).await
    };
    announce(&stage, 86_400).await?;
    timer_is(&stage, &group, 86_400).await?;
    arrives(&mut stage, &group, "text", "'Gone tomorrow'", Some(86_400)).await?;
    switch(&mut stage, &group, 0).await?;
    say_with_timer(&mut stage, &group, 604_800).await?;
    timer_is(&stage, &group, 86_400).await?;
    arrives(&mut stage, &group, "text", "'Still gone tomorrow'", Some(86_400)).await?;
    announce(&stage, 0).await?;
    timer_is(&stage, &group, 0).await?;
    arrives(&mut stage, &group, "text", "'Here to stay'", None).await?;
    worker.stop().await
}
