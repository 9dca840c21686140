//! Profiles: picture and about text, and the notifications when they change.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::account::{Addressing, DeviceId};
use super::group::GroupRefusal;
use super::media::StorageFull;
use super::node::unix_now;
use super::server::Server;
use super::state::State;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) picture: Option<Picture>,
    pub(super) about: String,
    /// Since when the text is set, in seconds since 1970.
    pub(super) about_at: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Self { picture: None, about: "Hey there! I am using WhatsApp.".to_owned(), about_at: unix_now() }
    }
}

/// A profile picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Picture {
    /// The server's id of the picture; each new picture has a new one.
    pub(super) id: String,
    pub(super) direct_path: String,
}

fn stored_picture(server: &Server, picture: Option<Bytes>) -> Result<Option<Picture>, StorageFull> {
    let path = picture.map(|bytes| server.media.put_picture(bytes)).transpose()?;
    Ok(path.map(|direct_path| Picture { id: server.next().to_string(), direct_path }))
}

/// Sets or deletes an account's picture, and notifies the interested devices except the one that made the change.
/// Returns the picture's id. The caller makes sure that the account exists.
pub(super) fn set_picture(
    server: &Server,
    number: &str,
    by: Option<&DeviceId>,
    picture: Option<Bytes>,
) -> Result<Option<String>, StorageFull> {
    let picture = stored_picture(server, picture)?;
    let id = picture.as_ref().map(|picture| picture.id.clone());
    let mut state = server.state();
    let Some(account) = state.accounts.get_mut(number) else { return Ok(None) };
    let former = std::mem::replace(&mut account.profile.picture, picture);
    let own = account.jid(Addressing::Pn, 0);
    let change = match &id {
        Some(id) => NodeBuilder::new("set").attr("jid", &own).attr("id", id.as_str()).attr("author", &own),
        None => NodeBuilder::new("delete").attr("jid", &own).attr("author", &own),
    };
    notify_interested(server, &mut state, number, by, "picture", &change.build());
    drop(state);
    if let Some(former) = former {
        server.media.remove(&former.direct_path);
    }
    Ok(id)
}

/// Sets or deletes a group's picture, for members who may change the group; its members are notified.
pub(super) fn set_group_picture(
    server: &Server,
    group: &str,
    by: &DeviceId,
    picture: Option<Bytes>,
) -> Result<Option<String>, PictureRefusal> {
    server.state().groups.get(group).ok_or(GroupRefusal::NotFound)?.require_editor(&by.number)?;
    let picture = stored_picture(server, picture)?;
    let id = picture.as_ref().map(|picture| picture.id.clone());
    let mut state = server.state();
    let author = state.accounts.get(&by.number).map(|account| account.jid(Addressing::Pn, 0));
    let entry = state.groups.get_mut(group).ok_or(GroupRefusal::NotFound)?;
    let former = std::mem::replace(&mut entry.picture, picture);
    let (jid, members): (_, Vec<String>) = (entry.jid(), entry.participants.keys().cloned().collect());
    let change = NodeBuilder::new(if id.is_some() { "set" } else { "delete" }).attr("jid", &jid);
    let change = id.iter().fold(change, |change, id| change.attr("id", id.as_str()));
    let change = author.iter().fold(change, |change, author| change.attr("author", author)).build();
    let devices: Vec<DeviceId> = members
        .iter()
        .filter_map(|number| Some((number, state.accounts.get(number)?)))
        .flat_map(|(number, account)| {
            account.devices.keys().map(|device| DeviceId { number: number.clone(), device: *device })
        })
        .collect();
    for id in devices.iter().filter(|id| *id != by) {
        notify(server, &mut state, id, &jid, "picture", &change);
    }
    drop(state);
    if let Some(former) = former {
        server.media.remove(&former.direct_path);
    }
    Ok(id)
}

/// Why a group's picture was not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PictureRefusal {
    #[error(transparent)]
    Refused(#[from] GroupRefusal),
    #[error(transparent)]
    Full(#[from] StorageFull),
}

/// Sets an account's about text, and notifies the interested devices except the one that made the change.
pub(super) fn set_about(server: &Server, number: &str, by: Option<&DeviceId>, text: &str) {
    let mut state = server.state();
    let Some(account) = state.accounts.get_mut(number) else { return };
    (account.profile.about, account.profile.about_at) = (text.to_owned(), unix_now());
    let change = NodeBuilder::new("set").bytes(text.as_bytes().to_vec()).build();
    notify_interested(server, &mut state, number, by, "status", &change);
}

fn notify_interested(
    server: &Server,
    state: &mut State,
    number: &str,
    by: Option<&DeviceId>,
    kind: &'static str,
    change: &Node,
) {
    let Some(account) = state.accounts.get(number) else { return };
    let (from, audience) = (account.jid(Addressing::Pn, 0), account.audience());
    for id in audience.iter().filter(|id| Some(*id) != by) {
        notify(server, state, id, &from, kind, change);
    }
}

fn notify(server: &Server, state: &mut State, to: &DeviceId, from: &Jid, kind: &'static str, change: &Node) {
    let notification = NodeBuilder::new("notification")
        .attr("from", from)
        .attr("type", kind)
        .attr("id", server.stanza_id())
        .attr("t", unix_now())
        .children([change.clone()])
        .build();
    state.deliver(to, notification, &server.stats);
}
