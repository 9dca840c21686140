//! `ProtocolStore`: who has which sender key, LID mappings, device lists, tokens, and messages stored for a while.
//!
//! The shapes of the values are in [`records`](super::records).

use super::sent::{SentMessage, find_sent};
use crate::db::storable::Storable;
use crate::message::stored::with_secret;
use async_trait::async_trait;
use buffa::Message as _;
use serde_json::{Map, Value};
use wacore::store::{
    error::{Result, StoreError},
    traits::{DeviceListRecord, LidPnMappingEntry, PendingInboundKey, PendingInboundRow, ProtocolStore, TcTokenEntry},
};
use wacore_binary::Jid;

use super::{
    codec::{self, DecodeError},
    key_id::{escape, join, unescape},
    kind::Kind,
    records,
    store::{AuthStore, Batch, FencedWrite, KeyRow, Write},
};

fn sender_key_devices(value: Value) -> std::result::Result<Vec<(String, bool)>, DecodeError> {
    let value = codec::open(value);
    let devices = value.as_object().ok_or_else(|| DecodeError::new("value", codec::shape(&value), "an object"))?;
    Ok(devices.iter().map(|(jid, has)| (unescape(jid), has == &Value::Bool(true))).collect())
}

impl AuthStore {
    /// All names of a chat: a person has a number and a LID.
    pub(super) async fn names_of(&self, chat: &str) -> Result<Vec<String>> {
        let mut names = vec![chat.to_owned()];
        if let Ok(jid) = chat.parse::<Jid>() {
            let other = if jid.is_lid() {
                self.get_lid_mapping(&jid.user).await?.map(|entry| Jid::pn(entry.phone_number))
            } else {
                self.get_pn_mapping(&jid.user).await?.map(|entry| Jid::lid(entry.lid))
            };
            names.extend(other.map(|jid| jid.to_string()));
        }
        Ok(names)
    }
}

#[async_trait]
impl ProtocolStore for AuthStore {
    async fn get_sender_key_devices(&self, group_jid: &str) -> Result<Vec<(String, bool)>> {
        Ok(self.get(Kind::SenderKeyMemory, &escape(group_jid), sender_key_devices).await?.unwrap_or_default())
    }

