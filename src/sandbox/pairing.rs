//! Linking a device by QR.
//!
//! The device registers and gets references to show; the phone scans one, signs the device's identity key with its own
//! (proved to the device by a MAC under the secret that only the QR carries), the device signs back, and from then on
//! those bytes are its identity towards everybody.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use buffa::Message as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wacore::pair::PairUtils;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::{
    ADVDeviceIdentity, ADVSignedDeviceIdentity, ADVSignedDeviceIdentityHMAC,
    client_payload::DevicePairingRegistrationData,
};

use super::account::{Account, Addressing, Bundle, Device, DeviceId, Link};
use super::ca::{public_bytes, sign};
use super::node::{child_bytes, leaf, server_jid, unix_now};
use super::server::Server;

/// How many references a client gets; it shows one after the other.
const REFERENCES: usize = 6;
/// How long the phone waits for the device to sign.
const PATIENCE: Duration = Duration::from_secs(15);

/// A device that wants to be linked, under one of its references.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) link: Link,
    noise_key: [u8; 32],
    bundle: Bundle,
}

/// A device that was scanned and has not signed yet.
#[derive(Debug)]
pub(super) struct Pairing {
    pub(super) link: Link,
    device: DeviceId,
    noise_key: [u8; 32],
    bundle: Bundle,
    done: oneshot::Sender<()>,
}

/// Why a scan linked nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("no phone has the number {0}; create it with POST /phones")]
    NoPhone(String),
    #[error("qr is not a WhatsApp linking code: {0}")]
    Unreadable(String),
    #[error("this code is used or expired: the device that showed it is gone or shows another one by now")]
    Stale,
    #[error("the device did not finish linking")]
    Unfinished,
    #[error("the phone could not sign the device's identity")]
    Signature,
}

/// Hands a registering client its references.
pub(super) fn offer(server: &Server, link: &Link, noise_key: [u8; 32], data: DevicePairingRegistrationData) {
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
    };
    let references: Vec<String> =
        (0..REFERENCES).map(|_| format!("2@{}", hex::encode(rand::random::<[u8; 16]>()))).collect();
    {
        let mut state = server.state();
        for reference in &references {
            let offer = Offer { link: link.clone(), noise_key, bundle: bundle.clone() };
            state.offers.insert(reference.clone(), offer);
        }
    }
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
}

/// The phone's owner scans a code. Returns when the device is linked.
pub(super) async fn scan(server: &Server, number: &str, qr: &str) -> Result<DeviceId, ScanError> {
    let qr = Qr::read(qr)?;
    let (done, signed) = oneshot::channel();
    let (link, stanza) = {
        let mut state = server.state();
        let state = &mut *state;
        let account = state.accounts.get_mut(number).ok_or_else(|| ScanError::NoPhone(number.to_owned()))?;
        let offer = state.offers.get(&qr.reference).ok_or(ScanError::Stale)?;
        if offer.noise_key != qr.noise_key || offer.bundle.identity != qr.identity_key {
            return Err(ScanError::Unreadable("its keys are not those of the device that waits under it".into()));
        }
        let Offer { link, noise_key, bundle } = offer.clone();
        account.last_device += 1;
        let device = DeviceId { number: number.to_owned(), device: account.last_device };
        let stanza_id = server.stanza_id();
        let stanza = pair_success(account, &device, &qr, stanza_id.clone())?;
        // Every other reference of this client is void with it.
        state.offers.retain(|_, offer| offer.link.id != link.id);
        let pairing = Pairing { link: link.clone(), device: device.clone(), noise_key, bundle, done };
        state.pairings.insert(stanza_id, pairing);
        (link, (stanza, device))
    };
    let (stanza, device) = stanza;
    link.send(stanza);
    match tokio::time::timeout(PATIENCE, signed).await {
        Ok(Ok(())) => Ok(device),
        _ => Err(ScanError::Unfinished),
    }
}

