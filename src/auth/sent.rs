//! Messages of `wa.outbound`, for phones that ask for them again (M7).

use crate::db::Db;
use crate::db::storable::Storable;
use crate::message::stored::Stored;
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// See [`find_sent`].
pub(super) struct SentMessage {
    /// `None` when the row alone does not give the message, as for a forwarded one.
    pub(super) message: Option<wa::Message>,
    /// The session's own JIDs.
    pub(super) senders: Vec<String>,
    /// When it was queued, in seconds since 1970.
    pub(super) at: i64,
}

/// Finds a message that the session sent and that the library no longer has; without the message that it quotes (M7).
/// `chats` are the names of the chat that asks: a chat gets no message of another one.
pub(super) async fn find_sent(
    pool: &Db,
    session_id: i64,
    message_id: &str,
    chats: &[String],
) -> sqlx::Result<Option<SentMessage>> {
    // A peer may send any text as an id.
    let message_id = Storable::id(message_id);
    let chats: Vec<Storable> = chats.iter().map(|chat| Storable::id(chat)).collect();
    let found = sqlx::query_file!("sql/auth/find_sent.sql", session_id, message_id.as_str(), &chats as &[Storable]);
    let found = found.fetch_optional(pool).await?;
    Ok(found.map(|it| {
        let device = |jid: String| Some(jid.parse::<Jid>().ok()?.to_non_ad().to_string());
        let senders = [it.jid, it.lid].into_iter().flatten().filter_map(device).collect();
        let (sender, content, message) = (None, it.content, it.uploaded);
        let row = Stored { sender, received: false, kind: it.kind, body: it.body, content, message };
        SentMessage { message: row.whole().ok(), senders, at: it.at }
    }))
}
