//! The way back: an auth state as Baileys keeps it.
//!
//! Only for a session that no worker holds. Sending ratchets leave out the keys that were reserved and may have been
//! used, so that no key is used twice. From then on the other program has the ratchets; a connection here starts new
//! Signal sessions.

use super::{Count, Entry, Problem, Report, memory};
use crate::auth::app_sync;
use crate::auth::codec::{self, DecodeError, Fields};
use crate::auth::key_id::unescape;
use crate::auth::kind::Kind;
use crate::auth::random;
use crate::auth::records;
use crate::auth::signal;
use crate::auth::snapshot::{Key, State};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use wacore::libsignal::protocol::{
    KeyPair, LegacyIndexedSessionV1, LegacySessionBaseKeyRoleV1, LegacySessionChainRoleV1, LegacySessionChainV1,
    SenderKeyRecord, SessionRecord,
};
use waproto::codec as proto;

/// Credentials and keys as Baileys names them.
pub struct Exported {
    /// `creds.json`.
    pub creds: Value,
    /// Keys; each becomes a file.
    pub entries: Vec<Entry>,
    /// The outcome by kind.
    pub report: Report,
}

/// Converts a state into entries. Calls `progress` after each key.
///
/// # Errors
/// When the credentials cannot be read.
pub fn export(state: State, mut progress: impl FnMut()) -> Result<Exported, Problem> {
    let mut report = Report::new();
    let mut macs = BTreeMap::<String, Map<String, Value>>::new();
    let mut entries = vec![];
    let mut newest = None;
    let numbers = memory::numbers(state.keys.iter().map(|key| (key.kind.as_str(), key.id.as_str(), &key.value)));
    for mut key in state.keys {
        if key.kind == Kind::SenderKeyMemory.name() {
            memory::agree(&mut key.value, &numbers);
        }
        let count: &mut Count = report.entry(key.kind.clone()).or_default();
        match one(&key, &mut macs) {
            Ok(Some(of_key)) => {
                count.converted += 1;
                if key.kind == Kind::AppStateSyncKey.name() {
                    newest = newest.max(Some((sync_key_time(&key.value), unescape(&key.id))));
                }
                entries.extend(of_key);
            }
            Ok(None) => *count.skipped.entry("not used by Baileys".into()).or_default() += 1,
            Err(problem) => drop(count.failed.insert(key.id, problem.to_string())),
        }
        progress();
    }
    for entry in entries.iter_mut().filter(|entry| entry.kind == Kind::AppStateSyncVersion.name()) {
        entry.value["indexValueMap"] = macs.remove(&entry.id).unwrap_or_default().into();
    }
    report.entry("creds".into()).or_default().converted = 1;
    Ok(Exported { creds: creds(state.creds, newest.map(|(_, id)| id))?, entries, report })
}

fn sync_key_time(value: &Value) -> i128 {
    Fields::of(value, "").and_then(|fields| fields.integer("timestamp")).ok().flatten().unwrap_or(0)
}

fn creds(stored: Value, sync_key: Option<String>) -> Result<Value, Problem> {
    let stored = codec::open(stored);
    let device = crate::auth::creds::from_json(stored.clone())?;
    let mut creds = codec::canonical(stored);
    let Some(fields) = creds.as_object_mut() else {
        return Err(DecodeError::new("creds", "something else", "an object").into());
    };
    fields.remove("wagres");
    fields.retain(|_, value| !value.is_null());
    fields.insert("advSecretKey".into(), codec::base64(&device.adv_secret_key).into());
    // Baileys makes these fields when it links, and uses them later without a check.
    let pair = KeyPair::generate(&mut random::generator());
    let pair = signal::pair_to_json(pair.public_key.public_key_bytes(), pair.private_key.serialize());
    let account = fields.get("account").and_then(|account| account.get("accountSignatureKey")).and_then(codec::revive);
    let identities = device.lid.as_ref().zip(account).map(|(lid, key)| {
        let key = if key.len() == 32 { [&[5], &key[..]].concat() } else { key };
        json!([{ "identifier": { "name": lid.to_string(), "deviceId": 0 }, "identifierKey": codec::buffer(&key) }])
    });
    for (name, value) in [
        ("pairingEphemeralKeyPair", Some(pair)),
        ("processedHistoryMessages", Some(json!([]))),
        ("accountSyncCounter", Some(json!(0))),
        ("accountSettings", Some(json!({ "unarchiveChats": false }))),
        ("registered", Some(json!(false))),
        ("signalIdentities", identities),
        ("myAppStateKeyId", sync_key.map(Value::from)),
    ] {
        if let Some(value) = value {
            fields.entry(name).or_insert(value);
        }
    }
    Ok(creds)
}

