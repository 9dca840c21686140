//! Linking a device, from the code that it shows to the device identity that the phone signs.
//!
//! A device that wants to be linked waits on its connection ([`Waiting`]), and is found by its QR code (`qr`) or its
//! pairing code (`code`). An account may demand a passkey, too (`passkey`). Each way ends with a secret that phone and
//! device share and the server does not know. From there all are the same: the phone signs the device's identity under
//! that secret, the device signs it too, and the server tells it to log in as a linked device.

mod code;
mod passkey;
mod qr;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use buffa::Message as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use tokio::sync::oneshot;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::{
    ADVDeviceIdentity, ADVSignedDeviceIdentity, ADVSignedDeviceIdentityHMAC,
    client_payload::DevicePairingRegistrationData,
};

use super::account::{Account, Addressing, Bundle, Device, DeviceId, Properties};
use super::ca::{public_bytes, sign};
use super::link::Link;
use super::node::{child_bytes, leaf, server_jid, unix_now};
use super::server::Server;

pub(super) use code::{CodeRequest, companion_reg, confirm, request_of};
pub(super) use passkey::{
    Attempt, assert as assert_passkey, nonce as passkey_nonce, options as passkey_options,
    prologue as passkey_prologue, reference as passkey_reference, request as passkey_request,
};
pub(super) use qr::{OfferedCode, Scanned, by_id, scan, show};

/// How many references a client gets; it shows their codes one after the other.
const REFERENCES: usize = 6;
/// How long the phone waits for the device's signature.
const PATIENCE: Duration = Duration::from_secs(15);

/// A device that wants to be linked.
#[derive(Debug)]
pub(super) struct Waiting {
    link: Link,
    noise_key: [u8; 32],
    bundle: Bundle,
    properties: Properties,
    /// Each of the device's QR codes contains one of these.
    references: Vec<String>,
    /// The QR code that is offered to all phones.
    pub(super) shown: Option<OfferedCode>,
    /// The device's request for linking by pairing code.
    pub(super) code: Option<CodeRequest>,
}

/// A device whose identity the phone has signed, and which has not signed yet.
#[derive(Debug)]
pub(super) struct Pairing {
    pub(super) link: Link,
    device: DeviceId,
    noise_key: [u8; 32],
    bundle: Bundle,
    properties: Properties,
    done: oneshot::Sender<()>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("no phone has the number {0}; create it with POST /phones")]
    NoPhone(String),
    #[error("qr: not a WhatsApp linking code: {0}")]
    Unreadable(String),
    #[error("this code is used or expired: its device has disconnected or shows another code")]
    Stale,
    #[error("shown: no code has the id {0}; GET /qr lists the codes")]
    NotShown(u64),
    #[error("code: {0:?} is not a pairing code; use 8 letters and digits, with or without a dash in the middle")]
    NotACode(String),
    #[error("no device has requested a pairing code for {0}; GET /phones shows a request as code_request")]
    NoRequest(String),
    #[error("this code has expired: it was valid for {0} seconds, and the device must request a new one")]
    Expired(u64),
    #[error("code: the phone cannot decrypt the device's answer, so the device shows another code; tries left: {0}")]
    WrongCode(u32),
    #[error("too many wrong codes for this request; the device must request a new one")]
    TooManyTries,
    #[error("the account has used up all device numbers")]
    UsedUp,
    #[error("the device did not finish linking")]
    Unfinished,
    #[error("request: {0}; use the device's request as JSON, with challenge and rpId")]
    Passkey(String),
    #[error("the phone cannot create the keys: {0}")]
    Keys(String),
}

/// Gives an unlinked client its references.
pub(super) fn offer(server: &Server, link: &Link, noise_key: [u8; 32], data: DevicePairingRegistrationData) {
    let properties = Properties::read(&data.device_props.unwrap_or_default());
    let bundle = Bundle {
        registration: data.e_regid.unwrap_or_default(),
        identity: data.e_ident.unwrap_or_default(),
        signed: NodeBuilder::new("skey")
            .children([
                leaf("id", data.e_skey_id.unwrap_or_default()),
                leaf("value", data.e_skey_val.unwrap_or_default()),
                leaf("signature", data.e_skey_sig.unwrap_or_default()),
            ])
            .build(),
        one_time: VecDeque::new(),
        warned: false,
    };
    let references: Vec<String> =
        (0..REFERENCES).map(|_| format!("2@{}", hex::encode(rand::random::<[u8; 16]>()))).collect();
    let waiting = Waiting {
        link: link.clone(),
        noise_key,
        bundle,
        properties,
        references: references.clone(),
        shown: None,
        code: None,
    };
    server.state().waiting.insert(link.id(), waiting);
    let references = references.into_iter().map(|reference| leaf("ref", reference));
    link.send(
        NodeBuilder::new("iq")
            .attr("from", server_jid())
            .attr("type", "set")
            .attr("id", server.stanza_id())
            .attr("xmlns", "md")
            .children([NodeBuilder::new("pair-device").children(references).build()])
            .build(),
    );
    passkey::resume(server, &server.state(), link.id());
}

