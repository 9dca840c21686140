//! Reading: the owner of a phone reads messages, unasked or on request, and the senders get receipts.

use std::collections::BTreeMap;
use std::sync::Arc;

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::DeviceId;
use super::super::server::Server;
use super::super::stanza::route_receipt;
use super::Phone;
use super::origin::Origin;
use super::worker::{Worker, is_many};

impl Worker {
    /// Sends the delivery receipt and, a little later, the read receipt.
    pub(super) fn send_receipts(&self, origin: &Origin, id: &str) {
        let (server, own, inbox) = (Arc::clone(&self.server), self.own.clone(), Arc::clone(&self.inbox));
        let (origin, id) = (origin.clone(), id.to_owned());
        self.server.spawn(async move {
            let manner = || server.state().accounts.get(&own.number).map(|account| account.manner);
            let Some(pace) = manner().map(|manner| manner.pace) else { return };
            tokio::time::sleep(pace.delivered).await;
            route_receipt(&server, &own, origin.receipt(&id).build());
            tokio::time::sleep(pace.read).await;
            // Meanwhile the owner's manner may have changed, or another device may have shown the message.
            if manner().is_some_and(|manner| manner.reads) && inbox.lock().mark_seen(&id) {
                route_receipt(&server, &own, read_receipt(&server, &own, &origin, &[id]));
            }
        });
    }
}

impl Phone {
    /// Reads all messages of a chat; returns the ids of the new ones.
    pub(in super::super) fn read(&self, server: &Server, own: &DeviceId, chat: &Jid) -> Vec<String> {
        let new = self.inbox.lock().mark_chat_seen(&chat.to_string());
        let mut by_author: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (author, id) in &new {
            by_author.entry(author).or_default().push(id.clone());
        }
        for (author, ids) in by_author {
            let participant = if is_many(chat) { author.parse().ok() } else { None };
            let origin = Origin { to: chat.clone(), participant };
            route_receipt(server, own, read_receipt(server, own, &origin, &ids));
        }
        new.into_iter().map(|(_, id)| id).collect()
    }

    /// The number of messages that the owner has not read.
    pub(in super::super) fn unread(&self) -> usize {
        self.inbox.lock().unread()
    }
}

/// A read receipt, of the kind that the owner's privacy setting requires.
fn read_receipt(server: &Server, own: &DeviceId, origin: &Origin, ids: &[String]) -> Node {
    let open = server.state().accounts.get(&own.number).is_some_and(|account| account.settings.sends_read_receipts());
    let kind = if open { "read" } else { "read-self" };
    let (first, rest) = ids.split_first().map_or(("", ids), |(first, rest)| (first.as_str(), rest));
    let receipt = origin.receipt(first).attr("type", kind);
    if rest.is_empty() {
        return receipt.build();
    }
    let items = rest.iter().map(|id| NodeBuilder::new("item").attr("id", id.as_str()).build());
    receipt.children([NodeBuilder::new("list").children(items).build()]).build()
}
