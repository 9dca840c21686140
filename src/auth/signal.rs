//! `SignalStore`: identities, sessions, pre-keys and sender keys.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use wacore::store::{error::Result, traits::SignalStore};
use waproto::{codec as proto, whatsapp::PreKeyRecordStructure};

use super::{
    codec::{self, DecodeError, Fields},
    key_id::escape,
    kind::Kind,
    store::{AuthStore, Batch, FencedWrite, Write},
};

/// When the library asks for at least so many pre-keys at once, all are read: at each login it asks for the 812 that
/// the server has, which are nearly all that exist.
const MANY: usize = 64;

/// A key pair of 32 bytes each.
pub(super) fn pair_to_json(public: &[u8], private: &[u8]) -> Value {
    json!({"public": codec::buffer(public), "private": codec::buffer(private)})
}

/// A pre-key of two keys of 32 bytes.
pub(super) fn pre_key_pair_to_json(public: &[u8], private: &[u8], uploaded: bool) -> Value {
    let mut value = pair_to_json(public, private);
    value["uploaded"] = uploaded.into();
    value
}

/// A pre-key as Baileys keeps it, `{public, private}`, when the record holds nothing else; otherwise the record itself.
fn pre_key_to_json(id: u32, record: &[u8], uploaded: bool) -> Value {
    if let Ok(parsed) = proto::pre_key_record_decode(record)
        && let PreKeyRecordStructure { id: Some(own), public_key: Some(public), private_key: Some(private), .. } =
            &parsed
        && (*own, public.len(), private.len()) == (id, 32, 32)
        && proto::pre_key_record_to_vec(&parsed) == record
    {
        return pre_key_pair_to_json(public, private, uploaded);
    }
    json!({"record": codec::buffer(record), "uploaded": uploaded})
}

pub(super) fn pre_key_from_json(id: u32, value: Value) -> std::result::Result<Bytes, DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    if let Some(record) = fields.get("record") {
        return Ok(codec::bytes(record, "record")?.into());
    }
    let record = PreKeyRecordStructure {
        id: Some(id),
        public_key: Some(fields.fixed::<32>("public")?.to_vec()),
        private_key: Some(fields.fixed::<32>("private")?.to_vec()),
    };
    Ok(proto::pre_key_record_to_vec(&record).into())
}

fn number(key_id: &str) -> std::result::Result<u32, DecodeError> {
    key_id.parse().map_err(|_| DecodeError::new("key_id", "other text", "a number from 0 to 4294967295"))
}

fn key_of(address: &str) -> String {
    escape(address).into_owned()
}

fn records<R: AsRef<[u8]>>(rows: &[(Arc<str>, R)]) -> Batch {
    rows.iter().map(|(address, record)| (key_of(address), codec::buffer(record.as_ref()))).collect()
}

#[async_trait]
impl SignalStore for AuthStore {
    async fn put_identity(&self, address: &str, key: [u8; 32]) -> Result<()> {
        Ok(self.put(Kind::IdentityKey, key_of(address), codec::buffer(&key)).await?)
    }

    async fn put_identities_batch(&self, identities: &[(Arc<str>, [u8; 32])]) -> Result<()> {
        Ok(self.put_many(Kind::IdentityKey, records(identities)).await?)
    }

    async fn load_identity(&self, address: &str) -> Result<Option<[u8; 32]>> {
        Ok(self.get(Kind::IdentityKey, &key_of(address), |value| codec::fixed(&value, "value")).await?)
    }

    async fn delete_identity(&self, address: &str) -> Result<()> {
        Ok(self.remove_one(Kind::IdentityKey, key_of(address)).await?)
    }

    async fn get_session(&self, address: &str) -> Result<Option<Bytes>> {
        Ok(self.get_bytes(Kind::Session, &key_of(address)).await?.map(Bytes::from))
    }

    async fn put_session(&self, address: &str, session: &[u8]) -> Result<()> {
        Ok(self.put(Kind::Session, key_of(address), codec::buffer(session)).await?)
    }

    async fn put_sessions_batch(&self, sessions: &[(Arc<str>, Bytes)]) -> Result<()> {
        Ok(self.put_many(Kind::Session, records(sessions)).await?)
    }

    async fn delete_session(&self, address: &str) -> Result<()> {
        Ok(self.remove_one(Kind::Session, key_of(address)).await?)
    }

    async fn has_session(&self, address: &str) -> Result<bool> {
        Ok(self.has(Kind::Session, &key_of(address)).await?)
    }

