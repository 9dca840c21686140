//! The phone in groups and with statuses: a message is encrypted once, with a sender key that every device was sent.

use std::collections::BTreeSet;

use wacore::libsignal::protocol::{
    SenderKeyDistributionMessage, SenderKeyName, create_sender_key_distribution_message, group_decrypt, group_encrypt,
    process_sender_key_distribution_message,
};
use wacore::messages::{MessageUtils, decode_plaintext};
use wacore::send::stanza_type_from_message;
use wacore::types::jid::make_sender_key_name;
use wacore::types::message::EditAttribute;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, JidExt as _, Node};
use waproto::whatsapp::Message;
use waproto::whatsapp::message::SenderKeyDistributionMessage as Distribution;

use super::super::LOG;
use super::super::account::{Addressing, DeviceId};
use super::super::node::bytes;
use super::super::stanza::deliver_encrypted;
use super::origin::Origin;
use super::signal::{ENC_VERSION, address, rng};
use super::worker::Worker;
use super::{Phone, PhoneError, Task};

/// The recipients of a group message or status.
struct Audience {
    addressing: Addressing,
    people: Vec<Jid>,
    /// Linked devices, which get it encrypted.
    devices: Vec<(DeviceId, Jid)>,
    /// The other phones.
    phones: Vec<(DeviceId, Phone)>,
}

impl Worker {
    /// Decrypts a ciphertext that is shared by all recipients of a chat.
    pub(super) async fn open_shared(
        &mut self,
        chat: &Jid,
        sender: &DeviceId,
        enc: &Node,
    ) -> Result<Message, PhoneError> {
        let name = make_sender_key_name(chat, &address(sender));
        let plain = group_decrypt(&bytes(enc).unwrap_or_default(), &mut self.keys.senders, &name).await?;
        decode_plaintext(&plain, ENC_VERSION).map_err(|error| PhoneError::Content(error.to_string()))
    }

    /// Stores the sender key that a message contains, if any.
    pub(super) async fn learn_sender_key(
        &mut self,
        chat: &Jid,
        sender: &DeviceId,
        message: &Message,
    ) -> Result<(), PhoneError> {
        let key = message.sender_key_distribution_message.as_option();
        let Some(key) = key.and_then(|key| key.axolotl_sender_key_distribution_message.as_deref()) else {
            return Ok(());
        };
        let key = SenderKeyDistributionMessage::try_from(key)?;
        let name = make_sender_key_name(chat, &address(sender));
        Ok(process_sender_key_distribution_message(&name, &key, &mut self.keys.senders).await?)
    }

    /// Sends to a group, or posts a status.
    pub(super) async fn send_to_many(&mut self, to: &Jid, id: &str, message: &Message) -> Result<(), PhoneError> {
        let audience = self.audience(to)?;
        let own = match audience.addressing {
            Addressing::Lid => self.server.state().accounts.get(&self.own.number).map(|own| Jid::lid(own.lid.as_str())),
            Addressing::Pn => Some(Jid::pn(self.own.number.as_str())),
        };
        let mut listed = self.distribute(to, &audience).await?;
        let plain = MessageUtils::encode_and_pad(message);
        let name = self.sender_key(to);
        let shared = group_encrypt(&mut self.keys.senders, &name, &plain, &mut rng()).await?;
        if to.is_status_broadcast() {
            // The server does not know the owner's contacts, so a status names its recipients.
            listed.extend(audience.people.iter().map(|person| NodeBuilder::new("to").attr("jid", person).build()));
        }
        let shared =
            NodeBuilder::new("enc").attr("v", ENC_VERSION).attr("type", "skmsg").bytes(shared.into_serialized());
        let stanza = head(to, id, message)
            .children([NodeBuilder::new("participants").children(listed).build(), shared.build()])
            .build();
        let devices = audience.devices.iter().map(|(device, _)| device.clone());
        let addressed = devices.chain(audience.phones.iter().map(|(phone, _)| phone.clone()));
        self.server.ledger.phone_sends(&self.own, &to.to_string(), id, addressed);
        deliver_encrypted(&self.server, &self.own, &stanza)?;
        for (_, phone) in audience.phones {
            // Two phones of one sandbox have no secrets from it; the copy needs no ciphertext.
            phone.enqueue(Task::FromPhone {
                number: self.own.number.clone(),
                origin: Origin { to: to.clone(), participant: own.clone() },
                id: id.to_owned(),
                message: Box::new(message.clone()),
            });
        }
        Ok(())
    }

