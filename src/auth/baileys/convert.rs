//! The conversion of each kind of key.

use super::{BaileysState, Count, Entry, Problem, Report, UnreadableFile, memory, sender_key, session};
use crate::auth::codec::{self, DecodeError, Fields};
use crate::auth::key_id::escape;
use crate::auth::kind::Kind;
use crate::auth::{app_sync, creds, records, signal};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use wacore::libsignal::protocol::{IdentityKey, LegacySessionLocalContext};
use wacore::store::Device;
use wacore::store::traits::{AppStateSyncKey, DeviceInfo, DeviceListRecord, LidPnMappingEntry};
use wacore::types::jid::JidExt as _;
use wacore_binary::{Jid, Server};
use waproto::codec as proto;
use waproto::whatsapp::message::AppStateSyncKeyFingerprint;

/// A key that could not be converted.
#[derive(Clone)]
pub struct UnconvertedKey {
    /// The key, unchanged.
    pub entry: Entry,
    /// For the quarantine; does not repeat the value.
    pub reason: String,
}

/// An auth state as rows.
pub struct Converted {
    /// The device of the credentials.
    pub device: Device,
    /// `wa.auth.creds`, with the fields that only Baileys has.
    pub creds: Value,
    /// Rows of `wa.auth_key`: by kind and id, each once.
    pub rows: BTreeMap<(&'static str, String), Value>,
    /// Keys that could not be converted.
    pub refused: Vec<UnconvertedKey>,
    /// The outcome by kind.
    pub report: Report,
    /// What the device lacks, though it can be imported.
    pub warnings: Vec<String>,
}

/// The outcome for one key.
pub(super) enum Outcome {
    Rows(Vec<(Kind, String, Value)>),
    Skipped(&'static str),
}

/// Converts an auth state into rows. Calls `progress` after each key.
///
/// # Errors
/// When there are no credentials, or they cannot be read or are not those of a linked device.
pub fn convert(found: BaileysState, mut progress: impl FnMut()) -> Result<Converted, Problem> {
    let stored =
        found.creds.ok_or_else(|| DecodeError::new("creds", "nothing", "the credentials of a linked device"))?;
    let stored = codec::open(stored);
    let device = creds::from_json(stored.clone())?;
    if device.pn.is_none() {
        return Err(DecodeError::new("me.id", "nothing", "the JID of a linked device").into());
    }
    let written = creds::to_json(&device).map_err(|error| Problem::Library(error.to_string()))?;
    let creds = with_theirs(written, stored);
    let converter = Converter {
        local: LegacySessionLocalContext {
            identity_key: IdentityKey::new(device.identity_key.public_key),
            registration_id: device.registration_id,
        },
        first_unuploaded: device.first_unupload_pre_key_id,
    };

    let mut report = Report::new();
    report.entry("creds".into()).or_default().converted = 1;
    let mut refused = vec![];
    for UnreadableFile { name, reason, entry } in found.unreadable {
        report.entry("unreadable".into()).or_default().failed.insert(name, reason.clone());
        refused.extend(entry.map(|entry| UnconvertedKey { entry, reason }));
    }
    for _ in found.foreign {
        *skipped(report.entry("foreign".into()).or_default(), "does not belong to an auth state") += 1;
    }
    let mut rows = BTreeMap::new();
    // Stored identities come last, so that they replace those derived from sessions.
    let mut entries = found.entries;
    entries.sort_by_key(|entry| entry.kind == Kind::IdentityKey.name());
    for entry in entries {
        let count = report.entry(entry.kind.clone()).or_default();
        match converter.one(&entry) {
            Ok(Outcome::Rows(of_key)) => {
                count.converted += 1;
                rows.extend(of_key.into_iter().map(|(kind, id, value)| ((kind.name(), id), value)));
            }
            Ok(Outcome::Skipped(reason)) => *skipped(count, reason) += 1,
            Err(problem) => {
                let reason = problem.to_string();
                count.failed.insert(entry.id.clone(), reason.clone());
                refused.push(UnconvertedKey { entry, reason });
            }
        }
        progress();
    }
    let numbers = memory::numbers(rows.iter().map(|((kind, id), value)| (*kind, id.as_str(), value)));
    let memories = rows.iter_mut().filter(|((kind, _), _)| *kind == Kind::SenderKeyMemory.name());
    memories.for_each(|(_, value)| memory::agree(value, &numbers));
    let forgotten = forget_unsendable_groups(&device, &mut rows);
    if forgotten > 0 {
        let count = report.entry(Kind::SenderKeyMemory.name().into()).or_default();
        count.converted -= forgotten;
        *skipped(count, "the session's own key of the group is missing") += forgotten;
    }
    Ok(Converted { warnings: warnings(&device), device, creds, rows, refused, report })
}

fn warnings(device: &Device) -> Vec<String> {
    let account = "account: missing in the credentials. The device logs in and its chats go on, but the first message to \
                   somebody without a Signal session has to carry the account; if such messages fail, link the device again";
    if device.account.is_none() { vec![account.to_owned()] } else { vec![] }
}

fn skipped<'a>(count: &'a mut Count, reason: &str) -> &'a mut u64 {
    count.skipped.entry(reason.to_owned()).or_default()
}

