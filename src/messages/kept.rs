//! Messages that are kept, for those that are about them: what is answered, reacted to, changed, taken back, forwarded.

use super::content::Content;
use super::json;
use crate::db::Db;
use crate::jobs::JobError;
use serde_json::Value;
use wacore::proto_helpers::build_quote_context;
use wacore::reporting_token::{extract_message_secret, generate_reporting_token_content};
use wacore::types::message::AddressingMode;
use wacore_binary::{Jid, JidExt as _};
use whatsapp_rust::buffa::MessageField;
use whatsapp_rust::client::Client;
use whatsapp_rust::waproto::whatsapp as wa;

/// Looks into `wa.outbound` and `wa.inbox` for one session.
pub(crate) struct Kept<'a> {
    /// Where the rows are.
    pub(crate) pool: &'a Db,
    /// Whose they are.
    pub(crate) session_id: i64,
    /// Knows which form of a person's JID a group uses.
    pub(crate) client: &'a Client,
}

/// A row of either table.
struct Row {
    /// Who wrote it; `None` is us.
    sender: Option<String>,
    /// It came in, also from another device of ours.
    received: bool,
    kind: String,
    body: Option<String>,
    content: Option<Value>,
    /// The whole of what was received, or of ours what names its file on WhatsApp's servers.
    message: Option<Value>,
}

impl Kept<'_> {
    async fn find(&self, chat: &Jid, message_id: &str) -> Result<Option<Row>, JobError> {
        sqlx::query_file_as!(Row, "sql/messages/find.sql", self.session_id, chat.to_string(), message_id)
            .fetch_optional(self.pool)
            .await
            .map_err(|error| JobError::Release(format!("the message that it is about cannot be read: {error}")))
    }

    /// How another message names this one. One that is not kept is taken for the other side's.
    pub(super) async fn key(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let row = self.find(chat, &message_id).await?;
        let sender = match row {
            Some(Row { sender, .. }) => sender,
            None if chat.is_group() => return Err(unknown(chat, &message_id)),
            None => Some(chat.to_string()),
        };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_string()),
            from_me: Some(sender.is_none()),
            participant: match sender {
                Some(sender) if chat.is_group() => Some(self.in_group(chat, &sender).await?),
                _ => None,
            },
            id: Some(message_id),
        })
    }

    /// The same for one of ours.
    pub(super) async fn own_key(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let row = self.find(chat, &message_id).await?;
        if row.is_some_and(|row| row.sender.is_some()) {
            return Err(JobError::Permanent(format!("content.message_id: {message_id} is not of this session")));
        }
        let participant = if chat.is_group() { Some(self.ourselves_in(chat).await?) } else { None };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_string()),
            from_me: Some(true),
            participant,
            id: Some(message_id),
        })
    }

    /// The same for what is taken back: ours, or in a group, by an admin, somebody else's.
    pub(super) async fn key_to_revoke(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let row = self.find(chat, &message_id).await?;
        let participant = match row.and_then(|row| row.sender) {
            None => None,
            Some(sender) if chat.is_group() => Some(self.in_group(chat, &sender).await?),
            Some(_) => {
                return Err(JobError::Permanent(format!("content.message_id: {message_id} is not of this session")));
            }
        };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_string()),
            from_me: Some(participant.is_none()),
            participant,
            id: Some(message_id),
        })
    }

    /// What makes a message an answer to that one. Of one that is not kept, the app shows nothing but that there was one.
    pub(super) async fn context(&self, chat: &Jid, message_id: String) -> Result<wa::ContextInfo, JobError> {
        let row = self.find(chat, &message_id).await?;
        let sender = match row.as_ref().map(|row| row.sender.as_deref()) {
            Some(Some(sender)) if chat.is_group() => self.in_group(chat, sender).await?,
            Some(Some(sender)) => sender.to_owned(),
            Some(None) if chat.is_group() => self.ourselves_in(chat).await?,
            Some(None) => self.client.pn().map(|own| own.to_non_ad().to_string()).unwrap_or_default(),
            None if chat.is_group() => return Err(unknown(chat, &message_id)),
            None => chat.to_string(),
        };
        let mut quoted = row.and_then(|row| row.whole(&message_id).ok()).unwrap_or_default();
        // Its secret is for its own reactions and votes.
        quoted.message_context_info = MessageField::none();
        Ok(build_quote_context(message_id, sender, &quoted))
    }

    /// All of that message.
    pub(super) async fn whole(&self, chat: &Jid, message_id: &str) -> Result<wa::Message, JobError> {
        self.find(chat, message_id).await?.ok_or_else(|| unknown(chat, message_id))?.whole(message_id)
    }

    /// A person as the group calls them.
    async fn in_group(&self, group: &Jid, person: &str) -> Result<String, JobError> {
        let jid: Jid = person.parse().map_err(|error| JobError::Permanent(format!("{person}: {error}")))?;
        let lid = self.addressing(group).await? == AddressingMode::Lid;
        if jid.is_lid() == lid {
            return Ok(jid.to_string());
        }
        let known = self.client.get_lid_pn_entry(&jid).await.ok().flatten();
        Ok(known
            .map_or(jid, |entry| if lid { Jid::lid(&*entry.lid) } else { Jid::pn(&*entry.phone_number) })
            .to_string())
    }

    async fn ourselves_in(&self, group: &Jid) -> Result<String, JobError> {
        let lid = self.addressing(group).await? == AddressingMode::Lid;
        let own = if lid { self.client.lid() } else { self.client.pn() };
        own.map(|own| own.to_non_ad().to_string())
            .ok_or_else(|| JobError::Release("the session is not logged in".into()))
    }

    async fn addressing(&self, group: &Jid) -> Result<AddressingMode, JobError> {
        let group = self.client.groups().query_info(group).await;
        Ok(group.map_err(|error| JobError::Retry(format!("the group is not known: {error}")))?.addressing_mode)
    }
}

