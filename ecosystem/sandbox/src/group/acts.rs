//! Group actions, and the notifications that they cause.
//!
//! Requests of clients (`stanza/group`) and of phones' owners (`control/groups`) end here. Every device of every
//! participant is notified of a change, including the device that made it; a new participant gets the whole group
//! instead.

use std::collections::BTreeSet;

use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::{Addressing, DeviceId};
use super::super::server::Server;
use super::super::state::State;
use super::{Group, GroupRefusal, MOST_PARTICIPANTS, Role, Setting, new_invite};

/// A change of membership or role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Membership {
    Add,
    Remove,
    Promote,
    Demote,
}

impl Membership {
    /// The tag of the query and of the notification.
    pub(in super::super) fn tag(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Promote => "promote",
            Self::Demote => "demote",
        }
    }
}

/// The result for one number of a membership change: the number, and the error code if the change failed.
pub(in super::super) type Verdict = (String, Option<u16>);

impl State {
    /// Creates a group. Numbers without an account are left out and reported with 404.
    pub(in super::super) fn create_group(
        &mut self,
        server: &Server,
        by: &str,
        subject: String,
        addressing: Addressing,
        numbers: Vec<String>,
        settings: &[Setting],
    ) -> Result<(String, Vec<Verdict>), GroupRefusal> {
        if numbers.len() >= MOST_PARTICIPANTS {
            return Err(GroupRefusal::Full);
        }
        let mut group = Group::new(by, subject, addressing)?;
        for setting in settings {
            group.apply(by, setting)?;
        }
        let mut verdicts = vec![];
        for number in numbers.into_iter().filter(|number| number != by) {
            let known = self.accounts.contains_key(&number);
            if known {
                group.participants.insert(number.clone(), Role::Member);
            }
            verdicts.push((number, (!known).then_some(404)));
        }
        let id = group.id.clone();
        let create = NodeBuilder::new("create").attr("type", "new").children([group.node(self)]).build();
        let members: Vec<String> = group.participants.keys().cloned().collect();
        self.groups.insert(id.clone(), group);
        self.notify_participants(server, &id, by, create, members);
        Ok((id, verdicts))
    }

    /// Changes members or their roles.
    pub(in super::super) fn change_members(
        &mut self,
        server: &Server,
        group: &str,
        by: &str,
        change: Membership,
        numbers: &[String],
    ) -> Result<Vec<Verdict>, GroupRefusal> {
        let known: BTreeSet<&String> = numbers.iter().filter(|number| self.accounts.contains_key(*number)).collect();
        let entry = self.groups.get_mut(group).ok_or(GroupRefusal::NotFound)?;
        entry.role(by)?;
        if change != Membership::Add || entry.admins_add {
            entry.require_admin(by)?;
        }
        let verdicts: Vec<Verdict> = numbers
            .iter()
            .map(|number| (number.clone(), entry.change_member(number, known.contains(number), change).err()))
            .collect();
        let changed: Vec<String> =
            verdicts.iter().filter(|(_, error)| error.is_none()).map(|(number, _)| number.clone()).collect();
        self.members_changed(server, group, by, change, changed, None);
        Ok(verdicts)
    }

    /// Removes the requesting member.
    pub(in super::super) fn leave_group(&mut self, server: &Server, group: &str, by: &str) -> Result<(), GroupRefusal> {
        let entry = self.groups.get_mut(group).ok_or(GroupRefusal::NotFound)?;
        entry.role(by)?;
        entry.participants.remove(by);
        self.members_changed(server, group, by, Membership::Remove, vec![by.to_owned()], None);
        Ok(())
    }

    /// The group of an invitation code.
    pub(in super::super) fn invited_to(&self, code: &str) -> Result<&Group, GroupRefusal> {
        let former = || self.groups.values().any(|group| group.former_invites.iter().any(|former| former == code));
        let found = self.groups.values().find(|group| group.invite == code);
        found.ok_or_else(|| if former() { GroupRefusal::Gone } else { GroupRefusal::NotFound })
    }

    /// Adds the requesting person to the group of an invitation code; returns the group's id.
    pub(in super::super) fn join_group(
        &mut self,
        server: &Server,
        code: &str,
        by: &str,
    ) -> Result<String, GroupRefusal> {
        let id = self.invited_to(code)?.id.clone();
        let group = self.groups.get_mut(&id).ok_or(GroupRefusal::NotFound)?;
        if group.participants.contains_key(by) {
            return Err(GroupRefusal::AlreadyIn);
        }
        if group.participants.len() >= MOST_PARTICIPANTS {
            return Err(GroupRefusal::Full);
        }
        group.participants.insert(by.to_owned(), Role::Member);
        self.members_changed(server, &id, by, Membership::Add, vec![by.to_owned()], Some("invite"));
        Ok(id)
    }

