//! A client without a socket: it receives the server's stanzas, and does the few things that a client must do before it
//! is linked.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc::UnboundedReceiver;
use wacore::libsignal::protocol::{KeyPair, PrivateKey};
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp::ClientPayload;
use waproto::whatsapp::client_payload::DevicePairingRegistrationData;

use super::super::account::DeviceId;
use super::super::ca::{new_key, public_bytes, sign};
use super::super::connection::enter;
use super::super::link::{Link, Outgoing};
use super::super::node::{self, bytes, children, leaf, text};
use super::super::pairing;
use super::super::server::Server;
use super::super::stanza::{Context, dispatch};

/// A connection.
pub(super) struct Client {
    pub(super) link: Link,
    pub(super) device: Option<DeviceId>,
    outgoing: UnboundedReceiver<Outgoing>,
    /// The identity key that the client registers with.
    identity: [u8; 32],
}

/// The parts of the QR code that an unlinked device shows.
pub(super) struct CodeParts {
    pub(super) reference: String,
    pub(super) noise_key: String,
    pub(super) identity_key: String,
    pub(super) secret: String,
}

impl CodeParts {
    pub(super) fn qr(&self) -> String {
        [&*self.reference, &self.noise_key, &self.identity_key, &self.secret].join(",")
    }
}

/// The Noise key of every client here, so that an input can log in as a device of the fixture.
pub(super) fn noise_key() -> KeyPair {
    KeyPair::try_from(PrivateKey::deserialize(&[1; 32]).expect("a key")).expect("a pair of keys")
}

impl Client {
    /// A client that wants to be linked.
    pub(super) fn unlinked(server: &Arc<Server>) -> Self {
        let (identity, signed) = (new_key(), new_key());
        let signature = sign(&identity, &signed.public_key.serialize()).expect("a signature");
        let data = DevicePairingRegistrationData {
            e_regid: Some(vec![0, 0, 0, 1]),
            e_ident: Some(public_bytes(&identity).to_vec()),
            e_skey_id: Some(vec![0, 0, 1]),
            e_skey_val: Some(public_bytes(&signed).to_vec()),
            e_skey_sig: Some(signature),
            ..Default::default()
        };
        let payload = ClientPayload { device_pairing_data: buffa::MessageField::some(data), ..Default::default() };
        let client = Self::new(server, public_bytes(&noise_key()), payload);
        Self { identity: public_bytes(&identity), ..client }
    }

    /// A device that is linked, logged in and active.
    pub(super) fn login(server: &Arc<Server>, device: &DeviceId) -> Self {
        let payload = ClientPayload {
            username: device.number.parse().ok(),
            device: Some(u32::from(device.device)),
            ..Default::default()
        };
        let client = Self::new(server, public_bytes(&noise_key()), payload);
        assert_eq!(client.device.as_ref(), Some(device), "a linked device may log in");
        let active = NodeBuilder::new("active").build();
        let query = NodeBuilder::new("iq").attr("id", "active").attr("type", "set").attr("xmlns", "passive");
        client.send(server, query.children([active]).build());
        client
    }

    /// A client that logs in with this key and payload.
    pub(super) fn new(server: &Arc<Server>, key: [u8; 32], payload: ClientPayload) -> Self {
        let (link, outgoing) = Link::new(server.next());
        let device = enter(server, &link, key, payload);
        Self { link, device, outgoing, identity: [0; 32] }
    }

    /// Sends one stanza from the client.
    pub(super) fn send(&self, server: &Arc<Server>, stanza: Node) {
        dispatch(&mut Context { server, link: &self.link, device: self.device.as_ref() }, stanza);
    }

    /// Returns the stanzas received since the last call. Each must be writable and readable.
    pub(super) fn received(&mut self) -> Vec<Node> {
        let mut stanzas = vec![];
        while let Ok(outgoing) = self.outgoing.try_recv() {
            if let Outgoing::SocketStanza(letter) | Outgoing::Judged(letter) = outgoing {
                let bytes = letter.bytes().expect("a stanza to a client can be written").into_owned();
                stanzas.push(node::read(&bytes).expect("a stanza to a client can be read"));
            }
        }
        stanzas
    }

    /// The parts of the client's QR code, with a reference that the server has offered.
    pub(super) fn show_code(&mut self) -> CodeParts {
        let offer = self.received().into_iter().find(|stanza| stanza.get_optional_child("pair-device").is_some());
        let offer = offer.expect("the server offers references to an unlinked client");
        let references = offer.get_optional_child("pair-device").map(children).unwrap_or_default();
        let reference = references.first().and_then(bytes).expect("a reference");
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        CodeParts {
            reference: String::from_utf8(reference).expect("text"),
            noise_key: encode(&public_bytes(&noise_key())),
            identity_key: encode(&self.identity),
            secret: encode(&[2; 32]),
        }
    }

    /// Signs the device identity that a phone has sent on this connection. `false` when there is none.
    pub(super) fn sign_identity(&mut self, server: &Arc<Server>) -> bool {
        let success = self.received().into_iter().find(|stanza| stanza.get_optional_child("pair-success").is_some());
        let Some(success) = success else { return false };
        let identity = leaf("device-identity", vec![1]);
        pairing::signed(
            server,
            &text(&success, "id"),
            &NodeBuilder::new("pair-device-sign").children([identity]).build(),
        );
        true
    }

    /// Links the client to a phone.
    pub(super) async fn linked(mut self, server: &Arc<Server>, number: &str) {
        let qr = self.show_code().qr();
        let signing = async {
            assert!(self.sign_identity(server), "the phone signs the identity of a device whose code it scans");
        };
        let (linked, ()) = tokio::join!(pairing::scan(server, number, &qr), signing);
        linked.expect("a device is linked");
    }
}