/// The phone signs the identity of the device that waits on a connection, under their shared secret. Returns when the
/// device is linked.
async fn link(server: &Server, number: &str, connection: u64, secret: &[u8]) -> Result<DeviceId, LinkError> {
    let (done, signed) = oneshot::channel();
    let (link, stanza, device) = {
        let mut state = server.state();
        let state = &mut *state;
        let account = state.accounts.get_mut(number).ok_or_else(|| LinkError::NoPhone(number.to_owned()))?;
        // This also voids the device's other codes.
        let waiting = state.waiting.remove(&connection).ok_or(LinkError::Stale)?;
        let Waiting { link, noise_key, bundle, properties, .. } = waiting;
        // Device numbers are never reused, and the protocol has 16 bits for them.
        account.last_device = account.last_device.checked_add(1).ok_or(LinkError::UsedUp)?;
        let device = DeviceId { number: number.to_owned(), device: account.last_device };
        let stanza_id = server.stanza_id();
        let stanza = pair_success(account, &device, &bundle.identity, secret, stanza_id.clone())?;
        let pairing = Pairing { link: link.clone(), device: device.clone(), noise_key, bundle, properties, done };
        state.pairings.insert(stanza_id, pairing);
        (link, stanza, device)
    };
    link.send(stanza);
    match tokio::time::timeout(PATIENCE, signed).await {
        Ok(Ok(())) => Ok(device),
        _ => Err(LinkError::Unfinished),
    }
}

fn pair_success(
    account: &Account,
    device: &DeviceId,
    identity: &[u8],
    secret: &[u8],
    id: String,
) -> Result<Node, LinkError> {
    let details = ADVDeviceIdentity {
        raw_id: Some(account.raw_id),
        timestamp: Some(unix_now()),
        key_index: Some(u32::from(device.device)),
        ..Default::default()
    }
    .encode_to_vec();
    let signature = sign(&account.key, &[&[6, 0], details.as_slice(), identity].concat())
        .map_err(|error| LinkError::Keys(error.to_string()))?;
    let signed = ADVSignedDeviceIdentity {
        details: Some(details),
        account_signature_key: Some(public_bytes(&account.key).to_vec()),
        account_signature: Some(signature),
        ..Default::default()
    }
    .encode_to_vec();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).map_err(|error| LinkError::Keys(error.to_string()))?;
    mac.update(&signed);
    let container = ADVSignedDeviceIdentityHMAC {
        details: Some(signed),
        hmac: Some(mac.finalize().into_bytes().to_vec()),
        ..Default::default()
    };
    let jids = NodeBuilder::new("device")
        .attr("jid", account.jid(Addressing::Pn, device.device))
        .attr("lid", account.jid(Addressing::Lid, device.device))
        .build();
    let success = NodeBuilder::new("pair-success").children([
        leaf("device-identity", container.encode_to_vec()),
        jids,
        NodeBuilder::new("platform").attr("name", "android").build(),
    ]);
    Ok(NodeBuilder::new("iq")
        .attr("from", server_jid())
        .attr("type", "set")
        .attr("id", id)
        .attr("xmlns", "md")
        .attr("t", unix_now())
        .children([success.build()])
        .build())
}

/// The device has signed: it is linked, and must log in again as a linked device.
pub(super) fn signed(server: &Arc<Server>, stanza_id: &str, sign: &Node) {
    let pairing = {
        let mut state = server.state();
        let Some(pairing) = state.pairings.remove(stanza_id) else { return };
        state.passkeys.remove(&pairing.noise_key);
        let Some(account) = state.accounts.get_mut(&pairing.device.number) else { return };
        let identity = child_bytes(sign, "device-identity");
        let device = Device::new(pairing.noise_key, identity, pairing.bundle, pairing.properties);
        account.devices.insert(pairing.device.device, device);
        account.phone.linked(pairing.device.device);
        announce(server, &mut state, &pairing.device, "add");
        (pairing.link, pairing.done)
    };
    let (link, done) = pairing;
    // The scan's request may be gone; the device is linked all the same.
    let _ = done.send(());
    link.send(NodeBuilder::new("stream:error").attr("code", "515").build());
    link.close();
}

/// Unlinks a device: notifies it, closes its connection and refuses its next login. `false` when there is no such
/// device.
pub(super) fn unlink(server: &Arc<Server>, id: &DeviceId) -> bool {
    let mut state = server.state();
    let Some(account) = state.accounts.get_mut(&id.number) else { return false };
    let Some(device) = account.devices.remove(&id.device) else { return false };
    account.phone.unlinked(id.device);
    announce(server, &mut state, id, "remove");
    if let Some(link) = device.link {
        let conflict = NodeBuilder::new("conflict").attr("type", "device_removed").build();
        link.send(NodeBuilder::new("stream:error").attr("code", "401").children([conflict]).build());
        link.close();
    }
    true
}

/// Notifies the account's other devices, and those that asked for its device list, of the new list.
fn announce(server: &Server, state: &mut super::state::State, changed: &DeviceId, operation: &'static str) {
    let Some(account) = state.accounts.get(&changed.number) else { return };
    let Ok(key_index_list) = account.key_index_list() else { return };
    let audience = account.audience();
    let device = NodeBuilder::new("device")
        .attr("jid", account.jid(Addressing::Pn, changed.device))
        .attr("lid", account.jid(Addressing::Lid, changed.device))
        .attr("key-index", changed.device)
        .build();
    let content = NodeBuilder::new_dynamic(operation.to_owned()).children([device, key_index_list]).build();
    let (from, lid): (Jid, Jid) = (account.jid(Addressing::Pn, 0), account.jid(Addressing::Lid, 0));
    for id in audience.iter().filter(|id| *id != changed) {
        let notification = NodeBuilder::new("notification")
            .attr("from", from.clone())
            .attr("lid", lid.clone())
            .attr("type", "devices")
            .attr("id", server.stanza_id())
            .attr("t", unix_now())
            .children([content.clone()])
            .build();
        state.deliver(id, notification, &server.stats);
    }
}
