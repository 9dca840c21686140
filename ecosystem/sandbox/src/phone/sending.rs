//! The messages that the owner of a phone sends, and their retries.

use wacore::messages::wrap_device_sent;
use wacore::send::{media_type_from_message, stanza_type_from_message};
use wacore::types::message::EditAttribute;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, JidExt as _};
use waproto::whatsapp::Message;

use super::super::LOG;
use super::super::account::{Addressing, DeviceId};
use super::super::node::unix_now;
use super::content::Draft;
use super::origin::Origin;
use super::worker::{Sent, Worker, is_many};
use super::{PhoneError, Task};

/// How many sent messages a phone can encrypt again for a device that could not read them.
const REMEMBERED: usize = 1000;

impl Worker {
    /// Encrypts a message again for a device that could not read it.
    pub(super) async fn send_again(&mut self, device: &DeviceId, id: &str) -> Result<(), PhoneError> {
        let Some(sent) = self.sent.iter().find(|sent| sent.id == id) else { return Ok(()) };
        let (to, message) = (sent.to.clone(), sent.message.clone());
        self.begin_session(device).await?;
        if is_many(&to) {
            return self.send_again_to_one(device, &to, id, &message).await;
        }
        self.copy_to(device, &to, id, &message).await
    }

    /// Sends the owner's message to the recipient's phone, all their devices and all our own other devices.
    pub(super) async fn send(&mut self, to: Jid, draft: Draft) -> Result<String, PhoneError> {
        let id = format!("3A{}", hex::encode_upper(rand::random::<[u8; 9]>()));
        let to = to.to_non_ad();
        if to.is_status_broadcast() && !matches!(draft, Draft::Text(_) | Draft::Revoke { .. }) {
            return Err(PhoneError::Status);
        }
        let attachment = draft.attachment();
        let mut message = draft.compose(&to, &self.inbox())?;
        if let Some(attachment) = attachment {
            attachment.upload(&self.server, &mut message).await?;
        }
        if is_many(&to) {
            self.address_in(&to, &mut message);
            self.send_to_many(&to, &id, &message).await?;
            self.store(&to, &self.own.number, &id, &message, true);
            self.remember(&id, &to, &message);
            return Ok(id);
        }
        let (recipient, devices) = {
            let state = self.server.state();
            let recipient = state.account_of(&to).ok_or_else(|| PhoneError::NoAccount(to.user.to_string()))?;
            let of = |number: &str| -> Vec<DeviceId> {
                let devices = state.accounts.get(number).into_iter().flat_map(|account| account.devices.keys());
                devices.map(|device| DeviceId { number: number.to_owned(), device: *device }).collect()
            };
            // A blocked sender is not told, and keeps sending.
            let blocked = recipient.settings.blocks(&self.own.number);
            let mut devices = if blocked { vec![] } else { of(&recipient.number) };
            if recipient.number != self.own.number {
                devices.extend(of(&self.own.number));
                let phone = DeviceId { number: recipient.number.clone(), device: 0 };
                let addressed = devices.iter().cloned().chain((!blocked).then_some(phone));
                self.server.ledger.phone_sends(&self.own, &state.chat_of(&to), &id, addressed);
                let addressed = state.accounts.get(&self.own.number).map(|own| own.jid(Addressing::of(&to), 0));
                if let Some(addressed) = addressed.filter(|_| !blocked) {
                    // Two phones of one sandbox have no secrets from it; the copy needs no ciphertext.
                    let task = Task::FromPhone {
                        number: self.own.number.clone(),
                        origin: Origin { to: addressed, participant: None },
                        id: id.clone(),
                        message: Box::new(message.clone()),
                    };
                    recipient.phone.enqueue(task);
                }
            }
            (recipient.number.clone(), devices)
        };
        self.store(&Jid::pn(recipient), &self.own.number, &id, &message, true);
        self.remember(&id, &to, &message);
        for device in devices {
            // An error of one device must not keep the message from the others.
            if let Err(error) = self.copy_to(&device, &to, &id, &message).await {
                tracing::warn!(target: LOG, phone = %self.own.number, ?device, %error, "cannot send a copy to a device");
            }
        }
        Ok(id)
    }

    fn remember(&mut self, id: &str, to: &Jid, message: &Message) {
        self.sent.push_back(Sent { id: id.to_owned(), to: to.clone(), message: message.clone() });
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
    }

    /// Sends one device its copy of a message in the chat `to`.
    async fn copy_to(&mut self, device: &DeviceId, to: &Jid, id: &str, message: &Message) -> Result<(), PhoneError> {
        let own = device.number == self.own.number;
        let content = if own { wrap_device_sent(message.clone(), to.to_string()) } else { message.clone() };
        let mut enc = self.seal(device, &content).await?;
        if let Some(kind) = media_type_from_message(message) {
            enc.attrs.insert("mediatype", kind);
        }
        let mut stanza = self.envelope(Addressing::of(to), id)?;
        if own {
            stanza = stanza.attr("recipient", to);
        }
        if let Some(edit) = EditAttribute::infer_from_message(message) {
            stanza = stanza.attr("edit", edit.as_str());
        }
        let stanza = stanza.attr("type", stanza_type_from_message(message)).children([enc]).build();
        self.server.state().deliver(device, stanza, &self.server.stats);
        Ok(())
    }

    /// The head of a message from us.
    pub(super) fn envelope(&self, addressing: Addressing, id: &str) -> Result<NodeBuilder, PhoneError> {
        let state = self.server.state();
        let number = &self.own.number;
        let own = state.accounts.get(number).ok_or_else(|| PhoneError::NoAccount(number.clone()))?;
        let (alternative, other) = match addressing {
            Addressing::Lid => ("sender_pn", own.jid(Addressing::Pn, 0)),
            Addressing::Pn => ("sender_lid", own.jid(Addressing::Lid, 0)),
        };
        Ok(NodeBuilder::new("message")
            .attr("from", own.jid(addressing, 0))
            .attr(alternative, other)
            .attr("id", id)
            .attr("t", unix_now())
            .attr("notify", number.as_str()))
    }
}
