//! Flipping a bit of a MAC in app state, so that its recipient does not take it and asks again.
//!
//! Only patches are corrupted: a snapshot goes out as it is.

use waproto::whatsapp::SyncdPatch;

use super::super::account::DeviceId;
use super::super::server::Server;
use super::fault::{Fault, Mac, Moment};
use super::rule::Occasion;

/// The patches that a device gets of a collection: as they are, or as a rule wants them.
pub(in super::super) fn corrupt(server: &Server, device: &DeviceId, patches: &mut [SyncdPatch]) {
    // The newest, so that what comes before it is there to be taken.
    let Some(patch) = patches.last_mut() else { return };
    let strike = server.faults.strike(Occasion::Of(Moment::AppState), Some(device));
    let Some(Fault::CorruptAppState { what }) = strike.map(|strike| strike.fault) else { return };
    let mac = match what {
        Mac::Patch => patch.patch_mac.as_mut(),
        Mac::Snapshot => patch.snapshot_mac.as_mut(),
        // It is the end of the record's value.
        Mac::Value => patch
            .mutations
            .first_mut()
            .and_then(|mutation| mutation.record.as_option_mut()?.value.as_option_mut()?.blob.as_mut()),
    };
    if let Some(byte) = mac.and_then(|mac| mac.last_mut()) {
        *byte ^= 1;
    }
}
