//! Groups as the server knows them: who is in, who may do what, and how they are called.
//!
//! This file holds a group and the rules about it, `acts` what people do with groups and who is told of it, and `nodes`
//! how a group looks in a stanza. Communities and joining by approval are not there.

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

/// As the official app has it.
const MOST_PARTICIPANTS: usize = 1024;

/// What a participant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Member,
    Admin,
    /// Who made the group. Nobody takes it from them.
    SuperAdmin,
}

impl Role {
    /// As it stands in a stanza; nothing for a member.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Member => None,
            Self::Admin => Some("admin"),
            Self::SuperAdmin => Some("superadmin"),
        }
    }
}

/// Words that somebody wrote at some time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub(super) text: String,
    /// The number of who wrote them.
    pub(super) by: String,
    /// Seconds since 1970.
    pub(super) at: u64,
    /// Names this version of a description; a subject has none.
    pub(super) id: String,
}

/// A change of the group itself.
#[derive(Debug, Clone)]
pub(super) enum Setting {
    Subject(String),
    /// `None` takes it away.
    Description {
        id: String,
        text: Option<String>,
    },
    Announce(bool),
    Locked(bool),
    AdminsAdd(bool),
    Ephemeral(u32),
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// What stands before `@g.us`.
    pub(super) id: String,
    /// How participants are named in it.
    pub(super) addressing: Addressing,
    pub(super) subject: Words,
    /// The number of who made it.
    pub(super) creator: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// By number.
    pub(super) participants: BTreeMap<String, Role>,
    pub(super) description: Option<Words>,
    /// Only admins write messages.
    pub(super) announce: bool,
    /// Only admins change subject, description and settings.
    pub(super) locked: bool,
    /// Only admins add people.
    pub(super) admins_add: bool,
    /// Seconds after which messages disappear; 0 is never.
    pub(super) ephemeral: u32,
    /// The code of its invitation link.
    pub(super) invite: String,
    /// Codes that were reset: who follows one is told so.
    former_invites: Vec<String>,
    #[serde(default)]
    pub(super) picture: Option<Picture>,
}

/// Why the server does not do what somebody wants with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no such group")]
    NotFound,
    #[error("who asks is not in the group")]
    NotIn,
    #[error("who asks is not an admin of the group")]
    NotAdmin,
    #[error("only admins write in this group")]
    Announcements,
    #[error("the invitation code was reset")]
    Gone,
    #[error("who asks is in the group already")]
    AlreadyIn,
    #[error("a subject has 1 to 100 characters and a description at most 2048")]
    Words,
    #[error("a group has at most 1024 participants")]
    Full,
    #[error("the description was changed by somebody else meanwhile")]
    Conflict,
}

impl Refusal {
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
    fn new(creator: &str, subject: String, addressing: Addressing) -> Result<Self, Refusal> {
        let now = unix_now();
        Ok(Self {
            // The real ones are of this length, and start so.
            id: format!("120363{:012}", rand::random::<u64>() % 1_000_000_000_000),
            addressing,
            subject: Words { text: checked_subject(subject)?, by: creator.to_owned(), at: now, id: String::new() },
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

    /// Its address.
    pub(super) fn jid(&self) -> Jid {
        Jid::group(self.id.as_str())
    }

    /// The role of a number, which must be in.
    pub(super) fn role(&self, number: &str) -> Result<Role, Refusal> {
        self.participants.get(number).copied().ok_or(Refusal::NotIn)
    }

    /// Whether a number may do what admins do.
    pub(super) fn require_admin(&self, number: &str) -> Result<(), Refusal> {
        if self.role(number)? == Role::Member { Err(Refusal::NotAdmin) } else { Ok(()) }
    }

    /// Whether a number may change what the group is called.
    pub(super) fn require_editor(&self, number: &str) -> Result<(), Refusal> {
        if self.locked { self.require_admin(number) } else { self.role(number).map(|_| ()) }
    }

    /// Whether a number may write messages.
    pub(super) fn require_writer(&self, number: &str) -> Result<(), Refusal> {
        match self.role(number)? {
            Role::Member if self.announce => Err(Refusal::Announcements),
            _ => Ok(()),
        }
    }

    /// Changes the group, if a number may do that.
    fn apply(&mut self, by: &str, setting: &Setting) -> Result<(), Refusal> {
        match setting {
            Setting::Subject(_) | Setting::Description { .. } | Setting::Ephemeral(_) => self.require_editor(by)?,
            Setting::Announce(_) | Setting::Locked(_) | Setting::AdminsAdd(_) => self.require_admin(by)?,
        }
        let words = |text: String, id: &str| Words { text, by: by.to_owned(), at: unix_now(), id: id.to_owned() };
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

    /// The address of a participant in the group's form, and in the other one.
    pub(super) fn names(&self, state: &State, number: &str) -> (Jid, Jid) {
        let lid = state.accounts.get(number).map_or_else(String::new, |account| account.lid.clone());
        match self.addressing {
            Addressing::Lid => (Jid::lid(lid), Jid::pn(number)),
            Addressing::Pn => (Jid::pn(number), Jid::lid(lid)),
        }
    }

    /// A checksum of who is in, by which a client asks whether its list is still true.
    pub(super) fn hash(&self, state: &State) -> Option<String> {
        let names: Vec<Jid> = self.participants.keys().map(|number| self.names(state, number).0).collect();
        MessageUtils::participant_list_hash(&names).ok()
    }
}

impl State {
    /// The group with an address.
    pub(super) fn group(&self, jid: &Jid) -> Result<&Group, Refusal> {
        let known = if jid.server == Server::Group { self.groups.get(jid.user.as_str()) } else { None };
        known.ok_or(Refusal::NotFound)
    }
}

fn checked_subject(subject: String) -> Result<String, Refusal> {
    let length = subject.chars().count();
    if (1..=GROUP_SUBJECT_MAX_LENGTH).contains(&length) { Ok(subject) } else { Err(Refusal::Words) }
}

fn checked_description(text: String) -> Result<String, Refusal> {
    if text.chars().count() <= GROUP_DESCRIPTION_MAX_LENGTH { Ok(text) } else { Err(Refusal::Words) }
}

fn new_invite() -> String {
    hex::encode(rand::random::<[u8; 11]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_who_may_do_what_in_a_group() -> Result<(), Refusal> {
        let mut group = Group::new("1", "a".into(), Addressing::Lid)?;
        group.participants.insert("2".into(), Role::Member);
        assert_eq!(group.require_writer("2"), Ok(()));
        assert_eq!(group.require_editor("2"), Ok(()));
        assert_eq!(group.require_admin("2"), Err(Refusal::NotAdmin));
        (group.announce, group.locked) = (true, true);
        assert_eq!(group.require_writer("2"), Err(Refusal::Announcements));
        assert_eq!(group.require_editor("2"), Err(Refusal::NotAdmin));
        assert_eq!(group.require_writer("1"), Ok(()));
        assert_eq!(group.require_editor("3"), Err(Refusal::NotIn));
        Ok(())
    }

    #[test]
    fn x1_subjects_have_a_length() {
        for (subject, good) in [(String::new(), false), ("ä".repeat(100), true), ("a".repeat(101), false)] {
            assert_eq!(Group::new("1", subject, Addressing::Pn).is_ok(), good);
        }
    }
}
