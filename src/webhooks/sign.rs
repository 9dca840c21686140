//! Signatures of [Standard Webhooks](https://www.standardwebhooks.com/): HMAC-SHA256 over id, timestamp and body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes that a key may have.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// The key in a secret: `whsec_` and 24 to 64 bytes in base64.
    #[must_use]
    pub fn parse(secret: &str) -> Option<Self> {
        let key = BASE64_STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        LENGTHS.contains(&key.len()).then_some(Self(key))
    }

    /// One signature: `v1,` and base64.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    }
}

/// The header `webhook-signature`: a signature by each key, separated by spaces.
#[must_use]
pub fn signatures(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed: Vec<_> = keys.iter().filter_map(|key| key.sign(id, timestamp, body)).collect();
    signed.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn h5_the_signature_is_that_of_the_reference_libraries() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let body = br#"{"test": 2432232314}"#;
        let wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signatures(std::slice::from_ref(&key), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body), wanted);
        let both = signatures(&[key.clone(), key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(both, format!("{wanted} {wanted}"));
    }

    #[test]
    fn h5_a_key_has_24_to_64_bytes() {
        for (bytes, ok) in [(23, false), (24, true), (64, true), (65, false)] {
            let secret = format!("{PREFIX}{}", BASE64_STANDARD.encode(vec![7; bytes]));
            assert_eq!(SigningKey::parse(&secret).is_some(), ok, "{bytes} bytes");
        }
        assert!(SigningKey::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
    }
}
