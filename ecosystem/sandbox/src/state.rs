//! The server's memory: accounts by number, groups, and devices that are being linked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use wacore_binary::{Jid, Node};

use super::LOG;
use super::account::{Account, Device, DeviceId};
use super::changes::Changes;
use super::group::Group;
use super::ledger::{Ledger, Ticket};
use super::link::Link;
use super::node::jid;
use super::pairing::{Attempt, Pairing, Waiting};
use super::parcel::Parcel;
use super::stats::Stats;

/// How many statuses the server remembers, to recognise retries.
const STATUSES: usize = 1000;

/// The whole state of the server, behind one lock. Each operation takes a few map look-ups, and one order of events for
/// all connections makes tests repeatable.
pub(super) struct State {
    /// By number.
    pub(super) accounts: HashMap<String, Account>,
    /// From LID to number.
    pub(super) lids: HashMap<String, String>,
    /// Devices that want to be linked, by their connection.
    pub(super) waiting: HashMap<u64, Waiting>,
    /// Devices whose identity the phone has signed and which have not signed yet; by the id of the query to them.
    pub(super) pairings: HashMap<String, Pairing>,
    /// Devices that must show a passkey, by their Noise keys.
    pub(super) passkeys: HashMap<[u8; 32], Attempt>,
    pub(super) ledger: Arc<Ledger>,
    /// Announces changes that concern the view of one phone only.
    pub(super) changes: Arc<Changes>,
    /// By the part before `@g.us`.
    pub(super) groups: BTreeMap<String, Group>,
    /// The latest statuses: the posting device and the id.
    pub(super) statuses: VecDeque<(DeviceId, String)>,
}

impl State {
    pub(super) fn new(ledger: Arc<Ledger>, changes: Arc<Changes>) -> Self {
        Self {
            accounts: HashMap::new(),
            lids: HashMap::new(),
            waiting: HashMap::new(),
            pairings: HashMap::new(),
            passkeys: HashMap::new(),
            groups: BTreeMap::new(),
            statuses: VecDeque::new(),
            ledger,
            changes,
        }
    }

    /// The number of an address, whether or not it has an account.
    pub(super) fn number_of(&self, jid: &Jid) -> Option<String> {
        if jid.server.is_lid_family() {
            self.lids.get(jid.user.as_str()).cloned()
        } else if jid.server.is_pn_family() || jid.server.as_str() == wacore_binary::LEGACY_USER_SERVER {
            Some(jid.user.to_string())
        } else {
            None
        }
    }

    /// The account of an address.
    pub(super) fn account_of(&self, jid: &Jid) -> Option<&Account> {
        self.accounts.get(&self.number_of(jid)?)
    }

    /// The device of an address, whether or not it exists.
    pub(super) fn device_of(&self, jid: &Jid) -> Option<DeviceId> {
        Some(DeviceId { number: self.number_of(jid)?, device: jid.device })
    }

    /// The phone and the linked devices of a number.
    pub(super) fn devices(&self, number: &str) -> impl Iterator<Item = DeviceId> {
        let account = self.accounts.get(number).into_iter();
        let devices = account.flat_map(|account| std::iter::once(0).chain(account.devices.keys().copied()));
        devices.map(move |device| DeviceId { number: number.to_owned(), device })
    }

    /// Remembers a device's status.
    pub(super) fn posted(&mut self, device: &DeviceId, id: String) {
        let status = (device.clone(), id);
        if !self.statuses.contains(&status) {
            self.statuses.push_back(status);
        }
        if self.statuses.len() > STATUSES {
            self.statuses.pop_front();
        }
    }

    /// A linked device.
    pub(super) fn device(&mut self, id: &DeviceId) -> Option<&mut Device> {
        self.accounts.get_mut(&id.number)?.devices.get_mut(&id.device)
    }

