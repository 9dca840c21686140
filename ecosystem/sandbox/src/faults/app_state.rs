//! Flips a bit of a MAC in app state, so that the device refuses the patch and requests it again.
//!
//! Only patches are corrupted; a snapshot goes out unchanged.

use waproto::whatsapp::SyncdPatch;

use super::super::account::DeviceId;
use super::super::server::Server;
use super::fault::{Fault, Mac, Moment};
use super::rule::Occasion;

/// Corrupts the newest of the patches that go to a device, if a rule says so.
pub(in super::super) fn corrupt(server: &Server, device: &DeviceId, patches: &mut [SyncdPatch]) {
    // The newest patch, so that the earlier ones can be applied.
    let Some(patch) = patches.last_mut() else { return };
    let strike = server.faults.strike(Occasion::Of(Moment::AppState), Some(device));
    let Some(Fault::CorruptAppState { what }) = strike.map(|strike| strike.fault) else { return };
    let mac = match what {
        Mac::Patch => patch.patch_mac.as_mut(),
        Mac::Snapshot => patch.snapshot_mac.as_mut(),
        // The MAC is at the end of the record's value.
        Mac::Value => patch
            .mutations
            .first_mut()
            .and_then(|mutation| mutation.record.as_option_mut()?.value.as_option_mut()?.blob.as_mut()),
    };
    if let Some(byte) = mac.and_then(|mac| mac.last_mut()) {
        *byte ^= 1;
    }
}
