//! Accounts and their devices as the server knows them: public keys, queues, and which devices are connected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use buffa::Enumeration as _;
use buffa::Message as _;
use serde::{Deserialize, Serialize};
use wacore::libsignal::protocol::{CurveError, KeyPair};
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::{ADVKeyIndexList, ADVSignedKeyIndexList, DeviceProps};

use super::app_state::AppState;
use super::ca::sign;
use super::link::Link;
use super::node::{leaf, unix_now};
use super::parcel::Parcel;
use super::phone::{Phone, ReadingSettings};
use super::presence::Presence;
use super::profile::Profile;
use super::settings::Settings;

/// One device of one account. Device 0 is the phone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceId {
    /// Digits of the phone number.
    pub(super) number: String,
    pub(super) device: u16,
}

/// The two ways to address the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Addressing {
    /// By phone number.
    Pn,
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
    /// Whether the owner was warned that few keys are left, and has uploaded none since.
    pub(super) warned: bool,
}

impl Bundle {
    /// The identity, registration id and signed key: the part of the bundle that no fetch uses up.
    pub(super) fn lasting_keys(&self) -> Vec<Node> {
        vec![
            leaf("registration", self.registration.clone()),
            leaf("type", vec![5]),
            leaf("identity", self.identity.clone()),
            self.signed.clone(),
        ]
    }

    /// The answer to a fetch: the lasting keys and one one-time key, or no one-time key when they are used up.
    pub(super) fn take(&mut self) -> Vec<Node> {
        let mut nodes = self.lasting_keys();
        nodes.extend(self.one_time.pop_front());
        nodes
    }
}

/// The properties that a device registered with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Properties {
    /// The name that the device gives itself.
    #[serde(default)]
    pub(super) name: String,
    /// The kind of program, in the protocol's words (`CHROME`, `DESKTOP`).
    #[serde(default)]
    pub(super) platform: String,
    /// The device takes the first history chunk inside the message that announces it.
    pub(super) inline: bool,
    /// The device wants the full history, not only the recent part.
    pub(super) full: bool,
}

impl Properties {
    /// Reads the properties that a device registers with. Unreadable bytes count as no properties.
    pub(super) fn read(properties: &[u8]) -> Self {
        let properties = DeviceProps::decode_from_slice(properties).unwrap_or_default();
        Self {
            name: properties.os.clone().unwrap_or_default(),
            platform: properties.platform_type.unwrap_or_default().proto_name().to_owned(),
            inline: properties.history_sync_config.inline_initial_payload_in_e2_ee_msg.unwrap_or_default(),
            full: properties.require_full_sync.unwrap_or_default(),
        }
    }
}

/// A linked device.
#[derive(Debug)]
pub(super) struct Device {
    /// The Noise key that the device must log in with.
    pub(super) noise_key: [u8; 32],
    /// The device identity that the device signed when it was linked; other clients check it.
    pub(super) identity: Vec<u8>,
    pub(super) bundle: Bundle,
    pub(super) link: Option<Link>,
    /// Whether the device has asked for its messages on this connection.
    pub(super) active: bool,
    /// Whether the phone has sent the app-state keys and started the history.
    pub(super) introduced: bool,
    pub(super) properties: Properties,
    /// Every stanza that the device has not acknowledged, sent or still waiting, in order.
    pub(super) queue: VecDeque<Parcel>,
}

impl Device {
    pub(super) fn new(noise_key: [u8; 32], identity: Vec<u8>, bundle: Bundle, properties: Properties) -> Self {
        Self {
            noise_key,
            identity,
            bundle,
            link: None,
            active: false,
            introduced: false,
            properties,
            queue: VecDeque::new(),
        }
    }

    /// Queues a stanza until it is acknowledged, and sends it if the device is listening.
    pub(super) fn deliver(&mut self, parcel: Parcel) {
        if let (Some(link), true) = (&self.link, self.active) {
            link.send_parcel(parcel.clone());
        }
        self.queue.push_back(parcel);
    }

    /// Removes a stanza that the device acknowledged, and returns it.
    pub(super) fn settle(&mut self, tag: &str, id: &str, kind: Option<&str>) -> Option<Parcel> {
        let find = |kind| self.queue.iter().position(|parcel| parcel.is(tag, id, kind));
        let found = find(kind).or_else(|| find(None))?;
        self.queue.remove(found)
    }
}

