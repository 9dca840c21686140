//! The states of a session. The database defines which may follow which (`wa.next_statuses`) and refuses the rest.

/// A state, as in `wa.session.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Never linked, or no longer linking because nobody scanned.
    New,
    /// A QR code is shown.
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
    /// Closed on request.
    Stopped,
}

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
}