    async fn has_signal_state_for_user(&self, user: &str) -> Result<bool> {
        // In the order of bytes, A follows @ and ; follows :, so each pair of texts encloses the addresses that begin
        // with the first.
        let [at, after_at, colon, after_colon] = ['@', 'A', ':', ';'].map(|c| format!("{}{c}", escape(user)));
        let session = self.fence().session_id;
        let run = || {
            sqlx::query_file_scalar!("sql/auth/signal_state_of_user.sql", session, &at, &after_at, &colon, &after_colon)
                .fetch_one(self.pool())
        };
        Ok(self.ask("signal state of a user", run).await?)
    }

    async fn store_prekey(&self, id: u32, record: &[u8], uploaded: bool) -> Result<()> {
        Ok(self.put(Kind::PreKey, id.to_string(), pre_key_to_json(id, record, uploaded)).await?)
    }

    async fn store_prekeys_batch(&self, keys: &[(u32, Bytes)], uploaded: bool) -> Result<()> {
        let batch = keys.iter().map(|(id, record)| (id.to_string(), pre_key_to_json(*id, record, uploaded))).collect();
        Ok(self.put_many(Kind::PreKey, batch).await?)
    }

    async fn load_prekey(&self, id: u32) -> Result<Option<Bytes>> {
        Ok(self.get(Kind::PreKey, &id.to_string(), |value| pre_key_from_json(id, value)).await?)
    }

    async fn load_prekeys_batch(&self, ids: &[u32]) -> Result<Vec<(u32, Bytes)>> {
        let key_ids: Vec<_> = ids.iter().map(u32::to_string).collect();
        let rows = if key_ids.len() < MANY {
            self.get_many(Kind::PreKey, &key_ids).await?
        } else {
            let wanted: HashSet<_> = key_ids.into_iter().collect();
            let rows = self.list(Kind::PreKey).await?;
            rows.into_iter().filter(|row| wanted.contains(&row.key_id)).collect()
        };
        let read = |id: &str, value| number(id).and_then(|id| Ok((id, pre_key_from_json(id, value)?)));
        Ok(self.decode_all(Kind::PreKey, rows, read).await?)
    }

    async fn mark_prekeys_uploaded(&self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let key_ids: Vec<_> = ids.iter().map(u32::to_string).collect();
        let fence = self.fence();
        let run = || {
            sqlx::query_file_as!(FencedWrite, "sql/auth/pre_key_uploaded.sql", fence.session_id, fence.epoch, &key_ids)
                .fetch_one(self.pool())
        };
        self.write(Write::Keys(Kind::PreKey, &key_ids), run).await?;
        Ok(())
    }

    async fn remove_prekey(&self, id: u32) -> Result<()> {
        Ok(self.remove_one(Kind::PreKey, id.to_string()).await?)
    }

    async fn get_max_prekey_id(&self) -> Result<u32> {
        let run =
            || sqlx::query_file_scalar!("sql/auth/pre_key_max_id.sql", self.fence().session_id).fetch_one(self.pool());
        let id = self.ask(Kind::PreKey.name(), run).await?;
        Ok(u32::try_from(id).unwrap_or(u32::MAX))
    }

    async fn store_signed_prekey(&self, id: u32, record: &[u8]) -> Result<()> {
        Ok(self.put(Kind::SignedPreKey, id.to_string(), codec::buffer(record)).await?)
    }

    async fn load_signed_prekey(&self, id: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.get_bytes(Kind::SignedPreKey, &id.to_string()).await?)
    }

    async fn load_all_signed_prekeys(&self) -> Result<Vec<(u32, Vec<u8>)>> {
        let rows = self.list(Kind::SignedPreKey).await?;
        let read = |id: &str, value| number(id).and_then(|id| Ok((id, codec::bytes(&value, "value")?)));
        Ok(self.decode_all(Kind::SignedPreKey, rows, read).await?)
    }

    async fn remove_signed_prekey(&self, id: u32) -> Result<()> {
        Ok(self.remove_one(Kind::SignedPreKey, id.to_string()).await?)
    }

    async fn put_sender_key(&self, address: &str, record: &[u8]) -> Result<()> {
        Ok(self.put(Kind::SenderKey, key_of(address), codec::buffer(record)).await?)
    }

    async fn put_sender_keys_batch(&self, sender_keys: &[(Arc<str>, Bytes)]) -> Result<()> {
        Ok(self.put_many(Kind::SenderKey, records(sender_keys)).await?)
    }

    async fn get_sender_key(&self, address: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get_bytes(Kind::SenderKey, &key_of(address)).await?)
    }

    async fn delete_sender_key(&self, address: &str) -> Result<()> {
        Ok(self.remove_one(Kind::SenderKey, key_of(address)).await?)
    }
}