/// The entries of one key; `None` for a kind that Baileys does not use. MACs of app state go to `macs`, for the entry
/// of their collection.
pub(super) fn one(key: &Key, macs: &mut BTreeMap<String, Map<String, Value>>) -> Result<Option<Vec<Entry>>, Problem> {
    let value = &key.value;
    let id = unescape(&key.id);
    let entry = |kind: &str, id: String, value: Value| Ok(Some(vec![Entry { kind: kind.into(), id, value }]));
    let Some(kind) = Kind::named(&key.kind) else { return Ok(None) };
    match kind {
        Kind::PreKey => {
            let number = id.parse().map_err(|_| Problem::Id("a number"))?;
            let record = signal::pre_key_from_json(number, value.clone())?;
            let record = proto::pre_key_record_decode(&record).map_err(|error| Problem::Library(error.to_string()))?;
            let (Some(public), Some(private)) = (record.public_key, record.private_key) else { return Ok(None) };
            entry(kind.name(), id, signal::pair_to_json(&public, &private))
        }
        Kind::Session => {
            let record = SessionRecord::deserialize(&codec::bytes(value, "value")?);
            let record = record.map_err(|error| Problem::Library(error.to_string()))?;
            let record = record.into_legacy_session_v1_operational()?;
            let sessions: Map<_, _> = record.into_indexed_sessions().into_iter().map(session).collect();
            entry(kind.name(), of_address(&id)?, json!({ "_sessions": sessions, "version": "v1" }))
        }
        Kind::IdentityKey => {
            let key = codec::fixed::<32>(value, "value")?;
            entry(kind.name(), of_address(&id)?, codec::buffer(&[&[5], &key[..]].concat()))
        }
        Kind::SenderKey => {
            const ID: Problem = Problem::Id("group:address");
            let (group, address) =
                id.split_once("@g.us:").map(|(group, rest)| (format!("{group}@g.us"), rest)).ok_or(ID)?;
            let member = of_address(address)?;
            let (user, device) = member.rsplit_once('.').ok_or(ID)?;
            let states = sender_key(&codec::bytes(value, "value")?)?;
            let value = codec::buffer(states.to_string().as_bytes());
            entry(kind.name(), format!("{group}::{user}::{device}"), value)
        }
        Kind::SenderKeyMemory => {
            let devices = value.as_object().into_iter().flatten();
            let devices: Map<_, _> = devices.map(|(jid, has)| (unescape(jid), has.clone())).collect();
            entry(kind.name(), id, devices.into())
        }
        Kind::AppStateSyncKey => {
            let key = app_sync::sync_key_from_json(value.clone())?;
            let print = proto::app_state_sync_key_fingerprint_decode(&key.fingerprint).unwrap_or_default();
            let value = json!({
                "keyData": codec::base64(&key.key_data),
                "fingerprint": {
                    "rawId": print.raw_id, "currentIndex": print.current_index, "deviceIndexes": print.device_indexes,
                },
                "timestamp": key.timestamp.to_string(),
            });
            entry(kind.name(), id, value)
        }
        Kind::AppStateSyncVersion => {
            let state = app_sync::version_from_json(value.clone())?;
            entry(kind.name(), id, json!({ "version": state.version, "hash": codec::buffer(&state.hash) }))
        }
        Kind::AppStateMac => {
            const ID: Problem = Problem::Id("collection|index MAC in hex");
            let (name, index) = key.id.rsplit_once('|').ok_or(ID)?;
            let index = hex::decode(index).map_err(|_| ID)?;
            let mac = json!({ "valueMac": codec::buffer(&codec::bytes(value, "value")?) });
            macs.entry(unescape(name)).or_default().insert(codec::base64(&index), mac);
            Ok(Some(vec![]))
        }
        Kind::LidMapping => {
            let mapping = records::lid_mapping_from_json(&key.id, value.clone())?;
            let (lid, pn) = (mapping.lid, mapping.phone_number);
            Ok(Some(vec![
                Entry { kind: kind.name().into(), id: pn.clone(), value: lid.clone().into() },
                Entry { kind: kind.name().into(), id: format!("{lid}_reverse"), value: pn.into() },
            ]))
        }
        Kind::DeviceList => {
            let list = records::device_list_from_json(&id, value.clone())?;
            let numbers: Vec<_> = list.devices.iter().map(|device| device.device_id.to_string()).collect();
            entry(kind.name(), id, numbers.into())
        }
        Kind::TcToken => {
            let token = records::tc_token_from_json(value.clone())?;
            let value = json!({ "token": codec::buffer(&token.token), "timestamp": token.token_timestamp.to_string() });
            entry(kind.name(), id, value)
        }
        // The credentials have the signed pre-key in use; the other kinds are caches, or belong to messages under way.
        Kind::SignedPreKey
        | Kind::GroupMetadata
        | Kind::BaseKey
        | Kind::SentMessage
        | Kind::PendingInbound
        | Kind::MessageSecret
        | Kind::Passkey => Ok(None),
    }
}

