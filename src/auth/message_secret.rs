//! `MsgSecretStore`: secrets of messages, with which later edits, votes and reactions to them are decrypted.
//!
//! A message of `wa.outbound` is sent with a secret that is derived from the identity key and the message's id. Every
//! attempt therefore has the same secret, and it is not stored: it is derived again when somebody asks for it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use wacore::crypto::hkdf_sha256_into;
use wacore::libsignal::protocol::PrivateKey;
use wacore::store::{
    error::{Result, StoreError},
    traits::{MessageSecret, MsgSecretEntry, MsgSecretStore, merge_msg_secret_expiry, merge_msg_secret_message_ts},
};

use super::{
    codec::{self, DecodeError, Fields},
    key_id::join,
    kind::Kind,
    sent::find_sent,
    store::{AuthStore, FencedWrite, Write, moment},
};

/// One row to be written, merged from all entries of a batch for one message.
struct MergedSecret {
    secret: MessageSecret,
    expires_at: i64,
    message_ts: i64,
}

fn merge(entries: Vec<MsgSecretEntry>) -> BTreeMap<String, MergedSecret> {
    let mut merged = BTreeMap::<_, MergedSecret>::new();
    for MsgSecretEntry { chat, sender, msg_id, secret, expires_at, message_ts } in entries {
        merged
            .entry(join(&[&chat, &sender, &msg_id]))
            .and_modify(|row| {
                row.secret = secret;
                row.expires_at = merge_msg_secret_expiry(row.expires_at, expires_at);
                row.message_ts = merge_msg_secret_message_ts(row.message_ts, message_ts);
            })
            .or_insert(MergedSecret { secret, expires_at, message_ts });
    }
    merged
}

fn from_json(value: Value) -> std::result::Result<(Vec<u8>, i64), DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    Ok((fields.bytes("secret")?, fields.maybe_number("timestamp")?.unwrap_or(0)))
}

/// Derives the secret of a message of `wa.outbound`, for the device with this identity.
pub(crate) fn secret_of_row(identity: &PrivateKey, message_id: &str) -> Option<MessageSecret> {
    let (mut secret, info) = (MessageSecret::default(), format!("wagres message secret {message_id}"));
    hkdf_sha256_into(identity.serialize(), None, info.as_bytes(), &mut secret).ok()?;
    Some(secret)
}

impl AuthStore {
    pub(super) async fn stored_secret(&self, chat: &str, sender: &str, msg_id: &str) -> Result<Option<(Vec<u8>, i64)>> {
        Ok(self.get(Kind::MessageSecret, &join(&[chat, sender, msg_id]), from_json).await?)
    }

    /// The secret that a message of `wa.outbound` has.
    pub(super) fn derived_secret(&self, msg_id: &str) -> Option<MessageSecret> {
        self.identity.get().and_then(|identity| secret_of_row(identity, msg_id))
    }
}

#[async_trait]
impl MsgSecretStore for AuthStore {
    async fn put_msg_secrets(&self, mut entries: Vec<MsgSecretEntry>) -> Result<usize> {
        let stored = entries.len();
        entries.retain(|entry| self.derived_secret(&entry.msg_id) != Some(entry.secret));
        if entries.is_empty() {
            return Ok(stored);
        }
        let merged = merge(entries);
        let mut key_ids = Vec::with_capacity(merged.len());
        let mut values = Vec::with_capacity(merged.len());
        let mut deadlines: Vec<Option<DateTime<Utc>>> = Vec::with_capacity(merged.len());
        for (key_id, row) in merged {
            let value = json!({"secret": codec::buffer(&row.secret), "timestamp": row.message_ts});
            values.push(self.seal(Kind::MessageSecret, &key_id, value)?);
            key_ids.push(key_id);
            deadlines.push((row.expires_at != 0).then(|| moment(row.expires_at)));
        }
        let fence = self.fence();
        let run = || {
            sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/message_secret_put.sql",
                fence.session_id,
                fence.epoch,
                &key_ids,
                &values,
                &deadlines as &[Option<DateTime<Utc>>]
            )
            .fetch_one(self.pool())
        };
        self.write(Write::Keys(Kind::MessageSecret, &key_ids), run).await?;
        Ok(stored)
    }

    async fn get_msg_secret(&self, chat: &str, sender: &str, msg_id: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get_msg_secret_with_ts(chat, sender, msg_id).await?.map(|(secret, _)| secret))
    }

    async fn get_msg_secret_with_ts(&self, chat: &str, sender: &str, msg_id: &str) -> Result<Option<(Vec<u8>, i64)>> {
        if let Some(stored) = self.stored_secret(chat, sender, msg_id).await? {
            return Ok(Some(stored));
        }
        let Some(secret) = self.derived_secret(msg_id) else { return Ok(None) };
        let chats = self.names_of(chat).await?;
        let found = find_sent(self.pool(), self.fence().session_id, msg_id, &chats).await;
        let found = found.map_err(|error| StoreError::Database(Box::new(error)))?;
        Ok(found.filter(|sent| sent.senders.iter().any(|own| own == sender)).map(|sent| (secret.to_vec(), sent.at)))
    }

    async fn delete_expired_msg_secrets(&self, cutoff_timestamp: i64) -> Result<u32> {
        Ok(self.remove_expired(Kind::MessageSecret, cutoff_timestamp).await?)
    }
}
