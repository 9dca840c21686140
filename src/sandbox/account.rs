//! Accounts and their devices as the server knows them: public keys, queues, and who is connected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use buffa::Message as _;
use tokio::sync::mpsc::UnboundedSender;
use wacore::libsignal::protocol::{CurveError, KeyPair};
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::{ADVKeyIndexList, ADVSignedKeyIndexList};

use super::ca::sign;
use super::node::{leaf, text, unix_now};
use super::phone::Phone;

/// One device of one account. Device 0 is the phone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DeviceId {
    /// Digits of the phone number.
    pub(super) number: String,
    pub(super) device: u16,
}

/// The two ways to address the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressing {
    /// By phone number.
    Pn,
    /// By the number-less id that WhatsApp prefers.
    Lid,
}

impl Addressing {
    pub(super) fn of(jid: &Jid) -> Self {
        if jid.server.is_lid_family() { Self::Lid } else { Self::Pn }
    }
}

/// The public keys that others need to open a session.
#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub(super) registration: Vec<u8>,
    pub(super) identity: Vec<u8>,
    /// The `<skey>` node as uploaded.
    pub(super) signed: Node,
    /// The `<key>` nodes as uploaded; each is handed out once.
    pub(super) one_time: VecDeque<Node>,
}

impl Bundle {
    /// What a fetch gets: the lasting keys and one one-time key, or none when they are used up.
    pub(super) fn take(&mut self) -> Vec<Node> {
        let mut nodes = vec![
            leaf("registration", self.registration.clone()),
            leaf("type", vec![5]),
            leaf("identity", self.identity.clone()),
            self.signed.clone(),
        ];
        nodes.extend(self.one_time.pop_front());
        nodes
    }
}

/// What the server writes to a socket.
#[derive(Debug)]
pub(super) enum Outgoing {
    Stanza(Node),
    Close,
}

/// The way to a socket. Clones lead to the same one.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) sender: UnboundedSender<Outgoing>,
}

impl Link {
    pub(super) fn send(&self, node: Node) {
        // A socket that is gone needs no stanza: what must not be lost is in the device's queue.
        let _ = self.sender.send(Outgoing::Stanza(node));
    }

    pub(super) fn close(&self) {
        let _ = self.sender.send(Outgoing::Close);
    }
}

/// A linked device.
#[derive(Debug)]
pub(super) struct Device {
    /// The Noise key it must log in with.
    pub(super) noise_key: [u8; 32],
    /// The device identity it signed when it was linked; others check it.
    pub(super) identity: Vec<u8>,
    pub(super) bundle: Bundle,
    pub(super) link: Option<Link>,
    /// Whether it asked for its messages on this connection.
    pub(super) active: bool,
    /// Whether the phone has shared the app-state key with it.
    pub(super) key_shared: bool,
    /// Everything handed to it or waiting for it that it has not acknowledged, in order.
    pub(super) queue: VecDeque<Node>,
}

impl Device {
    pub(super) fn new(noise_key: [u8; 32], identity: Vec<u8>, bundle: Bundle) -> Self {
        Self { noise_key, identity, bundle, link: None, active: false, key_shared: false, queue: VecDeque::new() }
    }

    /// Queues a stanza until it is acknowledged, and sends it if the device is listening.
    pub(super) fn deliver(&mut self, node: Node) {
        if let (Some(link), true) = (&self.link, self.active) {
            link.send(node.clone());
        }
        self.queue.push_back(node);
    }

    /// Forgets a stanza that the device acknowledged. A receipt and its message have the same id, and one message gets
    /// several receipts, so the tag and, where the acknowledgement names it, the type must agree.
    pub(super) fn settle(&mut self, tag: &str, id: &str, kind: Option<&str>) {
        let matches = |node: &Node, kind: Option<&str>| {
            node.tag == tag && text(node, "id") == id && kind.is_none_or(|kind| text(node, "type") == kind)
        };
        let found = self
            .queue
            .iter()
            .position(|node| matches(node, kind))
            .or_else(|| self.queue.iter().position(|node| matches(node, None)));
        if let Some(index) = found {
            self.queue.remove(index);
        }
    }
}

/// One account: a phone and the devices linked to it.
pub(super) struct Account {
    pub(super) number: String,
    pub(super) lid: String,
    /// The phone's identity key, which vouches for every linked device.
    pub(super) key: KeyPair,
    /// Names this generation of the account in device identities.
    pub(super) raw_id: u32,
    pub(super) phone: Phone,
    pub(super) phone_bundle: Bundle,
    pub(super) devices: BTreeMap<u16, Device>,
    /// The name that others are shown.
    pub(super) push_name: Option<String>,
    /// Devices that asked for our device list, and are told when it changes.
    pub(super) watchers: BTreeSet<DeviceId>,
    pub(super) last_device: u16,
}

impl Account {
    /// The address of one of our devices.
    pub(super) fn jid(&self, addressing: Addressing, device: u16) -> Jid {
        match addressing {
            Addressing::Pn => Jid::pn_device(self.number.as_str(), device),
            Addressing::Lid => Jid::lid_device(self.lid.as_str(), device),
        }
    }

    /// The list of our devices, signed by the phone.
    pub(super) fn key_index_list(&self) -> Result<Node, CurveError> {
        let details = ADVKeyIndexList {
            raw_id: Some(self.raw_id),
            timestamp: Some(unix_now()),
            current_index: Some(u32::from(self.last_device)),
            valid_indexes: std::iter::once(0).chain(self.devices.keys().copied().map(u32::from)).collect(),
            ..Default::default()
        }
        .encode_to_vec();
        // Two bytes that keep this signature from being taken for one over a device identity (06 00).
        let signature = sign(&self.key, &[&[6, 2], details.as_slice()].concat())?;
        let signed =
            ADVSignedKeyIndexList { details: Some(details), account_signature: Some(signature), ..Default::default() };
        Ok(NodeBuilder::new("key-index-list").attr("ts", unix_now()).bytes(signed.encode_to_vec()).build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        let bundle =
            Bundle { registration: vec![], identity: vec![], signed: leaf("skey", vec![]), one_time: VecDeque::new() };
        Device::new([0; 32], vec![], bundle)
    }

    fn stanza(tag: &'static str, id: &str, kind: &str) -> Node {
        NodeBuilder::new(tag).attr("id", id).attr("type", kind).build()
    }

    #[test]
    fn x1_an_acknowledgement_settles_the_stanza_it_names() {
        let mut device = device();
        for (tag, kind) in [("message", "text"), ("receipt", ""), ("receipt", "read")] {
            device.deliver(stanza(tag, "A", kind));
        }
        device.settle("receipt", "A", Some("read"));
        device.settle("message", "B", None);
        let left: Vec<_> = device.queue.iter().map(|node| (node.tag.as_ref(), text(node, "type"))).collect();
        assert_eq!(left, [("message", "text".to_owned()), ("receipt", String::new())]);
        device.settle("message", "A", None);
        assert_eq!(device.queue.len(), 1);
    }

    #[test]
    fn x1_a_one_time_key_is_handed_out_once() {
        let mut bundle = device().bundle;
        bundle.one_time.push_back(leaf("key", vec![1]));
        assert_eq!(bundle.take().last().map(|node| node.tag.to_string()), Some("key".to_owned()));
        assert_eq!(bundle.take().last().map(|node| node.tag.to_string()), Some("skey".to_owned()));
    }
}