/// `user[:device]@server.0` as `user[_domain].device`.
fn of_address(address: &str) -> Result<String, Problem> {
    const ID: Problem = Problem::Id("user[:device]@server.0");
    let (name, server) = address.strip_suffix(".0").and_then(|it| it.rsplit_once('@')).ok_or(ID)?;
    let (user, device) = name.rsplit_once(':').unwrap_or((name, "0"));
    let domain = match server {
        "c.us" | "s.whatsapp.net" => "",
        "lid" => "_1",
        "hosted" => "_128",
        "hosted.lid" => "_129",
        _ => return Err(ID),
    };
    Ok(format!("{user}{domain}.{device}"))
}

fn session(indexed: LegacyIndexedSessionV1) -> (String, Value) {
    let LegacyIndexedSessionV1 { index_key, session: it } = indexed;
    let text = |bytes: &[u8]| codec::base64(bytes);
    let chains: Map<_, _> = it.chains.iter().map(chain).collect();
    let mut value = json!({
        "registrationId": it.registration_id,
        "currentRatchet": {
            "ephemeralKeyPair": { "pubKey": text(&it.ratchet.key_pair.public), "privKey": text(&it.ratchet.key_pair.private) },
            "lastRemoteEphemeralKey": text(&it.ratchet.last_remote_ephemeral_key),
            "previousCounter": it.ratchet.previous_counter,
            "rootKey": text(&it.ratchet.root_key),
        },
        "indexInfo": {
            "baseKey": text(&it.index.base_key),
            "baseKeyType": match it.index.base_key_role {
                LegacySessionBaseKeyRoleV1::Local => 1,
                LegacySessionBaseKeyRoleV1::Remote => 2,
            },
            "closed": it.index.disposition.closed_timestamp(),
            "used": it.index.used_at_ms,
            "created": it.index.created_at_ms,
            "remoteIdentityKey": text(&it.index.remote_identity_key),
        },
        "_chains": chains,
    });
    if let Some(pending) = it.pending_pre_key {
        value["pendingPreKey"] =
            json!({ "signedKeyId": pending.signed_pre_key_id, "baseKey": text(&pending.base_key) });
        if let Some(id) = pending.pre_key_id {
            value["pendingPreKey"]["preKeyId"] = id.into();
        }
    }
    (codec::base64(&index_key), value)
}

fn chain(chain: &LegacySessionChainV1) -> (String, Value) {
    let skipped: Map<_, _> =
        chain.message_keys.iter().map(|key| (key.index.to_string(), codec::base64(&key.seed).into())).collect();
    let mut key = json!({ "counter": chain.chain_key.counter.value() });
    if let Some(bytes) = &chain.chain_key.key {
        key["key"] = codec::base64(bytes).into();
    }
    let role = match chain.role {
        LegacySessionChainRoleV1::Sending => 1,
        LegacySessionChainRoleV1::Receiving => 2,
    };
    (codec::base64(&chain.ratchet_key), json!({ "chainKey": key, "chainType": role, "messageKeys": skipped }))
}

/// Baileys' array of states: the current state is its last; in the library's record it is the first.
fn sender_key(record: &[u8]) -> Result<Value, Problem> {
    let refused = |error: wacore::libsignal::protocol::SignalProtocolError| Problem::Library(error.to_string());
    let record = SenderKeyRecord::deserialize(record).map_err(refused)?.into_components().map_err(refused)?;
    let states = record.states.into_iter().rev().map(|state| {
        let mut signing = json!({ "public": codec::buffer(&state.signing_key.public) });
        if let Some(private) = &state.signing_key.private {
            signing["private"] = codec::buffer(private);
        }
        let skipped: Vec<_> = state
            .message_keys
            .iter()
            .map(|key| json!({ "iteration": key.iteration, "seed": codec::buffer(&key.seed) }))
            .collect();
        json!({
            "senderKeyId": state.key_id,
            "senderChainKey": { "iteration": state.chain_key.iteration, "seed": codec::buffer(&state.chain_key.seed) },
            "senderSigningKey": signing,
            "senderMessageKeys": skipped,
        })
    });
    Ok(states.collect())
}
