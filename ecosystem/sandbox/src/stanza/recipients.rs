//! The recipients of a message: the devices behind its addresses, each with its ciphertext.
//!
//! In a one-to-one chat the sender names every device. In a group the server knows the members, and the sender names
//! only the devices that need its sender key. A status goes to the people that the sender names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use wacore::messages::MessageUtils;
use wacore_binary::{Jid, JidExt as _, Node};

use super::super::account::{Account, Addressing, DeviceId};
use super::super::group::GroupRefusal;
use super::super::node::{children, jid, text, unix_now};
use super::super::state::State;

/// One device's copy.
pub(super) struct Copy<'a> {
    pub(super) device: DeviceId,
    /// The form of address for the sender's name in this copy.
    pub(super) addressing: Addressing,
    /// The parts of the message for this device.
    pub(super) content: Vec<&'a Node>,
}

/// The copies of a message.
pub(super) struct Recipients<'a> {
    pub(super) copies: Vec<Copy<'a>>,
    /// The checksum of the actual devices, when the sender's list of devices is out of date.
    pub(super) phash: Option<String>,
}

/// Why a message is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undeliverable {
    /// The sandbox does not support this kind of address.
    Unknown,
    NoAccount,
    /// The account may start no new chats.
    Limited,
    Group(GroupRefusal),
}

impl Undeliverable {
    /// The error code for the ack.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Unknown => 405,
            Self::NoAccount => 404,
            Self::Limited => 463,
            Self::Group(refusal) => refusal.wire().0,
        }
    }
}

/// The copies of a message from a device or a phone.
pub(super) fn of<'a>(
    state: &State,
    own: &DeviceId,
    message: &'a Node,
    to: &Jid,
) -> Result<Recipients<'a>, Undeliverable> {
    if to.is_group() {
        return in_group(state, own, message, to).map_err(Undeliverable::Group);
    }
    if to.is_status_broadcast() {
        return Ok(Recipients { copies: of_status(state, own, message), phash: None });
    }
    let number = state.number_of(to).ok_or(Undeliverable::Unknown)?;
    if !state.accounts.contains_key(&number) {
        return Err(Undeliverable::NoAccount);
    }
    if number != own.number && state.accounts.get(&own.number).is_some_and(|account| is_limited(account, &number)) {
        return Err(Undeliverable::Limited);
    }
    Ok(in_chat(state, own, message, to, &number))
}

/// Whether an account may not write to a number, because that would be a new chat.
fn is_limited(account: &Account, number: &str) -> bool {
    account.settings.limit_at(unix_now()).is_some() && !account.phone.chats().contains(&Jid::pn(number).to_string())
}

fn in_chat<'a>(state: &State, own: &DeviceId, message: &'a Node, to: &Jid, number: &str) -> Recipients<'a> {
    let named = |(jid, content): (Jid, Vec<&'a Node>)| {
        let device = state.device_of(&jid)?;
        Some(Copy { device, addressing: Addressing::of(&jid), content })
    };
    let mut copies: Vec<Copy<'a>> = listed(message).filter_map(named).collect();
    // A list names all devices; a message for a single device has none.
    let phash = (!copies.is_empty()).then(|| corrected_phash(state, own, &copies, to, number)).flatten();
    let direct: Vec<&Node> = sealed_for_all(message).collect();
    if !direct.is_empty() {
        copies.extend(named((to.clone(), direct)));
    }
    // A block in either direction stops the message, and neither side is told.
    let blocks = |account: &Account| account.settings.blocks(&own.number);
    copies.retain(|copy| !state.accounts.get(&copy.device.number).is_some_and(blocks));
    Recipients { copies, phash }
}

/// The checksum of both sides' devices without the sending one, if they differ from those with copies.
fn corrected_phash(state: &State, own: &DeviceId, copies: &[Copy<'_>], to: &Jid, number: &str) -> Option<String> {
    let numbers = BTreeSet::from([number, own.number.as_str()]);
    let there: BTreeSet<DeviceId> = numbers.into_iter().flat_map(|number| state.devices(number)).collect();
    let named: BTreeSet<&DeviceId> = copies.iter().map(|copy| &copy.device).collect();
    if there.iter().filter(|device| *device != own).eq(named) {
        return None;
    }
    // Each side in the form of address that the sender uses.
    let forms: BTreeMap<&str, Addressing> =
        copies.iter().map(|copy| (copy.device.number.as_str(), copy.addressing)).collect();
    let jids: Vec<Jid> = there
        .iter()
        .filter(|device| *device != own)
        .filter_map(|device| {
            let form = forms.get(device.number.as_str()).copied().unwrap_or(Addressing::of(to));
            Some(state.accounts.get(&device.number)?.jid(form, device.device))
        })
        .collect();
    MessageUtils::participant_list_hash(&jids).ok()
}

fn in_group<'a>(state: &State, own: &DeviceId, message: &'a Node, to: &Jid) -> Result<Recipients<'a>, GroupRefusal> {
    let group = state.group(to)?;
    group.require_writer(&own.number)?;
    let shared: Vec<&Node> = sealed_for_all(message).collect();
    let copy = |device: DeviceId, content| Copy { device, addressing: group.addressing, content };
    if let Some(asked) = jid(message, "participant") {
        // A retry for one device that could not read the message.
        let device = state.device_of(&asked).filter(|device| group.participants.contains_key(&device.number));
        return Ok(Recipients { copies: vec![copy(device.ok_or(GroupRefusal::NotIn)?, shared)], phash: None });
    }
    let there: Vec<DeviceId> = group.participants.keys().flat_map(|number| state.devices(number)).collect();
    let believed = text(message, "phash");
    let phash = (!believed.is_empty()).then(|| {
        let jids: Vec<Jid> = there
            .iter()
            .filter_map(|device| Some(state.accounts.get(&device.number)?.jid(group.addressing, device.device)))
            .collect();
        MessageUtils::participant_list_hash(&jids).ok()
    });
    let mut sealed: HashMap<DeviceId, Vec<&Node>> =
        listed(message).filter_map(|(jid, content)| Some((state.device_of(&jid)?, content))).collect();
    let copies = there.into_iter().filter(|device| device != own).map(|device| {
        let mut content = sealed.remove(&device).unwrap_or_default();
        content.extend(&shared);
        copy(device, content)
    });
    Ok(Recipients { copies: copies.collect(), phash: phash.flatten().filter(|phash| *phash != believed) })
}

