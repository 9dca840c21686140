//! All chats of a phone's history: the generated ones, then the real messages.

use wacore::proto_helpers::MessageBuilderExt as _;
use waproto::whatsapp::web_message_info::{Status, StubType};
use waproto::whatsapp::{Message, MessageKey, Reaction, WebMessageInfo};

use super::super::content::key;
use super::super::inbox::{Entry, Ticks};
use super::generated::History;

const STATUS_BROADCAST: &str = "status@broadcast";

/// The chats at one moment. The archive stores positions and creates each message on request, so it stays small.
#[derive(Debug)]
pub(super) struct Archive {
    generated: History,
    /// The owner's address.
    own: String,
    /// Chats of the inbox, each with the positions of its messages, oldest first.
    lived: Vec<(String, Vec<usize>)>,
}

impl Archive {
    /// The archive of the generated history and the first entries of an inbox.
    pub(super) fn new(generated: History, own: String, entries: &[Entry]) -> Self {
        let mut archive = Self { generated, own, lived: vec![] };
        for (place, entry) in entries.iter().enumerate() {
            // A change of another message is sent with that message, and a status is no chat.
            if entry.shown.target.is_some() || entry.shown.chat == STATUS_BROADCAST {
                continue;
            }
            match archive.lived.iter_mut().find(|(chat, _)| *chat == entry.shown.chat) {
                Some((_, places)) => places.push(place),
                None => archive.lived.push((entry.shown.chat.clone(), vec![place])),
            }
        }
        archive
    }

    pub(super) fn chats(&self) -> usize {
        self.generated.chats as usize + self.lived.len()
    }

    pub(super) fn len(&self, chat: usize) -> usize {
        match self.source(chat) {
            ChatSource::Generated(_) => self.generated.messages as usize,
            ChatSource::Lived(at) => self.lived.get(at).map_or(0, |(_, places)| places.len()),
        }
    }

    pub(super) fn jid(&self, chat: usize) -> String {
        match self.source(chat) {
            ChatSource::Generated(chat) => self.generated.jid(chat),
            ChatSource::Lived(at) => self.lived.get(at).map(|(jid, _)| jid.clone()).unwrap_or_default(),
        }
    }

    /// The name of the other side, for a generated chat.
    pub(super) fn name(&self, chat: usize) -> Option<String> {
        match self.source(chat) {
            ChatSource::Generated(chat) => Some(self.generated.name(chat)),
            ChatSource::Lived(_) => None,
        }
    }

    /// The chat with an address.
    pub(super) fn find(&self, jid: &str) -> Option<usize> {
        let lived = || self.lived.iter().position(|(known, _)| known == jid);
        let generated = self.generated.chat_with(jid).map(|chat| chat as usize);
        generated.or_else(|| lived().map(|at| self.generated.chats as usize + at))
    }

    /// The position of a message in its chat; the newest has 0.
    pub(super) fn position(&self, chat: usize, id: &str, entries: &[Entry]) -> Option<usize> {
        match self.source(chat) {
            ChatSource::Generated(chat) => {
                self.generated.find(id).filter(|(found, _)| *found == chat).map(|(_, newest)| newest as usize)
            }
            ChatSource::Lived(at) => {
                let (_, places) = self.lived.get(at)?;
                places.iter().rev().position(|place| entries.get(*place).is_some_and(|entry| entry.shown.id == id))
            }
        }
    }

    /// A message of a chat by its position; the newest has 0.
    pub(super) fn message(&self, chat: usize, newest: usize, entries: &[Entry]) -> Option<WebMessageInfo> {
        match self.source(chat) {
            ChatSource::Generated(chat) => Some(self.generated.message(chat, u32::try_from(newest).ok()?)),
            ChatSource::Lived(at) => {
                let (_, places) = self.lived.get(at)?;
                let entry = entries.get(*places.iter().rev().nth(newest)?)?;
                Some(remembered(entry, &self.own))
            }
        }
    }

    fn source(&self, chat: usize) -> ChatSource {
        match u32::try_from(chat).ok().filter(|chat| *chat < self.generated.chats) {
            Some(chat) => ChatSource::Generated(chat),
            None => ChatSource::Lived(chat - self.generated.chats as usize),
        }
    }
}

enum ChatSource {
    Generated(u32),
    Lived(usize),
}

/// A message in its present state on the phone: edited, revoked, with its reactions and ticks.
pub(super) fn remembered(entry: &Entry, own: &str) -> WebMessageInfo {
    let shown = &entry.shown;
    let chat = shown.chat.parse().unwrap_or_default();
    let message = match &shown.text {
        _ if shown.revoked => None,
        Some(words) if shown.edited => Some(reworded(&entry.content, words)),
        _ => Some(entry.content.clone()),
    };
    let reaction = |(sender, emoji): (&String, &String)| Reaction {
        key: buffa::MessageField::some(MessageKey {
            remote_jid: Some(shown.chat.clone()),
            from_me: Some(sender == own),
            participant: Some(sender.clone()),
            id: None,
        }),
        text: Some(emoji.clone()),
        ..Default::default()
    };
    let key = key(&chat, entry);
    WebMessageInfo {
        participant: key.participant.clone(),
        key: buffa::MessageField::some(key),
        message: message.into(),
        message_timestamp: u64::try_from(shown.at.timestamp()).ok(),
        status: shown.from_me.then_some(match shown.ticks {
            Ticks::Sent => Status::SERVER_ACK,
            Ticks::Delivered => Status::DELIVERY_ACK,
            Ticks::Read => Status::READ,
            Ticks::Played => Status::PLAYED,
        }),
        message_stub_type: shown.revoked.then_some(StubType::REVOKE),
        reactions: shown.reactions.iter().map(reaction).collect(),
        ..Default::default()
    }
}

/// A message with its text replaced by the latest edit.
fn reworded(content: &Message, words: &str) -> Message {
    let mut message = content.clone();
    let caption = if let Some(image) = message.image_message.as_option_mut() {
        &mut image.caption
    } else if let Some(video) = message.video_message.as_option_mut() {
        &mut video.caption
    } else if let Some(document) = message.document_message.as_option_mut() {
        &mut document.caption
    } else {
        return Message::text(words);
    };
    *caption = Some(words.to_owned());
    message
}
