//! Votes: encrypted for those who have the poll, with the hashes of the chosen options.

use super::address::{addresses, own_addresses};
use crate::db::Db;
use crate::db::storable::Storable;
use crate::message::vote::Poll;
use serde_json::Value;
use wacore::poll::PollVoteCiphertext;
use wacore::types::message::{AddressingMode, MessageSource};
use wacore_binary::Jid;
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// A poll that may be the one of a vote.
#[derive(Debug)]
pub(super) struct FoundPoll {
    /// `None` is this session.
    pub(super) creator: Option<String>,
    /// Of a poll that was sent.
    pub(super) content: Option<Value>,
    /// Of a poll that was received.
    pub(super) message: Option<Value>,
}

/// The options that a vote chose; `None` when the message is not a vote, or its poll is not known. `chats` are the
/// names of the chat; `batch` are polls that arrived with the vote.
///
/// # Errors
/// The poll cannot be looked up.
pub(super) async fn choices(
    client: &Client,
    pool: &Db,
    session_id: i64,
    chats: &[Storable],
    batch: &[FoundPoll],
    message: &wa::Message,
    source: &MessageSource,
) -> sqlx::Result<Option<Vec<String>>> {
    let Some(update) = message.poll_update_message.as_option() else { return Ok(None) };
    let (Some(key), Some(vote)) = (update.poll_creation_message_key.as_option(), update.vote.as_option()) else {
        return Ok(None);
    };
    let (Some(poll_id), Some(payload), Some(iv)) = (&key.id, &vote.enc_payload, &vote.enc_iv) else { return Ok(None) };
    let stored_id = Storable::id(poll_id);
    let stored = sqlx::query_file_as!(
        FoundPoll,
        "sql/messages/find_poll.sql",
        session_id,
        stored_id.as_str(),
        chats as &[Storable]
    );
    let stored = stored.fetch_all(pool).await?;
    if stored.is_empty() && batch.is_empty() {
        return Ok(None);
    }
    let vote = PollVoteCiphertext { enc_payload: payload, enc_iv: iv };
    let voter = addresses(client, std::iter::once(&source.sender).chain(&source.sender_alt)).await;
    let lid = source.addressing_mode.map_or_else(|| source.sender.is_lid(), |mode| mode == AddressingMode::Lid);
    // Somebody else may have made a poll with the same id. Only the right one opens the vote.
    for found in stored.iter().chain(batch) {
        let creator = match found.creator.as_ref().map(|creator| creator.parse::<Jid>()) {
            None => own_addresses(client),
            Some(Ok(creator)) => addresses(client, [&creator]).await,
            Some(Err(_)) => continue,
        };
        let sent = found.content.as_ref().and_then(Poll::sent);
        let Some(asked) = sent.or_else(|| Poll::received(found.message.as_ref()?)) else { continue };
        if let Some(chosen) = asked.open(poll_id, vote, &creator, &voter, lid) {
            return Ok(Some(chosen));
        }
    }
    tracing::info!(poll_id, "vote not decrypted; stored without its choice");
    Ok(None)
}
