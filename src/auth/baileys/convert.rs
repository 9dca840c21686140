//! Each kind of key in its turn.

use super::{Count, Entry, Found, Problem, Report, sender_key, session};
use crate::auth::codec::{self, DecodeError, Fields};
use crate::auth::creds;
use crate::auth::key_id::{escape, join};
use crate::auth::kind::Kind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use wacore::libsignal::protocol::{IdentityKey, LegacySessionLocalContext};
use wacore::store::Device;
use wacore::types::jid::JidExt as _;
use wacore_binary::{Jid, Server};
use waproto::codec as proto;
use waproto::whatsapp::message::AppStateSyncKeyFingerprint;

/// A key that could not be converted, as it was.
#[derive(Clone)]
pub struct Refused {
    /// What and which.
    pub entry: Entry,
    /// Why.
    pub reason: String,
}

/// An auth state as ours.
pub struct Converted {
    /// The device.
    pub device: Device,
    /// `wa.auth.creds`, with what only Baileys knows beside what we know.
    pub creds: Value,
    /// Rows of `wa.auth_key`: by kind and id, each once.
    pub rows: BTreeMap<(&'static str, String), Value>,
    /// What could not be converted.
    pub refused: Vec<Refused>,
    /// What became of everything.
    pub report: Report,
}

/// What becomes of one key.
pub(super) enum Turned {
    Rows(Vec<(Kind, String, Value)>),
    Skipped(&'static str),
}

/// Turns what was found into rows. Calls `progress` after each key.
///
/// # Errors
/// When there are no credentials, or they cannot be read or are not those of a linked device.
pub fn convert(found: Found, mut progress: impl FnMut()) -> Result<Converted, Problem> {
    let stored =
        found.creds.ok_or_else(|| DecodeError::new("creds", "nothing", "the credentials of a linked device"))?;
    let stored = codec::open(stored);
    let device = creds::from_json(stored.clone())?;
    if device.pn.is_none() {
        return Err(DecodeError::new("me.id", "nothing", "the JID of a linked device").into());
    }
    let written = creds::to_json(&device).map_err(|error| Problem::Library(error.to_string()))?;
    let creds = with_theirs(written, stored);
    let kinds = Turner {
        local: LegacySessionLocalContext {
            identity_key: IdentityKey::new(device.identity_key.public_key),
            registration_id: device.registration_id,
        },
        first_unuploaded: device.first_unupload_pre_key_id,
    };

    let mut report = Report::new();
    report.entry("creds".into()).or_default().converted = 1;
    for (name, reason) in found.unreadable {
        report.entry("unreadable".into()).or_default().failed.insert(name, reason);
    }
    for _ in found.foreign {
        *skipped(report.entry("foreign".into()).or_default(), "does not belong to an auth state") += 1;
    }
    let mut rows = BTreeMap::new();
    let mut refused = vec![];
    // Those that were stored come after those that were derived, and replace them.
    let mut entries = found.entries;
    entries.sort_by_key(|entry| entry.kind == Kind::IdentityKey.name());
    for entry in entries {
        let count = report.entry(entry.kind.clone()).or_default();
        match kinds.turn(&entry) {
            Ok(Turned::Rows(turned)) => {
                count.converted += 1;
                rows.extend(turned.into_iter().map(|(kind, id, value)| ((kind.name(), id), value)));
            }
            Ok(Turned::Skipped(reason)) => *skipped(count, reason) += 1,
            Err(problem) => {
                let reason = problem.to_string();
                count.failed.insert(entry.id.clone(), reason.clone());
                refused.push(Refused { entry, reason });
            }
        }
        progress();
    }
    forget_unsendable_groups(&device, &mut rows);
    Ok(Converted { device, creds, rows, refused, report })
}

fn skipped<'a>(count: &'a mut Count, reason: &str) -> &'a mut u64 {
    count.skipped.entry(reason.to_owned()).or_default()
}

/// Keeps what Baileys has in its credentials and we have no use for, so that it can go back.
fn with_theirs(mut ours: Value, theirs: Value) -> Value {
    if let (Some(ours), Value::Object(theirs)) = (ours.as_object_mut(), codec::canonical(theirs)) {
        let rest: Map<_, _> = theirs.into_iter().filter(|(name, _)| !ours.contains_key(name)).collect();
        ours.extend(rest);
    }
    ours
}

