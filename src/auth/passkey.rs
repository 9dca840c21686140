//! The state of a linking with a passkey. The library's interface does not have it: the library keeps it in memory and
//! loses it with the process.

use serde_json::{Value, json};

use super::{
    codec::{self, DecodeError, Fields},
    error::AuthError,
    kind::Kind,
    store::AuthStore,
};

/// A session has one linking at a time.
const KEY_ID: &str = "linking";

/// Our side of a linking. Secret.
pub(crate) struct PasskeyLinking {
    /// WhatsApp's name for the linking.
    pub(crate) reference: String,
    /// The platform that the device announces, as a number of the protocol.
    pub(crate) device_type: i32,
    /// Private key of this linking (X25519).
    pub(crate) ephemeral: [u8; 32],
    /// The nonce that our commitment hides until it is revealed.
    pub(crate) nonce: [u8; 32],
    /// The secret under which the phone signs the device's identity.
    pub(crate) adv_secret: [u8; 32],
    /// The phone's side, as received.
    pub(crate) primary: Option<Vec<u8>>,
}

impl PasskeyLinking {
    fn to_json(&self) -> Value {
        json!({
            "ref": self.reference,
            "deviceType": self.device_type,
            "ephemeral": codec::buffer(&self.ephemeral),
            "nonce": codec::buffer(&self.nonce),
            "advSecret": codec::buffer(&self.adv_secret),
            "primary": self.primary.as_deref().map(codec::buffer),
        })
    }

    fn from_json(value: Value) -> Result<Self, DecodeError> {
        let value = codec::open(value);
        let fields = Fields::of(&value, "")?;
        let primary = fields.get("primary").filter(|primary| !primary.is_null());
        Ok(Self {
            reference: fields.text("ref")?.ok_or_else(|| DecodeError::new("ref", "nothing", "text"))?,
            device_type: fields.number("deviceType")?,
            ephemeral: fields.fixed("ephemeral")?,
            nonce: fields.fixed("nonce")?,
            adv_secret: fields.fixed("advSecret")?,
            primary: primary.map(|primary| codec::bytes(primary, "primary")).transpose()?,
        })
    }
}

impl AuthStore {
    /// Reads our side of the linking under way, if there is one.
    pub(crate) async fn passkey_linking(&self) -> Result<Option<PasskeyLinking>, AuthError> {
        self.get(Kind::Passkey, KEY_ID, PasskeyLinking::from_json).await
    }

    /// Writes our side; to be called before anything of it is sent.
    pub(crate) async fn put_passkey_linking(&self, linking: &PasskeyLinking) -> Result<(), AuthError> {
        self.put(Kind::Passkey, KEY_ID.into(), linking.to_json()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_a_linking_is_read_as_it_was_written() -> Result<(), DecodeError> {
        for primary in [None, Some(vec![7; 68])] {
            let (ephemeral, nonce, adv_secret) = ([1; 32], [2; 32], [3; 32]);
            let linking =
                PasskeyLinking { reference: "2@a".into(), device_type: 1, ephemeral, nonce, adv_secret, primary };
            let read = PasskeyLinking::from_json(linking.to_json())?;
            assert_eq!(read.to_json(), linking.to_json());
        }
        assert!(PasskeyLinking::from_json(json!({ "ref": "a", "deviceType": 1 })).is_err());
        Ok(())
    }
}
