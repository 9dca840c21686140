//! What follows the end of a connection: one table, and no side effects.

use super::status::Status;
use std::time::Duration;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The hold is lost. The next holder writes what follows.
    HoldLost,
    /// The connection was lost, refused or replaced, or could not be made.
    Lost,
    /// The server wants a new connection at once, as after a scan or when the QR codes of this one are used up.
    Restart,
    /// Nobody used the pairing code in time. The next connection shows QR codes.
    CodeExpired,
    /// Nobody scanned a QR code.
    NoScan,
    /// WhatsApp has banned the account for this long.
    Banned(Duration),
    /// The phone or WhatsApp unlinked the device.
    LoggedOut,
    /// Too much could not be decrypted, and the session's setting says to link again.
    Undecipherable,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What ended it.
    pub why: Why,
    /// The text for `wa.session.status_reason`; `None` for the usual one.
    pub reason: Option<String>,
    /// The session has credentials.
    pub linked: bool,
    /// The connection had logged in.
    pub connected: bool,
}

/// When to make the next connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After the session's backoff.
    Backoff,
    /// After this time.
    Time(Duration),
}

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Write nothing.
    Nothing,
    /// Write the status, and a `reconnect` row (a `link` row if the session is not linked) that is due after some time.
    Connect(Status, After),
    /// The same with a `link` row, and the session no longer asks for a pairing code.
    LinkByQr,
    /// Release the lease; nobody connects the session until asked.
    Release(Status),
    /// The same, and delete the auth state.
    Forget,
    /// The same, and move the auth state to the quarantine.
    Quarantine,
}

impl Ended {
    /// Looks up what follows.
    #[must_use]
    pub const fn next(&self) -> Next {
        match (&self.why, self.linked) {
            (Why::HoldLost, _) => Next::Nothing,
            (Why::Lost, _) => Next::Connect(Status::Disconnected, After::Backoff),
            (Why::Restart, true) => Next::Connect(Status::Connecting, After::Time(Duration::ZERO)),
            (Why::Restart, false) => Next::Connect(Status::Disconnected, After::Time(Duration::ZERO)),
            (Why::CodeExpired, _) => Next::LinkByQr,
            (Why::NoScan, _) => Next::Release(Status::New),
            (Why::Banned(time), _) => Next::Connect(Status::Banned, After::Time(*time)),
            (Why::LoggedOut, _) => Next::Forget,
            (Why::Undecipherable, _) => Next::Quarantine,
        }
    }

    /// The label of `wagres_connections_ended_total`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.why {
            Why::HoldLost => "hold_lost",
            Why::Lost => "lost",
            Why::Restart | Why::CodeExpired => "restart",
            Why::NoScan => "no_scan",
            Why::Banned(_) => "banned",
            Why::LoggedOut => "logged_out",
            Why::Undecipherable => "undecipherable",
        }
    }

    /// The reason, or the usual one for this end.
    #[must_use]
    pub fn reason(&self) -> &str {
        let usual = match self.why {
            Why::NoScan => "no QR code was scanned in time",
            Why::Restart if self.linked => "restart after linking",
            _ => "the connection could not be made or was closed",
        };
        self.reason.as_deref().unwrap_or(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_each_end_has_one_thing_that_follows() {
        let (hour, at_once) = (Duration::from_hours(1), After::Time(Duration::ZERO));
        let table = [
            (Why::HoldLost, Next::Nothing, Next::Nothing),
            (
                Why::Lost,
                Next::Connect(Status::Disconnected, After::Backoff),
                Next::Connect(Status::Disconnected, After::Backoff),
            ),
            (Why::Restart, Next::Connect(Status::Connecting, at_once), Next::Connect(Status::Disconnected, at_once)),
            (Why::CodeExpired, Next::LinkByQr, Next::LinkByQr),
            (Why::NoScan, Next::Release(Status::New), Next::Release(Status::New)),
            (
                Why::Banned(hour),
                Next::Connect(Status::Banned, After::Time(hour)),
                Next::Connect(Status::Banned, After::Time(hour)),
            ),
            (Why::LoggedOut, Next::Forget, Next::Forget),
            (Why::Undecipherable, Next::Quarantine, Next::Quarantine),
        ];
        for (why, linked, unlinked) in table {
            for (is_linked, next) in [(true, linked), (false, unlinked)] {
                for connected in [true, false] {
                    let ended = Ended { why: why.clone(), reason: None, linked: is_linked, connected };
                    assert_eq!(ended.next(), next, "{ended:?}");
                }
            }
        }
    }

    #[test]
    fn s5_a_logout_and_a_ban_are_never_followed_by_a_connection_at_once() {
        let ended = |why| Ended { why, reason: None, linked: true, connected: true };
        assert_eq!(ended(Why::LoggedOut).next(), Next::Forget);
        let Next::Connect(Status::Banned, After::Time(wait)) = ended(Why::Banned(Duration::from_mins(1))).next() else {
            panic!("a ban ends with its time");
        };
        assert_eq!(wait, Duration::from_mins(1));
    }
}
