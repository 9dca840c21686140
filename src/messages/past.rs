//! The history that a phone sends from before a session was linked (M7).
//!
//! The phone sends it once, in pieces, after the link. When a piece arrives here, the library has already confirmed it
//! to the phone, so a piece that is being written when a worker dies is lost. Nothing that is sent or received depends
//! on it.

use super::address::phone_form;
use super::events;
use super::inbound::{Envelope, InboxColumns};
use crate::db::hold::Hold;
use chrono::{DateTime, Utc};
use serde_json::json;
use wacore::types::events::LazyHistorySync;
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// Messages of one statement.
const BATCH: usize = 200;

/// Stores a piece.
///
/// # Errors
/// The database is away and the session is lost meanwhile, or the piece cannot be read.
pub(crate) async fn keep(hold: &Hold, client: &Client, piece: &LazyHistorySync) -> anyhow::Result<()> {
    let (mut columns, mut kept, mut conversation) = (InboxColumns::default(), 0, wa::Conversation::default());
    let mut conversations = piece.stream();
    while conversations.next_conversation_into(&mut conversation)? {
        for entry in &conversation.messages {
            let Some(message) = entry.message.as_option() else { continue };
            read(client, &conversation, message, &mut columns).await;
            if columns.ids.len() >= BATCH {
                kept += store(hold, &std::mem::take(&mut columns)).await?;
            }
        }
    }
    kept += store(hold, &columns).await?;
    if conversations.skipped_conversations() > 0 {
        tracing::warn!(chats = conversations.skipped_conversations(), "chats of the history not readable; left out");
    }
    if kept == 0 {
        return Ok(());
    }
    let data = json!({ "messages": kept, "progress": piece.progress() });
    events::write(hold, "past_kept", &data).await;
    Ok(())
}

/// Adds a message of the history. One without content, chat, sender or time is left out.
async fn read(client: &Client, chat: &wa::Conversation, info: &wa::WebMessageInfo, columns: &mut InboxColumns) {
    let (Some(id), Some(message)) = (info.key.id.as_deref(), info.message.as_option()) else { return };
    let jid = |text: Option<&String>| text.and_then(|text| text.parse::<Jid>().ok());
    let Ok(chat_jid) = chat.id.parse::<Jid>() else { return };
    let Some(at) =
        info.message_timestamp.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds.try_into().ok()?, 0))
    else {
        return;
    };
    let from_me = info.key.from_me == Some(true);
    let chat_form = phone_form(client, &chat_jid, jid(chat.pn_jid.as_ref()).as_ref()).await;
    let participant = jid(info.participant.as_ref().or(info.key.participant.as_ref()));
    let sender = match (from_me, participant) {
        (true, _) => client.pn().map(|own| own.to_non_ad()),
        (false, Some(participant)) => Some(phone_form(client, &participant, None).await),
        (false, None) => (!chat_jid.is_group()).then(|| chat_form.clone()),
    };
    let Some(sender) = sender else { return };
    let push_name = info.push_name.as_deref();
    let pushed = columns.push(Envelope { chat: chat_form, sender, id, from_me, push_name, at }, message, None);
    if let Err(error) = pushed {
        tracing::warn!(%error, "message of the history not convertible; left out");
    }
}

async fn store(hold: &Hold, c: &InboxColumns) -> anyhow::Result<i64> {
    let fence = hold.fence;
    if c.ids.is_empty() {
        return Ok(0);
    }
    let store = || {
        sqlx::query_file!(
            "sql/messages/store_past.sql",
            fence.session_id,
            fence.epoch,
            &c.chats,
            &c.senders,
            &c.ids,
            &c.kinds,
            &c.bodies as &[Option<String>],
            &c.from_me,
            &c.push_names as &[Option<String>],
            &c.times,
            &c.messages,
            &c.quoted_ids as &[Option<String>],
            &c.target_ids as &[Option<String>]
        )
        .fetch_one(&hold.db)
    };
    let done = hold.ask(store).await?;
    if !done.held {
        hold.lost.cancel();
        anyhow::bail!("the session is no longer held here (epoch {})", fence.epoch);
    }
    Ok(done.stored)
}
