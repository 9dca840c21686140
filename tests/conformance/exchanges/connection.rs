//! Linking, absence and unlinking.

use anyhow::{Result, ensure};
use serde_json::json;

use super::super::party::{Draft, Party, Way};
use super::super::stage::{ALICE, BOB, Kind, Stage};
use super::send_text;

pub(in super::super) async fn link_by_qr(stage: &Stage, kind: Kind) -> Result<()> {
    link(stage, kind, Way::Qr).await
}

pub(in super::super) async fn link_by_code(stage: &Stage, kind: Kind) -> Result<()> {
    link(stage, kind, Way::Code).await
}

async fn link(stage: &Stage, kind: Kind, way: Way) -> Result<()> {
    let mut bob = stage.phone(BOB).await?;
    let mut alice = stage.linked(kind, way, ALICE).await?;
    stage.until_devices(1).await?;
    ensure!(alice.codes_shown() > 0, "linked without a code");
    send_text(stage, &mut *alice, &mut bob, "linked").await?;
    send_text(stage, &mut bob, &mut *alice, "welcome").await.map(drop)
}

/// Messages sent to an offline client arrive once and in order when it reconnects.
pub(in super::super) async fn offline(stage: &Stage, kind: Kind) -> Result<()> {
    let mut bob = stage.phone(BOB).await?;
    let mut alice = stage.client(kind, ALICE).await?;
    // The first message opens the session; the others are sent in it.
    send_text(stage, &mut bob, &mut *alice, "before").await?;
    let texts: [&str; 3] = ["one", "two", "three"];
    for absence in [texts.as_slice(), &[]] {
        alice.stop().await?;
        stage.until_connected(false).await?;
        for text in absence {
            bob.send(ALICE, Draft::text(text)).await?;
        }
        alice.start().await?;
        let live = if absence.is_empty() { "any duplicates?" } else { "are you back?" };
        send_text(stage, &mut bob, &mut *alice, live).await?;
        let received = alice.texts();
        ensure!(received == [absence, &[live]].concat(), "{received:?} arrived after the absence");
        stage.until_settled().await?;
    }
    Ok(())
}

/// The client reopens a dropped socket without a new link.
pub(in super::super) async fn reconnect(stage: &Stage, kind: Kind) -> Result<()> {
    let mut bob = stage.phone(BOB).await?;
    let mut alice = stage.client(kind, ALICE).await?;
    let shown = alice.codes_shown();
    let handshakes = stage.handshakes().await?;
    stage.control.post(&format!("/devices/{ALICE}/1/drop"), json!({})).await?;
    stage.until_handshakes(handshakes + 1).await?;
    stage.until_connected(true).await?;
    send_text(stage, &mut bob, &mut *alice, "still there?").await?;
    send_text(stage, &mut *alice, &mut bob, "yes").await?;
    ensure!(alice.codes_shown() == shown, "the client showed a new code");
    Ok(())
}

/// The client unlinks itself.
pub(in super::super) async fn log_out(stage: &Stage, kind: Kind) -> Result<()> {
    let mut alice = stage.client(kind, ALICE).await?;
    alice.log_out().await?;
    alice.logged_out().await?;
    stage.until_devices(0).await
}

/// The phone unlinks the client, which learns of it at once.
pub(in super::super) async fn unlink(stage: &Stage, kind: Kind) -> Result<()> {
    let mut alice = stage.client(kind, ALICE).await?;
    stage.control.post(&format!("/phones/{ALICE}/unlink"), json!({ "device": 1 })).await?;
    alice.logged_out().await?;
    stage.until_devices(0).await
}
