//! The history sync of a new device, in chunks: the newest messages of all chats first, then names, then older
//! messages. No message is sent twice.

use std::ops::Range;

use waproto::whatsapp::conversation::EndOfHistoryTransferType as End;
use waproto::whatsapp::history_sync::HistorySyncType;
use waproto::whatsapp::{Conversation, HistorySync, HistorySyncMsg, Pushname};

use super::super::inbox::Entry;
use super::archive::Archive;

/// The greatest number of messages in the first chunk, and of each chat.
const BOOTSTRAP: (usize, usize) = (1000, 10);
/// How many further messages of a chat are recent; older ones go only to a device that asked for the full history.
const RECENT: usize = 1000;
/// How many messages a later chunk contains at most.
const CHUNK: usize = 1000;

/// A history sync in progress.
#[derive(Debug)]
pub(in super::super) struct Delivery {
    pub(super) device: u16,
    /// Whether the device takes the first chunk inside the message.
    pub(super) inline: bool,
    /// Whether the device asked for the full history.
    full: bool,
    archive: Archive,
    next: Option<HistorySyncType>,
    order: u32,
    /// The position in the current stage: the chat, how many of its messages, and how many messages in all.
    chat: usize,
    at: usize,
    sent: usize,
}

impl Delivery {
    pub(super) fn new(device: u16, inline: bool, full: bool, archive: Archive) -> Self {
        let next = Some(HistorySyncType::INITIAL_BOOTSTRAP);
        Self { device, inline, full, archive, next, order: 0, chat: 0, at: 0, sent: 0 }
    }

    /// The next chunk, or `None` at the end. `head` creates a chat without its messages.
    pub(super) fn next(
        &mut self,
        entries: &[Entry],
        head: impl Fn(&Archive, usize) -> Conversation,
    ) -> Option<HistorySync> {
        let stage = self.next?;
        let mut sync = HistorySync { sync_type: stage, ..Default::default() };
        self.next = match stage {
            HistorySyncType::INITIAL_BOOTSTRAP => {
                self.fill(&mut sync, usize::MAX, entries, head);
                // An account without a history has nothing more to send.
                (self.archive.chats() > 0).then_some(HistorySyncType::PUSH_NAME)
            }
            HistorySyncType::PUSH_NAME => {
                sync.pushnames = (0..self.archive.chats())
                    .filter_map(|chat| {
                        Some(Pushname { pushname: self.archive.name(chat), id: Some(self.archive.jid(chat)) })
                            .filter(|name| name.pushname.is_some())
                    })
                    .collect();
                Some(HistorySyncType::NON_BLOCKING_DATA)
            }
            HistorySyncType::NON_BLOCKING_DATA => Some(HistorySyncType::RECENT),
            HistorySyncType::RECENT | HistorySyncType::FULL => {
                self.fill(&mut sync, CHUNK, entries, head);
                let full = stage == HistorySyncType::RECENT && self.full;
                if self.chat < self.archive.chats() {
                    Some(stage)
                } else {
                    (full && self.total(HistorySyncType::FULL) > 0).then_some(HistorySyncType::FULL)
                }
            }
            _ => None,
        };
        if self.next != Some(stage) {
            (self.chat, self.at, self.sent) = (0, 0, 0);
        }
        self.order += 1;
        sync.chunk_order = Some(self.order);
        sync.progress.get_or_insert(100);
        Some(sync)
    }

    /// Adds the next messages of the stage to a chunk.
    fn fill(
        &mut self,
        sync: &mut HistorySync,
        limit: usize,
        entries: &[Entry],
        head: impl Fn(&Archive, usize) -> Conversation,
    ) {
        let stage = sync.sync_type;
        let mut room = limit;
        while self.chat < self.archive.chats() && room > 0 {
            let (chat, len) = (self.chat, self.archive.len(self.chat));
            let span = self.span(stage, len);
            let from = span.start + self.at;
            let to = span.end.min(from.saturating_add(room));
            if from < to || stage == HistorySyncType::INITIAL_BOOTSTRAP {
                let mut conversation = head(&self.archive, chat);
                let messages = (from..to).filter_map(|place| self.archive.message(chat, place, entries));
                conversation.messages = messages.map(numbered).collect();
                let last = if self.full { len } else { self.span(HistorySyncType::RECENT, len).end };
                if to == last {
                    let end = if to == len {
                        End::COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY
                    } else {
                        End::COMPLETE_BUT_MORE_MESSAGES_REMAIN_ON_PRIMARY
                    };
                    conversation.end_of_history_transfer = Some(true);
                    conversation.end_of_history_transfer_type = Some(end);
                }
                sync.conversations.push(conversation);
            }
            (room, self.sent) = (room - (to - from), self.sent + (to - from));
            if to == span.end {
                (self.chat, self.at) = (chat + 1, 0);
                // Chats without messages to send need no chunk of their own.
                self.skip(stage);
            } else {
                self.at += to - from;
            }
        }
        let total = self.total(stage).max(1);
        let percent = if self.chat < self.archive.chats() { self.sent * 100 / total } else { 100 };
        sync.progress = u32::try_from(percent).ok();
    }

