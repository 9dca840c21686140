//! The kinds of keys in `wa.auth_key`.

/// What a row of `wa.auth_key` is. The names are those of Baileys where it has the same thing.
///
/// "Bytes" below are always `{"type":"Buffer","data":"<base64>"}`, see [`codec`](super::codec).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One-time pre-key. Id: its number. Value: `{public, private, uploaded}` with both keys as 32 bytes.
    PreKey,
    /// Signed pre-key, also those that were rotated out. Id: its number. Value: the record as bytes (protobuf).
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
    /// Where a collection of the app state stands. Id: its name. Value: `{version, hash, indexValueMap:
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
    /// Members of a group as last seen, opaque. Id: the group's JID. Value: bytes.
    GroupMetadata,
    /// Base key of a session at a retry, to see whether the peer made a new one. Id: `address|message id`. Value: bytes.
    BaseKey,
    /// A message that we sent, for a peer that asks for it again. Id: `chat|message id`. Value: bytes (protobuf).
    SentMessage,
    /// A decrypted message that is not in the inbox yet. Id: `chat|sender|message id`. Value: bytes (protobuf).
    PendingInbound,
    /// Secret with which later edits, votes and reactions to a message are read. Id: `chat|sender|message id`. Value:
    /// `{secret, timestamp}`; the deadline stands in `expires_at`.
    MessageSecret,
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
        }
    }
}
