//! The kinds of faults with their parameters, and the moment at which each can strike.

use serde::{Deserialize, Serialize};

/// A kind of fault. In JSON it is an object with one key, the kind, and its parameters: `{"delay": {"ms": 100}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in super::super) enum Fault {
    /// The socket is accepted and closed at once.
    Refuse {},
    /// The socket is closed.
    Drop {},
    /// The socket stays open and nothing passes until the rule ends; then everything held is released.
    BlackHole {},
    /// The login is refused with `<failure reason=…>`.
    LoginFailure { reason: u16 },
    /// The login is refused as for a banned account.
    Ban { code: u16, seconds: u32 },
    /// `<stream:error>`; then the server closes, unless the client is to close.
    StreamError {
        code: u16,
        #[serde(default = "yes")]
        close: bool,
    },
    /// The phone unlinks the device.
    Logout {},
    /// A stanza is lost.
    Lose {},
    /// A stanza and everything behind it wait.
    Delay { ms: u64 },
    /// A stanza waits, and later ones overtake it.
    Late { ms: u64 },
    /// A stanza is sent this many times more.
    Duplicate {
        #[serde(default = "one")]
        copies: u16,
    },
    /// A stanza is sent after the next one that matches.
    Reorder {},
    /// A message from a device is refused with this error in its ack and not delivered.
    Nack { code: u16 },
    /// A bit of each ciphertext in a message is flipped.
    Corrupt {
        /// Whether the answers to its retry receipts are corrupted, too.
        #[serde(default)]
        retries: bool,
    },
    /// A key bundle is handed out without a one-time key.
    NoOneTimeKey {},
    /// A key bundle is handed out with a one-time key that the owner does not have.
    UnknownPreKey {},
    /// The media server waits before it accepts or serves a file.
    SlowMedia { ms: u64 },
    /// The media server refuses to accept or serve a file.
    FailMedia { status: u16 },
    /// The connection to the media server breaks after this many bytes of a file.
    CutMedia { bytes: usize },
    /// A bit of a MAC in a patch of app state is flipped.
    CorruptAppState { what: Mac },
}

/// The MACs with which a device verifies app state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Mac {
    /// Over the whole patch, the other two MACs included.
    #[serde(rename = "patch_mac")]
    Patch,
    /// Over the state after the patch.
    #[serde(rename = "snapshot_mac")]
    Snapshot,
    /// Over the first record of the patch.
    #[serde(rename = "value_mac")]
    Value,
}

fn yes() -> bool {
    true
}

fn one() -> u16 {
    1
}

/// When a fault can strike. Each rule applies to one kind of moment only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Moment {
    /// A socket is accepted; the client is not known yet.
    Accept,
    /// A device logs in.
    Login,
    /// A device is connected: after each login, and at once for devices that are connected when the rule becomes
    /// active.
    Connected,
    /// A stanza passes.
    Stanza,
    /// A device's key bundle is handed out.
    Bundle,
    /// A file is uploaded or downloaded.
    Media,
    /// App-state patches go to a device.
    AppState,
}

impl Fault {
    /// The moment at which this fault strikes; for some it depends on whether the rule names a stanza.
    pub(super) fn moment(&self, names_stanza: bool) -> Moment {
        match self {
            Self::Refuse {} => Moment::Accept,
            Self::LoginFailure { .. } | Self::Ban { .. } => Moment::Login,
            Self::Drop {} | Self::BlackHole {} | Self::StreamError { .. } | Self::Logout {} => {
                if names_stanza {
                    Moment::Stanza
                } else {
                    Moment::Connected
                }
            }
            Self::Lose {}
            | Self::Delay { .. }
            | Self::Late { .. }
            | Self::Duplicate { .. }
            | Self::Reorder {}
            | Self::Nack { .. }
            | Self::Corrupt { .. } => Moment::Stanza,
            Self::NoOneTimeKey {} | Self::UnknownPreKey {} => Moment::Bundle,
            Self::SlowMedia { .. } | Self::FailMedia { .. } | Self::CutMedia { .. } => Moment::Media,
            Self::CorruptAppState { .. } => Moment::AppState,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let (field, code) = match self {
            Self::LoginFailure { reason } => ("login_failure.reason", *reason),
            Self::StreamError { code, .. } => ("stream_error.code", *code),
            Self::Nack { code } => ("nack.code", *code),
            Self::FailMedia { status } => ("fail_media.status", *status),
            Self::Duplicate { copies: 0 } => return Err("duplicate.copies: 0 has no effect; use 1 or more".into()),
            _ => return Ok(()),
        };
        if (400..600).contains(&code) {
            return Ok(());
        }
        Err(format!("{field}: {code} is not accepted; use 400 to 599, as in the real protocol"))
    }
}
