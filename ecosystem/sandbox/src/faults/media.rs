//! What is done to a file on its way to the media server or from it.

use std::time::Duration;

use super::super::account::DeviceId;
use super::super::server::Server;
use super::fault::Fault;
use super::rule::{Direction, Occasion};

/// What a transfer of a file comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Transfer {
    /// It goes as it would.
    Whole,
    /// It is refused with this status.
    Refused(u16),
    /// The connection breaks once this much has passed and there is more.
    Cut(usize),
}

/// Asks what a transfer comes to; waits as long as it is to be slow. Of who downloads nothing is known.
pub(in super::super) async fn transfer(server: &Server, direction: Direction, who: Option<&DeviceId>) -> Transfer {
    let strike = server.faults.strike(Occasion::Media(direction), who);
    match strike.map(|strike| strike.fault) {
        Some(Fault::SlowMedia { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Fault::FailMedia { status }) => return Transfer::Refused(status),
        Some(Fault::CutMedia { bytes }) => return Transfer::Cut(bytes),
        _ => {}
    }
    Transfer::Whole
}
