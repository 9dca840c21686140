//! The certificate chain that the server presents inside the Noise handshake: root, intermediate, leaf.
//!
//! Clients check that the leaf's key is the server's Noise key, the issuer serials, and both signatures (`XEdDSA`). A
//! root of our own signs the chain. The root is new at each start without a state file. A client accepts the chain once
//! it is given that root, and the root of one sandbox is worth nothing anywhere else.

use buffa::Message as _;
use serde::{Deserialize, Serialize};
use wacore::libsignal::protocol::KeyPair;
use waproto::whatsapp::CertChain;
use waproto::whatsapp::cert_chain::{NoiseCertificate, noise_certificate::Details};

use super::SandboxError;
use super::node::unix_now;
use super::saved::{Blob, StateError};

/// The serial that clients expect of the root.
const ROOT_SERIAL: u32 = 0;
const INTERMEDIATE_SERIAL: u32 = 1;
const LEAF_SERIAL: u32 = 2;
const DAY: u64 = 24 * 60 * 60;

/// The sandbox's keys and its certificate chain.
pub(super) struct Authority {
    root: KeyPair,
    leaf: KeyPair,
    chain: Vec<u8>,
}

/// [`Authority`] in the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedAuthority {
    root: Blob,
    leaf: Blob,
    chain: Blob,
}

// Keeps the private keys out of logs.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("root", &hex::encode(self.root_public_key())).finish_non_exhaustive()
    }
}

impl Authority {
    pub(super) fn new() -> Result<Self, SandboxError> {
        let (root, intermediate, leaf) = (new_key(), new_key(), new_key());
        let chain = CertChain {
            intermediate: buffa::MessageField::some(certify(&root, ROOT_SERIAL, INTERMEDIATE_SERIAL, &intermediate)?),
            leaf: buffa::MessageField::some(certify(&intermediate, INTERMEDIATE_SERIAL, LEAF_SERIAL, &leaf)?),
        };
        Ok(Self { root, leaf, chain: chain.encode_to_vec() })
    }

    /// Restores the keys and the chain of an earlier start, so that clients recognise this server.
    pub(super) fn restore(saved: &SavedAuthority) -> Result<Self, StateError> {
        Ok(Self { root: saved.root.pair()?, leaf: saved.leaf.pair()?, chain: saved.chain.0.clone() })
    }

    pub(super) fn save(&self) -> SavedAuthority {
        SavedAuthority { root: Blob::key(&self.root), leaf: Blob::key(&self.leaf), chain: Blob(self.chain.clone()) }
    }

    pub(super) fn root_public_key(&self) -> [u8; 32] {
        public_bytes(&self.root)
    }

    /// The server's static Noise key.
    pub(super) fn noise_key(&self) -> &KeyPair {
        &self.leaf
    }

    /// The encoded chain.
    pub(super) fn chain(&self) -> &[u8] {
        &self.chain
    }
}

fn certify(
    issuer: &KeyPair,
    issuer_serial: u32,
    serial: u32,
    subject: &KeyPair,
) -> Result<NoiseCertificate, SandboxError> {
    let now = unix_now();
    let details = Details {
        serial: Some(serial),
        issuer_serial: Some(issuer_serial),
        key: Some(public_bytes(subject).to_vec()),
        not_before: Some(now.saturating_sub(DAY)),
        not_after: Some(now + 365 * DAY),
    }
    .encode_to_vec();
    let signature = sign(issuer, &details).map_err(|error| SandboxError::Certificate(error.to_string()))?;
    Ok(NoiseCertificate { details: Some(details), signature: Some(signature) })
}

/// A new Curve25519 key pair.
pub(super) fn new_key() -> KeyPair {
    KeyPair::generate(&mut rand::rng())
}

/// The 32 bytes of a public key, without the type byte.
pub(super) fn public_bytes(pair: &KeyPair) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(pair.public_key.public_key_bytes()) {
        *to = *from;
    }
    out
}

/// `XEdDSA`, the signature that every part of this protocol uses.
pub(super) fn sign(pair: &KeyPair, message: &[u8]) -> Result<Vec<u8>, wacore::libsignal::protocol::CurveError> {
    Ok(pair.calculate_signature(message, &mut rand::rng())?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_the_chain_is_signed_from_root_to_leaf() -> Result<(), Box<dyn std::error::Error>> {
        let authority = Authority::new()?;
        let chain = CertChain::decode_from_slice(authority.chain())?;
        let intermediate = chain.intermediate.into_option().ok_or("no intermediate")?;
        let leaf = chain.leaf.into_option().ok_or("no leaf")?;
        let issued = Details::decode_from_slice(&intermediate.details.clone().unwrap_or_default())?;
        let authorised =
            wacore::libsignal::protocol::PublicKey::from_djb_public_key_bytes(&issued.key.unwrap_or_default())?;
        assert!(
            authority.root.public_key.verify_signature(
                &intermediate.details.unwrap_or_default(),
                &intermediate.signature.unwrap_or_default()
            )
        );
        assert!(
            authorised.verify_signature(&leaf.details.clone().unwrap_or_default(), &leaf.signature.unwrap_or_default())
        );
        let leaf = Details::decode_from_slice(&leaf.details.unwrap_or_default())?;
        assert_eq!(leaf.issuer_serial, issued.serial);
        assert_eq!(leaf.key.unwrap_or_default(), public_bytes(authority.noise_key()));
        Ok(())
    }
}
