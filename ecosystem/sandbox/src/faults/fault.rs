//! The kinds of faults, each with its parameters, and the moment at which each can strike.

use serde::{Deserialize, Serialize};

/// What goes wrong. On the wire it is an object with one key, the kind, and its parameters: `{"delay": {"ms": 100}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in super::super) enum Fault {
    /// The socket is accepted and closed at once.
    Refuse {},
    /// The socket is closed.
    Drop {},
    /// The socket stays open and nothing passes any more, until the rule ends; then everything held goes on.
    BlackHole {},
    /// The login is refused with `<failure reason=…>`.
    LoginFailure { reason: u16 },
    /// The login is refused as of a banned account.
    Ban { code: u16, seconds: u32 },
    /// `<stream:error>`, after which the server closes unless told to leave that to the client.
    StreamError {
        code: u16,
        #[serde(default = "yes")]
        close: bool,
    },
    /// The phone unlinks the device.
    Logout {},
    /// A stanza is swallowed.
    Lose {},
    /// A stanza waits, and everything behind it.
    Delay { ms: u64 },
    /// A stanza waits, and those behind it overtake it.
    Late { ms: u64 },
    /// A stanza comes again, this many times.
    Duplicate {
        #[serde(default = "one")]
        copies: u16,
    },
    /// A stanza comes after the next one that matches.
    Reorder {},
    /// A message from a device is refused with this error in its ack, and goes nowhere.
    Nack { code: u16 },
    /// A bit of each ciphertext in a message is flipped.
    Corrupt {
        /// Whether the copies that are sent again for it are corrupted as well.
        #[serde(default)]
        retries: bool,
    },
    /// A key bundle is handed out without a one-time key.
    NoOneTimeKey {},
    /// A key bundle is handed out with a one-time key that its owner does not have.
    UnknownPreKey {},
    /// The media server waits before it takes or hands out a file.
    SlowMedia { ms: u64 },
    /// The media server refuses to take or hand out a file.
    FailMedia { status: u16 },
    /// The connection to the media server breaks after this much of a file.
    CutMedia { bytes: usize },
    /// A bit of a MAC in a patch of app state is flipped.
    CorruptAppState { what: Mac },
}

/// The MACs by which a device knows that app state is what another device of the account made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Mac {
    /// Of all that stands in the patch, the other two included.
    #[serde(rename = "patch_mac")]
    Patch,
    /// Of the state that there is after the patch.
    #[serde(rename = "snapshot_mac")]
    Snapshot,
    /// Of its first record.
    #[serde(rename = "value_mac")]
    Value,
}

fn yes() -> bool {
    true
}

fn one() -> u16 {
    1
}

/// When a fault can strike. A rule is asked at one kind of moment only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Moment {
    /// A socket is accepted. Nobody knows yet who it is.
    Accept,
    /// A device logs in.
    Login,
    /// A device is connected: after each login, and for those that are connected when the rule comes to life.
    Connected,
    /// A stanza passes.
    Stanza,
    /// A device's key bundle is handed out.
    Bundle,
    /// A file goes to the media server or comes from it.
    Media,
    /// Patches of app state go to a device.
    AppState,
}

impl Fault {
    /// When this strikes, in a rule that names a stanza or does not.
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

    /// What is wrong with the parameters.
    pub(super) fn check(&self) -> Result<(), String> {
        let (field, code) = match self {
            Self::LoginFailure { reason } => ("login_failure.reason", *reason),
            Self::StreamError { code, .. } => ("stream_error.code", *code),
            Self::Nack { code } => ("nack.code", *code),
            Self::FailMedia { status } => ("fail_media.status", *status),
            Self::Duplicate { copies: 0 } => return Err("duplicate.copies: 0 changes nothing; 1 and more do".into()),
            _ => return Ok(()),
        };
        if (400..600).contains(&code) {
            return Ok(());
        }
        Err(format!("{field}: {code} is not accepted; 400 to 599 is, as in the real protocol"))
    }
}
