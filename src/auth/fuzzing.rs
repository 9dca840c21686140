//! The codec of auth state as a function of bytes (A2, R5), for a fuzz target and property tests.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "an input that breaks a promise has to end the program"
)]

use serde_json::Value;

use super::backup::Backup;
use super::codec::{self, Fields};
use super::vault::{SealPlace, Vault};
use super::{creds, records};

/// Reads JSON as another program may have written it to `wa.auth` or `wa.auth_key`. Other bytes count as JSON text
/// inside JSON.
pub fn auth(data: &[u8]) {
    let text = || Value::from(String::from_utf8_lossy(data).into_owned());
    drop(Backup::read(&String::from_utf8_lossy(data), None));
    holds(serde_json::from_slice(data).unwrap_or_else(|_| text()));
}

/// What holds for every value: nothing panics, bytes are the same however they are read, and a value in the one written
/// shape stays unchanged and is read as the same.
pub(super) fn holds(value: Value) {
    super::baileys::fuzzing::holds(&value);
    let revived = codec::revive(&value);
    if let (Some(bytes), Value::Object(_)) = (&revived, &value) {
        assert_eq!(codec::bytes(&value, "x").as_ref(), Ok(bytes));
        assert_eq!(codec::canonical(value.clone()), codec::buffer(bytes));
    }
    let _ = codec::open(value.clone());
    let _ = codec::to_arrays(value.clone());
    let _ = codec::from_arrays(value.clone());
    if let Ok(fields) = Fields::of(&value, "x") {
        for name in ["type", "data", "0"] {
            let _ = (fields.integer(name), fields.text(name), fields.bytes_or_base64(name), fields.fixed::<32>(name));
        }
    }
    let place = SealPlace { session_id: 1, kind: "session", key_id: "x" };
    let vault = Vault::default().with_key("k", &[7; 32]).and_then(|vault| vault.writing_with("k")).expect("a key");
    let _ = vault.unseal(place, value.clone());
    let _ = vault.reseal(place, value.clone());
    let once = codec::canonical(value.clone());
    assert_eq!(codec::canonical(once.clone()), once);
    if let Ok(device) = creds::from_json(value.clone()) {
        let written = creds::to_json(&device).expect("credentials can be written");
        let read = creds::from_json(written.clone()).expect("a written value can be read");
        assert_eq!(creds::to_json(&read).expect("credentials can be written"), written);
    }
    if let Ok(mapping) = records::lid_mapping_from_json("x", value.clone()) {
        let written = records::lid_mapping_to_json(&mapping);
        let read = records::lid_mapping_from_json("x", written.clone()).expect("a written value can be read");
        assert_eq!(records::lid_mapping_to_json(&read), written);
    }
    if let Ok(list) = records::device_list_from_json("x", value.clone()) {
        let written = records::device_list_to_json(&list);
        let read = records::device_list_from_json("x", written.clone()).expect("a written value can be read");
        assert_eq!(records::device_list_to_json(&read), written);
    }
    if let Ok(token) = records::tc_token_from_json(value) {
        let written = records::tc_token_to_json(&token);
        let read = records::tc_token_from_json(written.clone()).expect("a written value can be read");
        assert_eq!(records::tc_token_to_json(&read), written);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (0..300_i64).prop_map(Value::from),
            ".*".prop_map(Value::from),
            Just(Value::from("Buffer")),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Value::from(codec::base64(&bytes))),
        ];
        let name = prop_oneof![
            Just("type".to_owned()),
            Just("data".to_owned()),
            Just("buffer".to_owned()),
            (0..4_u8).prop_map(|n| n.to_string()),
            ".*"
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner.clone()), 0..6)
                    .prop_map(|items| Value::Object(items.into_iter().collect())),
                inner.prop_map(|value| Value::from(value.to_string())),
            ]
        })
    }

    proptest! {
        #[test]
        fn r5_no_json_makes_the_codec_panic(value in any_json()) {
            holds(value);
        }
    }
}
