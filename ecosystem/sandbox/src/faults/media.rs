//! Faults in uploads to the media server and downloads from it.

use std::time::Duration;

use super::super::account::DeviceId;
use super::super::server::Server;
use super::fault::Fault;
use super::rule::{Direction, Occasion};

/// The outcome of a file transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Transfer {
    /// The whole file passes.
    Whole,
    /// The transfer is refused with this status.
    Refused(u16),
    /// The connection breaks after this many bytes, if the file is longer.
    Cut(usize),
}

/// Decides the outcome of a transfer, and waits if a rule makes it slow. A downloader is not known.
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
