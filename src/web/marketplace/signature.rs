//! What the partner signs: `user_data`, a JSON in base64, with `user_data_sign`, its HMAC-SHA256 in hex.

use crate::config::Secret;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// Most characters of the data.
const MOST: usize = 16 << 10;

/// Base64 with or without padding.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The data, if the partner has signed it.
pub(super) fn signed(partner_token: &Secret, data: &str, sign: &str) -> Option<Value> {
    if data.len() > MOST {
        return None;
    }
    // In a query a plus is a space, and some write the alphabet for URLs.
    let standard = data.replace([' ', '-'], "+").replace('_', "/");
    let json = DECODER.decode(standard.trim()).ok()?;
    let sign = hex::decode(sign.trim()).ok()?;
    let mac = Hmac::<Sha256>::new_from_slice(partner_token.expose().as_bytes()).ok()?;
    // Takes the same time wherever the two differ.
    mac.chain_update(&json).verify_slice(&sign).ok()?;
    serde_json::from_slice::<Value>(&json).ok().filter(Value::is_object)
}

/// Whether two texts are the same, in a time that says nothing of where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    let keyed = |text: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(b"wagres marketplace").ok()?;
        Some(mac.chain_update(text))
    };
    let (Some(one), Some(other)) = (keyed(one), keyed(other)) else { return false };
    one.verify_slice(&other.finalize().into_bytes()).is_ok()
}

/// Whether signed data is of this company: data that names companies is of no other.
pub(super) fn is_of(data: &Value, salon_id: i64) -> bool {
    let is_it = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()) == Some(salon_id);
    let one = data.get("salon_id").is_none_or(|value| value.is_null() || is_it(value));
    let many =
        data.get("salon_ids").and_then(Value::as_array).is_none_or(|all| all.is_empty() || all.iter().any(is_it));
    one && many
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use serde_json::json;

    #[test]
    fn h6_only_what_the_partner_has_signed_is_read() {
        let token = Secret::new("partner");
        // Bytes whose base64 has a plus and a slash.
        let json = r#"{"id":1,"name":"ÿþ>>?? Анна"}"#;
        let sign = |key: &str| {
            let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key").chain_update(json);
            hex::encode(mac.finalize().into_bytes())
        };
        let (data, good) = (BASE64_STANDARD.encode(json), sign("partner"));
        let name = |data: &str, sign: &str| signed(&token, data, sign).map(|data| data["name"].clone());
        assert_eq!(name(&data, &good), Some(json!("ÿþ>>?? Анна")));
        assert_eq!(name(&data.replace('+', " "), &good.to_uppercase()), Some(json!("ÿþ>>?? Анна")));
        assert_eq!(name(&BASE64_URL_SAFE_NO_PAD.encode(json), &good), Some(json!("ÿþ>>?? Анна")));
        let other = BASE64_STANDARD.encode(json.replace("\"id\":1", "\"id\":2"));
        for (data, sign) in [
            (data.as_str(), sign("another").as_str()),
            (&other, &good),
            (&data, ""),
            (&data, &good[..62]),
            (&data, "zz"),
            ("", &good),
            ("%%%", &good),
            (&BASE64_STANDARD.encode("[1]"), &good),
        ] {
            assert_eq!(name(data, sign), None, "{data} {sign}");
        }
    }

    #[test]
    fn h6_data_that_names_a_company_is_of_no_other() {
        for (data, ok) in [
            (json!({}), true),
            (json!({ "salon_id": 5 }), true),
            (json!({ "salon_id": "5" }), true),
            (json!({ "salon_id": 6 }), false),
            (json!({ "salon_ids": [6, 5] }), true),
            (json!({ "salon_ids": [6] }), false),
        ] {
            assert_eq!(is_of(&data, 5), ok, "{data}");
        }
        assert!(same("a", "a") && !same("a", "b") && !same("a", ""));
    }
}
