//! Later requests of a device: older messages of a chat, and messages that it could not read.

use buffa::Message as _;
use wacore_binary::Jid;
use waproto::whatsapp::conversation::EndOfHistoryTransferType as End;
use waproto::whatsapp::history_sync::HistorySyncType;
use waproto::whatsapp::message::peer_data_operation_request_message::{
    HistorySyncOnDemandRequest, PlaceholderMessageResendRequest,
};
use waproto::whatsapp::message::peer_data_operation_request_response_message::PeerDataOperationResult;
use waproto::whatsapp::message::peer_data_operation_request_response_message::peer_data_operation_result::PlaceholderMessageResendResponse;
use waproto::whatsapp::message::protocol_message::Type;
use waproto::whatsapp::message::{
    PeerDataOperationRequestMessage, PeerDataOperationRequestResponseMessage, PeerDataOperationRequestType,
    ProtocolMessage,
};
use waproto::whatsapp::{Conversation, HistorySync, Message, WebMessageInfo};

use super::super::PhoneError;
use super::super::worker::Worker;
use super::archive::remembered;
use super::delivery::numbered;

/// How many messages a device gets by default, and at most.
const COUNT: (usize, usize) = (50, 1000);

impl Worker {
    /// Answers a device's request; `id` is the id of the request's message.
    pub(in super::super) async fn answer_peer(
        &mut self,
        device: u16,
        id: &str,
        request: &PeerDataOperationRequestMessage,
    ) -> Result<(), PhoneError> {
        match request.peer_data_operation_request_type {
            Some(PeerDataOperationRequestType::HISTORY_SYNC_ON_DEMAND) => {
                self.older(device, id, &request.history_sync_on_demand_request).await
            }
            Some(PeerDataOperationRequestType::PLACEHOLDER_MESSAGE_RESEND) => {
                self.resend(device, id, &request.placeholder_message_resend_request).await
            }
            other => {
                self.server.stats.unknown(format!("peer data operation {other:?}"));
                Ok(())
            }
        }
    }

    /// Sends the messages of a chat before the oldest one that the device has.
    async fn older(&mut self, device: u16, id: &str, wanted: &HistorySyncOnDemandRequest) -> Result<(), PhoneError> {
        let asked = wanted.chat_jid.clone().unwrap_or_default();
        let known = asked.parse::<Jid>().ok().filter(Jid::is_lid).and_then(|lid| self.server.state().number_of(&lid));
        let jid = known.map_or(asked, |number| Jid::pn(number).to_string());
        let found = self.before(&jid, wanted);
        let conversations = found.into_iter().collect();
        let sync_type = HistorySyncType::ON_DEMAND;
        let chunk = HistorySync { sync_type, progress: Some(100), conversations, ..Default::default() };
        self.send_chunk(device, chunk, false, Some(id.to_owned())).await
    }

    /// The chat with those messages, if there is one.
    fn before(&self, jid: &str, wanted: &HistorySyncOnDemandRequest) -> Option<Conversation> {
        let inbox = self.inbox();
        let entries = inbox.entries();
        let archive = self.archive(entries);
        let chat = archive.find(jid)?;
        let oldest = wanted.oldest_msg_id.as_deref().unwrap_or_default();
        // If the phone does not know that message, its time gives the position.
        let before = wanted.oldest_msg_timestamp_ms.unwrap_or(i64::MAX).cast_unsigned() / 1000;
        let earlier = |place: &usize| {
            let message = archive.message(chat, *place, entries);
            message.is_some_and(|message| message.message_timestamp.is_some_and(|time| time < before))
        };
        let len = archive.len(chat);
        let from = archive.position(chat, oldest, entries).map(|place| place + 1);
        let from = from.or_else(|| (0..len).find(earlier)).unwrap_or(len);
        let count = wanted.on_demand_msg_count.and_then(|count| usize::try_from(count).ok());
        let to = len.min(from + count.filter(|count| *count > 0).unwrap_or(COUNT.0).min(COUNT.1));
        let mut conversation = self.head(&archive, chat);
        let messages = (from..to).filter_map(|place| archive.message(chat, place, entries));
        conversation.messages = messages.map(numbered).collect();
        conversation.end_of_history_transfer = Some(true);
        conversation.end_of_history_transfer_type = Some(if to == len {
            End::COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY
        } else {
            End::COMPLETE_ON_DEMAND_SYNC_BUT_MORE_MSG_REMAIN_ON_PRIMARY
        });
        Some(conversation)
    }

    /// Sends messages that the phone could read and the device could not.
    async fn resend(
        &mut self,
        device: u16,
        id: &str,
        wanted: &[PlaceholderMessageResendRequest],
    ) -> Result<(), PhoneError> {
        let found = |message: WebMessageInfo| PlaceholderMessageResendResponse {
            web_message_info_bytes: Some(message.encode_to_vec()),
        };
        let own = Jid::pn(self.own.number.as_str()).to_string();
        let results = wanted.iter().map(|wanted| {
            let key = &wanted.message_key;
            let inbox = self.inbox();
            let entry = key.id.as_deref().and_then(|id| inbox.find(id));
            let message = entry.map(|entry| remembered(entry, &own));
            PeerDataOperationResult {
                placeholder_message_resend_response: buffa::MessageField::some(message.map(found).unwrap_or_default()),
                ..Default::default()
            }
        });
        let response = PeerDataOperationRequestResponseMessage {
            peer_data_operation_request_type: Some(PeerDataOperationRequestType::PLACEHOLDER_MESSAGE_RESEND),
            stanza_id: Some(id.to_owned()),
            peer_data_operation_result: results.collect(),
        };
        let message = Message {
            protocol_message: buffa::MessageField::some(ProtocolMessage {
                r#type: Some(Type::PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE),
                peer_data_operation_request_response_message: buffa::MessageField::some(response),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.send_peer_message(device, &message).await
    }
}