/// See [`sent`].
pub(crate) struct Sent {
    /// Not of what does not stand for itself, as a forwarded message.
    pub(crate) message: Option<wa::Message>,
    /// Our own JIDs.
    pub(crate) senders: Vec<String>,
    /// When it was queued, in seconds since 1970.
    pub(crate) at: i64,
}

/// Gives a message of ours the secret that what is about it is encrypted with, if such a message has one and this has none yet.
pub(crate) fn with_secret(message: &mut wa::Message, secret: impl FnOnce() -> Option<Vec<u8>>) {
    if extract_message_secret(message).is_none()
        && generate_reporting_token_content(message).is_some()
        && let Some(secret) = secret()
    {
        message.message_context_info.get_or_insert_default().message_secret = Some(secret);
    }
}

/// A message of ours that somebody asks for again, or about, when the library has it no more; without what it answers (M7). `chats` are the names of the chat that asks: it gets nothing of another one.
pub(crate) async fn sent(pool: &Db, session_id: i64, message_id: &str, chats: &[String]) -> sqlx::Result<Option<Sent>> {
    // Ids of others may hold anything; none that Postgres cannot hold is one of ours.
    if message_id.contains('\0') {
        return Ok(None);
    }
    let found = sqlx::query_file!("sql/messages/find_sent.sql", session_id, message_id, chats);
    let found = found.fetch_optional(pool).await?;
    Ok(found.map(|it| {
        let device = |jid: String| Some(jid.parse::<Jid>().ok()?.to_non_ad().to_string());
        let senders = [it.jid, it.lid].into_iter().flatten().filter_map(device).collect();
        let (sender, content, message) = (None, it.content, it.uploaded);
        let row = Row { sender, received: false, kind: it.kind, body: it.body, content, message };
        Sent { message: row.whole(message_id).ok(), senders, at: it.at }
    }))
}

impl Row {
    fn whole(&self, message_id: &str) -> Result<wa::Message, JobError> {
        let cannot =
            |why: String| JobError::Permanent(format!("content.message_id: {message_id} cannot be shown: {why}"));
        let message = self.message.as_ref().map(json::read).transpose().map_err(|error| cannot(error.to_string()))?;
        if self.received {
            return message.ok_or_else(|| cannot("there is nothing in it".into()));
        }
        let mut content = Content::read(&self.kind, self.body.as_deref(), self.content.as_ref())?;
        if let Content::Media(media) = &mut content {
            media.uploaded = message;
        }
        content.alone().map(|it| it.message).map_err(|_| cannot(format!("its kind is {}", self.kind)))
    }
}

fn unknown(chat: &Jid, message_id: &str) -> JobError {
    JobError::Permanent(format!("content.message_id: there is no message {message_id} in {chat}"))
}
