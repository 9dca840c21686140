//! The history that a phone sends from before a session was linked (M7).
//!
//! The phone sends it once, in pieces, after the link. When a piece arrives here, the library has already confirmed it
//! to the phone, so a piece that is being written when a worker dies is lost. Nothing that is sent or received depends
//! on it.

use super::address::phone_form;
use super::authors::Authority;
use super::columns::{Envelope, InboxColumns};
use super::events;
use super::notices::{NoticeColumns, Notices, moment};
use super::store::{Messages, Table};
use crate::db::hold::Hold;
use crate::message::meaning::{Received, received};
use crate::telemetry::wall_clock;
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
pub(crate) async fn keep(
    hold: &Hold,
    client: &Client,
    notices: &Notices,
    piece: &LazyHistorySync,
) -> anyhow::Result<()> {
    let (mut columns, mut kept, mut conversation) = (InboxColumns::default(), 0, wa::Conversation::default());
    let mut conversations = piece.stream();
    let mut timers = NoticeColumns::default();
    while conversations.next_conversation_into(&mut conversation)? {
        read_timer(client, &conversation, &mut timers).await;
        // The phone sends the newest first; rows are numbered in the order of the chat.
        for entry in conversation.messages.iter().rev() {
            let Some(message) = entry.message.as_option() else { continue };
            read(client, &conversation, message, &mut columns).await;
            if columns.ids.len() >= BATCH {
                kept += store(hold, &std::mem::take(&mut columns)).await?;
            }
        }
    }
    kept += store(hold, &columns).await?;
    notices.store(&timers).await?;
    if conversations.skipped_conversations() > 0 {
        tracing::warn!(chats = conversations.skipped_conversations(), "chats of the history not readable; left out");
    }
    if kept == 0 {
        return Ok(());
    }
    let data = json!({ "messages": kept, "progress": piece.progress() });
    events::write(hold, "past_kept", data).await;
    Ok(())
}

/// Adds the timer of a chat whose messages disappear.
async fn read_timer(client: &Client, chat: &wa::Conversation, timers: &mut NoticeColumns) {
    let Some(seconds) = chat.ephemeral_expiration.filter(|seconds| *seconds > 0) else { return };
    let Ok(jid) = chat.id.parse::<Jid>() else { return };
    let chat_form = phone_form(client, &jid, chat.pn_jid.as_ref().and_then(|it| it.parse().ok()).as_ref()).await;
    timers.timer(&chat_form, seconds, moment(chat.ephemeral_setting_timestamp, wall_clock()), None);
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
    let Received::Message(meaning) = received(message) else { return };
    let push_name = info.push_name.as_deref();
    let envelope = Envelope { chat: chat_form, sender, id, from_me, push_name, at };
    columns.push(envelope, message, meaning, None, Authority::default());
}

async fn store(hold: &Hold, columns: &InboxColumns) -> anyhow::Result<i64> {
    let messages = Messages::new(hold, columns, Table::Past);
    messages.store().await?;
    anyhow::ensure!(!hold.lost.is_cancelled(), "the session is no longer held here (epoch {})", hold.fence.epoch);
    Ok(i64::from(messages.stored()))
}