/// One account: a phone and the devices linked to it.
pub(super) struct Account {
    pub(super) number: String,
    pub(super) lid: String,
    /// The phone's identity key, which vouches for every linked device.
    pub(super) key: KeyPair,
    /// Identifies this generation of the account in device identities.
    pub(super) raw_id: u32,
    pub(super) phone: Phone,
    pub(super) phone_bundle: Bundle,
    pub(super) devices: BTreeMap<u16, Device>,
    /// The name that others see.
    pub(super) push_name: Option<String>,
    /// What others see of the account besides the name.
    pub(super) profile: Profile,
    pub(super) presence: Presence,
    pub(super) settings: Settings,
    /// When the owner of the phone reads what arrives.
    pub(super) manner: ReadingSettings,
    /// Devices that asked for our device list; each is notified when it changes.
    pub(super) watchers: BTreeSet<DeviceId>,
    pub(super) last_device: u16,
    /// Whether linking a device to this account requires a passkey.
    pub(super) passkey: bool,
    /// The signed device list, and the devices that it covers.
    pub(super) signed_list: Mutex<Option<(Vec<u32>, Node)>>,
    /// Settings that our devices share.
    pub(super) app_state: AppState,
}

impl Account {
    /// The address of one of our devices.
    pub(super) fn jid(&self, addressing: Addressing, device: u16) -> Jid {
        match addressing {
            Addressing::Pn => Jid::pn_device(self.number.as_str(), device),
            Addressing::Lid => Jid::lid_device(self.lid.as_str(), device),
        }
    }

    /// The devices to notify when the account changes: its own, and those that asked for its device list.
    pub(super) fn audience(&self) -> BTreeSet<DeviceId> {
        let own = self.devices.keys().map(|device| DeviceId { number: self.number.clone(), device: *device });
        own.chain(self.watchers.iter().cloned()).collect()
    }

    pub(super) fn shown_name(&self) -> &str {
        self.push_name.as_deref().unwrap_or(&self.number)
    }

    /// The list of our devices, signed by the phone. The signature is kept for each list, because a large group asks
    /// for hundreds of them.
    pub(super) fn key_index_list(&self) -> Result<Node, CurveError> {
        let valid: Vec<u32> = std::iter::once(0).chain(self.devices.keys().copied().map(u32::from)).collect();
        let mut kept = self.signed_list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = kept.as_ref().filter(|(devices, _)| *devices == valid) {
            return Ok(list.clone());
        }
        let list = self.sign_list(valid.clone())?;
        *kept = Some((valid, list.clone()));
        Ok(list)
    }

    fn sign_list(&self, valid_indexes: Vec<u32>) -> Result<Node, CurveError> {
        let details = ADVKeyIndexList {
            raw_id: Some(self.raw_id),
            timestamp: Some(unix_now()),
            current_index: Some(u32::from(self.last_device)),
            valid_indexes,
            ..Default::default()
        }
        .encode_to_vec();
        // These two bytes keep the signature distinct from one over a device identity, which starts with 06 00.
        let signature = sign(&self.key, &[&[6, 2], details.as_slice()].concat())?;
        let signed =
            ADVSignedKeyIndexList { details: Some(details), account_signature: Some(signature), ..Default::default() };
        Ok(NodeBuilder::new("key-index-list").attr("ts", unix_now()).bytes(signed.encode_to_vec()).build())
    }
}

#[cfg(test)]
impl Device {
    /// A device that has uploaded no keys and sent no properties.
    pub(super) fn bare() -> Self {
        let bundle = Bundle {
            registration: vec![],
            identity: vec![],
            signed: leaf("skey", vec![]),
            one_time: VecDeque::new(),
            warned: false,
        };
        Self::new([0; 32], vec![], bundle, Properties::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_an_acknowledgement_removes_the_stanza_it_names() -> Result<(), wacore_binary::BinaryError> {
        let mut device = Device::bare();
        for (tag, kind) in [("message", "text"), ("receipt", ""), ("receipt", "read")] {
            let stanza = NodeBuilder::new(tag).attr("id", "A").attr("type", kind).build();
            device.deliver(Parcel::new(&stanza, None)?);
        }
        assert!(device.settle("receipt", "A", Some("read")).is_some());
        assert!(device.settle("message", "B", None).is_none());
        assert_eq!(device.queue.len(), 2);
        assert!(device.queue[0].is("message", "A", None) && device.queue[1].is("receipt", "A", Some("")));
        // No queued receipt has this type: the acknowledgement then takes the only one there is.
        assert!(device.settle("receipt", "A", Some("played")).is_some());
        assert!(device.settle("message", "A", None).is_some());
        assert!(device.queue.is_empty());
        Ok(())
    }

    #[test]
    fn x1_a_one_time_key_is_handed_out_once() {
        let mut bundle = Device::bare().bundle;
        bundle.one_time.push_back(leaf("key", vec![1]));
        assert_eq!(bundle.take().last().map(|node| node.tag.to_string()), Some("key".to_owned()));
        assert_eq!(bundle.take().last().map(|node| node.tag.to_string()), Some("skey".to_owned()));
    }
}