fn pair_success(account: &Account, device: &DeviceId, qr: &Qr, id: String) -> Result<Node, ScanError> {
    let details = ADVDeviceIdentity {
        raw_id: Some(account.raw_id),
        timestamp: Some(unix_now()),
        key_index: Some(u32::from(device.device)),
        ..Default::default()
    }
    .encode_to_vec();
    let signature = sign(&account.key, &[&[6, 0], details.as_slice(), &qr.identity_key].concat())
        .map_err(|_| ScanError::Signature)?;
    let signed = ADVSignedDeviceIdentity {
        details: Some(details),
        account_signature_key: Some(public_bytes(&account.key).to_vec()),
        account_signature: Some(signature),
        ..Default::default()
    }
    .encode_to_vec();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&qr.secret).map_err(|_| ScanError::Signature)?;
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

/// The device signed: it is linked, and must log in again as what it now is.
pub(super) fn signed(server: &Arc<Server>, stanza_id: &str, sign: &Node) {
    let pairing = {
        let mut state = server.state();
        let Some(pairing) = state.pairings.remove(stanza_id) else { return };
        let Some(account) = state.accounts.get_mut(&pairing.device.number) else { return };
        let identity = child_bytes(sign, "device-identity");
        let device = Device::new(pairing.noise_key, identity, pairing.bundle);
        account.devices.insert(pairing.device.device, device);
        announce(server, &mut state, &pairing.device, "add");
        (pairing.link, pairing.done)
    };
    let (link, done) = pairing;
    // Nobody waits when the scan's request is gone; the device is linked all the same.
    let _ = done.send(());
    link.send(NodeBuilder::new("stream:error").attr("code", "515").build());
    link.close();
}

/// Unlinks a device: it is told, its connection ends, and it cannot log in again. `false` when there is no such device.
pub(super) fn unlink(server: &Arc<Server>, id: &DeviceId) -> bool {
    let mut state = server.state();
    let removed = state.accounts.get_mut(&id.number).and_then(|account| account.devices.remove(&id.device));
    let Some(device) = removed else { return false };
    announce(server, &mut state, id, "remove");
    if let Some(link) = device.link {
        let conflict = NodeBuilder::new("conflict").attr("type", "device_removed").build();
        link.send(NodeBuilder::new("stream:error").attr("code", "401").children([conflict]).build());
        link.close();
    }
    true
}

/// Tells the account's other devices, and whoever asked for its device list, that the list has changed.
fn announce(server: &Server, state: &mut super::state::State, changed: &DeviceId, operation: &'static str) {
    let Some(account) = state.accounts.get(&changed.number) else { return };
    let Ok(key_index_list) = account.key_index_list() else { return };
    let siblings = account.devices.keys().map(|device| DeviceId { number: changed.number.clone(), device: *device });
    let mut told: Vec<DeviceId> = siblings.chain(account.watchers.iter().cloned()).collect();
    told.retain(|id| id != changed);
    told.sort();
    told.dedup();
    let device = NodeBuilder::new("device")
        .attr("jid", account.jid(Addressing::Pn, changed.device))
        .attr("lid", account.jid(Addressing::Lid, changed.device))
        .attr("key-index", changed.device)
        .build();
    let content = NodeBuilder::new_dynamic(operation.to_owned()).children([device, key_index_list]).build();
    let (from, lid): (Jid, Jid) = (account.jid(Addressing::Pn, 0), account.jid(Addressing::Lid, 0));
    for id in told {
        let notification = NodeBuilder::new("notification")
            .attr("from", from.clone())
            .attr("lid", lid.clone())
            .attr("type", "devices")
            .attr("id", server.stanza_id())
            .attr("t", unix_now())
            .children([content.clone()])
            .build();
        state.deliver(&id, notification, &server.stats);
    }
}

/// What a linking code says.
struct Qr {
    reference: String,
    noise_key: [u8; 32],
    identity_key: [u8; 32],
    secret: Vec<u8>,
}

impl Qr {
    fn read(code: &str) -> Result<Self, ScanError> {
        let (reference, noise_key, identity_key) =
            PairUtils::parse_qr_code(code).map_err(|error| ScanError::Unreadable(error.to_string()))?;
        // The library's parser leaves out the secret, which is the fourth field after the optional link prefix.
        let body = code.rsplit_once('#').map_or(code, |(_, body)| body);
        let secret = body.split(',').nth(3).unwrap_or_default();
        let secret = BASE64_STANDARD
            .decode(secret)
            .map_err(|error| ScanError::Unreadable(format!("its secret is not base64: {error}")))?;
        Ok(Self { reference, noise_key, identity_key, secret })
    }
}
