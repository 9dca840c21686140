//! What a session job asks for: its kind and arguments, parsed once, at the claim.
//!
//! `sql/schema/31_actions.sql` defines the actions and their fields, and INSERT has checked every row. A test compares
//! that list with [`KINDS`].

use crate::message::fields::{jid, jids};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wacore_binary::Jid;

/// The kinds that this version knows. Rows of other kinds wait for a newer worker.
pub const KINDS: &[&str] = &[
    "link",
    "connect",
    "reconnect",
    "passkey",
    "close",
    "logout",
    "download",
    "check_numbers",
    "contact_picture",
    "set_picture",
    "set_presence",
    "watch_presence",
    "block_contact",
    "unblock_contact",
    "list_groups",
    "show_group",
    "create_group",
    "add_participants",
    "remove_participants",
    "promote_participants",
    "demote_participants",
    "set_group_subject",
    "set_group_description",
    "group_invite_link",
    "join_group",
    "leave_group",
];

/// A kind of `wa.session_job` with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionWork {
    /// Link the session, by QR code, pairing code or passkey.
    Link,
    /// Connect it.
    Connect,
    /// Connect it again after a loss.
    Reconnect,
    /// Continue a linking whose passkey row has changed.
    Passkey,
    /// End the connection; the device stays linked.
    Close,
    /// Unlink the device.
    Logout {
        /// Delete the auth state of a session that is not connected without telling WhatsApp.
        force: bool,
    },
    /// Ask WhatsApp for something.
    Action(Action),
    /// Ask WhatsApp for something that involves a file.
    File(FileAction),
}

/// An action that involves a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", content = "args", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "wa.actions() and wa.action_fields() describe each, and docs/actions.md shows them")]
pub enum FileAction {
    Download {
        inbox_id: i64,
    },
    SetPicture {
        #[serde(default, deserialize_with = "jid")]
        group: Option<Jid>,
        media: Option<i64>,
    },
}

/// An action on groups, contacts and presence.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", content = "args", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "wa.actions() and wa.action_fields() describe each, and docs/actions.md shows them")]
pub enum Action {
    CheckNumbers {
        #[serde(deserialize_with = "jids")]
        numbers: Vec<Jid>,
    },
    ContactPicture {
        #[serde(deserialize_with = "one")]
        contact: Jid,
    },
    SetPresence {
        available: bool,
    },
    WatchPresence {
        #[serde(deserialize_with = "one")]
        contact: Jid,
    },
    BlockContact {
        #[serde(deserialize_with = "one")]
        contact: Jid,
    },
    UnblockContact {
        #[serde(deserialize_with = "one")]
        contact: Jid,
    },
    ListGroups {},
    ShowGroup {
        #[serde(deserialize_with = "one")]
        group: Jid,
    },
    CreateGroup {
        subject: String,
        #[serde(deserialize_with = "jids")]
        participants: Vec<Jid>,
    },
    AddParticipants(Participants),
    RemoveParticipants(Participants),
    PromoteParticipants(Participants),
    DemoteParticipants(Participants),
    SetGroupSubject {
        #[serde(deserialize_with = "one")]
        group: Jid,
        subject: String,
    },
    SetGroupDescription {
        #[serde(deserialize_with = "one")]
        group: Jid,
        description: Option<String>,
    },
    GroupInviteLink {
        #[serde(deserialize_with = "one")]
        group: Jid,
        #[serde(default)]
        reset: bool,
    },
    JoinGroup {
        link: String,
    },
    LeaveGroup {
        #[serde(deserialize_with = "one")]
        group: Jid,
    },
}

/// Participants of a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participants {
    /// The group.
    #[serde(deserialize_with = "one")]
    pub group: Jid,
    /// Their JIDs.
    #[serde(deserialize_with = "jids")]
    pub participants: Vec<Jid>,
}

impl SessionWork {
    /// Parses a claimed row.
    ///
    /// # Errors
    /// The text names the argument that the kind does not accept.
    pub fn read(kind: &str, args: &Value) -> Result<Self, String> {
        Ok(match kind {
            "link" => Self::Link,
            "connect" => Self::Connect,
            "reconnect" => Self::Reconnect,
            "passkey" => Self::Passkey,
            "close" => Self::Close,
            "logout" => Self::Logout { force: args.get("force") == Some(&Value::Bool(true)) },
            "download" | "set_picture" => Self::File(action(kind, args)?),
            _ => Self::Action(action(kind, args)?),
        })
    }
}

impl SessionWork {
    /// Whether the job sets the state that is wanted of the session.
    #[must_use]
    pub const fn wishes(&self) -> bool {
        matches!(self, Self::Link | Self::Connect | Self::Passkey | Self::Close | Self::Logout { .. })
    }
}

fn action<A: DeserializeOwned>(kind: &str, args: &Value) -> Result<A, String> {
    A::deserialize(json!({ "kind": kind, "args": args })).map_err(|error| format!("args: {error}"))
}

fn one<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Jid, D::Error> {
    jid(from)?.ok_or_else(|| serde::de::Error::custom("not a JID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q1_every_known_kind_of_session_job_is_read() {
        for kind in KINDS {
            let read = SessionWork::read(kind, &json!({}));
            assert!(read.as_ref().err().is_none_or(|error| !error.contains("unknown variant")), "{kind}: {read:?}");
        }
        assert!(SessionWork::read("fax", &json!({})).is_err_and(|error| error.contains("unknown variant")));
    }

    #[test]
    fn s7_a_logout_is_forced_only_when_it_says_so() {
        assert_eq!(SessionWork::read("logout", &json!({})), Ok(SessionWork::Logout { force: false }));
        assert_eq!(SessionWork::read("logout", &json!({ "force": true })), Ok(SessionWork::Logout { force: true }));
    }

    #[test]
    fn m9_arguments_are_read_by_kind() {
        let group = json!({ "group": "1@g.us", "participants": ["15550001@s.whatsapp.net"] });
        let read = SessionWork::read("add_participants", &group);
        let Ok(SessionWork::Action(Action::AddParticipants(people))) = read else { panic!("{read:?}") };
        assert_eq!((people.group.to_string(), people.participants.len()), ("1@g.us".to_owned(), 1));
        let extra = SessionWork::read("list_groups", &json!({ "all": true }));
        assert!(extra.is_err_and(|error| error.contains("all")));
        assert_eq!(SessionWork::read("list_groups", &json!({})), Ok(SessionWork::Action(Action::ListGroups {})));
    }
}