    /// Encrypts a message again for one device of a group or status, with the sender key, which the device may lack.
    pub(super) async fn send_again_to_one(
        &mut self,
        device: &DeviceId,
        to: &Jid,
        id: &str,
        message: &Message,
    ) -> Result<(), PhoneError> {
        let mut message = message.clone();
        message.sender_key_distribution_message = buffa::MessageField::some(self.distribution(to).await?);
        let enc = self.seal(device, &message).await?;
        self.given.entry(to.to_string()).or_default().insert(device.clone());
        let participant = Jid::pn_device(device.number.as_str(), device.device);
        let stanza = head(to, id, &message).attr("participant", participant).children([enc]).build();
        Ok(deliver_encrypted(&self.server, &self.own, &stanza)?)
    }

    /// Replaces addresses in a message by the group's form; the owner's own list uses numbers.
    pub(super) fn address_in(&self, to: &Jid, message: &mut Message) {
        let state = self.server.state();
        let Ok(group) = state.group(to) else { return };
        let readdress = |participant: &mut Option<String>| {
            let number = participant.as_deref().and_then(|jid| state.number_of(&jid.parse().ok()?));
            if let Some(number) = number {
                *participant = Some(group.addresses(&state, &number).0.to_string());
            }
        };
        if let Some(key) = message.reaction_message.as_option_mut().and_then(|it| it.key.as_option_mut()) {
            readdress(&mut key.participant);
        }
        let quote = message.extended_text_message.as_option_mut().and_then(|it| it.context_info.as_option_mut());
        if let Some(quote) = quote {
            readdress(&mut quote.participant);
        }
    }

    /// Our sender key for the devices that lack it. If a device has the key that must no longer read along, the key is
    /// a new one.
    async fn distribute(&mut self, to: &Jid, audience: &Audience) -> Result<Vec<Node>, PhoneError> {
        let there: BTreeSet<&DeviceId> = audience.devices.iter().map(|(device, _)| device).collect();
        let mut given = self.given.remove(&to.to_string()).unwrap_or_default();
        if given.iter().any(|device| !there.contains(device)) {
            self.keys.senders.forget(&self.sender_key(to));
            given.clear();
        }
        let key = self.distribution(to).await?;
        let carrier = Message { sender_key_distribution_message: buffa::MessageField::some(key), ..Message::default() };
        let mut sealed = vec![];
        for (device, jid) in &audience.devices {
            if given.contains(device) {
                continue;
            }
            match self.seal(device, &carrier).await {
                Ok(enc) => {
                    sealed.push(NodeBuilder::new("to").attr("jid", jid).children([enc]).build());
                    given.insert(device.clone());
                }
                // An error of one device must not keep the message from the others.
                Err(error) => {
                    tracing::warn!(target: LOG, phone = %self.own.number, ?device, %error, "cannot send the sender key to a device");
                }
            }
        }
        self.given.insert(to.to_string(), given);
        Ok(sealed)
    }

    /// Our sender key for a chat, created if there is none.
    async fn distribution(&mut self, to: &Jid) -> Result<Distribution, PhoneError> {
        let name = self.sender_key(to);
        let key = create_sender_key_distribution_message(&name, &mut self.keys.senders, &mut rng()).await?;
        Ok(Distribution {
            group_id: Some(to.to_string()),
            axolotl_sender_key_distribution_message: Some(key.into_serialized().into_vec()),
        })
    }

    fn sender_key(&self, chat: &Jid) -> SenderKeyName {
        make_sender_key_name(chat, &address(&self.own))
    }

    /// A group's members; for a status, everyone that the owner has a chat with. We are among them.
    fn audience(&self, to: &Jid) -> Result<Audience, PhoneError> {
        let contacts = if to.is_group() { BTreeSet::new() } else { self.contacts() };
        let state = self.server.state();
        let (addressing, numbers) = if to.is_group() {
            let group = state.group(to)?;
            group.require_writer(&self.own.number)?;
            (group.addressing, group.participants.keys().cloned().collect())
        } else {
            (Addressing::Lid, contacts)
        };
        let accounts = || numbers.iter().filter_map(|number| state.accounts.get(number));
        let linked = accounts().flat_map(|account| {
            let id = |device| DeviceId { number: account.number.clone(), device };
            account.devices.keys().map(move |device| (id(*device), account.jid(addressing, *device)))
        });
        Ok(Audience {
            addressing,
            people: accounts().map(|account| account.jid(addressing, 0)).collect(),
            devices: linked.collect(),
            phones: accounts()
                .filter(|account| account.number != self.own.number)
                .map(|account| (DeviceId { number: account.number.clone(), device: 0 }, account.phone.clone()))
                .collect(),
        })
    }
}

fn head(to: &Jid, id: &str, message: &Message) -> NodeBuilder {
    let stanza =
        NodeBuilder::new("message").attr("to", to).attr("id", id).attr("type", stanza_type_from_message(message));
    match EditAttribute::infer_from_message(message) {
        Some(edit) => stanza.attr("edit", edit.as_str()),
        None => stanza,
    }
}