/// Where our own sender key did not come along, nobody may be taken for having it.
fn forget_unsendable_groups(device: &Device, rows: &mut BTreeMap<(&'static str, String), Value>) {
    let own: Vec<String> = [&device.pn, &device.lid]
        .into_iter()
        .flatten()
        .map(wacore::types::jid::JidExt::to_protocol_address_string)
        .collect();
    let groups = rows.keys().filter(|(kind, _)| *kind == Kind::SenderKeyMemory.name()).map(|(_, group)| group.clone());
    for group in groups.collect::<Vec<_>>() {
        let has =
            |address: &String| rows.contains_key(&(Kind::SenderKey.name(), format!("{group}:{}", escape(address))));
        if !own.iter().any(has) {
            rows.remove(&(Kind::SenderKeyMemory.name(), group));
        }
    }
}

pub(super) struct Turner {
    pub(super) local: LegacySessionLocalContext,
    pub(super) first_unuploaded: u32,
}

impl Turner {
    pub(super) fn turn(&self, entry: &Entry) -> Result<Turned, Problem> {
        let Entry { kind, id, value } = entry;
        if value.is_null() {
            return Ok(Turned::Skipped("deleted"));
        }
        let value = codec::open(value.clone());
        let row = |kind: Kind, id: String, value: Value| Ok(Turned::Rows(vec![(kind, id, value)]));
        match kind.as_str() {
            "pre-key" => {
                let number: u32 = id.parse().map_err(|_| Problem::Id("a number"))?;
                let fields = Fields::of(&value, "")?;
                let key = |name| Ok::<_, DecodeError>(codec::buffer(&fields.fixed::<32>(name)?));
                let uploaded = number < self.first_unuploaded;
                let value = json!({"public": key("public")?, "private": key("private")?, "uploaded": uploaded});
                row(Kind::PreKey, number.to_string(), value)
            }
            "session" => {
                let address = escape(&address(id)?).into_owned();
                let session = session::read(value, self.local)?;
                let mut rows = vec![(Kind::Session, address.clone(), codec::buffer(&session.record))];
                rows.extend(session.identity.map(|key| (Kind::IdentityKey, address, codec::buffer(&key))));
                Ok(Turned::Rows(rows))
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
            "app-state-sync-version" => version(id, &value),
            "lid-mapping" => {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let other = text(&value).ok_or_else(|| DecodeError::new("value", codec::shape(&value), "text"))?;
                let (pn, lid) = match id.strip_suffix("_reverse") {
                    Some(lid) => (other, lid.to_owned()),
                    None => (id.clone(), other),
                };
                let value = json!({"lid": codec::text(&lid), "pn": escape(&pn), "createdAt": 0, "updatedAt": 0, "source": "usync"});
                row(Kind::LidMapping, escape(&lid).into_owned(), value)
            }
            "device-list" => row(Kind::DeviceList, escape(id).into_owned(), device_list(&value)?),
            "tctoken" if id == "__index" => Ok(Turned::Skipped("a list of what is there")),
            "tctoken" => {
                let fields = Fields::of(&value, "")?;
                let timestamp: i64 = fields.maybe_number("timestamp")?.unwrap_or(0);
                let sender: Option<i64> = fields.maybe_number("senderTimestamp")?;
                let token = codec::buffer(&fields.bytes("token")?);
                row(
                    Kind::TcToken,
                    escape(id).into_owned(),
                    json!({"token": token, "timestamp": timestamp, "senderTimestamp": sender}),
                )
            }
            _ => Ok(Turned::Skipped("of no use to this client")),
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
    let data =
        fields.bytes_or_base64("keyData")?.ok_or_else(|| DecodeError::new("keyData", "nothing", codec::BYTES))?;
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
    let timestamp: i64 = fields.maybe_number("timestamp")?.unwrap_or(0);
    Ok(json!({
        "keyData": codec::buffer(&data),
        "fingerprint": codec::buffer(&proto::app_state_sync_key_fingerprint_to_vec(&fingerprint)),
        "timestamp": timestamp,
    }))
}

/// Where a collection stands, and a row for each of its MACs, which Baileys keeps within.
fn version(name: &str, value: &Value) -> Result<Turned, Problem> {
    let fields = Fields::of(value, "")?;
    let number: u64 = fields.number("version")?;
    let hash = fields.bytes("hash")?;
    let hash = codec::to_fixed::<128>(&hash, "hash")?;
    let state =
        json!({"version": number, "hash": codec::buffer(&hash), "indexValueMap": {}, "macMismatchFatal": false});
    let mut rows = vec![(Kind::AppStateSyncVersion, escape(name).into_owned(), state)];
    let macs = fields.get("indexValueMap").and_then(Value::as_object);
    for (index, entry) in macs.into_iter().flatten() {
        let index = codec::from_base64(index)
            .ok_or_else(|| DecodeError::new("indexValueMap", "another name", "base64 names"))?;
        let mac = Fields::of(entry, "indexValueMap")?.bytes_or_base64("valueMac")?;
        let mac = mac.ok_or_else(|| DecodeError::new("indexValueMap.valueMac", "nothing", codec::BYTES))?;
        rows.push((Kind::AppStateMac, join(&[name, &hex::encode(index)]), codec::buffer(&mac)));
    }
    Ok(Turned::Rows(rows))
}

/// Numbers of devices; how old the list is nobody knows, so the library asks anew when it needs it.
fn device_list(value: &Value) -> Result<Value, DecodeError> {
    const DEVICES: &str = "an array of device numbers";
    let items = value.as_array().ok_or_else(|| DecodeError::new("value", codec::shape(value), DEVICES))?;
    let number = |item: &Value| match item {
        Value::String(text) => text.parse::<u16>().ok(),
        other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    let device = |item| number(item).map(|id| json!({"id": id, "keyIndex": null, "hosted": false}));
    let devices: Option<Vec<_>> = items.iter().map(device).collect();
    let devices = devices.ok_or_else(|| DecodeError::new("value", "something else in the array", DEVICES))?;
    Ok(json!({"devices": devices, "timestamp": 0, "phash": null, "rawId": null}))
}
