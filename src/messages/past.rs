//! What a phone tells of the time before a session was linked (M7).
//!
//! It comes in pieces after the link, once. The library has told the phone that it has a piece when it is heard of here, so
//! what is still being written when a worker dies is not told again; nothing that is sent or received depends on it.

use super::address::phone_form;
use super::events;
use super::inbound::{Columns, Place};
use crate::db::hold::Hold;
use chrono::{DateTime, Utc};
use serde_json::json;
use wacore::types::events::LazyHistorySync;
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// Messages of one statement.
const BATCH: usize = 200;

/// Keeps a piece.
///
/// # Errors
/// When the database is away and the session is lost meanwhile, or the piece cannot be read.
pub(crate) async fn keep(hold: &Hold, client: &Client, piece: &LazyHistorySync) -> anyhow::Result<()> {
    let (mut columns, mut kept, mut conversation) = (Columns::default(), 0, wa::Conversation::default());
    let mut conversations = piece.stream();
    while conversations.next_conversation_into(&mut conversation)? {
        for told in &conversation.messages {
            let Some(message) = told.message.as_option() else { continue };
            read(client, &conversation, message, &mut columns).await;
            if columns.ids.len() >= BATCH {
                kept += store(hold, &std::mem::take(&mut columns)).await?;
            }
        }
    }
    kept += store(hold, &columns).await?;
    if conversations.skipped_conversations() > 0 {
        tracing::warn!(count = conversations.skipped_conversations(), "chats of the past could not be read");
    }
    if kept == 0 {
        return Ok(());
    }
    let data = json!({ "messages": kept, "progress": piece.progress() });
    events::write(hold, "past_kept", &data).await;
    Ok(())
}

/// What says nothing, or not where and when, is left out.
async fn read(client: &Client, chat: &wa::Conversation, told: &wa::WebMessageInfo, columns: &mut Columns) {
    let (Some(id), Some(message)) = (told.key.id.as_deref(), told.message.as_option()) else { return };
    let jid = |text: Option<&String>| text.and_then(|text| text.parse::<Jid>().ok());
    let Ok(named) = chat.id.parse::<Jid>() else { return };
    let Some(at) =
        told.message_timestamp.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds.try_into().ok()?, 0))
    else {
        return;
    };
    let from_me = told.key.from_me == Some(true);
    let place = phone_form(client, &named, jid(chat.pn_jid.as_ref()).as_ref()).await;
    let wrote = jid(told.participant.as_ref().or(told.key.participant.as_ref()));
    let sender = match (from_me, wrote) {
        (true, _) => client.pn().map(|own| own.to_non_ad()),
        (false, Some(wrote)) => Some(phone_form(client, &wrote, None).await),
        (false, None) => (!named.is_group()).then(|| place.clone()),
    };
    let Some(sender) = sender else { return };
    let push_name = told.push_name.as_deref();
    let pushed = columns.push(Place { chat: place, sender, id, from_me, push_name, at }, message, None);
    if let Err(error) = pushed {
        tracing::warn!(%error, "a message of the past is left out");
    }
}

async fn store(hold: &Hold, c: &Columns) -> anyhow::Result<i64> {
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
        anyhow::bail!("the session is not held any more (epoch {})", fence.epoch);
    }
    Ok(done.stored)
}
