//! A phone's Signal keys and sessions, in memory.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use wacore::libsignal::protocol::{
    CurveError, Direction, GenericSignedPreKey as _, IdentityChange, IdentityKey, IdentityKeyPair, IdentityKeyStore,
    KeyPair, PreKeyId, PreKeyRecord, PreKeyStore, ProtocolAddress, SenderKeyName, SenderKeyRecord, SenderKeyStore,
    SessionRecord, SessionStore, SignalProtocolError, SignedPreKeyId, SignedPreKeyRecord, SignedPreKeyStore, Timestamp,
};
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::Bundle;
use super::super::ca::{new_key, public_bytes, sign};
use super::super::node::{leaf, unix_now};

type Result<T> = std::result::Result<T, SignalProtocolError>;

/// The phone's registration id; any number would do.
const REGISTRATION: u32 = 77;
const SIGNED_KEY_ID: u32 = 1;
/// The greatest id of a key: it has three bytes on the wire. Ids then start again at 1; the first keys are long used.
const LAST_KEY_ID: u32 = 0x00FF_FFFF;
/// How many one-time keys a phone creates at a time.
const BATCH: u32 = 20;

/// The keys and sessions of a phone.
pub(super) struct Keys {
    pub(super) sessions: Sessions,
    pub(super) identities: Identities,
    pub(super) one_time: OneTimeKeys,
    pub(super) signed: SignedKeys,
    pub(super) senders: SenderKeys,
    pub(super) next_key: u32,
}

impl Keys {
    /// New keys, and their public halves for the server.
    pub(super) fn new(identity: &KeyPair) -> std::result::Result<(Self, Bundle), CurveError> {
        let pair = IdentityKeyPair::new(IdentityKey::new(identity.public_key), identity.private_key.clone());
        let signed = new_key();
        let signature = sign(identity, &signed.public_key.serialize())?;
        let created = Timestamp::from_epoch_millis(unix_now() * 1000);
        let record = SignedPreKeyRecord::new(SIGNED_KEY_ID.into(), created, &signed, &signature);
        let mut keys = Self {
            sessions: Sessions::default(),
            identities: Identities { own: pair, known: HashMap::new() },
            one_time: OneTimeKeys::default(),
            signed: SignedKeys(record),
            senders: SenderKeys::default(),
            next_key: 1,
        };
        let bundle = Bundle {
            registration: REGISTRATION.to_be_bytes().to_vec(),
            identity: public_bytes(identity).to_vec(),
            signed: NodeBuilder::new("skey")
                .children([
                    leaf("id", id_bytes(SIGNED_KEY_ID)),
                    leaf("value", public_bytes(&signed)),
                    leaf("signature", signature),
                ])
                .build(),
            one_time: keys.more(),
            warned: false,
        };
        Ok((keys, bundle))
    }

    /// Another batch of one-time keys; returns the public halves for the server.
    pub(super) fn more(&mut self) -> VecDeque<Node> {
        (0..BATCH)
            .map(|_| {
                let (id, key) = (self.next_key.clamp(1, LAST_KEY_ID), new_key());
                self.next_key = self.next_key % LAST_KEY_ID + 1;
                self.one_time.0.insert(id.into(), PreKeyRecord::new(id.into(), &key));
                NodeBuilder::new("key").children([leaf("id", id_bytes(id)), leaf("value", public_bytes(&key))]).build()
            })
            .collect()
    }
}

fn id_bytes(id: u32) -> Vec<u8> {
    id.to_be_bytes().into_iter().skip(1).collect()
}

#[derive(Default)]
pub(super) struct Sessions(pub(super) HashMap<ProtocolAddress, SessionRecord>);

impl Sessions {
    pub(super) fn contains(&self, address: &ProtocolAddress) -> bool {
        self.0.contains_key(address)
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn load_session(&self, address: &ProtocolAddress) -> Result<Option<SessionRecord>> {
        Ok(self.0.get(address).cloned())
    }

    async fn has_session(&self, address: &ProtocolAddress) -> Result<bool> {
        Ok(self.contains(address))
    }

    async fn store_session(&mut self, address: &ProtocolAddress, record: SessionRecord) -> Result<()> {
        self.0.insert(address.clone(), record);
        Ok(())
    }
}

pub(super) struct Identities {
    pub(super) own: IdentityKeyPair,
    pub(super) known: HashMap<ProtocolAddress, IdentityKey>,
}

#[async_trait]
impl IdentityKeyStore for Identities {
    async fn get_identity_key_pair(&self) -> Result<IdentityKeyPair> {
        Ok(self.own.clone())
    }

    async fn get_local_registration_id(&self) -> Result<u32> {
        Ok(REGISTRATION)
    }

    async fn save_identity(&mut self, address: &ProtocolAddress, identity: &IdentityKey) -> Result<IdentityChange> {
        let former = self.known.insert(address.clone(), *identity);
        Ok(IdentityChange::from_changed(former.is_some_and(|former| former != *identity)))
    }

    async fn is_trusted_identity(&self, _: &ProtocolAddress, _: &IdentityKey, _: Direction) -> Result<bool> {
        // A device that is linked again has a new identity, and the app accepts it.
        Ok(true)
    }

    async fn get_identity(&self, address: &ProtocolAddress) -> Result<Option<IdentityKey>> {
        Ok(self.known.get(address).copied())
    }
}

#[derive(Default)]
pub(super) struct OneTimeKeys(pub(super) HashMap<PreKeyId, PreKeyRecord>);

#[async_trait]
impl PreKeyStore for OneTimeKeys {
    async fn get_pre_key(&self, id: PreKeyId) -> Result<PreKeyRecord> {
        self.0.get(&id).cloned().ok_or(SignalProtocolError::InvalidPreKeyId)
    }

    async fn save_pre_key(&mut self, id: PreKeyId, record: &PreKeyRecord) -> Result<()> {
        self.0.insert(id, record.clone());
        Ok(())
    }

    async fn remove_pre_key(&mut self, id: PreKeyId) -> Result<()> {
        self.0.remove(&id);
        Ok(())
    }
}

pub(super) struct SignedKeys(pub(super) SignedPreKeyRecord);

#[async_trait]
impl SignedPreKeyStore for SignedKeys {
    async fn get_signed_pre_key(&self, id: SignedPreKeyId) -> Result<SignedPreKeyRecord> {
        if self.0.id()? == id { Ok(self.0.clone()) } else { Err(SignalProtocolError::InvalidSignedPreKeyId) }
    }

    async fn save_signed_pre_key(&mut self, _: SignedPreKeyId, record: &SignedPreKeyRecord) -> Result<()> {
        self.0 = record.clone();
        Ok(())
    }
}

/// The sender keys of groups and statuses: those of others, and ours for each chat.
#[derive(Default)]
pub(super) struct SenderKeys(pub(super) HashMap<String, SenderKeyRecord>);

impl SenderKeys {
    pub(super) fn forget(&mut self, name: &SenderKeyName) {
        self.0.remove(name.cache_key());
    }
}

#[async_trait]
impl SenderKeyStore for SenderKeys {
    async fn store_sender_key(&mut self, name: &SenderKeyName, record: SenderKeyRecord) -> Result<()> {
        self.0.insert(name.cache_key().to_owned(), record);
        Ok(())
    }

    async fn load_sender_key(&self, name: &SenderKeyName) -> Result<Option<SenderKeyRecord>> {
        Ok(self.0.get(name.cache_key()).cloned())
    }
}
