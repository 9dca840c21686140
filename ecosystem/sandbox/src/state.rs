//! The server's memory: accounts by number, and the links that are being made.

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

/// How many statuses the server knows again when they are sent once more.
const STATUSES: usize = 1000;

/// Everything that the server knows. Kept behind one lock: each operation is a few map look-ups, and one order of events
/// for all connections is what makes a test repeatable.
pub(super) struct State {
    /// By number.
    pub(super) accounts: HashMap<String, Account>,
    /// From LID to number.
    pub(super) lids: HashMap<String, String>,
    /// Devices that want to be linked, by their connection.
    pub(super) waiting: HashMap<u64, Waiting>,
    /// Vouched for, and waiting for the device to sign; by the id of the query that asked it to.
    pub(super) pairings: HashMap<String, Pairing>,
    /// Devices that a passkey is demanded from, by their Noise keys.
    pub(super) passkeys: HashMap<[u8; 32], Attempt>,
    pub(super) ledger: Arc<Ledger>,
    /// For what changes in the view of one phone alone.
    pub(super) changes: Arc<Changes>,
    /// By what stands before `@g.us`.
    pub(super) groups: BTreeMap<String, Group>,
    /// The last statuses: which device posted which id.
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

    /// The number behind an address, whether or not it has an account.
    pub(super) fn number_of(&self, jid: &Jid) -> Option<String> {
        if jid.server.is_lid_family() {
            self.lids.get(jid.user.as_str()).cloned()
        } else if jid.server.is_pn_family() || jid.server.as_str() == wacore_binary::LEGACY_USER_SERVER {
            Some(jid.user.to_string())
        } else {
            None
        }
    }

    /// The account behind an address.
    pub(super) fn account_of(&self, jid: &Jid) -> Option<&Account> {
        self.accounts.get(&self.number_of(jid)?)
    }

    /// The device behind an address, whether or not it exists.
    pub(super) fn device_of(&self, jid: &Jid) -> Option<DeviceId> {
        Some(DeviceId { number: self.number_of(jid)?, device: jid.device })
    }

    /// The phone and the linked devices of a number.
    pub(super) fn devices(&self, number: &str) -> impl Iterator<Item = DeviceId> {
        let account = self.accounts.get(number).into_iter();
        let devices = account.flat_map(|account| std::iter::once(0).chain(account.devices.keys().copied()));
        devices.map(move |device| DeviceId { number: number.to_owned(), device })
    }

    /// Remembers that a device posted a status.
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

    /// The name of a chat in the ledger: the group, or the other side's number whatever form it was addressed in.
    pub(super) fn chat_of(&self, jid: &Jid) -> String {
        self.number_of(jid).map_or_else(|| jid.to_non_ad().to_string(), |number| Jid::pn(number).to_string())
    }

    /// Notes in the ledger that a copy of a message goes to a device.
    fn note(&self, to: &DeviceId, message: &Node) -> Option<Ticket> {
        let (from, participant) = (jid(message, "from")?, jid(message, "participant"));
        let sender = self.device_of(participant.as_ref().unwrap_or(&from))?;
        let chat = match (participant, jid(message, "recipient")) {
            // The ledger knows it from the sender.
            _ if sender.device != 0 => String::new(),
            (Some(_), _) => from.to_string(),
            (None, Some(recipient)) => self.chat_of(&recipient),
            (None, None) => Jid::pn(to.number.as_str()).to_string(),
        };
        self.ledger.routed(&sender, &chat, message, to)
    }

    /// Hands a stanza to a device, or to the phone when the device is 0. Nothing happens when there is none.
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
            // The phone has no use for the LID; it thinks in numbers and answers in the form it was addressed in.
            // In a group it is the participant who says something.
            let from = jid(&node, "participant").or_else(|| jid(&node, "from"));
            let from = from.and_then(|from| self.device_of(&from).map(|device| (from, device)));
            if let (Some((jid, device)), Some(account)) = (from, self.accounts.get(&to.number)) {
                account.phone.receive(jid, device, node);
            }
        } else if let Some(device) = self.device(to) {
            match Parcel::new(&node, ticket) {
                Ok(parcel) => device.deliver(parcel),
                Err(error) => tracing::error!(target: LOG, ?to, %error, "a stanza cannot be written down"),
            }
        }
    }

    /// A device has stanzas safely: they leave its queue.
    pub(super) fn settle(&mut self, own: &DeviceId, tag: &str, ids: &[String], kind: Option<&str>) {
        let Some(device) = self.device(own) else { return };
        let settled: Vec<_> = ids.iter().filter_map(|id| device.settle(tag, id, kind)?.ticket()).collect();
        if !settled.is_empty() {
            self.ledger.acknowledged(settled);
        }
    }

    /// Forgets what hung on a socket that is gone.
    pub(super) fn disconnected(&mut self, link: u64, device: Option<&DeviceId>) {
        self.waiting.remove(&link);
        self.pairings.retain(|_, pairing| pairing.link.id() != link);
        let Some(id) = device else { return };
        if let Some(device) = self.device(id) {
            // Unless a newer connection has taken its place.
            if device.link.as_ref().is_some_and(|current| current.id() != link) {
                return;
            }
            device.link = None;
            device.active = false;
        }
        self.set_available(id, false);
    }

    /// The devices that are connected, and the ways to them.
    pub(super) fn links(&self) -> Vec<(DeviceId, Link)> {
        let accounts = self.accounts.iter();
        let devices = accounts.flat_map(|(number, account)| account.devices.iter().map(move |device| (number, device)));
        let linked = devices.filter_map(|(number, (device, it))| {
            Some((DeviceId { number: number.clone(), device: *device }, it.link.clone()?))
        });
        linked.collect()
    }

    /// How many devices are connected.
    pub(super) fn connected(&self) -> usize {
        self.accounts
            .values()
            .flat_map(|account| account.devices.values())
            .filter(|device| device.link.is_some())
            .count()
    }
}
