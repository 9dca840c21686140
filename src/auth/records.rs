//! The values of `lid-mapping`, `device-list` and `tctoken`, to JSON and back.

use serde_json::{Value, json};
use wacore::store::traits::{DeviceInfo, DeviceListRecord, LidPnMappingEntry, TcTokenEntry};

use super::{
    codec::{self, DecodeError, Fields},
    key_id::{escape, unescape},
};

pub(super) fn lid_mapping_to_json(entry: &LidPnMappingEntry) -> Value {
    json!({
        "lid": codec::text(&entry.lid),
        // Encoded like a key id, because queries look for it: JSONB cannot hold a NUL, and bytes cannot be looked up.
        "pn": escape(&entry.phone_number),
        "createdAt": entry.created_at,
        "updatedAt": entry.updated_at,
        "source": codec::text(&entry.learning_source),
    })
}

pub(super) fn lid_mapping_from_json(key_id: &str, value: Value) -> Result<LidPnMappingEntry, DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    let pn = fields.text("pn")?.ok_or_else(|| DecodeError::new("pn", "nothing", "text"))?;
    Ok(LidPnMappingEntry {
        lid: unescape(key_id),
        phone_number: unescape(&pn),
        created_at: fields.maybe_number("createdAt")?.unwrap_or(0),
        updated_at: fields.maybe_number("updatedAt")?.unwrap_or(0),
        learning_source: fields.text("source")?.unwrap_or_default(),
    })
}

pub(super) fn device_list_to_json(list: &DeviceListRecord) -> Value {
    let devices: Vec<_> = list
        .devices
        .iter()
        .map(|device| json!({"id": device.device_id, "keyIndex": device.key_index, "hosted": device.is_hosted}))
        .collect();
    json!({
        "devices": devices,
        "timestamp": list.timestamp,
        "phash": list.phash.as_deref().map(codec::text),
        "rawId": list.raw_id,
    })
}

pub(super) fn device_list_from_json(user: &str, value: Value) -> Result<DeviceListRecord, DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    let listed = fields.required("devices", "an array of devices")?;
    let listed =
        listed.as_array().ok_or_else(|| DecodeError::new("devices", codec::shape(listed), "an array of devices"))?;
    let device = |value| {
        let device = Fields::of(value, "devices[]")?;
        Ok(DeviceInfo::new(device.number("id")?, device.maybe_number("keyIndex")?)
            .with_hosting(device.is_true("hosted")))
    };
    Ok(DeviceListRecord {
        user: user.to_owned(),
        devices: listed.iter().map(device).collect::<Result<_, DecodeError>>()?,
        timestamp: fields.number("timestamp")?,
        phash: fields.text("phash")?,
        raw_id: fields.maybe_number("rawId")?,
    })
}

pub(super) fn tc_token_to_json(entry: &TcTokenEntry) -> Value {
    json!({
        "token": codec::buffer(&entry.token),
        "timestamp": entry.token_timestamp,
        "senderTimestamp": entry.sender_timestamp,
    })
}

pub(super) fn tc_token_from_json(value: Value) -> Result<TcTokenEntry, DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    Ok(TcTokenEntry {
        token: fields.bytes("token")?,
        token_timestamp: fields.maybe_number("timestamp")?.unwrap_or(0),
        sender_timestamp: fields.maybe_number("senderTimestamp")?,
    })
}
