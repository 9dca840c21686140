//! `MsgSecretStore`: secrets of messages, with which later edits, votes and reactions to them are read.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use wacore::store::{
    error::Result,
    traits::{MessageSecret, MsgSecretEntry, MsgSecretStore, merge_msg_secret_expiry, merge_msg_secret_message_ts},
};

use super::{
    codec::{self, DecodeError, Fields},
    key_id::join,
    kind::Kind,
    store::{AuthStore, Written, moment},
};

/// One row to be written, once what a batch says twice has been merged.
struct Merged {
    secret: MessageSecret,
    expires_at: i64,
    message_ts: i64,
}

fn merge(entries: Vec<MsgSecretEntry>) -> BTreeMap<String, Merged> {
    let mut merged = BTreeMap::<_, Merged>::new();
    for MsgSecretEntry { chat, sender, msg_id, secret, expires_at, message_ts } in entries {
        merged
            .entry(join(&[&chat, &sender, &msg_id]))
            .and_modify(|row| {
                row.secret = secret;
                row.expires_at = merge_msg_secret_expiry(row.expires_at, expires_at);
                row.message_ts = merge_msg_secret_message_ts(row.message_ts, message_ts);
            })
            .or_insert(Merged { secret, expires_at, message_ts });
    }
    merged
}

fn from_json(value: Value) -> std::result::Result<(Vec<u8>, i64), DecodeError> {
    let value = codec::open(value);
    let fields = Fields::of(&value, "")?;
    Ok((fields.bytes("secret")?, fields.maybe_number("timestamp")?.unwrap_or(0)))
}

#[async_trait]
impl MsgSecretStore for AuthStore {
    async fn put_msg_secrets(&self, entries: Vec<MsgSecretEntry>) -> Result<usize> {
        let stored = entries.len();
        if stored == 0 {
            return Ok(0);
        }
        let merged = merge(entries);
        let mut key_ids = Vec::with_capacity(merged.len());
        let mut values = Vec::with_capacity(merged.len());
        let mut deadlines: Vec<Option<DateTime<Utc>>> = Vec::with_capacity(merged.len());
        for (key_id, row) in merged {
            let value = json!({"secret": codec::buffer(&row.secret), "timestamp": row.message_ts});
            values.push(self.sealed(Kind::MessageSecret, &key_id, value)?);
            key_ids.push(key_id);
            deadlines.push((row.expires_at != 0).then(|| moment(row.expires_at)));
        }
        let fence = self.fence();
        let done = || {
            sqlx::query_file_as!(
                Written,
                "sql/auth/message_secret_put.sql",
                fence.session_id,
                fence.epoch,
                &key_ids,
                &values,
                &deadlines as &[Option<DateTime<Utc>>]
            )
            .fetch_one(self.pool())
        };
        self.write(Kind::MessageSecret.name(), done).await?;
        Ok(stored)
    }

    async fn get_msg_secret(&self, chat: &str, sender: &str, msg_id: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get_msg_secret_with_ts(chat, sender, msg_id).await?.map(|(secret, _)| secret))
    }

    async fn get_msg_secret_with_ts(&self, chat: &str, sender: &str, msg_id: &str) -> Result<Option<(Vec<u8>, i64)>> {
        Ok(self.get(Kind::MessageSecret, &join(&[chat, sender, msg_id]), from_json).await?)
    }

    async fn delete_expired_msg_secrets(&self, cutoff_timestamp: i64) -> Result<u32> {
        Ok(self.remove_expired(Kind::MessageSecret, cutoff_timestamp).await?)
    }
}
