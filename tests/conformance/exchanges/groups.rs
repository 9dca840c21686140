//! Groups of a client, a phone and another client.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::super::party::{Draft, Party, same};
use super::super::stage::{ALICE, BOB, CAROL, Kind, Stage};

/// Each party writes twice, in a group that the client created and in one that a phone created; all others read it.
pub(in super::super) async fn group_text(stage: &Stage, kind: Kind) -> Result<()> {
    let (mut alice, [mut bob, mut carol]) = stage.client_and_peers(kind).await?;
    let own = alice.create_group("friends", &[BOB, CAROL]).await?;
    let other = json!({ "subject": "others", "creator": BOB, "participants": [ALICE, CAROL] });
    let other = stage.control.post("/groups", other).await?;
    let other = other["jid"].as_str().context("no jid")?;
    let everybody: &mut [&mut dyn Party] = &mut [&mut *alice, &mut *bob, &mut *carol];
    for group in [own.as_str(), other] {
        for round in 1..=2 {
            for writer in 0..everybody.len() {
                write(stage, everybody, writer, group, &format!("{round} from {writer} to {group}")).await?;
            }
        }
    }
    Ok(())
}

/// One party writes to a group; the others and the client's own phone receive the same message under the same id.
async fn write(stage: &Stage, everybody: &mut [&mut dyn Party], writer: usize, group: &str, words: &str) -> Result<()> {
    let number = everybody[writer].number().to_owned();
    let id = everybody[writer].send(group, Draft::text(words)).await?;
    let own = stage.phone(ALICE).await?.find(words, &|message| message.id == id).await?;
    ensure!((own.text(), own.chat.as_str(), own.sender.as_str()) == (Some(words), group, number.as_str()), "{own:?}");
    for reader in everybody.iter_mut().filter(|reader| reader.number() != number) {
        let received = reader.find(&format!("{words:?}, sent as {id}"), &|message| message.id == id).await?;
        ensure!((received.chat.as_str(), received.from_me) == (group, false), "{received:?}");
        same(&received, &own)?;
    }
    Ok(())
}
