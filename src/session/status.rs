//! The states of a session. What may follow what stands in the database (`wa.next_statuses`), which refuses the rest.

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
