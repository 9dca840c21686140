//! Signal sessions as libsignal-node keeps them (record "v1"), with archived ones and the keys of skipped messages.

use super::Problem;
use crate::auth::codec::{self, DecodeError, Fields};
use bytes::Bytes;
use serde_json::{Map, Value};
use wacore::libsignal::protocol::{
    LegacyIndexedSessionV1, LegacySessionBaseKeyRoleV1, LegacySessionChainCounterV1, LegacySessionChainKeyV1,
    LegacySessionChainRoleV1, LegacySessionChainV1, LegacySessionDispositionV1, LegacySessionIndexV1,
    LegacySessionKeyPairV1, LegacySessionLocalContext, LegacySessionMessageKeyV1, LegacySessionPendingPreKeyV1,
    LegacySessionRatchetV1, LegacySessionRecordV1, LegacySessionV1,
};

const BASE64: &str = "base64 text, or bytes";
const OBJECT: &str = "an object";

/// A session record and the identity key of the other side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConvertedSession {
    /// The client library's record.
    pub(super) record: Vec<u8>,
    /// The identity of the open session, or of the last one used.
    pub(super) identity: Option<[u8; 32]>,
}

/// Reads a record `{"_sessions": {"<base key>": …}, "version": "v1"}`. `local` is our side, which the record does not
/// have.
pub(super) fn read(value: Value, local: LegacySessionLocalContext) -> Result<ConvertedSession, Problem> {
    let value = codec::open(value);
    let record = Fields::of(&value, "")?;
    let sessions = record.required("_sessions", OBJECT)?;
    let entries = object(sessions, "_sessions")?;
    // Before "v1" the registration id was a field of the whole record.
    let registration: Option<u32> = record.maybe_number("registrationId")?;
    let mut indexed = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        indexed.push(LegacyIndexedSessionV1 {
            index_key: base64(key, "_sessions")?,
            session: session(value, registration).map_err(|error| inside("_sessions", error))?,
        });
    }
    close_all_but_one(&mut indexed);
    let newest = indexed.iter().max_by_key(|it| (is_open(it), it.session.index.used_at_ms));
    let identity = newest.map(|it| codec::to_fixed(&it.session.index.remote_identity_key, "remoteIdentityKey"));
    let identity = identity.transpose()?;
    let record = LegacySessionRecordV1::from_indexed_sessions(indexed)?.into_session_record(local)?;
    let record = record.serialize().map_err(|error| Problem::Library(error.to_string()))?;
    Ok(ConvertedSession { record, identity })
}

fn session(value: &Value, registration: Option<u32>) -> Result<LegacySessionV1, Problem> {
    let fields = Fields::of(value, "")?;
    let ratchet = Fields::of(fields.required("currentRatchet", OBJECT)?, "currentRatchet")?;
    let pair = Fields::of(ratchet.required("ephemeralKeyPair", OBJECT)?, "currentRatchet.ephemeralKeyPair")?;
    let index = Fields::of(fields.required("indexInfo", OBJECT)?, "indexInfo")?;
    let chains = object(fields.required("_chains", OBJECT)?, "_chains")?;
    let pending = fields.get("pendingPreKey").map(|value| Fields::of(value, "pendingPreKey")).transpose()?;
    let registration_id = fields.maybe_number("registrationId")?.or(registration).unwrap_or(0);
    Ok(LegacySessionV1 {
        registration_id,
        ratchet: LegacySessionRatchetV1 {
            key_pair: LegacySessionKeyPairV1 { public: bytes(&pair, "pubKey")?, private: bytes(&pair, "privKey")? },
            last_remote_ephemeral_key: bytes(&ratchet, "lastRemoteEphemeralKey")?,
            previous_counter: ratchet.maybe_number("previousCounter")?.unwrap_or(0),
            root_key: bytes(&ratchet, "rootKey")?,
        },
        index: LegacySessionIndexV1 {
            base_key: bytes(&index, "baseKey")?,
            base_key_role: LegacySessionBaseKeyRoleV1::try_from(index.number::<u32>("baseKeyType")?)?,
            disposition: LegacySessionDispositionV1::from_closed_timestamp(index.number("closed")?)?,
            used_at_ms: index.maybe_number("used")?.unwrap_or(0),
            created_at_ms: index.maybe_number("created")?.unwrap_or(0),
            remote_identity_key: bytes(&index, "remoteIdentityKey")?,
        },
        chains: chains.iter().map(|(key, value)| chain(key, value)).collect::<Result<_, _>>()?,
        pending_pre_key: match pending {
            None => None,
            Some(pending) => Some(LegacySessionPendingPreKeyV1 {
                pre_key_id: pending.maybe_number("preKeyId")?,
                signed_pre_key_id: pending.number("signedKeyId")?,
                base_key: bytes(&pending, "baseKey")?,
            }),
        },
    })
}

