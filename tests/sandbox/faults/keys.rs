//! X2: faults of key bundles.

use anyhow::Result;
use serde_json::json;

use super::{ALICE, BOB, counts, set, write};
use crate::support::linked::{Linked, sandbox};

#[tokio::test]
async fn x2_a_session_opens_without_a_one_time_key() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let mut bob = Linked::link(&sandbox, &control, BOB).await?;
    let fault = json!({ "fault": { "no_one_time_key": {} }, "number": BOB, "device": 1 });
    let rule = set(&control, fault).await?;
    alice.send(BOB, "by the signed key alone").await?;
    bob.text("by the signed key alone").await?;
    assert_eq!(counts(&control, rule).await?, (1, 1));
    assert_eq!(control.get("/stats").await?["stanzas"].get("receipt retry retry"), None);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_session_with_an_unknown_key_recovers_by_a_retry() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let fault = json!({ "fault": { "unknown_pre_key": {} }, "number": ALICE, "device": 1 });
    control.post("/phones", json!({ "number": BOB })).await?;
    let rule = set(&control, fault).await?;
    let id = write(&control, BOB, ALICE, "with a key of nobody").await?;
    assert_eq!(alice.text("with a key of nobody").await?.1, id);
    assert_eq!(counts(&control, rule).await?, (1, 1));
    assert_eq!(control.get("/stats").await?["stanzas"]["receipt retry retry"], 1);
    sandbox.shutdown().await;
    Ok(())
}
