//! One-to-one messages of every kind, in both directions, with a phone and with another client. All parties have the
//! same message, field by field.

use anyhow::{Result, ensure};

use super::super::party::{Draft, Party, Received, same, text};
use super::super::stage::{ALICE, Kind, Stage};
use super::{change_of, each_way, is_from, send_text};

pub(in super::super) async fn text_both_ways(stage: &Stage, kind: Kind) -> Result<()> {
    each_way(stage, kind, async |stage, from, to| {
        for round in 1..=2 {
            let words = format!("{round} from {} to {}", from.number(), to.number());
            send_text(stage, from, to, &words).await?;
        }
        Ok(())
    })
    .await
}

/// Waits for the message that changes another one, at its recipient and at the client's own phone.
async fn change(stage: &Stage, from: &dyn Party, to: &mut dyn Party, place: &str, id: &str) -> Result<Received> {
    let change = change_of(to, place, id).await?;
    is_from(&change, from)?;
    let own = stage.phone(ALICE).await?.find(place, &|message| message.id == change.id).await?;
    same(&change, &own)?;
    Ok(change)
}

pub(in super::super) async fn reply(stage: &Stage, kind: Kind) -> Result<()> {
    each_way(stage, kind, async |stage, from, to| {
        let words = format!("a question for {}", from.number());
        let question = send_text(stage, to, from, &words).await?;
        from.send(to.number(), Draft::Reply { id: question.id.clone(), text: "an answer".into() }).await?;
        let answer = change(stage, from, to, "extendedtextmessage.contextinfo.stanzaid", &question.id).await?;
        ensure!(answer.text() == Some("an answer"), "{answer:?}");
        let quoted = &answer.content["extendedtextmessage"]["contextinfo"]["quotedmessage"];
        ensure!(text(quoted) == question.text(), "it quotes another message: {answer:?}");
        Ok(())
    })
    .await
}

pub(in super::super) async fn reaction(stage: &Stage, kind: Kind) -> Result<()> {
    each_way(stage, kind, async |stage, from, to| {
        let words = format!("news for {}", from.number());
        let news = send_text(stage, to, from, &words).await?;
        from.send(to.number(), Draft::React { id: news.id.clone(), emoji: "👍".into() }).await?;
        let reaction = change(stage, from, to, "reactionmessage.key.id", &news.id).await?;
        ensure!(reaction.at("reactionmessage.text") == Some("👍"), "{reaction:?}");
        // The reaction is removed.
        from.send(to.number(), Draft::React { id: news.id.clone(), emoji: String::new() }).await?;
        let second =
            |message: &Received| message.at("reactionmessage.key.id") == Some(&news.id) && message.id != reaction.id;
        let gone = to.find("the second reaction", &second).await?;
        ensure!(gone.at("reactionmessage.text").unwrap_or_default().is_empty(), "{gone:?}");
        Ok(())
    })
    .await
}

pub(in super::super) async fn edit(stage: &Stage, kind: Kind) -> Result<()> {
    each_way(stage, kind, async |stage, from, to| {
        let words = format!("a tpyo for {}", to.number());
        let told = send_text(stage, from, to, &words).await?;
        from.send(to.number(), Draft::Edit { id: told.id.clone(), text: "a typo".into() }).await?;
        let edited = change(stage, from, to, "protocolmessage.key.id", &told.id).await?;
        ensure!(edited.at("protocolmessage.type") == Some("MESSAGE_EDIT"), "{edited:?}");
        ensure!(text(&edited.content["protocolmessage"]["editedmessage"]) == Some("a typo"), "{edited:?}");
        Ok(())
    })
    .await
}

pub(in super::super) async fn revoke(stage: &Stage, kind: Kind) -> Result<()> {
    each_way(stage, kind, async |stage, from, to| {
        let words = format!("a mistake for {}", to.number());
        let told = send_text(stage, from, to, &words).await?;
        from.send(to.number(), Draft::Revoke { id: told.id.clone() }).await?;
        let revoked = change(stage, from, to, "protocolmessage.key.id", &told.id).await?;
        ensure!(revoked.at("protocolmessage.type") == Some("REVOKE"), "{revoked:?}");
        Ok(())
    })
    .await
}
