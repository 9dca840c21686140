//! Receipts, as the sender of a message receives them.

use anyhow::Result;

use super::super::party::{Draft, Party, Ticks};
use super::super::stage::{ALICE, BOB, CAROL, Kind, Stage};
use super::receives;

/// The phone receives the client's message, and its owner reads it.
pub(in super::super) async fn receipts_of_the_phone(stage: &Stage, kind: Kind) -> Result<()> {
    stage.phone(BOB).await?;
    let mut alice = stage.client(kind, ALICE).await?;
    let id = alice.send(BOB, Draft::text("look")).await?;
    alice.ticked(&id, Ticks::Delivered).await?;
    alice.ticked(&id, Ticks::Read).await
}

/// The client receives a message and marks it as read. No phone sends receipts, so that all receipts are the clients'.
pub(in super::super) async fn receipts_of_the_client(stage: &Stage, kind: Kind) -> Result<()> {
    let (mut alice, mut carol) = tokio::try_join!(stage.client(kind, ALICE), stage.client(Kind::WhatsappRust, CAROL))?;
    let mut bob = stage.phone(BOB).await?;
    let peers: [&mut dyn Party; 2] = [&mut bob, &mut *carol];
    for peer in peers {
        let words = format!("from {}", peer.number());
        let id = peer.send(ALICE, Draft::text(&words)).await?;
        let received = receives(&mut *alice, &words).await?;
        peer.ticked(&id, Ticks::Delivered).await?;
        alice.read(&received).await?;
        peer.ticked(&id, Ticks::Read).await?;
    }
    // And the client's receipts from another client.
    let id = alice.send(CAROL, Draft::text("to Carol")).await?;
    let received = receives(&mut *carol, "to Carol").await?;
    alice.ticked(&id, Ticks::Delivered).await?;
    carol.read(&received).await?;
    alice.ticked(&id, Ticks::Read).await
}