/// A status goes to every device of the named people; a retry goes to the named devices only.
fn of_status<'a>(state: &State, own: &DeviceId, message: &'a Node) -> Vec<Copy<'a>> {
    let shared: Vec<&Node> = sealed_for_all(message).collect();
    if let Some(device) = jid(message, "participant").and_then(|asked| state.device_of(&asked)) {
        return vec![Copy { device, addressing: Addressing::Lid, content: shared }];
    }
    let mut sealed: BTreeMap<DeviceId, Vec<&Node>> = BTreeMap::new();
    for (jid, content) in listed(message) {
        let Some(device) = state.device_of(&jid) else { continue };
        if !state.statuses.contains(&(own.clone(), text(message, "id"))) {
            for sibling in state.devices(&device.number) {
                sealed.entry(sibling).or_default();
            }
        }
        sealed.insert(device, content);
    }
    sealed.remove(own);
    let copy = |(device, mut content): (DeviceId, Vec<&'a Node>)| {
        content.extend(&shared);
        Copy { device, addressing: Addressing::Lid, content }
    };
    sealed.into_iter().map(copy).collect()
}

/// The people named in a message, each with the parts that are encrypted for one device, if any.
fn listed(message: &Node) -> impl Iterator<Item = (Jid, Vec<&Node>)> {
    let list = message.get_optional_child("participants").into_iter().flat_map(|list| list.get_children_by_tag("to"));
    list.filter_map(|to| Some((jid(to, "jid")?, children(to).iter().collect())))
}

/// The part that is encrypted once for all.
fn sealed_for_all(message: &Node) -> impl Iterator<Item = &Node> {
    message.get_children_by_tag("enc")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wacore_binary::builder::NodeBuilder;

    use super::super::super::Options;
    use super::super::super::account::Device;
    use super::super::super::ca::Authority;
    use super::super::super::media::Media;
    use super::super::super::node::leaf;
    use super::super::super::phone::Phone;
    use super::super::super::server::Server;
    use super::*;

    fn server(devices: &[(&str, u16)]) -> Option<Arc<Server>> {
        let options = Options::default();
        let media = Media::new(options.media, options.media_limit).ok()?;
        let server = Server::new(&options, Authority::new().ok()?, media, 1);
        for (number, device) in devices {
            Phone::create(&server, number, None).ok()?;
            server.state().accounts.get_mut(*number)?.devices.insert(*device, Device::bare());
        }
        Some(server)
    }

    #[tokio::test]
    async fn x1_a_sender_with_an_old_device_list_gets_the_new_checksum() -> Result<(), String> {
        let server = server(&[("15550001", 1), ("15550001", 2), ("15550002", 1)]).ok_or("no server")?;
        let (own, to) = (DeviceId { number: "15550001".into(), device: 1 }, Jid::pn("15550002"));
        let phash = |named: &[Jid]| {
            let to_node = |jid: &Jid| NodeBuilder::new("to").attr("jid", jid).children([leaf("enc", [1])]).build();
            let list = NodeBuilder::new("participants").children(named.iter().map(to_node)).build();
            let message = NodeBuilder::new("message").children([list]).build();
            of(&server.state(), &own, &message, &to)
                .map(|recipients| recipients.phash)
                .map_err(|why| format!("{why:?}"))
        };
        let all =
            [Jid::pn("15550001"), Jid::pn_device("15550001", 2), Jid::pn("15550002"), Jid::pn_device("15550002", 1)];
        assert_eq!(phash(&all)?, None);
        let [first, second, third, _] = all.clone();
        assert_eq!(phash(&[first, second, third])?, MessageUtils::participant_list_hash(&all).ok());
        Ok(())
    }
}
