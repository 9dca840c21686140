//! Who may change a message. Anybody in a chat can send an edit or a revocation that names the message of somebody
//! else; apps ignore it, unless an admin of a group revokes.

use super::address::{addresses, own_addresses};
use crate::db::Db;
use crate::db::storable::Storable;
use crate::message::meaning::changed;
use crate::message::vote::Addresses;
use wacore::types::message::{EditAttribute, MessageInfo, MessageSource};
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// The columns of `wa.inbox` of that name.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority {
    /// Whether the sender of an edit or a revocation wrote the message that it changes; `None` when that message is not
    /// stored, and for other kinds.
    pub(super) author_matches: Option<bool>,
    /// Whether an admin of the group revokes; `None` for other kinds.
    pub(super) by_admin: Option<bool>,
}

/// The authority of the sender over the message that `message` changes. `chats` are the names of the chat; `batch` are
/// the authors of messages with its id that arrived with it, where `None` is this session.
///
/// # Errors
/// The message cannot be looked up.
pub(super) async fn authority(
    client: &Client,
    pool: &Db,
    session_id: i64,
    chats: &[Storable],
    batch: &[Option<String>],
    message: &wa::Message,
    info: &MessageInfo,
) -> sqlx::Result<Authority> {
    let Some((key, revokes)) = changed(message) else { return Ok(Authority::default()) };
    let source = &info.source;
    let id = Storable::id(key.id.as_deref().unwrap_or_default());
    let found =
        sqlx::query_file_scalar!("sql/messages/find_authors.sql", session_id, chats as &[Storable], id.as_str());
    let mut found = found.fetch_all(pool).await?;
    found.extend_from_slice(batch);
    let sender = addresses(client, std::iter::once(&source.sender).chain(&source.sender_alt)).await;
    let own = own_addresses(client);
    let is_sender = |author: &Option<String>| match author {
        None => source.is_from_me,
        Some(author) => sender.has(author) || (source.is_from_me && own.has(author)),
    };
    let author_matches =
        if found.is_empty() { claimed(key, source, &sender) } else { Some(found.iter().any(is_sender)) };
    // The server lets only admins mark a revocation as theirs.
    let marked = revokes && source.chat.is_group() && info.edit == EditAttribute::AdminRevoke;
    Ok(Authority { author_matches, by_admin: Some(marked && author_matches == Some(false)) })
}

/// What the key says about a message that is not stored: it may name somebody else as the author, but to name oneself
/// proves nothing.
fn claimed(key: &wa::MessageKey, source: &MessageSource, sender: &Addresses) -> Option<bool> {
    if key.from_me == Some(true) {
        return None;
    }
    let author = key.participant.as_deref().filter(|_| source.chat.is_group()).and_then(|it| it.parse::<Jid>().ok());
    match author {
        Some(author) if sender.has(&author.to_non_ad_string()) => None,
        _ => Some(false),
    }
}