    fn skip(&mut self, stage: HistorySyncType) {
        while stage != HistorySyncType::INITIAL_BOOTSTRAP
            && self.chat < self.archive.chats()
            && self.span(stage, self.archive.len(self.chat)).is_empty()
        {
            self.chat += 1;
        }
    }

    /// The messages that a stage sends of a chat with `len` messages.
    fn span(&self, stage: HistorySyncType, len: usize) -> Range<usize> {
        let (in_all, of_each) = BOOTSTRAP;
        let bootstrap = (in_all / self.archive.chats().max(1)).clamp(1, of_each).min(len);
        let recent = (bootstrap + RECENT).min(len);
        match stage {
            HistorySyncType::INITIAL_BOOTSTRAP => 0..bootstrap,
            HistorySyncType::RECENT => bootstrap..recent,
            _ => recent..len,
        }
    }

    fn total(&self, stage: HistorySyncType) -> usize {
        (0..self.archive.chats()).map(|chat| self.span(stage, self.archive.len(chat)).len()).sum()
    }
}

/// A message of a chunk; clients sort by the number where times are equal.
pub(super) fn numbered(message: waproto::whatsapp::WebMessageInfo) -> HistorySyncMsg {
    let msg_order_id = message.message_timestamp;
    HistorySyncMsg { message: buffa::MessageField::some(message), msg_order_id }
}

#[cfg(test)]
mod tests {
    use super::super::generated::History;
    use super::*;
    use std::collections::HashSet;

    /// The stages of a whole sync, with their numbers of messages and their progress. Asserts that no message is sent
    /// twice.
    fn stages(history: History, full: bool) -> Vec<(HistorySyncType, usize, Option<u32>)> {
        let mut delivery = Delivery::new(1, true, full, Archive::new(history, String::new(), &[]));
        let mut ids = HashSet::new();
        let head = |archive: &Archive, chat| Conversation { id: archive.jid(chat), ..Default::default() };
        std::iter::from_fn(|| delivery.next(&[], head))
            .map(|sync| {
                let messages = sync.conversations.iter().flat_map(|chat| &chat.messages);
                let count = messages.filter_map(|it| it.message.key.id.clone()).filter(|id| ids.insert(id.clone()));
                (sync.sync_type, count.count(), sync.progress)
            })
            .collect()
    }

    #[test]
    fn x1_history_chunks_are_complete_and_in_order() {
        use HistorySyncType as T;
        let around = [(T::PUSH_NAME, 0, Some(100)), (T::NON_BLOCKING_DATA, 0, Some(100))];
        assert_eq!(stages(History::default(), true), [(T::INITIAL_BOOTSTRAP, 0, Some(100))]);
        let small = stages(History { chats: 3, messages: 50, seed: 1 }, true);
        assert_eq!(
            small,
            [&[(T::INITIAL_BOOTSTRAP, 30, Some(100))], &around[..], &[(T::RECENT, 120, Some(100))]].concat()
        );
        let large = History { chats: 2, messages: 1510, seed: 1 };
        let recent = [(T::INITIAL_BOOTSTRAP, 20, Some(100)), around[0], around[1], (T::RECENT, 1000, Some(50))];
        let recent = [&recent[..], &[(T::RECENT, 1000, Some(100))]].concat();
        assert_eq!(stages(large, false), recent);
        assert_eq!(stages(large, true), [&recent[..], &[(T::FULL, 1000, Some(100))]].concat());
        let short = stages(History { chats: 1, messages: 2, seed: 1 }, true);
        assert_eq!(
            short,
            [&[(T::INITIAL_BOOTSTRAP, 2, Some(100))], &around[..], &[(T::RECENT, 0, Some(100))]].concat()
        );
    }
}
