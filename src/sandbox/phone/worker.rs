//! What a phone does, one task after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use buffa::Message as _;
use tokio::sync::mpsc::UnboundedReceiver;
use wacore::libsignal::protocol::{
    CiphertextMessage, IdentityKey, PreKeyBundle, PreKeySignalMessage, PreKeyStore as _, ProtocolAddress, PublicKey,
    SignalMessage, SignalProtocolError, UsePQRatchet, message_decrypt, message_encrypt, process_prekey_bundle,
};
use wacore::messages::{MessageUtils, decode_plaintext, wrap_device_sent};
use wacore::types::jid::JidExt as _;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::Message;
use waproto::whatsapp::message::protocol_message::Type;
use waproto::whatsapp::message::{
    AppStateSyncKey, AppStateSyncKeyData, AppStateSyncKeyFingerprint, AppStateSyncKeyId, AppStateSyncKeyShare,
    ProtocolMessage,
};

use super::super::LOG;
use super::super::account::{Addressing, DeviceId};
use super::super::node::{bytes, child_bytes, text, unix_now};
use super::super::server::Server;
use super::super::stanza::{route_receipt, take_bundle};
use super::inbox::Inbox;
use super::keys::Keys;
use super::{PhoneError, Task};

/// How many sent messages a phone can still encrypt again for a device that could not read them.
const REMEMBERED: usize = 1000;
/// The version of the padding and of the `enc` node.
const ENC_VERSION: u8 = 2;

/// A message that was sent, for a retry.
struct Sent {
    id: String,
    to: Jid,
    message: Message,
}

pub(super) struct Worker {
    server: Arc<Server>,
    own: DeviceId,
    keys: Keys,
    inbox: Arc<Mutex<Inbox>>,
    sent: VecDeque<Sent>,
}

impl Worker {
    pub(super) fn new(server: Arc<Server>, number: String, keys: Keys, inbox: Arc<Mutex<Inbox>>) -> Self {
        Self { server, own: DeviceId { number, device: 0 }, keys, inbox, sent: VecDeque::new() }
    }

    pub(super) async fn run(mut self, mut tasks: tokio::sync::mpsc::UnboundedReceiver<Task>) {
        let queue: &mut UnboundedReceiver<Task> = &mut tasks;
        while let Some(task) = queue.recv().await {
            let done = match task {
                Task::Receive { from, device, node } => self.receive(&from, &device, &node).await,
                Task::Send { to, text, sent } => {
                    // The request may be gone; the message is not.
                    let _ = sent.send(self.send(to, text).await);
                    Ok(())
                }
                Task::FromPhone { number, addressed, id, text } => {
                    self.store(&number, &number, &id, text, false);
                    self.look_at(&addressed, &id);
                    Ok(())
                }
                Task::ShareKey(device) => self.share_key(device).await,
                Task::Replenish => {
                    let keys = self.keys.more();
                    if let Some(account) = self.server.state().accounts.get_mut(&self.own.number) {
                        account.phone_bundle.one_time.extend(keys);
                    }
                    Ok(())
                }
            };
            if let Err(error) = done {
                tracing::warn!(target: LOG, phone = %self.own.number, %error, "the phone could not do its task");
            }
        }
    }

    async fn receive(&mut self, from: &Jid, device: &DeviceId, node: &Node) -> Result<(), PhoneError> {
        match node.tag.as_ref() {
            "message" => {
                for enc in node.get_children_by_tag("enc") {
                    match self.open(device, enc).await {
                        Ok(message) => self.read(from, device, node, message).await?,
                        Err(error) => {
                            tracing::info!(target: LOG, phone = %self.own.number, %from, %error, "cannot decrypt");
                            self.ask_again(from, node)?;
                        }
                    }
                }
                Ok(())
            }
            "receipt" if text(node, "type") == "retry" => self.send_again(device, &text(node, "id")).await,
            _ => Ok(()),
        }
    }

