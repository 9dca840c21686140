//! Bytes in the state file: base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wacore::libsignal::protocol::{KeyPair, PrivateKey};
use wacore_binary::Node;

use super::super::node;
use super::StateError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Blob(pub(in super::super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

impl Blob {
    pub(in super::super) fn key(pair: &KeyPair) -> Self {
        Self(pair.private_key.serialize().to_vec())
    }

    pub(in super::super) fn pair(&self) -> Result<KeyPair, StateError> {
        Ok(KeyPair::try_from(PrivateKey::deserialize(&self.0)?)?)
    }

    pub(in super::super) fn stanza(node: &Node) -> Result<Self, StateError> {
        Ok(Self(wacore_binary::marshal(node)?))
    }

    pub(in super::super) fn node(&self) -> Result<Node, StateError> {
        Ok(node::read(&self.0)?)
    }
}
