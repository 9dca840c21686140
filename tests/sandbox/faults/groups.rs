//! X2: faults of messages to groups.

use anyhow::{Context, Result};
use serde_json::json;
use wacore::types::events::Event;
use wacore_binary::Jid;
use waproto::whatsapp::Message;

use super::{ALICE, BOB, counts, set, write};
use crate::support::linked::{Linked, sandbox};

#[tokio::test]
async fn x2_a_corrupt_group_message_recovers_by_a_retry() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let group = json!({ "subject": "friends", "creator": BOB, "participants": [ALICE] });
    let made = control.post("/groups", group).await?;
    let group = made["jid"].as_str().context("no group")?;
    write(&control, BOB, group, "hands out the sender key").await?;
    alice.text("hands out the sender key").await?;

    let rule = set(&control, json!({ "fault": { "corrupt": {} }, "number": ALICE, "direction": "out" })).await?;
    let id = write(&control, BOB, group, "by the sender key alone").await?;
    assert_eq!(alice.text("by the sender key alone").await?.1, id);
    let undecryptable = |event: &Event| matches!(event, Event::UndecryptableMessage(it) if it.info.id == id);
    assert_eq!(alice.seen.iter().filter(|event| undecryptable(event)).count(), 1);
    assert_eq!(counts(&control, rule).await?, (1, 1));

    // And on the way to the phones.
    let send = async |text: &str| {
        let message = Message { conversation: Some(text.into()), ..Default::default() };
        anyhow::Ok(alice.client.send_message(group.parse::<Jid>()?, message).await?.message_id)
    };
    send("hands out its own").await?;
    control.shown(BOB, "hands out its own").await?;
    set(&control, json!({ "fault": { "corrupt": {} }, "number": ALICE, "direction": "in" })).await?;
    let id = send("healed on the phones").await?;
    for number in [ALICE, BOB] {
        assert_eq!(control.shown(number, "healed on the phones").await?["id"], id, "{number}");
    }
    sandbox.shutdown().await;
    Ok(())
}
