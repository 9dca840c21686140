//! Finds the messages that others refer to: quoted, reacted to, edited, revoked, forwarded.

use crate::db::Db;
use crate::jobs::JobError;
use crate::jobs::failure::FailureClass;
use crate::message::stored::Stored;
use buffa::MessageField;
use wacore::proto_helpers::build_quote_context;
use wacore::types::message::AddressingMode;
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// Finds messages of one session in `wa.outbound` and `wa.inbox`.
pub(crate) struct MessageLookup<'a> {
    /// Where the rows are.
    pub(crate) pool: &'a Db,
    /// `wa.session.session_id`.
    pub(crate) session_id: i64,
    /// Knows which form of a person's JID a group uses.
    pub(crate) client: &'a Client,
}

impl MessageLookup<'_> {
    async fn find(&self, chat: &Jid, message_id: &str) -> Result<Option<Stored>, JobError> {
        sqlx::query_file_as!(Stored, "sql/messages/find.sql", self.session_id, chat.to_string(), message_id)
            .fetch_optional(self.pool)
            .await
            .map_err(|error| {
                let said = format!("the message that it refers to cannot be read: {error}");
                // What is no JSON for us is none at the next attempt.
                match error {
                    sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => JobError::Permanent(said),
                    _ => JobError::Release(said),
                }
            })
    }

    /// The key by which another message refers to this one. A message that is not stored counts as the other side's.
    pub(super) async fn key(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let stored = self.find(chat, &message_id).await?;
        let sender = match stored {
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

    /// The key of a message that this session sent.
    pub(super) async fn own_key(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let stored = self.find(chat, &message_id).await?;
        if stored.is_some_and(|stored| stored.sender.is_some()) {
            return Err(JobError::Permanent(format!("content.message_id: this session did not send {message_id}")));
        }
        let participant = if chat.is_group() { Some(self.ourselves_in(chat).await?) } else { None };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_string()),
            from_me: Some(true),
            participant,
            id: Some(message_id),
        })
    }

    /// The key of a message to revoke: this session's own, or in a group, by an admin, somebody else's.
    pub(super) async fn key_to_revoke(&self, chat: &Jid, message_id: String) -> Result<wa::MessageKey, JobError> {
        let stored = self.find(chat, &message_id).await?;
        let participant = match stored.and_then(|stored| stored.sender) {
            None => None,
            Some(sender) if chat.is_group() => Some(self.in_group(chat, &sender).await?),
            Some(_) => {
                return Err(JobError::Permanent(format!("content.message_id: this session did not send {message_id}")));
            }
        };
        Ok(wa::MessageKey {
            remote_jid: Some(chat.to_string()),
            from_me: Some(participant.is_none()),
            participant,
            id: Some(message_id),
        })
    }

    /// The context that makes a message a reply to this one. If this one is not stored, the app only shows that there
    /// was one.
    pub(super) async fn context(&self, chat: &Jid, message_id: String) -> Result<wa::ContextInfo, JobError> {
        let stored = self.find(chat, &message_id).await?;
        let sender = match stored.as_ref().map(|stored| stored.sender.as_deref()) {
            Some(Some(sender)) if chat.is_group() => self.in_group(chat, sender).await?,
            Some(Some(sender)) => sender.to_owned(),
            Some(None) if chat.is_group() => self.ourselves_in(chat).await?,
            Some(None) => self.client.pn().map(|own| own.to_non_ad().to_string()).unwrap_or_default(),
            None if chat.is_group() => return Err(unknown(chat, &message_id)),
            None => chat.to_string(),
        };
        let mut quoted = stored.and_then(|stored| stored.whole().ok()).unwrap_or_default();
        // The secret is for reactions and votes to the quoted message itself.
        quoted.message_context_info = MessageField::none();
        Ok(build_quote_context(message_id, sender, &quoted))
    }

    /// The message in full.
    pub(super) async fn whole(&self, chat: &Jid, message_id: &str) -> Result<wa::Message, JobError> {
        let stored = self.find(chat, message_id).await?.ok_or_else(|| unknown(chat, message_id))?;
        stored
            .whole()
            .map_err(|why| JobError::Permanent(format!("content.message_id: {message_id} cannot be forwarded: {why}")))
    }

    /// A person's JID in the form that the group uses.
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
        let group = self.client.groups().query_info(group).await.map_err(|error| {
            JobError::Retry(format!("the group cannot be read: {error}")).of_class(FailureClass::Connection)
        })?;
        Ok(group.addressing_mode)
    }
}

fn unknown(chat: &Jid, message_id: &str) -> JobError {
    JobError::Permanent(format!("content.message_id: there is no message {message_id} in {chat}"))
}
