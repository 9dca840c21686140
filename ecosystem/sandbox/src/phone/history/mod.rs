//! History sync: a phone sends each newly linked device its history.
//!
//! The history is sent once, right after the link, and ends where live messages begin. Each chunk is created when its
//! turn comes, so a long history costs the phone no memory, and other tasks of the phone run in between. Chunks are
//! stored encrypted on the media server; a small first one travels inside its message.

mod archive;
mod delivery;
mod demand;
mod generated;

use buffa::{Enumeration as _, Message as _};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wacore::download::MediaType;
use wacore_binary::Jid;
use waproto::whatsapp::message::protocol_message::Type;
use waproto::whatsapp::message::{HistorySyncNotification, HistorySyncType, ProtocolMessage};
use waproto::whatsapp::{Conversation, HistorySync, Message, PhoneNumberToLIDMapping};

use super::super::account::Properties;
use super::PhoneError;
use super::Task;
use super::inbox::Entry;
use super::worker::Worker;
use archive::Archive;

pub(super) use delivery::Delivery;
pub(in super::super) use generated::History;

/// The greatest compressed size, in bytes, of a first chunk inside its message.
const INLINE: usize = 128 * 1024;

/// A chunk that was sent to a device, for `GET /phones/{n}/history`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct SentChunk {
    pub(super) device: u16,
    /// The id of the message that announced the chunk.
    pub(super) id: String,
    kind: String,
    chunk: Option<u32>,
    progress: Option<u32>,
    chats: usize,
    messages: usize,
    /// The compressed size.
    bytes: usize,
    inline: bool,
    at: DateTime<Utc>,
    /// When the device acknowledged the chunk.
    pub(super) received: Option<DateTime<Utc>>,
}

impl Worker {
    /// A device was linked: it receives all further messages live.
    pub(super) fn linked(&mut self, device: u16) {
        let until = self.inbox().entries().len();
        self.cuts.insert(device, until);
    }

    /// Starts a new device that has become active. The keys go first: without them the device waits 10 seconds.
    pub(super) async fn introduce(&mut self, device: u16) -> Result<(), PhoneError> {
        self.share_keys(device).await?;
        self.begin_history(device).await
    }

    /// Starts the history sync of a device.
    async fn begin_history(&mut self, device: u16) -> Result<(), PhoneError> {
        let wish = {
            let state = self.server.state();
            let own = state.accounts.get(&self.own.number);
            own.and_then(|own| own.devices.get(&device)).map(|device| device.properties.clone())
        };
        let Some(Properties { inline, full, .. }) = wish else { return Ok(()) };
        let archive = {
            let cut = self.cuts.remove(&device);
            let inbox = self.inbox();
            let entries = inbox.entries();
            let until = cut.unwrap_or(entries.len());
            self.archive(entries.get(..until).unwrap_or(entries))
        };
        self.continue_history(Box::new(Delivery::new(device, inline, full, archive))).await
    }

    /// Sends the next chunk, and queues the one after it.
    pub(super) async fn continue_history(&mut self, mut delivery: Box<Delivery>) -> Result<(), PhoneError> {
        let chunk = delivery.next(self.inbox().entries(), |archive, chat| self.head(archive, chat));
        let Some(chunk) = chunk else { return Ok(()) };
        self.send_chunk(delivery.device, chunk, delivery.inline, None).await?;
        let state = self.server.state();
        if let Some(own) = state.accounts.get(&self.own.number) {
            own.phone.enqueue(Task::History(delivery));
        }
        Ok(())
    }

    /// All chats of these inbox entries, and the generated ones.
    fn archive(&self, entries: &[Entry]) -> Archive {
        Archive::new(self.history, Jid::pn(self.own.number.as_str()).to_string(), entries)
    }