/// Adds the fields that only Baileys uses, so that an export has them again.
fn with_theirs(mut ours: Value, theirs: Value) -> Value {
    if let (Some(ours), Value::Object(theirs)) = (ours.as_object_mut(), codec::canonical(theirs)) {
        let rest: Map<_, _> = theirs.into_iter().filter(|(name, _)| !ours.contains_key(name)).collect();
        ours.extend(rest);
    }
    ours
}

/// Forgets who has our sender key, for each group whose own sender key was not converted. Returns the number of groups.
fn forget_unsendable_groups(device: &Device, rows: &mut BTreeMap<(&'static str, String), Value>) -> u64 {
    let own: Vec<String> = [&device.pn, &device.lid]
        .into_iter()
        .flatten()
        .map(wacore::types::jid::JidExt::to_protocol_address_string)
        .collect();
    let sendable: Vec<String> = rows
        .keys()
        .filter(|(kind, _)| *kind == Kind::SenderKey.name())
        .filter_map(|(_, key)| own.iter().find_map(|address| key.strip_suffix(&*escape(address))?.strip_suffix(':')))
        .map(str::to_owned)
        .collect();
    let before = rows.len();
    rows.retain(|(kind, group), _| *kind != Kind::SenderKeyMemory.name() || sendable.contains(group));
    (before - rows.len()) as u64
}

/// The fields of the device that the conversion of a key needs.
pub(super) struct Converter {
    pub(super) local: LegacySessionLocalContext,
    pub(super) first_unuploaded: u32,
}

impl Converter {
    /// Converts one key.
    pub(super) fn one(&self, entry: &Entry) -> Result<Outcome, Problem> {
        let Entry { kind, id, value } = entry;
        if value.is_null() {
            return Ok(Outcome::Skipped("deleted"));
        }
        let value = codec::open(value.clone());
        let row = |kind: Kind, id: String, value: Value| Ok(Outcome::Rows(vec![(kind, id, value)]));
        match kind.as_str() {
            "pre-key" => {
                let number: u32 = id.parse().map_err(|_| Problem::Id("a number"))?;
                let fields = Fields::of(&value, "")?;
                let (public, private) = (fields.fixed::<32>("public")?, fields.fixed::<32>("private")?);
                let value = signal::pre_key_pair_to_json(&public, &private, number < self.first_unuploaded);
                row(Kind::PreKey, number.to_string(), value)
            }
            "session" => {
                let address = escape(&address(id)?).into_owned();
                let session = session::read(value, self.local)?;
                let mut rows = vec![(Kind::Session, address.clone(), codec::buffer(&session.record))];
                rows.extend(session.identity.map(|key| (Kind::IdentityKey, address, codec::buffer(&key))));
                Ok(Outcome::Rows(rows))
            }
            "identity-key" => {
                let key = codec::fixed::<32>(&value, "value")?;
                row(Kind::IdentityKey, escape(&address(id)?).into_owned(), codec::buffer(&key))
            }
            "sender-key" => {
                const ID: Problem = Problem::Id("group::user::device");
                let (group, member) = id.split_once("::").ok_or(ID)?;
                let (user, device) = member.split_once("::").ok_or(ID)?;
                let member = address(&format!("{user}.{device}"))?;
                row(
                    Kind::SenderKey,
                    escape(&format!("{group}:{member}")).into_owned(),
                    codec::buffer(&sender_key::read(value)?),
                )
            }
            "sender-key-memory" => {
                let fields = value.as_object();
                let fields =
                    fields.ok_or_else(|| DecodeError::new("value", codec::shape(&value), "an object of devices"))?;
                let known =
                    fields.iter().map(|(jid, has)| (escape(jid).into_owned(), Value::Bool(has == &Value::Bool(true))));
                row(Kind::SenderKeyMemory, escape(id).into_owned(), Value::Object(known.collect()))
            }
            "app-state-sync-key" => {
                let id = codec::from_base64(id).ok_or(Problem::Id("base64"))?;
                row(Kind::AppStateSyncKey, codec::base64(&id), sync_key(&value)?)
            }
            "app-state-sync-version" => version(id, value),
            "lid-mapping" => {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let other = text(&value).ok_or_else(|| DecodeError::new("value", codec::shape(&value), "text"))?;
                let (pn, lid) = match id.strip_suffix("_reverse") {
                    Some(lid) => (other, lid.to_owned()),
                    None => (id.clone(), other),
                };
                let mapping = LidPnMappingEntry {
                    lid: lid.clone(),
                    phone_number: pn,
                    created_at: 0,
                    updated_at: 0,
                    learning_source: "usync".into(),
                };
                let value = records::lid_mapping_to_json(&mapping);
                row(Kind::LidMapping, escape(&lid).into_owned(), value)
            }
            "device-list" => row(Kind::DeviceList, escape(id).into_owned(), device_list(id, &value)?),
            "tctoken" if id == "__index" => Ok(Outcome::Skipped("a list of the other entries")),
            "tctoken" => {
                let token = records::tc_token_from_json(value)?;
                row(Kind::TcToken, escape(id).into_owned(), records::tc_token_to_json(&token))
            }
            _ => Ok(Outcome::Skipped("not used by this client")),
        }
    }
}

/// `user[_domain].device` as the Signal address that the client library uses.
fn address(id: &str) -> Result<String, Problem> {
    const ID: Problem = Problem::Id("user.device, user_1.device (LID), user_128.device or user_129.device (hosted)");
    let (user, device) = id.rsplit_once('.').ok_or(ID)?;
    let device: u16 = device.parse().map_err(|_| ID)?;
    let (user, domain) = user.split_once('_').unwrap_or((user, "0"));
    let mut jid = match domain {
        "0" | "128" => Jid::pn_device(user, device),
        "1" | "129" => Jid::lid_device(user, device),
        _ => return Err(ID),
    };
    match domain {
        "128" => jid.server = Server::Hosted,
        "129" => jid.server = Server::HostedLid,
        _ => {}
    }
    if user.is_empty() { Err(ID) } else { Ok(jid.to_protocol_address_string()) }
}

fn sync_key(value: &Value) -> Result<Value, Problem> {
    let fields = Fields::of(value, "")?;
    let key_data = fields.bytes_of_any_form("keyData")?;
    let fingerprint = match fields.get("fingerprint") {
        None => AppStateSyncKeyFingerprint::default(),
        Some(value) => {
            let fields = Fields::of(value, "fingerprint")?;
            let indexes = fields.get("deviceIndexes").and_then(Value::as_array);
            let index = |item: &Value| item.as_u64().and_then(|item| u32::try_from(item).ok());
            AppStateSyncKeyFingerprint {
                raw_id: fields.maybe_number("rawId")?,
                current_index: fields.maybe_number("currentIndex")?,
                device_indexes: indexes.into_iter().flatten().filter_map(index).collect(),
            }
        }
    };
    Ok(app_sync::sync_key_to_json(&AppStateSyncKey {
        key_data,
        fingerprint: proto::app_state_sync_key_fingerprint_to_vec(&fingerprint),
        timestamp: fields.maybe_number("timestamp")?.unwrap_or(0),
    }))
}

/// The version of a collection, and a row for each of its MACs, which Baileys keeps inside the version.
fn version(name: &str, value: Value) -> Result<Outcome, Problem> {
    let mut state = app_sync::version_from_json(value)?;
    let macs = std::mem::take(&mut state.index_value_map);
    let mut rows = vec![(Kind::AppStateSyncVersion, escape(name).into_owned(), app_sync::version_to_json(&state))];
    for (index, mac) in macs {
        let index = codec::from_base64(&index)
            .ok_or_else(|| DecodeError::new("indexValueMap", "another name", "base64 names"))?;
        rows.push((Kind::AppStateMac, app_sync::mac_id(name, &index), codec::buffer(&mac)));
    }
    Ok(Outcome::Rows(rows))
}

/// Numbers of devices. The age of the list is unknown, so the library asks the server when it needs the list.
fn device_list(user: &str, value: &Value) -> Result<Value, DecodeError> {
    const DEVICES: &str = "an array of device numbers";
    let items = value.as_array().ok_or_else(|| DecodeError::new("value", codec::shape(value), DEVICES))?;
    let number = |item: &Value| match item {
        Value::String(text) => text.parse::<u32>().ok(),
        other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let devices = items.iter().map(|item| Some(DeviceInfo::new(number(item)?, None))).collect::<Option<_>>();
    let devices = devices.ok_or_else(|| DecodeError::new("value", "something else in the array", DEVICES))?;
    let list = DeviceListRecord { user: user.to_owned(), devices, timestamp: 0, phash: None, raw_id: None };
    Ok(records::device_list_to_json(&list))
}
