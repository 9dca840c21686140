//! Messages that are kept, for those that are about them: what is answered, reacted to, changed, taken back, forwarded.

use crate::db::Db;
use crate::jobs::JobError;
use crate::message::stored::Stored;
use buffa::MessageField;
use wacore::proto_helpers::build_quote_context;
use wacore::types::message::AddressingMode;
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// Looks into `wa.outbound` and `wa.inbox` for one session.
pub(crate) struct Kept<'a> {
    /// Where the rows are.
    pub(crate) pool: &'a Db,
    /// Whose they are.
    pub(crate) session_id: i64,
    /// Knows which form of a person's JID a group uses.
    pub(crate) client: &'a Client,
}

impl Kept<'_> {
    async fn find(&self, chat: &Jid, message_id: &str) -> Result<Option<Stored>, JobError> {
        sqlx::query_file_as!(Stored, "sql/messages/find.sql", self.session_id, chat.to_string(), message_id)
            .fetch_optional(self.pool)
            .await
            .map_err(|error| JobError::Release(format!("the message that it is about cannot be read: {error}")))
    }

    /// How another message names this one. One that is not kept is taken for the other side's.
    pub(super) async fn key(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let row = self.find(chat, &message_id).await?;
        let sender = match row {
            Some(Stored { sender, .. }) => sender,
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
        let mut quoted = row.and_then(|row| row.whole().ok()).unwrap_or_default();
        // Its secret is for its own reactions and votes.
        quoted.message_context_info = MessageField::none();
        Ok(build_quote_context(message_id, sender, &quoted))
    }

    /// All of that message.
    pub(super) async fn whole(&self, chat: &Jid, message_id: &str) -> Result<wa::Message, JobError> {
        let row = self.find(chat, message_id).await?.ok_or_else(|| unknown(chat, message_id))?;
        row.whole()
            .map_err(|why| JobError::Permanent(format!("content.message_id: {message_id} cannot be shown: {why}")))
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

fn unknown(chat: &Jid, message_id: &str) -> JobError {
    JobError::Permanent(format!("content.message_id: there is no message {message_id} in {chat}"))
}