    /// The ledger's name of a chat: the group, or the other side's number in any form of address.
    pub(super) fn chat_of(&self, jid: &Jid) -> String {
        self.number_of(jid).map_or_else(|| jid.to_non_ad().to_string(), |number| Jid::pn(number).to_string())
    }

    /// Records in the ledger that a copy of a message goes to a device.
    fn note(&self, to: &DeviceId, message: &Node) -> Option<Ticket> {
        let (from, participant) = (jid(message, "from")?, jid(message, "participant"));
        let sender = self.device_of(participant.as_ref().unwrap_or(&from))?;
        let chat = match (participant, jid(message, "recipient")) {
            // The ledger takes the chat from the sender's own entry.
            _ if sender.device != 0 => String::new(),
            (Some(_), _) => from.to_string(),
            (None, Some(recipient)) => self.chat_of(&recipient),
            (None, None) => Jid::pn(to.number.as_str()).to_string(),
        };
        self.ledger.routed(&sender, &chat, message, to)
    }

    /// Delivers a stanza to a device, or to the phone when the device is 0. Does nothing when there is none.
    pub(super) fn deliver(&mut self, to: &DeviceId, node: Node, stats: &Stats) {
        if !self.accounts.contains_key(&to.number) {
            return;
        }
        stats.count(|counters| match node.tag.as_ref() {
            "message" => counters.messages_routed += 1,
            "receipt" => counters.receipts_routed += 1,
            _ => {}
        });
        let ticket = if node.tag == "message" { self.note(to, &node) } else { None };
        if to.device == 0 {
            // The phone does not use LIDs: it identifies senders by number and answers in the form of address of the
            // stanza. In a group the sender is the participant.
            let from = jid(&node, "participant").or_else(|| jid(&node, "from"));
            let from = from.and_then(|from| self.device_of(&from).map(|device| (from, device)));
            if let (Some((jid, device)), Some(account)) = (from, self.accounts.get(&to.number)) {
                account.phone.receive(jid, device, node);
            }
        } else if let Some(device) = self.device(to) {
            match Parcel::new(&node, ticket) {
                Ok(parcel) => device.deliver(parcel),
                Err(error) => tracing::error!(target: LOG, ?to, %error, "cannot encode a stanza; it is dropped"),
            }
        }
    }

    /// A device acknowledged stanzas: removes them from its queue.
    pub(super) fn settle(&mut self, own: &DeviceId, tag: &str, ids: &[String], kind: Option<&str>) {
        let Some(device) = self.device(own) else { return };
        let settled: Vec<_> = ids.iter().filter_map(|id| device.settle(tag, id, kind)?.ticket()).collect();
        if !settled.is_empty() {
            self.ledger.acknowledged(settled);
        }
    }

    /// Removes the state of a closed socket.
    pub(super) fn disconnected(&mut self, link: u64, device: Option<&DeviceId>) {
        self.waiting.remove(&link);
        self.pairings.retain(|_, pairing| pairing.link.id() != link);
        let Some(id) = device else { return };
        if let Some(device) = self.device(id) {
            // A newer connection may have replaced this one.
            if device.link.as_ref().is_some_and(|current| current.id() != link) {
                return;
            }
            device.link = None;
            device.active = false;
        }
        self.set_available(id, false);
    }

    /// The connected devices and their links.
    pub(super) fn links(&self) -> Vec<(DeviceId, Link)> {
        let accounts = self.accounts.iter();
        let devices = accounts.flat_map(|(number, account)| account.devices.iter().map(move |device| (number, device)));
        let linked = devices.filter_map(|(number, (device, it))| {
            Some((DeviceId { number: number.clone(), device: *device }, it.link.clone()?))
        });
        linked.collect()
    }

    /// The number of connected devices.
    pub(super) fn connected(&self) -> usize {
        self.accounts
            .values()
            .flat_map(|account| account.devices.values())
            .filter(|device| device.link.is_some())
            .count()
    }
}
