//! The exchanges: each is written once, for all kinds of client.

mod connection;
mod groups;
mod media;
mod messages;
mod receipts;

use anyhow::{Result, ensure};

use super::party::{Draft, Party, Received, same};
use super::stage::{ALICE, Kind, Stage};

pub(super) use connection::{link_by_code, link_by_qr, log_out, offline, reconnect, unlink};
pub(super) use groups::group_text;
pub(super) use media::image;
pub(super) use messages::{edit, reaction, reply, revoke, text_both_ways};
pub(super) use receipts::{receipts_of_the_client, receipts_of_the_phone};

/// Runs an exchange between the client under test and each of its peers, in both directions.
async fn each_way(
    stage: &Stage,
    kind: Kind,
    scene: impl AsyncFn(&Stage, &mut dyn Party, &mut dyn Party) -> Result<()>,
) -> Result<()> {
    let (mut alice, peers) = stage.client_and_peers(kind).await?;
    for mut peer in peers {
        scene(stage, &mut *alice, &mut *peer).await?;
        scene(stage, &mut *peer, &mut *alice).await?;
    }
    Ok(())
}

/// Waits for a text.
async fn receives(party: &mut dyn Party, words: &str) -> Result<Received> {
    party.find(&format!("the text {words:?}"), &|message| message.text() == Some(words)).await
}

/// Waits for the message whose content names another one: the path in the content, and the other's id.
async fn change_of(party: &mut dyn Party, place: &str, id: &str) -> Result<Received> {
    party.find(&format!("the message whose {place} is {id}"), &|message| message.at(place) == Some(id)).await
}

/// One party sends a text; the other and the client's own phone receive the same message under the same id.
async fn send_text(stage: &Stage, from: &mut dyn Party, to: &mut dyn Party, words: &str) -> Result<Received> {
    let id = from.send(to.number(), Draft::text(words)).await?;
    let received = to.find(&format!("{words:?}, sent as {id}"), &|message| message.id == id).await?;
    ensure!(received.text() == Some(words), "{words:?} arrived as {received:?}");
    is_from(&received, from)?;
    let own = stage.phone(ALICE).await?.find(words, &|message| message.id == id).await?;
    ensure!(
        own.chat == [from.number(), to.number()].into_iter().find(|it| *it != ALICE).unwrap_or_default(),
        "{own:?}"
    );
    same(&received, &own)?;
    Ok(received)
}

/// Checks that a message has this sender, in the chat with the sender.
fn is_from(message: &Received, from: &dyn Party) -> Result<()> {
    let head = (message.sender.as_str(), message.chat.as_str(), message.from_me);
    ensure!(head == (from.number(), from.number(), false), "not from {}: {message:?}", from.number());
    Ok(())
}
