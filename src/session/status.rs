//! The states of a session and the table of what may follow what.

/// What a session is, as `wa.session.status` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Never linked, or not linked any more for want of a scan.
    New,
    /// A QR is shown.
    Linking,
    /// The socket opens and the device logs in.
    Connecting,
    /// Logged in.
    Connected,
    /// The connection is lost and will be made again.
    Disconnected,
    /// The device is unlinked; only a new link helps.
    LoggedOut,
    /// WhatsApp has banned the account for a time.
    Banned,
    /// Closed on wish.
    Stopped,
}

/// Every state.
pub const ALL: [Status; 8] = [
    Status::New,
    Status::Linking,
    Status::Connecting,
    Status::Connected,
    Status::Disconnected,
    Status::LoggedOut,
    Status::Banned,
    Status::Stopped,
];

impl Status {
    /// Its name in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Linking => "linking",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::LoggedOut => "logged_out",
            Self::Banned => "banned",
            Self::Stopped => "stopped",
        }
    }

    /// What may come after this state while a worker holds the session. A state may always be written again with
    /// another reason or QR.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        use Status::{Banned, Connected, Connecting, Disconnected, Linking, LoggedOut, New, Stopped};
        match self {
            New | LoggedOut => &[Linking, Stopped],
            Linking => &[Connecting, Connected, Disconnected, New, LoggedOut, Stopped],
            Connecting => &[Connected, Disconnected, LoggedOut, Banned, Linking, Stopped],
            Connected => &[Disconnected, LoggedOut, Banned, Stopped],
            Disconnected | Banned => &[Connecting, Linking, LoggedOut, Stopped],
            Stopped => &[Connecting, Linking, LoggedOut],
        }
    }

    /// Whether `next` may follow.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        self == next || self.next().contains(&next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_every_state_can_be_reached_and_left() {
        for state in ALL {
            assert!(!state.next().is_empty(), "{state:?} is a dead end");
            assert!(ALL.iter().any(|s| *s != state && s.next().contains(&state)), "{state:?} cannot be reached");
        }
    }

    #[test]
    fn s1_nothing_goes_from_a_logout_to_a_connection_without_a_link() {
        assert_eq!(Status::LoggedOut.next(), [Status::Linking, Status::Stopped]);
    }
}