    async fn set_sender_key_status(&self, group_jid: &str, entries: &[(&str, bool)]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let devices: Map<_, _> =
            entries.iter().map(|(jid, has)| (escape(jid).into_owned(), Value::Bool(*has))).collect();
        let (fence, key_id, devices) = (self.fence(), escape(group_jid).into_owned(), Value::Object(devices));
        let run = || {
            sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/sender_key_memory_set.sql",
                fence.session_id,
                fence.epoch,
                &key_id,
                devices
            )
            .fetch_one(self.pool())
        };
        self.write(Write::Keys(Kind::SenderKeyMemory, std::slice::from_ref(&key_id)), run).await?;
        Ok(())
    }

    async fn clear_sender_key_devices(&self, group_jid: &str) -> Result<()> {
        Ok(self.remove_one(Kind::SenderKeyMemory, escape(group_jid).into_owned()).await?)
    }

    async fn delete_sender_key_device_rows(&self, device_jids: &[&str]) -> Result<()> {
        if device_jids.is_empty() {
            return Ok(());
        }
        let devices: Vec<_> = device_jids.iter().map(|jid| escape(jid).into_owned()).collect();
        let fence = self.fence();
        let run = || {
            sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/sender_key_memory_forget.sql",
                fence.session_id,
                fence.epoch,
                &devices
            )
            .fetch_one(self.pool())
        };
        self.write(Write::AnyOf(Kind::SenderKeyMemory), run).await?;
        Ok(())
    }

    async fn clear_all_sender_key_devices(&self) -> Result<()> {
        Ok(self.remove_kind(Kind::SenderKeyMemory).await?)
    }

    async fn get_lid_mapping(&self, lid: &str) -> Result<Option<LidPnMappingEntry>> {
        let key_id = escape(lid);
        Ok(self.get(Kind::LidMapping, &key_id, |value| records::lid_mapping_from_json(&key_id, value)).await?)
    }

    async fn get_pn_mapping(&self, phone: &str) -> Result<Option<LidPnMappingEntry>> {
        let run = || {
            sqlx::query_file_as!(KeyRow, "sql/auth/lid_of_pn.sql", self.fence().session_id, &*escape(phone))
                .fetch_optional(self.pool())
        };
        let row = self.ask(Kind::LidMapping.name(), run).await?;
        let mapping =
            self.decode_all(Kind::LidMapping, row.into_iter().collect(), records::lid_mapping_from_json).await?;
        Ok(mapping.into_iter().next())
    }

    async fn put_lid_mapping(&self, entry: &LidPnMappingEntry) -> Result<()> {
        self.put_lid_mappings(std::slice::from_ref(entry)).await
    }

    async fn put_lid_mappings(&self, entries: &[LidPnMappingEntry]) -> Result<()> {
        let batch: Batch = entries
            .iter()
            .map(|entry| (escape(&entry.lid).into_owned(), records::lid_mapping_to_json(entry)))
            .collect();
        Ok(self.put_many(Kind::LidMapping, batch).await?)
    }

    async fn get_all_lid_mappings(&self) -> Result<Vec<LidPnMappingEntry>> {
        let rows = self.list(Kind::LidMapping).await?;
        Ok(self.decode_all(Kind::LidMapping, rows, records::lid_mapping_from_json).await?)
    }

    async fn save_base_key(&self, address: &str, message_id: &str, base_key: &[u8]) -> Result<()> {
        Ok(self.put(Kind::BaseKey, join(&[address, message_id]), codec::buffer(base_key)).await?)
    }

    async fn has_same_base_key(&self, address: &str, message_id: &str, current_base_key: &[u8]) -> Result<bool> {
        let saved = self.get_bytes(Kind::BaseKey, &join(&[address, message_id])).await?;
        Ok(saved.is_some_and(|saved| saved == current_base_key))
    }

    async fn delete_base_key(&self, address: &str, message_id: &str) -> Result<()> {
        Ok(self.remove_one(Kind::BaseKey, join(&[address, message_id])).await?)
    }

    async fn update_device_list(&self, record: DeviceListRecord) -> Result<()> {
        self.update_device_lists(vec![record]).await
    }

    async fn update_device_lists(&self, lists: Vec<DeviceListRecord>) -> Result<()> {
        let batch: Batch =
            lists.iter().map(|list| (escape(&list.user).into_owned(), records::device_list_to_json(list))).collect();
        Ok(self.put_many(Kind::DeviceList, batch).await?)
    }

    async fn get_devices(&self, user: &str) -> Result<Option<DeviceListRecord>> {
        Ok(self.get(Kind::DeviceList, &escape(user), |value| records::device_list_from_json(user, value)).await?)
    }

    async fn delete_devices(&self, user: &str) -> Result<()> {
        Ok(self.remove_one(Kind::DeviceList, escape(user).into_owned()).await?)
    }

    async fn get_group_metadata(&self, group_jid: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.get_bytes(Kind::GroupMetadata, &escape(group_jid)).await?)
    }

    async fn put_group_metadata(&self, group_jid: &str, blob: &[u8]) -> Result<()> {
        Ok(self.put(Kind::GroupMetadata, escape(group_jid).into_owned(), codec::buffer(blob)).await?)
    }

    async fn delete_group_metadata(&self, group_jid: &str) -> Result<()> {
        Ok(self.remove_one(Kind::GroupMetadata, escape(group_jid).into_owned()).await?)
    }

    async fn get_tc_token(&self, jid: &str) -> Result<Option<TcTokenEntry>> {
        Ok(self.token(&escape(jid), records::tc_token_from_json).await?)
    }

    async fn put_tc_token(&self, jid: &str, entry: &TcTokenEntry) -> Result<()> {
        Ok(self.put(Kind::TcToken, escape(jid).into_owned(), records::tc_token_to_json(entry)).await?)
    }

    async fn delete_tc_token(&self, jid: &str) -> Result<()> {
        Ok(self.remove_one(Kind::TcToken, escape(jid).into_owned()).await?)
    }

    async fn get_all_tc_token_jids(&self) -> Result<Vec<String>> {
        Ok(self.list_ids(Kind::TcToken).await?.iter().map(|id| unescape(id)).collect())
    }

    async fn delete_expired_tc_tokens(&self, token_cutoff: i64, sender_cutoff: i64) -> Result<u32> {
        let fence = self.fence();
        let run = || {
            sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/tctoken_expire.sql",
                fence.session_id,
                fence.epoch,
                token_cutoff,
                sender_cutoff
            )
            .fetch_one(self.pool())
        };
        Ok(self.write(Write::AnyOf(Kind::TcToken), run).await?.count())
    }

    async fn touch_tc_token_sender_timestamp(&self, jid: &str, sender_timestamp: i64) -> Result<()> {
        let placeholder = TcTokenEntry {
            token: Vec::new(),
            token_timestamp: sender_timestamp,
            sender_timestamp: Some(sender_timestamp),
        };
        let (fence, key_id) = (self.fence(), escape(jid).into_owned());
        let run = || {
            sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/tctoken_touch.sql",
                fence.session_id,
                fence.epoch,
                &key_id,
                records::tc_token_to_json(&placeholder),
                Kind::TcToken.seconds_to_live()
            )
            .fetch_one(self.pool())
        };
        self.write(Write::Keys(Kind::TcToken, std::slice::from_ref(&key_id)), run).await?;
        Ok(())
    }

    async fn store_received_tc_token(&self, jid: &str, token: &[u8], token_timestamp: i64) -> Result<()> {
        let received = TcTokenEntry { token: token.to_vec(), token_timestamp, sender_timestamp: None };
        let (fence, key_id) = (self.fence(), escape(jid).into_owned());
        let received = self.seal(Kind::TcToken, &key_id, records::tc_token_to_json(&received))?;
        let run = || {
            sqlx::query_file_as!(
                FencedWrite,
                "sql/auth/tctoken_receive.sql",
                fence.session_id,
                fence.epoch,
                &key_id,
                received,
                Kind::TcToken.seconds_to_live()
            )
            .fetch_one(self.pool())
        };
        self.write(Write::Keys(Kind::TcToken, std::slice::from_ref(&key_id)), run).await?;
        Ok(())
    }

    async fn store_sent_message(&self, chat_jid: &str, message_id: &str, payload: &[u8]) -> Result<()> {
        let key_id = join(&[chat_jid, message_id]);
        if self.traffic().is_some_and(|traffic| traffic.remember_sent(message_id, &key_id, payload)) {
            return Ok(());
        }
        Ok(self.put(Kind::SentMessage, key_id, codec::buffer(payload)).await?)
    }

    async fn take_sent_message(&self, chat_jid: &str, message_id: &str) -> Result<Option<Vec<u8>>> {
        let key_id = join(&[chat_jid, message_id]);
        if let Some(payload) = self.traffic().and_then(|traffic| traffic.take_sent(&key_id)) {
            return Ok(Some(payload));
        }
        if let Some(payload) = self.take_bytes(Kind::SentMessage, key_id).await? {
            return Ok(Some(payload));
        }
        // The store keeps no copy of a message that its row gives whole, and deletes the other copies after a while.
        let chats = self.names_of(chat_jid).await?;
        let found = find_sent(self.pool(), self.fence().session_id, message_id, &chats).await;
        let found = found.map_err(|error| StoreError::Database(Box::new(error)))?;
        let Some(SentMessage { message: Some(mut message), senders, .. }) = found else { return Ok(None) };
        // With its first secret: phones that get the message now could not decrypt edits and reactions to it otherwise.
        let mut secret = self.derived_secret(message_id).map(Vec::from);
        for chat in &chats {
            for sender in &senders {
                if let Some((stored, _)) = self.stored_secret(chat, sender, message_id).await? {
                    secret = Some(stored);
                }
            }
        }
        with_secret(&mut message, || secret);
        Ok(Some(message.encode_to_vec()))
    }

    async fn delete_expired_sent_messages(&self, cutoff_timestamp: i64) -> Result<u32> {
        Ok(self.remove_older(Kind::SentMessage, cutoff_timestamp).await?)
    }

    async fn store_pending_inbound(&self, chat: &str, sender: &str, id: &str, message: &[u8]) -> Result<()> {
        self.store_pending_inbound_batch(&[PendingInboundRow { chat, sender, id, message }]).await
    }

    async fn get_pending_inbound(&self, chat: &str, sender: &str, id: &str) -> Result<Option<Vec<u8>>> {
        let key_id = join(&[chat, sender, id]);
        let named = |name: &str| name.parse::<Jid>().map_or_else(|_| name.to_owned(), |jid| jid.to_non_ad_string());
        let people = [chat, sender].map(named);
        let users = people.each_ref().map(|jid| escape(jid.split('@').next().unwrap_or(jid)).into_owned());
        // As `wa.inbox` has them.
        let (people, stored_id) = (people.each_ref().map(|jid| Storable::id(jid)), Storable::id(id));
        let run = || {
            sqlx::query_file!(
                "sql/auth/pending_inbound.sql",
                self.fence().session_id,
                key_id,
                stored_id.as_str(),
                &people as &[Storable],
                &users
            )
            .fetch_one(self.pool())
        };
        let found = self.ask(Kind::PendingInbound.name(), run).await?;
        let message = match found.value {
            Some(value) => {
                let row = KeyRow { key_id, value };
                self.decode(Kind::PendingInbound, row, |value| codec::bytes(&value, "value")).await?
            }
            None => None,
        };
        if message.is_none() && !found.kept {
            self.missed(id)?;
        }
        Ok(message)
    }

    async fn delete_pending_inbound(&self, chat: &str, sender: &str, id: &str) -> Result<()> {
        self.delete_pending_inbound_batch(&[PendingInboundKey { chat, sender, id }]).await
    }

    async fn delete_expired_pending_inbound(&self, cutoff_timestamp: i64) -> Result<u32> {
        Ok(self.remove_older(Kind::PendingInbound, cutoff_timestamp).await?)
    }

    async fn store_pending_inbound_batch(&self, rows: &[PendingInboundRow<'_>]) -> Result<()> {
        let batch: Batch =
            rows.iter().map(|row| (join(&[row.chat, row.sender, row.id]), codec::buffer(row.message))).collect();
        Ok(self.put_many(Kind::PendingInbound, batch).await?)
    }

    async fn delete_pending_inbound_batch(&self, keys: &[PendingInboundKey<'_>]) -> Result<()> {
        let key_ids: Vec<_> = keys.iter().map(|key| join(&[key.chat, key.sender, key.id])).collect();
        Ok(self.remove(Kind::PendingInbound, &key_ids).await?)
    }
}
