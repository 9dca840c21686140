//! The durability hook: commits a message to `wa.inbox` and announces it before the library acknowledges it (M4).
//!
//! The server delivers an unacknowledged message again, but not before the next connection. So the hook retries through
//! an outage of the database for as long as the session is held, and through other errors that may pass for some
//! seconds; then the worker makes a new connection, and the server delivers the messages again. A message that the
//! database refuses for its content goes into quarantine, alone, and is acknowledged like those beside it (R10). The
//! unique key (session, chat, sender, message id) makes a repetition harmless.

use super::address::chat_and_sender;
use super::authors::{self, Authority};
use super::columns::{Envelope, InboxColumns};
use super::notices::{NoticeColumns, Notices, moment};
use super::redelivered::Redelivered;
use super::store::{Messages, Table};
use super::votes::{self, FoundPoll};
use crate::auth::Traffic;
use crate::db::hold::Hold;
use crate::db::outage::Failure;
use crate::db::pieces::code;
use crate::db::storable::Storable;
use crate::jobs::numbers::Numbers;
use crate::message::context::timer;
use crate::message::meaning::{Meaning, Received, received};
use crate::message::notice::Notice;
use crate::message::unwrap;
use crate::telemetry;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;
use wacore::types::events::InboundMessage;
use wacore::types::message::{MessageCategory, MessageInfo};
use wacore_binary::{Jid, JidExt};
use whatsapp_rust::client::Client;

/// The hook of one hold of a session.
#[derive(Debug, Clone)]
pub struct InboxHook {
    hold: Hold,
    redeliver: Arc<Notify>,
    redelivered: Arc<Redelivered>,
    traffic: Arc<Traffic>,
    notices: Arc<Notices>,
    numbers: Numbers,
}

impl InboxHook {
    /// A hook that writes under `hold` and rings `redeliver` when the server has to deliver messages again. Messages are
    /// counted in `numbers`.
    #[must_use]
    pub fn new(
        hold: Hold,
        redeliver: Arc<Notify>,
        redelivered: Arc<Redelivered>,
        traffic: Arc<Traffic>,
        numbers: Numbers,
    ) -> Self {
        let notices = Arc::new(Notices::new(hold.clone()));
        Self { hold, redeliver, redelivered, traffic, notices, numbers }
    }

    /// Writes the messages that nobody wrote.
    #[must_use]
    pub fn notices(&self) -> Arc<Notices> {
        self.notices.clone()
    }
}

#[async_trait::async_trait]
impl whatsapp_rust::InboundDurabilityHook for InboxHook {
    async fn on_messages(&self, client: Arc<Client>, batch: &[InboundMessage]) -> anyhow::Result<()> {
        self.traffic.message_received();
        self.keep(&client, batch).await.inspect_err(|_| {
            // Otherwise the messages would wait for the next connection, however long this one lasts.
            if !self.hold.lost.is_cancelled() {
                self.redeliver.notify_one();
            }
        })
    }
}

impl InboxHook {
    /// Stores messages, and what those tell that nobody wrote.
    ///
    /// # Errors
    /// The hold is lost, or an error that may pass did not.
    pub(crate) async fn keep(&self, client: &Client, batch: &[InboundMessage]) -> anyhow::Result<()> {
        let (mut columns, mut notices) = (InboxColumns::default(), NoticeColumns::default());
        for item in batch.iter().filter(|item| !is_housekeeping(&item.info)) {
            let (chat, sender) = chat_and_sender(client, &item.info.source).await;
            let meaning = match received(&item.message) {
                Received::Message(meaning) => meaning,
                Received::Notice(notice) => {
                    add_notice(&mut notices, notice, &item.info, &chat, &sender);
                    continue;
                }
            };
            if let Some(timer) = timer(unwrap::content(&item.message)) {
                self.notices.hear(&mut notices, &chat, timer, item.info.timestamp);
            }
            let (choices, authority) = match self.looked_up(client, item, &chat, &meaning, &columns).await {
                Err(error) if Failure::of(&error) == Failure::Refusal => {
                    tracing::warn!(code = code(&error), "message stored without what it refers to; look-up refused");
                    (None, Authority::default())
                }
                found => found?,
            };
            columns.push(envelope(&item.info, chat, sender), &item.message, meaning, choices, authority);
        }
        self.store(&columns).await?;
        self.notices.store(&notices).await?;
        for item in batch {
            self.redelivered.stored(&item.info.id);
        }
        Ok(())
    }