fn chain(ratchet_key: &str, value: &Value) -> Result<LegacySessionChainV1, Problem> {
    let fields = Fields::of(value, "_chains")?;
    let key = Fields::of(fields.required("chainKey", OBJECT)?, "_chains.chainKey")?;
    let skipped = fields.get("messageKeys").map(|keys| object(keys, "_chains.messageKeys")).transpose()?;
    let mut message_keys = Vec::new();
    for (index, seed) in skipped.into_iter().flatten() {
        let index =
            index.parse().map_err(|_| DecodeError::new("_chains.messageKeys", "another name", "numbers as names"))?;
        let seed = seed.as_str().and_then(codec::from_base64).or_else(|| codec::revive(seed));
        let seed = seed.ok_or_else(|| DecodeError::new("_chains.messageKeys", "something else", BASE64))?;
        message_keys.push(LegacySessionMessageKeyV1 { index, seed: seed.into() });
    }
    Ok(LegacySessionChainV1 {
        ratchet_key: base64(ratchet_key, "_chains")?,
        role: LegacySessionChainRoleV1::try_from(fields.number::<u32>("chainType")?)?,
        chain_key: LegacySessionChainKeyV1 {
            counter: LegacySessionChainCounterV1::new(key.number("counter")?)?,
            key: key.bytes_or_base64("key")?.map(Bytes::from),
        },
        message_keys,
    })
}

/// A crash can leave several sessions open, of which libsignal-node uses the first it finds. The one used last stays
/// open; the others count as closed at their last use.
fn close_all_but_one(sessions: &mut [LegacyIndexedSessionV1]) {
    let last = sessions.iter().filter(|it| is_open(it)).map(|it| it.session.index.used_at_ms).max();
    let mut kept = false;
    for index in sessions.iter_mut().map(|it| &mut it.session.index) {
        if matches!(index.disposition, LegacySessionDispositionV1::Current) {
            if kept || Some(index.used_at_ms) != last {
                let closed_at_ms = i64::try_from(index.used_at_ms).unwrap_or(i64::MAX);
                index.disposition = LegacySessionDispositionV1::Archived { closed_at_ms };
            } else {
                kept = true;
            }
        }
    }
}

fn is_open(session: &LegacyIndexedSessionV1) -> bool {
    matches!(session.session.index.disposition, LegacySessionDispositionV1::Current)
}

fn object<'a>(value: &'a Value, field: &str) -> Result<&'a Map<String, Value>, DecodeError> {
    value.as_object().ok_or_else(|| DecodeError::new(field, codec::shape(value), OBJECT))
}

fn bytes(fields: &Fields<'_>, name: &str) -> Result<Bytes, DecodeError> {
    fields.bytes_of_any_form(name).map(Bytes::from)
}

fn base64(text: &str, field: &str) -> Result<Bytes, DecodeError> {
    codec::from_base64(text).map(Bytes::from).ok_or_else(|| DecodeError::new(field, "another name", "base64 names"))
}

fn inside(at: &str, problem: Problem) -> Problem {
    match problem {
        Problem::Unreadable(error) => {
            Problem::Unreadable(DecodeError::new(format!("{at}[].{}", error.field), error.found, error.accepted))
        }
        other => other,
    }
}