    /// Decrypts one `<enc>`.
    async fn open(&mut self, sender: &DeviceId, enc: &Node) -> Result<Message, PhoneError> {
        let sealed = bytes(enc).unwrap_or_default();
        let sealed = match text(enc, "type").as_str() {
            "pkmsg" => CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(sealed.as_slice())?),
            "msg" => CiphertextMessage::SignalMessage(SignalMessage::try_from(sealed.as_slice())?),
            other => return Err(PhoneError::Content(format!("enc type {other:?} is not supported yet"))),
        };
        let keys = &mut self.keys;
        let opened = message_decrypt(
            &sealed,
            &address(sender),
            &mut keys.sessions,
            &mut keys.identities,
            &mut keys.one_time,
            &keys.signed,
            &mut rng(),
            UsePQRatchet::No,
        )
        .await?;
        if let Some(id) = opened.consumed_prekey_id {
            keys.one_time.remove_pre_key(id).await?;
        }
        decode_plaintext(&opened.plaintext, ENC_VERSION).map_err(|error| PhoneError::Content(error.to_string()))
    }

    /// Does with a decrypted message what a phone does with it.
    async fn read(&mut self, from: &Jid, device: &DeviceId, node: &Node, message: Message) -> Result<(), PhoneError> {
        let id = text(node, "id");
        let own = device.number == self.own.number;
        if own && let Some(copy) = message.device_sent_message.as_option() {
            // Written on one of our other devices: shown, and not receipted.
            let chat = copy.destination_jid.as_deref().and_then(|jid| jid.parse::<Jid>().ok());
            let chat = chat.and_then(|chat| self.server.state().number_of(&chat));
            if let (Some(chat), Some(inner)) = (chat, copy.message.as_option())
                && is_chat(inner)
            {
                self.store(&chat, &device.number, &id, shown_text(inner), true);
            }
            return Ok(());
        }
        if let Some(protocol) = message.protocol_message.as_option() {
            if own && protocol.r#type == Some(Type::APP_STATE_SYNC_KEY_REQUEST) {
                self.share_key(device.device).await?;
            }
            return Ok(());
        }
        if is_chat(&message) {
            self.store(&device.number, &device.number, &id, shown_text(&message), own);
            if !own {
                self.look_at(from, &id);
            }
        }
        Ok(())
    }

    fn store(&self, chat: &str, sender: &str, id: &str, text: Option<String>, from_me: bool) {
        let jid = |number: &str| Jid::pn(number).to_string();
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.add(jid(chat), jid(sender), id.to_owned(), text, from_me);
    }

    /// The owner notices a message and, a little later, reads it.
    fn look_at(&self, from: &Jid, id: &str) {
        let (server, own, pace) = (Arc::clone(&self.server), self.own.clone(), self.server.pace);
        let receipt = NodeBuilder::new("receipt").attr("to", from).attr("id", id).build();
        self.server.spawn(async move {
            tokio::time::sleep(pace.delivered).await;
            let mut read = receipt.clone();
            route_receipt(&server, &own, receipt);
            tokio::time::sleep(pace.read).await;
            read.attrs.insert("type", "read");
            route_receipt(&server, &own, read);
        });
    }

    /// Tells the sender that we could not decrypt, with fresh keys to do it again.
    fn ask_again(&mut self, from: &Jid, node: &Node) -> Result<(), PhoneError> {
        let number = &self.own.number;
        let bundle = {
            let mut state = self.server.state();
            take_bundle(&mut state, &Jid::pn(number.as_str())).ok_or_else(|| PhoneError::NoAccount(number.clone()))?
        };
        let (registration, keys) = bundle.into_iter().partition(|part| part.tag == "registration");
        let mut content: Vec<Node> = registration;
        let retry = NodeBuilder::new("retry")
            .attr("id", text(node, "id"))
            .attr("count", "1")
            .attr("t", text(node, "t"))
            .attr("v", "1")
            .build();
        content.push(retry);
        let keys: Vec<Node> = keys;
        content.push(NodeBuilder::new("keys").children(keys).build());
        let receipt = NodeBuilder::new("receipt")
            .attr("to", from)
            .attr("id", text(node, "id"))
            .attr("type", "retry")
            .children(content)
            .build();
        route_receipt(&self.server, &self.own, receipt);
        Ok(())
    }

    /// Encrypts a message anew for a device that could not read it.
    async fn send_again(&mut self, device: &DeviceId, id: &str) -> Result<(), PhoneError> {
        let Some(sent) = self.sent.iter().find(|sent| sent.id == id) else { return Ok(()) };
        let (to, message) = (sent.to.clone(), sent.message.clone());
        self.keys.sessions.forget(&address(device));
        self.copy_to(device, &to, id, &message).await
    }

    /// Sends a text to the recipient's phone, all their devices and all our own other devices.
    async fn send(&mut self, to: Jid, text: String) -> Result<String, PhoneError> {
        let id = format!("3A{}", hex::encode_upper(rand::random::<[u8; 9]>()));
        let to = to.to_non_ad();
        let (recipient, devices) = {
            let state = self.server.state();
            let recipient = state.account_of(&to).ok_or_else(|| PhoneError::NoAccount(to.user.to_string()))?;
            let of = |number: &str| -> Vec<DeviceId> {
                let devices = state.accounts.get(number).into_iter().flat_map(|account| account.devices.keys());
                devices.map(|device| DeviceId { number: number.to_owned(), device: *device }).collect()
            };
            let mut devices = of(&recipient.number);
            if recipient.number != self.own.number {
                devices.extend(of(&self.own.number));
                let addressed = state.accounts.get(&self.own.number).map(|own| own.jid(Addressing::of(&to), 0));
                if let Some(addressed) = addressed {
                    // Two phones of one sandbox have no secrets from it; the copy needs no ciphertext.
                    let task = Task::FromPhone {
                        number: self.own.number.clone(),
                        addressed,
                        id: id.clone(),
                        text: Some(text.clone()),
                    };
                    recipient.phone.ask(task);
                }
            }
            (recipient.number.clone(), devices)
        };
        self.store(&recipient, &self.own.number, &id, Some(text.clone()), true);
        let message = Message { conversation: Some(text), ..Default::default() };
        self.sent.push_back(Sent { id: id.clone(), to: to.clone(), message: message.clone() });
        if self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
        for device in devices {
            // A device that cannot be written to must not keep the others from their copy.
            if let Err(error) = self.copy_to(&device, &to, &id, &message).await {
                tracing::warn!(target: LOG, phone = %self.own.number, ?device, %error, "a copy was not sent");
            }
        }
        Ok(id)
    }

    /// One device's copy of a message in the chat `to`.
    async fn copy_to(&mut self, device: &DeviceId, to: &Jid, id: &str, message: &Message) -> Result<(), PhoneError> {
        let own = device.number == self.own.number;
        let content = if own { wrap_device_sent(message.clone(), to.to_string()) } else { message.clone() };
        let enc = self.seal(device, &content).await?;
        let mut stanza = self.envelope(Addressing::of(to), id)?;
        if own {
            stanza = stanza.attr("recipient", to);
        }
        let stanza = stanza.attr("type", "text").children([enc]).build();
        self.server.state().deliver(device, stanza, &self.server.stats);
        Ok(())
    }

    /// Gives a device of our account the key that app state is encrypted with.
    async fn share_key(&mut self, device: u16) -> Result<(), PhoneError> {
        let device = DeviceId { number: self.own.number.clone(), device };
        let key = AppStateSyncKey {
            key_id: buffa::MessageField::some(AppStateSyncKeyId { key_id: Some(vec![0, 0, 0, 0, 0, 1]) }),
            key_data: buffa::MessageField::some(AppStateSyncKeyData {
                // Nothing is encrypted with it yet; one value for all keeps the phone without one more secret.
                key_data: Some(vec![7; 32]),
                fingerprint: buffa::MessageField::some(AppStateSyncKeyFingerprint {
                    raw_id: Some(1),
                    current_index: Some(0),
                    device_indexes: vec![0],
                }),
                timestamp: i64::try_from(unix_now()).ok(),
            }),
        };
        let message = Message {
            protocol_message: buffa::MessageField::some(ProtocolMessage {
                r#type: Some(Type::APP_STATE_SYNC_KEY_SHARE),
                app_state_sync_key_share: buffa::MessageField::some(AppStateSyncKeyShare { keys: vec![key] }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let enc = self.seal(&device, &message).await?;
        let stanza = self
            .envelope(Addressing::Pn, &self.server.stanza_id())?
            .attr("category", "peer")
            .attr("recipient", Jid::pn(self.own.number.as_str()))
            .attr("type", "text")
            .children([enc])
            .build();
        self.server.state().deliver(&device, stanza, &self.server.stats);
        Ok(())
    }

    /// The head of a message from us.
    fn envelope(&self, addressing: Addressing, id: &str) -> Result<NodeBuilder, PhoneError> {
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

    /// Encrypts for one device, opening a session if there is none.
    async fn seal(&mut self, device: &DeviceId, message: &Message) -> Result<Node, PhoneError> {
        let address = address(device);
        let keys = &mut self.keys;
        if !keys.sessions.contains(&address) {
            let bundle = fetch_bundle(&self.server, device)?;
            process_prekey_bundle(
                &address,
                &mut keys.sessions,
                &mut keys.identities,
                &bundle,
                &mut rng(),
                UsePQRatchet::No,
            )
            .await?;
        }
        let plain = MessageUtils::encode_and_pad(message);
        let sealed = message_encrypt(&plain, &address, &mut keys.sessions, &mut keys.identities).await?;
        let kind = match sealed {
            CiphertextMessage::PreKeySignalMessage(_) => "pkmsg",
            _ => "msg",
        };
        let enc = NodeBuilder::new("enc").attr("v", ENC_VERSION).attr("type", kind);
        Ok(enc.bytes(sealed.serialize().to_vec()).build())
    }
}

/// One session for each device, whatever form it is addressed in.
fn address(device: &DeviceId) -> ProtocolAddress {
    Jid::pn_device(device.number.as_str(), device.device).to_protocol_address()
}

fn rng() -> rand::rngs::StdRng {
    rand::make_rng()
}

/// Whether the owner would see it in a chat.
fn is_chat(message: &Message) -> bool {
    let mut rest = message.clone();
    rest.sender_key_distribution_message = buffa::MessageField::none();
    rest.message_context_info = buffa::MessageField::none();
    message.protocol_message.is_unset() && !rest.encode_to_vec().is_empty()
}

fn shown_text(message: &Message) -> Option<String> {
    let extended = || message.extended_text_message.as_option().and_then(|extended| extended.text.clone());
    message.conversation.clone().filter(|text| !text.is_empty()).or_else(extended)
}

/// Reads the nodes of a bundle from the server.
fn fetch_bundle(server: &Server, device: &DeviceId) -> Result<PreKeyBundle, PhoneError> {
    let missing = || PhoneError::NoKeys(device.number.clone(), device.device);
    let jid = Jid::pn_device(device.number.as_str(), device.device);
    let content = take_bundle(&mut server.state(), &jid).ok_or_else(missing)?;
    let user = NodeBuilder::new("user").children(content).build();
    let registration: [u8; 4] = child_bytes(&user, "registration").try_into().map_err(|_| missing())?;
    let signed = user.get_optional_child("skey").ok_or_else(missing)?;
    let public =
        |node: &Node| Ok::<_, SignalProtocolError>(PublicKey::from_djb_public_key_bytes(&child_bytes(node, "value"))?);
    let one_time = user
        .get_optional_child("key")
        .map(|key| Ok::<_, PhoneError>((key_id(key).into(), public(key)?)))
        .transpose()?;
    Ok(PreKeyBundle::new(
        u32::from_be_bytes(registration),
        u32::from(device.device).into(),
        one_time,
        key_id(signed).into(),
        public(signed)?,
        child_bytes(signed, "signature"),
        IdentityKey::new(PublicKey::from_djb_public_key_bytes(&child_bytes(&user, "identity"))?),
    )?)
}

fn key_id(key: &Node) -> u32 {
    child_bytes(key, "id").into_iter().fold(0, |id, byte| id << 8 | u32::from(byte))
}
