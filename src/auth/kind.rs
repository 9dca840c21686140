//! The kinds of keys in `wa.auth_key`, and how long each lives.

use std::time::Duration;

/// A kind of key. The names are those of Baileys where it has the same kind.
///
/// "Bytes" below are always `{"type":"Buffer","data":"<base64>"}`, see [`codec`](super::codec).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One-time pre-key. Id: its number. Value: `{public, private, uploaded}` with both keys as 32 bytes.
    PreKey,
    /// Signed pre-key, also after its rotation. Id: its number. Value: the record as bytes (protobuf).
    SignedPreKey,
    /// Signal session with one device. Id: the Signal address, `user[:device]@server.0`. Value: the record as bytes.
    Session,
    /// Identity key of one device. Id: the Signal address. Value: 32 bytes.
    IdentityKey,
    /// Sender key of one member of a group. Id: `group:address`. Value: the record as bytes.
    SenderKey,
    /// Which devices have our sender key of a group. Id: the group's JID. Value: `{"<device JID>": bool, …}`.
    SenderKeyMemory,
    /// Key that decrypts app state. Id: the key's id in base64. Value: `{keyData, fingerprint, timestamp}`.
    AppStateSyncKey,
    /// Version of a collection of the app state. Id: its name. Value: `{version, hash, indexValueMap:
    /// {"<index>": {valueMac}}, macMismatchFatal}`.
    AppStateSyncVersion,
    /// MAC of one entry of the app state. Id: `collection|index MAC in hex`. Value: bytes.
    AppStateMac,
    /// LID and phone number of one user. Id: the LID's user part. Value: `{lid, pn, createdAt, updatedAt, source}`.
    LidMapping,
    /// Devices of one user. Id: the user part. Value: `{devices: [{id, keyIndex, hosted}], timestamp, phash, rawId}`.
    DeviceList,
    /// Trusted-contact token. Id: the contact's JID. Value: `{token, timestamp, senderTimestamp}`, seconds since 1970.
    TcToken,
    /// Members of a group as the library saw them last, opaque. Id: the group's JID. Value: bytes.
    GroupMetadata,
    /// Base key of a session at a retry, to see whether the peer made a new one. Id: `address|message id`. Value:
    /// bytes.
    BaseKey,
    /// A message that we sent, for a peer that asks for it again. Id: `chat|message id`. Value: bytes (protobuf).
    SentMessage,
    /// A decrypted message that is not in the inbox yet. Id: `chat|sender|message id`. Value: bytes (protobuf).
    PendingInbound,
    /// Secret that decrypts later edits, votes and reactions to a message. Id: `chat|sender|message id`. Value:
    /// `{secret, timestamp}`; the deadline is in `expires_at`.
    MessageSecret,
    /// State of a linking with a passkey. Id: `linking`. Value: `{ref, deviceType, ephemeral, nonce, advSecret,
    /// primary}`, all but the first two bytes.
    Passkey,
}

impl Kind {
    /// The name in `wa.auth_key.kind`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreKey => "pre-key",
            Self::SignedPreKey => "signed-pre-key",
            Self::Session => "session",
            Self::IdentityKey => "identity-key",
            Self::SenderKey => "sender-key",
            Self::SenderKeyMemory => "sender-key-memory",
            Self::AppStateSyncKey => "app-state-sync-key",
            Self::AppStateSyncVersion => "app-state-sync-version",
            Self::AppStateMac => "app-state-mac",
            Self::LidMapping => "lid-mapping",
            Self::DeviceList => "device-list",
            Self::TcToken => "tctoken",
            Self::GroupMetadata => "group-metadata",
            Self::BaseKey => "base-key",
            Self::SentMessage => "sent-message",
            Self::PendingInbound => "pending-inbound",
            Self::MessageSecret => "message-secret",
            Self::Passkey => "passkey",
        }
    }

    /// The kind of that name in `wa.auth_key.kind`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::PreKey,
        Self::SignedPreKey,
        Self::Session,
        Self::IdentityKey,
        Self::SenderKey,
        Self::SenderKeyMemory,
        Self::AppStateSyncKey,
        Self::AppStateSyncVersion,
        Self::AppStateMac,
        Self::LidMapping,
        Self::DeviceList,
        Self::TcToken,
        Self::GroupMetadata,
        Self::BaseKey,
        Self::SentMessage,
        Self::PendingInbound,
        Self::MessageSecret,
        Self::Passkey,
    ];

    /// How long a key lives after its last write; `None` is for ever. Then the sweep deletes it. The table in
    /// `docs/auth.md` gives the purpose of each kind.
    #[must_use]
    #[expect(clippy::match_same_arms, reason = "each kind has its own reason")]
    pub const fn time_to_live(self) -> Option<Duration> {
        const DAY: u64 = 24 * 60 * 60;
        let days = match self {
            // Ratchets and identities: without them a chat starts a new Signal session, or looks like an attack.
            Self::Session
            | Self::IdentityKey
            | Self::SenderKey
            | Self::SenderKeyMemory
            | Self::SignedPreKey
            // Until somebody's first message uses it, which may be years later.
            | Self::PreKey
            // Together they are the account's state; a superseded entry is overwritten or deleted at once.
            | Self::AppStateSyncKey
            | Self::AppStateSyncVersion
            | Self::AppStateMac => return None,
            // The library sets each one's deadline, by what can still refer to the message.
            Self::MessageSecret => return None,
            // Caches; the client asks the server again.
            Self::LidMapping | Self::GroupMetadata => 7,
            Self::DeviceList => 30,
            // The longest window that the server may announce: 26 buckets of a week.
            Self::TcToken => 182,
            // Compared when a phone asks for a message again: within minutes, or within days after it was offline.
            Self::BaseKey => 7,
            // Deleted when the linking ends; WhatsApp allows an hour at most.
            Self::Passkey => 1,
            // The library deletes its copies after two hours of being connected.
            Self::SentMessage => 1,
            // As long as the library keeps a message that cannot be committed.
            Self::PendingInbound => 7,
        };
        Some(Duration::from_secs(days * DAY))
    }

    /// [`Kind::time_to_live`] in seconds, for a statement.
    #[must_use]
    pub fn seconds_to_live(self) -> Option<f64> {
        self.time_to_live().map(|ttl| ttl.as_secs_f64())
    }
}
