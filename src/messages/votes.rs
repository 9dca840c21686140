//! Votes: encrypted for those who have the poll, with the hashes of the chosen options.

use crate::db::Db;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wacore::poll::compute_option_hash;
use wacore_binary::Jid;
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;
use whatsapp_rust::features::PollVoteCiphertext;

/// The options that `voter` chose; `None` when the message is not a vote, or its poll is not known.
///
/// # Errors
/// The poll cannot be looked up.
pub(super) async fn choices(
    client: &Client,
    pool: &Db,
    session_id: i64,
    message: &wa::Message,
    voter: &Jid,
) -> sqlx::Result<Option<Vec<String>>> {
    let Some(update) = message.poll_update_message.as_option() else { return Ok(None) };
    let (Some(key), Some(vote)) = (update.poll_creation_message_key.as_option(), update.vote.as_option()) else {
        return Ok(None);
    };
    let (Some(poll_id), Some(payload), Some(iv)) = (&key.id, &vote.enc_payload, &vote.enc_iv) else { return Ok(None) };
    // A foreign id may hold anything; an id that Postgres cannot hold belongs to no stored poll.
    if poll_id.contains('\0') {
        return Ok(None);
    }
    let found = sqlx::query_file!("sql/messages/find_poll.sql", session_id, poll_id).fetch_optional(pool).await?;
    let Some(asked) = found else { return Ok(None) };
    let creator = match &asked.creator {
        Some(creator) => creator.parse().ok(),
        None => client.pn(),
    };
    let (Some(creator), Ok(secret)) = (creator, BASE64_STANDARD.decode(&asked.secret)) else { return Ok(None) };
    let vote = PollVoteCiphertext { enc_payload: payload, enc_iv: iv };
    let chosen = match client.polls().decrypt_vote(vote, &secret, poll_id, &creator, voter).await {
        Ok(chosen) => chosen,
        Err(error) => {
            tracing::info!(poll_id, %error, "vote not decrypted; stored without its choice");
            return Ok(None);
        }
    };
    let of_hash = |hash: &Vec<u8>| asked.options.iter().find(|option| compute_option_hash(option) == hash.as_slice());
    Ok(Some(chosen.iter().filter_map(of_hash).cloned().collect()))
}
