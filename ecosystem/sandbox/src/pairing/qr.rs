//! Linking by QR code.
//!
//! The code goes from the device's screen to the phone's camera and does not pass the server, so a phone can scan a
//! code that the sandbox has never seen ([`scan`]). Anyone who sees the screen can also offer the code to all phones
//! ([`show`]), so that a person who plays a phone can pick it.

use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wacore::companion_reg::NATIVE_CAMERA_DEEP_LINK_PREFIX;
use wacore::pair::PairUtils;

use super::super::account::DeviceId;
use super::super::server::Server;
use super::super::state::State;
use super::{LinkError, Waiting, link, passkey};

/// A QR code offered to all phones.
#[derive(Debug, Clone)]
pub(in super::super) struct OfferedCode {
    pub(in super::super) id: u64,
    pub(in super::super) qr: String,
    /// The name that its sender gives the device.
    pub(in super::super) label: Option<String>,
    pub(in super::super) since: Instant,
}

/// Offers a code to all phones, in place of the device's earlier one. The device must be waiting under this code.
/// Returns the id to scan it by.
pub(in super::super) fn show(server: &Server, qr: &str, label: Option<String>) -> Result<u64, LinkError> {
    let read = Qr::read(qr)?;
    let mut state = server.state();
    let waiting = read.find(&mut state)?;
    if let Some(shown) = &waiting.shown
        && shown.qr == qr
    {
        return Ok(shown.id);
    }
    let id = server.next();
    waiting.shown = Some(OfferedCode { id, qr: qr.to_owned(), label, since: Instant::now() });
    Ok(id)
}

/// The offered code with an id.
pub(in super::super) fn by_id(server: &Server, id: u64) -> Result<String, LinkError> {
    let state = server.state();
    let mut shown = state.waiting.values().filter_map(|waiting| waiting.shown.as_ref());
    shown.find(|shown| shown.id == id).map(|shown| shown.qr.clone()).ok_or(LinkError::NotShown(id))
}

/// The result of a scan.
#[derive(Debug)]
pub(in super::super) enum Scanned {
    Linked(DeviceId),
    /// The device must first show the owner's passkey.
    PasskeyDemanded,
}

/// The phone's owner scans a code. Returns when the device is linked or a passkey is demanded.
pub(in super::super) async fn scan(server: &Server, number: &str, qr: &str) -> Result<Scanned, LinkError> {
    let qr = Qr::read(qr)?;
    let connection = {
        let mut state = server.state();
        let state = &mut *state;
        let connection = qr.find(state)?.link.id();
        if state.accounts.get(number).is_some_and(|account| account.passkey) {
            passkey::demand(server, state, number, connection)?;
            return Ok(Scanned::PasskeyDemanded);
        }
        connection
    };
    Ok(Scanned::Linked(link(server, number, connection, &qr.secret).await?))
}

/// The parts of a linking code.
struct Qr {
    reference: String,
    noise_key: [u8; 32],
    identity_key: [u8; 32],
    secret: Vec<u8>,
}

impl Qr {
    fn read(code: &str) -> Result<Self, LinkError> {
        let (reference, noise_key, identity_key) =
            PairUtils::parse_qr_code(code).map_err(|error| LinkError::Unreadable(error.to_string()))?;
        // The library's parser drops the secret, which is the fourth field after the optional link prefix.
        let body = code.strip_prefix(NATIVE_CAMERA_DEEP_LINK_PREFIX).unwrap_or(code);
        let secret = body.split(',').nth(3).unwrap_or_default();
        let secret = BASE64_STANDARD
            .decode(secret)
            .map_err(|error| LinkError::Unreadable(format!("its secret is not base64: {error}")))?;
        Ok(Self { reference, noise_key, identity_key, secret })
    }

    /// The device that shows this code.
    fn find<'a>(&self, state: &'a mut State) -> Result<&'a mut Waiting, LinkError> {
        let mut waiting = state.waiting.values_mut();
        let waiting = waiting.find(|waiting| waiting.references.contains(&self.reference)).ok_or(LinkError::Stale)?;
        if waiting.noise_key != self.noise_key || waiting.bundle.identity != self.identity_key {
            return Err(LinkError::Unreadable("its keys differ from those of the waiting device".into()));
        }
        Ok(waiting)
    }
}
