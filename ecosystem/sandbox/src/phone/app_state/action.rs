//! Actions of a phone's owner, and the changes of app state that they make.

use chrono::Utc;
use serde::Deserialize;
use wacore::appstate::schemas::{self, Schema};
use waproto::whatsapp::SyncActionValue;
use waproto::whatsapp::sync_action_value as value;

use super::super::PhoneError;
use super::super::content::key;
use super::super::inbox::Inbox;
use super::replica::Change;

/// An action on a chat, a message, a contact or the account. Chats are full addresses.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in super::super::super) enum Action {
    Archive {
        chat: String,
        on: bool,
    },
    Pin {
        chat: String,
        on: bool,
    },
    /// `until` is in milliseconds since 1970; without it, for ever.
    Mute {
        chat: String,
        on: bool,
        until: Option<i64>,
    },
    /// `false` marks the chat as unread.
    Read {
        chat: String,
        on: bool,
    },
    Star {
        id: String,
        on: bool,
    },
    DeleteChat {
        chat: String,
    },
    /// The name of a number in the owner's address book; without a name, deletes the contact.
    Contact {
        chat: String,
        name: Option<String>,
    },
    PushName {
        name: String,
    },
    /// A language, optionally with a country: `de`, `pt_BR`.
    Locale {
        locale: String,
    },
}

impl Action {
    /// The chat's address, so that the caller can replace it by its full form.
    pub(in super::super::super) fn chat_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Archive { chat, .. }
            | Self::Pin { chat, .. }
            | Self::Mute { chat, .. }
            | Self::Read { chat, .. }
            | Self::DeleteChat { chat }
            | Self::Contact { chat, .. } => Some(chat),
            Self::Star { .. } | Self::PushName { .. } | Self::Locale { .. } => None,
        }
    }

    pub(super) fn compose(self, inbox: &Inbox) -> Result<Change, PhoneError> {
        let range = |chat: &str| buffa::MessageField::some(range(chat, inbox));
        Ok(match self {
            Self::Archive { chat, on } => {
                let action = value::ArchiveChatAction { archived: Some(on), message_range: range(&chat) };
                set(&schemas::ARCHIVE, [chat], |value| value.archive_chat_action = buffa::MessageField::some(action))
            }
            Self::Pin { chat, on } => {
                let action = value::PinAction { pinned: Some(on) };
                set(&schemas::PIN, [chat], |value| value.pin_action = buffa::MessageField::some(action))
            }
            Self::Mute { chat, on, until } => {
                // -1 means no end.
                let until = if on { until.unwrap_or(-1) } else { 0 };
                let action =
                    value::MuteAction { muted: Some(on), mute_end_timestamp: Some(until), ..Default::default() };
                set(&schemas::MUTE, [chat], |value| value.mute_action = buffa::MessageField::some(action))
            }
            Self::Read { chat, on } => {
                let action = value::MarkChatAsReadAction { read: Some(on), message_range: range(&chat) };
                set(&schemas::MARK_CHAT_AS_READ, [chat], |value| {
                    value.mark_chat_as_read_action = buffa::MessageField::some(action);
                })
            }
            Self::Star { id, on } => {
                let entry = inbox.find(&id).ok_or_else(|| PhoneError::NoMessage(id.clone()))?;
                let shown = &entry.shown;
                let group = shown.chat.ends_with("@g.us") && !shown.from_me;
                let participant = if group { shown.sender.clone() } else { "0".to_owned() };
                let from_me = if shown.from_me { "1" } else { "0" };
                let action = value::StarAction { starred: Some(on) };
                set(&schemas::STAR, [shown.chat.clone(), id, from_me.to_owned(), participant], |value| {
                    value.star_action = buffa::MessageField::some(action);
                })
            }
            Self::DeleteChat { chat } => {
                let action = value::DeleteChatAction { message_range: range(&chat) };
                set(&schemas::DELETE_CHAT, [chat, "1".to_owned()], |value| {
                    value.delete_chat_action = buffa::MessageField::some(action);
                })
            }
            Self::Contact { chat, name: Some(name) } => {
                let first = name.split(' ').next().map(str::to_owned);
                let action = value::ContactAction {
                    full_name: Some(name),
                    first_name: first,
                    save_on_primary_addressbook: Some(true),
                    ..Default::default()
                };
                set(&schemas::CONTACT, [chat], |value| value.contact_action = buffa::MessageField::some(action))
            }
            Self::Contact { chat, name: None } => Change { value: None, ..set(&schemas::CONTACT, [chat], |_| {}) },
            Self::PushName { name } => {
                let action = value::PushNameSetting { name: Some(name) };
                set(&schemas::SETTING_PUSH_NAME, [], |value| {
                    value.push_name_setting = buffa::MessageField::some(action);
                })
            }
            Self::Locale { locale } => {
                let action = value::LocaleSetting { locale: Some(locale) };
                set(&schemas::LOCALE_SETTING, [], |value| value.locale_setting = buffa::MessageField::some(action))
            }
        })
    }
}

/// The change that sets the action's value at its index.
fn set<const N: usize>(schema: &Schema, index: [String; N], fill: impl FnOnce(&mut SyncActionValue)) -> Change {
    let mut value = SyncActionValue { timestamp: Some(Utc::now().timestamp_millis()), ..Default::default() };
    fill(&mut value);
    Change {
        collection: schema.collection.as_str(),
        index: std::iter::once(schema.name.to_owned()).chain(index).collect(),
        value: Some(value),
        schema: i32::try_from(schema.version).unwrap_or(1),
    }
}

/// The newest message that the owner knew, so that a device does not apply the action to later ones.
fn range(chat: &str, inbox: &Inbox) -> value::SyncActionMessageRange {
    let Some(last) = inbox.last_in(chat) else { return value::SyncActionMessageRange::default() };
    let at = last.shown.at.timestamp();
    value::SyncActionMessageRange {
        last_message_timestamp: Some(at),
        last_system_message_timestamp: None,
        messages: vec![value::SyncActionMessage {
            key: chat.parse().ok().map(|chat| key(&chat, last)).into(),
            timestamp: Some(at),
        }],
    }
}
