//! Groups as the server knows them: participants, roles and settings.
//!
//! This file holds a group and its rules, `acts` the actions and their notifications, and `nodes` the group's form in
//! stanzas. Communities and joining by approval are not supported.

mod acts;
mod nodes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wacore::iq::groups::{GROUP_DESCRIPTION_MAX_LENGTH, GROUP_SUBJECT_MAX_LENGTH};
use wacore::messages::MessageUtils;
use wacore_binary::{Jid, Server};

use super::account::Addressing;
use super::node::unix_now;
use super::profile::Picture;
use super::state::State;

pub(super) use acts::Membership;

/// The limit of the official app.
const MOST_PARTICIPANTS: usize = 1024;

/// The role of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Member,
    Admin,
    /// The creator. Nobody can demote or remove them.
    SuperAdmin,
}

impl Role {
    /// The role's name in a stanza; `None` for a member.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Member => None,
            Self::Admin => Some("admin"),
            Self::SuperAdmin => Some("superadmin"),
        }
    }
}

/// A subject or description, with its author and time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthoredText {
    pub(super) text: String,
    /// The author's number.
    pub(super) by: String,
    /// Seconds since 1970.
    pub(super) at: u64,
    /// Identifies this version of a description; empty for a subject.
    pub(super) id: String,
}

/// A change of the group's properties.
#[derive(Debug, Clone)]
pub(super) enum Setting {
    Subject(String),
    /// `None` deletes the description.
    Description {
        id: String,
        text: Option<String>,
    },
    Announce(bool),
    Locked(bool),
    AdminsAdd(bool),
    Ephemeral(u32),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// The part before `@g.us`.
    pub(super) id: String,
    /// How the group addresses its participants.
    pub(super) addressing: Addressing,
    pub(super) subject: AuthoredText,
    /// The creator's number.
    pub(super) creator: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// Roles by number.
    pub(super) participants: BTreeMap<String, Role>,
    pub(super) description: Option<AuthoredText>,
    /// Only admins may send messages.
    pub(super) announce: bool,
    /// Only admins may change subject, description and settings.
    pub(super) locked: bool,
    /// Only admins may add participants.
    pub(super) admins_add: bool,
    /// Seconds after which messages disappear; 0 for never.
    pub(super) ephemeral: u32,
    /// The code of its invitation link.
    pub(super) invite: String,
    /// Revoked codes: joining with one gets an error of its own.
    former_invites: Vec<String>,
    #[serde(default)]
    pub(super) picture: Option<Picture>,
}

/// Why the server refuses a group action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum GroupRefusal {
    #[error("there is no such group")]
    NotFound,
    #[error("the sender is not in the group")]
    NotIn,
    #[error("the sender is not an admin of the group")]
    NotAdmin,
    #[error("only admins may send messages to this group")]
    Announcements,
    #[error("the invitation code was revoked")]
    Gone,
    #[error("the sender is already in the group")]
    AlreadyIn,
    #[error("a subject has 1 to 100 characters and a description at most 2048")]
    Words,
    #[error("a group has at most 1024 participants")]
    Full,
    #[error("another participant has changed the description since")]
    Conflict,
}

impl GroupRefusal {
    /// Code and text of the error that a client gets.
    pub(super) fn wire(self) -> (u16, &'static str) {
        match self {
            Self::NotFound => (404, "item-not-found"),
            Self::NotIn | Self::Announcements => (403, "forbidden"),
            Self::NotAdmin => (401, "not-authorized"),
            Self::Gone => (410, "gone"),
            Self::AlreadyIn => (304, "already-exists"),
            Self::Words => (406, "not-acceptable"),
            Self::Full => (419, "resource-limit"),
            Self::Conflict => (409, "conflict"),
        }
    }
}

impl Group {
    fn new(creator: &str, subject: String, addressing: Addressing) -> Result<Self, GroupRefusal> {
        let now = unix_now();
        Ok(Self {
            // Real group ids have this length and this prefix.
            id: format!("120363{:012}", rand::random::<u64>() % 1_000_000_000_000),
            addressing,
            subject: AuthoredText {
                text: checked_subject(subject)?,
                by: creator.to_owned(),
                at: now,
                id: String::new(),
            },
            creator: creator.to_owned(),
            created: now,
            participants: BTreeMap::from([(creator.to_owned(), Role::SuperAdmin)]),
            description: None,
            announce: false,
            locked: false,
            admins_add: false,
            ephemeral: 0,
            invite: new_invite(),
            former_invites: vec![],
            picture: None,
        })
    }

    /// The group's address.
    pub(super) fn jid(&self) -> Jid {
        Jid::group(self.id.as_str())
    }