    /// A chat in its present state on the phone, without messages.
    fn head(&self, archive: &Archive, chat: usize) -> Conversation {
        let mut conversation = Conversation { name: archive.name(chat), id: archive.jid(chat), ..Default::default() };
        self.app_state.describe(&mut conversation);
        conversation
    }

    /// Adds the other address of each person in a chunk.
    fn map_lids(&self, chunk: &mut HistorySync) {
        let state = self.server.state();
        for chat in &mut chunk.conversations {
            let Some(jid) = chat.id.parse::<Jid>().ok().filter(Jid::is_pn) else { continue };
            let Some(account) = state.account_of(&jid) else { continue };
            let lid = Jid::lid(account.lid.as_str()).to_string();
            chat.lid_jid = Some(lid.clone());
            let mapping = PhoneNumberToLIDMapping { lid_jid: Some(lid), pn_jid: Some(chat.id.clone()) };
            chunk.phone_number_to_lid_mappings.push(mapping);
        }
    }

    /// Encrypts a chunk, stores it, and sends the device its place.
    async fn send_chunk(
        &mut self,
        device: u16,
        mut sync: HistorySync,
        inline: bool,
        request: Option<String>,
    ) -> Result<(), PhoneError> {
        self.map_lids(&mut sync);
        let packed = zlib(&sync.encode_to_vec());
        let messages = || sync.conversations.iter().flat_map(|conversation| &conversation.messages);
        let oldest = messages().filter_map(|message| message.message.message_timestamp).min();
        let mut notification = HistorySyncNotification {
            sync_type: HistorySyncType::from_i32(sync.sync_type.to_i32()),
            chunk_order: sync.chunk_order,
            progress: sync.progress,
            oldest_msg_in_chunk_timestamp_sec: oldest.and_then(|oldest| i64::try_from(oldest).ok()),
            peer_data_request_session_id: request,
            ..Default::default()
        };
        let bytes = packed.len();
        let first = notification.sync_type == Some(HistorySyncType::INITIAL_BOOTSTRAP);
        let inline = inline && first && bytes <= INLINE;
        if inline {
            notification.initial_hist_bootstrap_inline_payload = Some(packed);
        } else {
            let sealed = wacore::upload::encrypt_media(&packed, MediaType::History)
                .map_err(|error| PhoneError::Content(error.to_string()))?;
            let path = self.server.media.put(MediaType::History, Bytes::from(sealed.data_to_upload))?;
            notification.direct_path = Some(path);
            notification.media_key = Some(sealed.media_key.to_vec());
            notification.file_sha256 = Some(sealed.file_sha256.to_vec());
            notification.file_enc_sha256 = Some(sealed.file_enc_sha256.to_vec());
            notification.file_length = u64::try_from(bytes).ok();
        }
        let message = Message {
            protocol_message: buffa::MessageField::some(ProtocolMessage {
                r#type: Some(Type::HISTORY_SYNC_NOTIFICATION),
                history_sync_notification: buffa::MessageField::some(notification),
                ..Default::default()
            }),
            ..Default::default()
        };
        let id = self.server.stanza_id();
        let chunk_sent = SentChunk {
            device,
            id: id.clone(),
            kind: format!("{:?}", sync.sync_type),
            chunk: sync.chunk_order,
            progress: sync.progress,
            chats: sync.conversations.len(),
            messages: messages().count(),
            bytes,
            inline,
            at: Utc::now(),
            received: None,
        };
        // Recorded first, because the device may acknowledge quickly.
        self.sent_chunks.lock().push(chunk_sent);
        let done = self.send_peer_message_as(&id, device, &message).await;
        if done.is_err() {
            self.sent_chunks.lock().retain(|sent| sent.id != id);
        }
        done
    }
}

/// Compresses in the format that clients expect.
fn zlib(raw: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; zlib_rs::compress_bound(raw.len())];
    let len = zlib_rs::compress_slice(&mut packed, raw, zlib_rs::DeflateConfig::default()).0.len();
    packed.truncate(len);
    packed
}
