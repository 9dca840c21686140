//! Credentials: the client library's `Device` as Baileys' `creds.json`, and back.
//!
//! A field that Baileys has too is written under its name there. Every other field that the library persists is written
//! under `wagres` by the library's own name, so that a field of a later version needs no change here. Credentials that
//! another program wrote have no `wagres`: those fields then start as on a device that was just linked.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use wacore::{
    client_profile::ClientProfile,
    libsignal::protocol::{KeyPair, PrivateKey, PublicKey},
    store::{Device, device::DEVICE_PROPS},
};
use wacore_binary::Jid;
use waproto::whatsapp::ADVSignedDeviceIdentity;

use super::codec::{self, DecodeError, Fields};

/// The object of the fields that Baileys has no name for.
const OURS: &str = "wagres";

/// Fields of the library's own form that are written under Baileys' names instead.
const RENAMED: [&str; 15] = [
    "pn",
    "lid",
    "registration_id",
    "noise_key",
    "identity_key",
    "signed_pre_key",
    "signed_pre_key_id",
    "signed_pre_key_signature",
    "adv_secret_key",
    "account",
    "push_name",
    "edge_routing_info",
    "props_hash",
    "next_pre_key_id",
    "first_unupload_pre_key_id",
];

const JID: &str = "a JID as text";

/// Writes a device as credentials. Fails only if the library's own form cannot be written as JSON.
pub fn to_json(device: &Device) -> Result<Value, serde_json::Error> {
    let mut ours = Map::new();
    if let Value::Object(form) = serde_json::to_value(device)? {
        for (name, value) in form {
            let in_text = match name.as_str() {
                "pn" => survives_as_text(device.pn.as_ref()),
                "lid" => survives_as_text(device.lid.as_ref()),
                other => RENAMED.contains(&other),
            };
            if !in_text {
                ours.insert(name, codec::from_arrays(value));
            }
        }
    }
    Ok(json!({
        "noiseKey": pair_to_json(&device.noise_key),
        "signedIdentityKey": pair_to_json(&device.identity_key),
        "signedPreKey": {
            "keyPair": pair_to_json(&device.signed_pre_key),
            "keyId": device.signed_pre_key_id,
            "signature": codec::buffer(&device.signed_pre_key_signature),
        },
        "registrationId": device.registration_id,
        "advSecretKey": codec::buffer(&device.adv_secret_key),
        "me": {
            "id": device.pn.as_ref().map(ToString::to_string),
            "lid": device.lid.as_ref().map(ToString::to_string),
            "name": codec::text(&device.push_name),
        },
        "account": device.account.as_deref().map(account_to_json),
        "nextPreKeyId": device.next_pre_key_id,
        "firstUnuploadedPreKeyId": device.first_unupload_pre_key_id,
        "routingInfo": device.edge_routing_info.as_deref().map(codec::buffer),
        "lastPropHash": device.props_hash.as_deref().map(codec::text),
        OURS: ours,
    }))
}

/// Reads credentials, ours or those of Baileys, in every shape of bytes and also as JSON text inside JSON.
pub fn from_json(value: Value) -> Result<Device, DecodeError> {
    let value = codec::open(value);
    let creds = Fields::of(&value, "")?;
    let mut device = read_ours(creds.get(OURS))?;

    device.noise_key = pair(creds.required("noiseKey", "an object")?, "noiseKey")?;
    device.identity_key = pair(creds.required("signedIdentityKey", "an object")?, "signedIdentityKey")?;
    let signed = Fields::of(creds.required("signedPreKey", "an object")?, "signedPreKey")?;
    device.signed_pre_key = pair(signed.required("keyPair", "an object")?, "signedPreKey.keyPair")?;
    device.signed_pre_key_id = signed.number("keyId")?;
    device.signed_pre_key_signature = signed.fixed("signature")?;
    device.registration_id = creds.number("registrationId")?;
    let secret = creds.bytes_of_any_form("advSecretKey")?;
    device.adv_secret_key = codec::to_fixed(&secret, "advSecretKey")?;
    if let Some(me) = creds.get("me") {
        let me = Fields::of(me, "me")?;
        // A JID that text does not carry in full was read from `wagres`, where it has the library's own form.
        device.pn = device.pn.or(jid(&me, "id")?);
        device.lid = device.lid.or(jid(&me, "lid")?);
        device.push_name = me.text("name")?.unwrap_or_default();
    }
    device.account = creds.get("account").map(account).transpose()?.map(Arc::new);
    device.next_pre_key_id = creds.maybe_number("nextPreKeyId")?.unwrap_or(1);
    device.first_unupload_pre_key_id = creds.maybe_number("firstUnuploadedPreKeyId")?.unwrap_or(0);
    device.edge_routing_info = creds.get("routingInfo").map(|value| codec::bytes(value, "routingInfo")).transpose()?;
    device.props_hash = creds.text("lastPropHash")?;

    // Not persisted; the code that starts a client sets them.
    device.device_props = Arc::new(DEVICE_PROPS.clone());
    device.client_profile = ClientProfile::web();
    Ok(device)
}