    /// The role of a participant; an error when the number is not in the group.
    pub(super) fn role(&self, number: &str) -> Result<Role, GroupRefusal> {
        self.participants.get(number).copied().ok_or(GroupRefusal::NotIn)
    }

    /// Requires that a number is an admin.
    pub(super) fn require_admin(&self, number: &str) -> Result<(), GroupRefusal> {
        if self.role(number)? == Role::Member { Err(GroupRefusal::NotAdmin) } else { Ok(()) }
    }

    /// Requires that a number may change the group's properties.
    pub(super) fn require_editor(&self, number: &str) -> Result<(), GroupRefusal> {
        if self.locked { self.require_admin(number) } else { self.role(number).map(|_| ()) }
    }

    /// Requires that a number may send messages.
    pub(super) fn require_writer(&self, number: &str) -> Result<(), GroupRefusal> {
        match self.role(number)? {
            Role::Member if self.announce => Err(GroupRefusal::Announcements),
            _ => Ok(()),
        }
    }

    /// Applies a change, if the number may make it.
    fn apply(&mut self, by: &str, setting: &Setting) -> Result<(), GroupRefusal> {
        match setting {
            Setting::Subject(_) | Setting::Description { .. } | Setting::Ephemeral(_) => self.require_editor(by)?,
            Setting::Announce(_) | Setting::Locked(_) | Setting::AdminsAdd(_) => self.require_admin(by)?,
        }
        let words =
            |text: String, id: &str| AuthoredText { text, by: by.to_owned(), at: unix_now(), id: id.to_owned() };
        match setting {
            Setting::Subject(text) => self.subject = words(checked_subject(text.clone())?, ""),
            Setting::Description { id, text } => {
                let text = text.clone().map(checked_description).transpose()?;
                self.description = text.map(|text| words(text, id));
            }
            Setting::Announce(on) => self.announce = *on,
            Setting::Locked(on) => self.locked = *on,
            Setting::AdminsAdd(on) => self.admins_add = *on,
            Setting::Ephemeral(seconds) => self.ephemeral = *seconds,
        }
        Ok(())
    }

    /// The address of a participant in the group's form, and in the other form.
    pub(super) fn addresses(&self, state: &State, number: &str) -> (Jid, Jid) {
        let lid = state.accounts.get(number).map_or_else(String::new, |account| account.lid.clone());
        match self.addressing {
            Addressing::Lid => (Jid::lid(lid), Jid::pn(number)),
            Addressing::Pn => (Jid::pn(number), Jid::lid(lid)),
        }
    }

    /// A checksum of the participants, with which a client checks whether its list is current.
    pub(super) fn hash(&self, state: &State) -> Option<String> {
        let names: Vec<Jid> = self.participants.keys().map(|number| self.addresses(state, number).0).collect();
        MessageUtils::participant_list_hash(&names).ok()
    }
}

impl State {
    /// The group with this address.
    pub(super) fn group(&self, jid: &Jid) -> Result<&Group, GroupRefusal> {
        let known = if jid.server == Server::Group { self.groups.get(jid.user.as_str()) } else { None };
        known.ok_or(GroupRefusal::NotFound)
    }
}

fn checked_subject(subject: String) -> Result<String, GroupRefusal> {
    let length = subject.chars().count();
    if (1..=GROUP_SUBJECT_MAX_LENGTH).contains(&length) { Ok(subject) } else { Err(GroupRefusal::Words) }
}

fn checked_description(text: String) -> Result<String, GroupRefusal> {
    if text.chars().count() <= GROUP_DESCRIPTION_MAX_LENGTH { Ok(text) } else { Err(GroupRefusal::Words) }
}

fn new_invite() -> String {
    hex::encode(rand::random::<[u8; 11]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_roles_decide_group_permissions() -> Result<(), GroupRefusal> {
        let mut group = Group::new("1", "a".into(), Addressing::Lid)?;
        group.participants.insert("2".into(), Role::Member);
        assert_eq!(group.require_writer("2"), Ok(()));
        assert_eq!(group.require_editor("2"), Ok(()));
        assert_eq!(group.require_admin("2"), Err(GroupRefusal::NotAdmin));
        (group.announce, group.locked) = (true, true);
        assert_eq!(group.require_writer("2"), Err(GroupRefusal::Announcements));
        assert_eq!(group.require_editor("2"), Err(GroupRefusal::NotAdmin));
        assert_eq!(group.require_writer("1"), Ok(()));
        assert_eq!(group.require_editor("3"), Err(GroupRefusal::NotIn));
        Ok(())
    }

    #[test]
    fn x1_subjects_have_a_length() {
        for (subject, good) in [(String::new(), false), ("ä".repeat(100), true), ("a".repeat(101), false)] {
            assert_eq!(Group::new("1", subject, Addressing::Pn).is_ok(), good);
        }
    }
}
