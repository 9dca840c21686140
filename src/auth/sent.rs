//! Messages of this session that rows of `wa.outbound` keep, for those who ask for them again (M7).

use crate::db::Db;
use crate::message::stored::Stored;
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// See [`sent`].
pub(super) struct Sent {
    /// Not of what does not stand for itself, as a forwarded message.
    pub(super) message: Option<wa::Message>,
    /// Our own JIDs.
    pub(super) senders: Vec<String>,
    /// When it was queued, in seconds since 1970.
    pub(super) at: i64,
}

/// A message of ours that somebody asks for again, or about, when the library has it no more; without what it answers (M7). `chats` are the names of the chat that asks: it gets nothing of another one.
pub(super) async fn sent(pool: &Db, session_id: i64, message_id: &str, chats: &[String]) -> sqlx::Result<Option<Sent>> {
    // Ids of others may hold anything; none that Postgres cannot hold is one of ours.
    if message_id.contains('\0') {
        return Ok(None);
    }
    let found = sqlx::query_file!("sql/auth/find_sent.sql", session_id, message_id, chats);
    let found = found.fetch_optional(pool).await?;
    Ok(found.map(|it| {
        let device = |jid: String| Some(jid.parse::<Jid>().ok()?.to_non_ad().to_string());
        let senders = [it.jid, it.lid].into_iter().flatten().filter_map(device).collect();
        let (sender, content, message) = (None, it.content, it.uploaded);
        let row = Stored { sender, received: false, kind: it.kind, body: it.body, content, message };
        Sent { message: row.whole().ok(), senders, at: it.at }
    }))
}
