//! The phone as a Signal party: sessions with devices, encryption, decryption, and retry receipts.

use wacore::libsignal::protocol::{
    CiphertextMessage, IdentityKey, PreKeyBundle, PreKeySignalMessage, PreKeyStore as _, ProtocolAddress, PublicKey,
    SignalMessage, SignalProtocolError, UsePQRatchet, message_decrypt, message_encrypt, process_prekey_bundle,
};
use wacore::messages::{MessageUtils, decode_plaintext};
use wacore::types::jid::JidExt as _;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::Message;

use super::super::account::DeviceId;
use super::super::faults::hand_out;
use super::super::node::{bytes, child_bytes, text};
use super::super::server::Server;
use super::super::stanza::{route_receipt, take_bundle};
use super::PhoneError;
use super::origin::Origin;
use super::worker::Worker;

/// The version of the padding and of the `enc` node.
pub(super) const ENC_VERSION: u8 = 2;

impl Worker {
    /// Decrypts one `<enc>`.
    pub(super) async fn open(&mut self, sender: &DeviceId, enc: &Node) -> Result<Message, PhoneError> {
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

    /// Sends a retry receipt with fresh keys, after a failed decryption.
    pub(super) fn send_retry_receipt(&mut self, origin: &Origin, node: &Node) -> Result<(), PhoneError> {
        let number = &self.own.number;
        let bundle = {
            let mut state = self.server.state();
            take_bundle(&self.server, &mut state, &Jid::pn(number.as_str()))
                .ok_or_else(|| PhoneError::NoAccount(number.clone()))?
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
        let receipt = origin.receipt(&text(node, "id")).attr("type", "retry").children(content).build();
        route_receipt(&self.server, &self.own, receipt);
        Ok(())
    }

    /// Starts a session with a device, with the key bundle that the server has. An existing session stays readable for
    /// messages sent in it before.
    pub(super) async fn begin_session(&mut self, device: &DeviceId) -> Result<(), PhoneError> {
        let bundle = fetch_bundle(&self.server, device)?;
        let keys = &mut self.keys;
        process_prekey_bundle(
            &address(device),
            &mut keys.sessions,
            &mut keys.identities,
            &bundle,
            &mut rng(),
            UsePQRatchet::No,
        )
        .await?;
        Ok(())
    }

    /// Encrypts for one device, starting a session if there is none.
    pub(super) async fn seal(&mut self, device: &DeviceId, message: &Message) -> Result<Node, PhoneError> {
        let address = address(device);
        if !self.keys.sessions.contains(&address) {
            self.begin_session(device).await?;
        }
        let keys = &mut self.keys;
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

/// One session for each device, whatever form of address is used.
pub(super) fn address(device: &DeviceId) -> ProtocolAddress {
    Jid::pn_device(device.number.as_str(), device.device).to_protocol_address()
}

pub(super) fn rng() -> rand::rngs::StdRng {
    rand::make_rng()
}

/// Reads a device's bundle from the server.
fn fetch_bundle(server: &Server, device: &DeviceId) -> Result<PreKeyBundle, PhoneError> {
    let missing = || PhoneError::NoKeys(device.number.clone(), device.device);
    let jid = Jid::pn_device(device.number.as_str(), device.device);
    let content = hand_out(server, &mut server.state(), &jid).ok_or_else(missing)?;
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
