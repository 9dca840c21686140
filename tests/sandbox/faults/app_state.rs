//! X2: faults of app state.

use anyhow::Result;
use serde_json::json;
use wacore::types::events::Event;
use wacore_binary::Jid;

use super::{ALICE, BOB, counts, delete, set};
use crate::support::linked::{Linked, sandbox};

#[tokio::test]
async fn x2_app_state_with_a_wrong_mac_is_not_applied() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let (bob, settings) = (Jid::pn(BOB), format!("/phones/{ALICE}/app-state"));
    let archived =
        |event: &Event, on: bool| matches!(event, Event::ArchiveUpdate(update) if update.action.archived == Some(on));
    // From here on the device gets patches, not a snapshot.
    control.post(&settings, json!({ "archive": { "chat": BOB, "on": false } })).await?;
    alice.wait("the first state", |event| archived(event, false).then_some(())).await?;
    for (what, on) in [("patch_mac", true), ("snapshot_mac", false), ("value_mac", true)] {
        alice.seen.clear();
        let rule = json!({ "fault": { "corrupt_app_state": { "what": what } }, "number": ALICE, "times": "always" });
        let rule = set(&control, rule).await?;
        control.post(&settings, json!({ "archive": { "chat": BOB, "on": on } })).await?;
        // To set something itself, the device must first read the phone's change.
        let error = alice.client.chat_actions().pin_chat(&bob).await.err().map(|error| format!("{error:#}"));
        let error = error.unwrap_or_default();
        assert!(error.contains("still conflicting"), "{what}: {error}");
        while let Ok(event) = alice.events.try_recv() {
            assert!(!archived(&event, on), "{what}: applied");
            alice.seen.push(event);
        }
        let (matched, struck) = counts(&control, rule).await?;
        assert!(matched == struck && struck > 1, "{what}: {matched} {struck}");
        delete(&control, &format!("/faults/{rule}")).await?;
        // The device recovers as soon as the answers are valid.
        alice.client.chat_actions().pin_chat(&bob).await?;
        alice.wait("the archive event", |event| archived(event, on).then_some(())).await?;
    }
    let shown = control.get(&settings).await?;
    assert_eq!(
        (&shown["refused"], &shown["chats"][format!("{BOB}@s.whatsapp.net")]["pinned"]),
        (&json!([]), &json!(true))
    );
    sandbox.shutdown().await;
    Ok(())
}