    /// The invitation code, for admins; a new one if `reset`.
    pub(in super::super) fn invitation(
        &mut self,
        server: &Server,
        group: &str,
        by: &str,
        reset: bool,
    ) -> Result<String, GroupRefusal> {
        let entry = self.groups.get_mut(group).ok_or(GroupRefusal::NotFound)?;
        entry.require_admin(by)?;
        if !reset {
            return Ok(entry.invite.clone());
        }
        let code = new_invite();
        entry.former_invites.push(std::mem::replace(&mut entry.invite, code.clone()));
        let members = entry.participants.keys().cloned().collect();
        let change = NodeBuilder::new("invite").attr("code", code.as_str()).build();
        self.notify_participants(server, group, by, change, members);
        Ok(code)
    }

    /// Changes a group's name, description or settings.
    pub(in super::super) fn change_group(
        &mut self,
        server: &Server,
        group: &str,
        by: &str,
        setting: &Setting,
    ) -> Result<(), GroupRefusal> {
        let entry = self.groups.get_mut(group).ok_or(GroupRefusal::NotFound)?;
        entry.apply(by, setting)?;
        let members = entry.participants.keys().cloned().collect();
        let entry = self.groups.get(group).ok_or(GroupRefusal::NotFound)?;
        self.notify_participants(server, group, by, entry.change(self, setting), members);
        Ok(())
    }

    /// Notifies participants of new, removed, promoted or demoted members.
    fn members_changed(
        &mut self,
        server: &Server,
        group: &str,
        by: &str,
        change: Membership,
        changed: Vec<String>,
        reason: Option<&'static str>,
    ) {
        let Some(entry) = self.groups.get(group).filter(|_| !changed.is_empty()) else { return };
        let with_reason = |node: NodeBuilder| match reason {
            Some(reason) => node.attr("reason", reason),
            None => node,
        };
        let named = changed.iter().map(|number| entry.participant(self, number)).collect::<Vec<_>>();
        let change_node = with_reason(NodeBuilder::new(change.tag())).children(named).build();
        let create = (change == Membership::Add)
            .then(|| with_reason(NodeBuilder::new("create")).children([entry.node(self)]).build());
        let new: BTreeSet<String> = changed.into_iter().collect();
        let mut recipients: BTreeSet<String> = entry.participants.keys().cloned().collect();
        if let Some(create) = create {
            recipients = recipients.difference(&new).cloned().collect();
            self.notify_participants(server, group, by, create, new.into_iter().collect());
        } else {
            // A removed participant gets this last notification.
            recipients.extend(new);
        }
        self.notify_participants(server, group, by, change_node, recipients.into_iter().collect());
    }

    /// Notifies every linked device of some numbers. A phone needs no notification: it looks the group up when it
    /// sends.
    fn notify_participants(&mut self, server: &Server, group: &str, by: &str, change: Node, numbers: Vec<String>) {
        let Some(group) = self.groups.get(group) else { return };
        let notification = group.notification(self, server.stanza_id(), by, change);
        for number in numbers {
            let devices = self.accounts.get(&number).map(|account| account.devices.keys().copied().collect::<Vec<_>>());
            for device in devices.unwrap_or_default() {
                let to = DeviceId { number: number.clone(), device };
                self.deliver(&to, notification.clone(), &server.stats);
            }
        }
    }
}

impl Group {
    /// Changes one participant; an error is the code for the client.
    fn change_member(&mut self, number: &str, known: bool, change: Membership) -> Result<(), u16> {
        let role = self.participants.get(number).copied();
        let to = match (change, role) {
            (Membership::Add, Some(_)) => return Err(409),
            (Membership::Add, None) if self.participants.len() >= MOST_PARTICIPANTS => return Err(419),
            (Membership::Add, None) if known => Role::Member,
            (_, None) => return Err(404),
            // The creator cannot be removed or demoted.
            (Membership::Remove | Membership::Demote, Some(Role::SuperAdmin)) => return Err(405),
            (Membership::Remove, Some(_)) => {
                self.participants.remove(number);
                return Ok(());
            }
            (Membership::Promote, Some(role)) => role.max(Role::Admin),
            (Membership::Demote, Some(_)) => Role::Member,
        };
        self.participants.insert(number.to_owned(), to);
        Ok(())
    }
}
