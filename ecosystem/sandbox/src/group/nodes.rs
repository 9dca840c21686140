//! The form of a group in stanzas.

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::Addressing;
use super::super::node::unix_now;
use super::super::state::State;
use super::{AuthoredText, Group, Setting};

impl Addressing {
    /// The value of `addressing_mode`.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Lid => "lid",
            Self::Pn => "pn",
        }
    }
}

impl Group {
    /// The whole group.
    pub(in super::super) fn node(&self, state: &State) -> Node {
        let (creator, creator_other) = self.addresses(state, &self.creator);
        let (subject_owner, subject_owner_other) = self.addresses(state, &self.subject.by);
        let mut group = NodeBuilder::new("group")
            .attr("id", self.id.as_str())
            .attr("addressing_mode", self.addressing.name())
            .attr("subject", self.subject.text.as_str())
            .attr("s_t", self.subject.at)
            .attr("s_o", subject_owner)
            .attr("creation", self.created)
            .attr("creator", creator)
            .attr("size", self.participants.len());
        if self.addressing == Addressing::Lid {
            group = group.attr("creator_pn", creator_other).attr("s_o_pn", subject_owner_other);
        }
        let mut parts: Vec<Node> = self.participants.keys().map(|number| self.participant(state, number)).collect();
        if let Some(description) = &self.description {
            parts.push(self.description(state, description));
        }
        let flags = [("announcement", self.announce), ("locked", self.locked)];
        parts.extend(flags.into_iter().filter(|(_, set)| *set).map(|(tag, _)| NodeBuilder::new(tag).build()));
        if self.ephemeral > 0 {
            parts.push(NodeBuilder::new("ephemeral").attr("expiration", self.ephemeral).build());
        }
        parts.push(self.add_mode());
        group.children(parts).build()
    }

    /// One participant, in both forms of address.
    pub(super) fn participant(&self, state: &State, number: &str) -> Node {
        let (jid, other) = self.addresses(state, number);
        let alternative = match self.addressing {
            Addressing::Lid => "phone_number",
            Addressing::Pn => "lid",
        };
        let mut participant = NodeBuilder::new("participant").attr("jid", jid).attr(alternative, other);
        if let Some(role) = self.participants.get(number).and_then(|role| role.name()) {
            participant = participant.attr("type", role);
        }
        participant.build()
    }

    fn description(&self, state: &State, words: &AuthoredText) -> Node {
        let (by, other) = self.addresses(state, &words.by);
        let mut description =
            NodeBuilder::new("description").attr("id", words.id.as_str()).attr("t", words.at).attr("participant", by);
        if self.addressing == Addressing::Lid {
            description = description.attr("participant_pn", other);
        }
        description.children([NodeBuilder::new("body").string_content(words.text.as_str()).build()]).build()
    }

    /// A change, in the form of its notification.
    pub(super) fn change(&self, state: &State, setting: &Setting) -> Node {
        let empty = |on: bool, yes: &'static str, no: &'static str| NodeBuilder::new(if on { yes } else { no }).build();
        match setting {
            Setting::Subject(text) => {
                let (owner, other) = self.addresses(state, &self.subject.by);
                let mut subject = NodeBuilder::new("subject")
                    .attr("subject", text.as_str())
                    .attr("s_t", self.subject.at)
                    .attr("s_o", owner);
                if self.addressing == Addressing::Lid {
                    subject = subject.attr("s_o_pn", other);
                }
                subject.build()
            }
            Setting::Description { id, text } => {
                let content = match text {
                    Some(text) => NodeBuilder::new("body").string_content(text.as_str()).build(),
                    None => NodeBuilder::new("delete").build(),
                };
                NodeBuilder::new("description").attr("id", id.as_str()).children([content]).build()
            }
            Setting::Announce(on) => empty(*on, "announcement", "not_announcement"),
            Setting::Locked(on) => empty(*on, "locked", "unlocked"),
            Setting::AdminsAdd(_) => self.add_mode(),
            Setting::Ephemeral(0) => NodeBuilder::new("not_ephemeral").build(),
            Setting::Ephemeral(seconds) => NodeBuilder::new("ephemeral").attr("expiration", *seconds).build(),
        }
    }

    fn add_mode(&self) -> Node {
        let mode = if self.admins_add { "admin_add" } else { "all_member_add" };
        NodeBuilder::new("member_add_mode").string_content(mode).build()
    }

    /// The notification of a change to a device. `by` is the number that made the change.
    pub(super) fn notification(&self, state: &State, id: String, by: &str, change: Node) -> Node {
        let (actor, other) = self.addresses(state, by);
        let alternative = match self.addressing {
            Addressing::Lid => "participant_pn",
            Addressing::Pn => "participant_lid",
        };
        NodeBuilder::new("notification")
            .attr("from", self.jid())
            .attr("type", "w:gp2")
            .attr("id", id)
            .attr("t", unix_now())
            .attr("participant", actor)
            .attr(alternative, other)
            .attr("addressing_mode", self.addressing.name())
            .attr("notify", state.accounts.get(by).map_or(by, |account| account.shown_name()))
            .children([change])
            .build()
    }
}