/// Turns the one secret that other programs keep as plain text into bytes, like the others, so that it is sealed.
#[must_use]
pub fn tidied(value: Value) -> Value {
    let mut value = codec::open(value);
    if let Some(secret) = value.get_mut("advSecretKey")
        && let Some(bytes) = secret.as_str().and_then(codec::from_base64)
    {
        *secret = codec::buffer(&bytes);
    }
    value
}

/// Whether credentials are those of a linked device.
pub fn is_linked(value: Value) -> bool {
    let value = codec::open(value);
    let id = value.get("me").and_then(|me| me.get("id")).and_then(Value::as_str);
    id.is_some_and(|id| !id.is_empty())
}

/// A device with the fields under `wagres`; the caller fills in those that Baileys names.
fn read_ours(ours: Option<&Value>) -> Result<Device, DecodeError> {
    let unreadable = |error: &serde_json::Error| {
        // The text of a serde error may repeat the value; its class does not.
        DecodeError::new(
            OURS,
            format!("a {:?} error", error.classify()),
            "the fields of a device as this version writes them",
        )
    };
    let mut form = serde_json::to_value(Device::new()).map_err(|error| unreadable(&error))?;
    if let Some(form) = form.as_object_mut() {
        form.insert("last_signed_pre_key_rotation_ms".into(), Value::from(0));
        form.insert("server_has_prekeys".into(), Value::from(ours.is_none()));
        if let Some(ours) = ours {
            let ours = codec::to_arrays(ours.clone());
            Fields::of(&ours, OURS)?;
            if let Value::Object(ours) = ours {
                form.extend(ours);
            }
        }
    }
    serde_json::from_value(form).map_err(|error| unreadable(&error))
}

fn survives_as_text(jid: Option<&Jid>) -> bool {
    jid.is_none_or(|jid| jid.to_string().parse::<Jid>().is_ok_and(|read| read == *jid))
}

fn jid(me: &Fields<'_>, name: &str) -> Result<Option<Jid>, DecodeError> {
    let Some(text) = me.text(name)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| DecodeError::new(me.path(name), "other text", JID))
}

fn pair_to_json(pair: &KeyPair) -> Value {
    json!({
        "private": codec::buffer(pair.private_key.serialize()),
        "public": codec::buffer(pair.public_key.public_key_bytes()),
    })
}

fn pair(value: &Value, at: &str) -> Result<KeyPair, DecodeError> {
    let fields = Fields::of(value, at)?;
    let refused = |name: &str| DecodeError::new(fields.path(name), "32 bytes that are no key", "a Curve25519 key");
    let private = PrivateKey::deserialize(&fields.fixed::<32>("private")?).map_err(|_| refused("private"))?;
    let public = PublicKey::from_djb_public_key_bytes(&fields.fixed::<32>("public")?).map_err(|_| refused("public"))?;
    Ok(KeyPair::new(public, private))
}

fn account_to_json(account: &ADVSignedDeviceIdentity) -> Value {
    let bytes = |field: &Option<Vec<u8>>| field.as_deref().map(codec::buffer);
    json!({
        "details": bytes(&account.details),
        "accountSignatureKey": bytes(&account.account_signature_key),
        "accountSignature": bytes(&account.account_signature),
        "deviceSignature": bytes(&account.device_signature),
    })
}

fn account(value: &Value) -> Result<ADVSignedDeviceIdentity, DecodeError> {
    let fields = Fields::of(value, "account")?;
    Ok(ADVSignedDeviceIdentity {
        details: fields.bytes_or_base64("details")?,
        account_signature_key: fields.bytes_or_base64("accountSignatureKey")?,
        account_signature: fields.bytes_or_base64("accountSignature")?,
        device_signature: fields.bytes_or_base64("deviceSignature")?,
    })
}