    /// Stores a message of which only the envelope is known: it was decrypted, and is not what the protocol says. Its
    /// sender cannot help, because the same would come again.
    pub(crate) async fn keep_unreadable(&self, client: &Client, info: &MessageInfo) {
        if is_housekeeping(info) {
            return;
        }
        let (chat, sender) = chat_and_sender(client, &info.source).await;
        let mut columns = InboxColumns::default();
        columns.push_unreadable(envelope(info, chat, sender));
        // The log has the error.
        drop(self.store(&columns).await);
    }

    /// What stored messages say about a message that refers to them: the options that a vote chose, and whether an edit
    /// or a revocation is of the author.
    async fn looked_up(
        &self,
        client: &Client,
        item: &InboundMessage,
        chat: &Jid,
        meaning: &Meaning,
        batch: &InboxColumns,
    ) -> sqlx::Result<(Option<Value>, Authority)> {
        let Meaning { kind: kind @ ("edit" | "revoke" | "poll_vote"), target_id: Some(target_id), .. } = meaning else {
            return Ok((None, Authority::default()));
        };
        let (db, session_id, source) = (&self.hold.db, self.hold.fence.session_id, &item.info.source);
        // A chat may have been stored before its number was known.
        let chats = [chat.to_string(), source.chat.to_non_ad_string()].map(|chat| Storable::id(&chat));
        let beside: Vec<usize> = batch.with_id(&chats, &Storable::id(target_id)).collect();
        let author = |at: &usize| (!batch.from_me[*at]).then(|| batch.senders[*at].to_string());
        if *kind == "poll_vote" {
            let poll = |at: &usize| FoundPoll {
                creator: author(at),
                content: None,
                message: Some(batch.messages[*at].value().clone()),
            };
            let polls: Vec<FoundPoll> = beside.iter().map(poll).collect();
            let vote = unwrap::content(&item.message);
            let ask = || votes::choices(client, db, session_id, &chats, &polls, vote, source);
            return Ok((self.hold.ask(ask).await?.map(Value::from), Authority::default()));
        }
        let authors: Vec<Option<String>> = beside.iter().map(author).collect();
        let ask = || authors::authority(client, db, session_id, &chats, &authors, &item.message, &item.info);
        Ok((None, self.hold.ask(ask).await?))
    }

    /// Stores messages and announces them.
    async fn store(&self, columns: &InboxColumns) -> anyhow::Result<()> {
        let hold = &self.hold;
        let messages = Messages::new(hold, columns, Table::Inbox(&self.numbers));
        let written = messages.store().await;
        telemetry::received(messages.stored());
        written.inspect_err(|error| {
            tracing::warn!(code = code(error), %error, "inbox not written; the server delivers the messages again");
        })?;
        anyhow::ensure!(!hold.lost.is_cancelled(), "the session is no longer held here (epoch {})", hold.fence.epoch);
        Ok(())
    }
}

/// The envelope of a received message.
fn envelope(info: &MessageInfo, chat: Jid, sender: Jid) -> Envelope<'_> {
    let (id, push_name) = (info.id.as_str(), Some(info.push_name.as_str()));
    Envelope { chat, sender, id, from_me: info.source.is_from_me, push_name, at: info.timestamp }
}

/// Messages between this account's own devices that carry keys and settings; nobody wrote them.
const fn is_housekeeping(info: &MessageInfo) -> bool {
    matches!(info.category, MessageCategory::Peer)
}

/// Adds a message that nobody wrote.
fn add_notice(notices: &mut NoticeColumns, notice: Notice, info: &MessageInfo, chat: &Jid, sender: &Jid) {
    let (chat_name, by) = (Storable::id(&chat.to_string()), Storable::id(&sender.to_string()));
    match notice {
        Notice::Protocol => {}
        Notice::Event { kind, mut data } => {
            data.insert("chat".into(), chat_name.as_str().into());
            data.insert("by".into(), by.as_str().into());
            notices.event(chat, kind, data.into());
        }
        Notice::Timer { seconds, at } => {
            let data = json!({ "chat": chat_name.as_str(), "by": by.as_str(), "seconds": seconds });
            let event = ("chat_timer_changed", data);
            if chat.is_group() {
                // A group announces its timer itself; a member could make this up.
                notices.event(chat, event.0, event.1);
            } else {
                notices.timer(chat, seconds, moment(at, info.timestamp), Some(event));
            }
        }
    }
}
