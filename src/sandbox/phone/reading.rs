//! The owner of a phone looks at what arrives, by themself or when told, and the senders hear of it.

use std::sync::{Arc, PoisonError};

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::DeviceId;
use super::super::server::Server;
use super::super::stanza::route_receipt;
use super::Phone;
use super::worker::Worker;

impl Worker {
    /// The phone says that it has a message and, a little later, that its owner has read it.
    pub(super) fn look_at(&self, from: &Jid, id: &str) {
        let (server, own, inbox) = (Arc::clone(&self.server), self.own.clone(), Arc::clone(&self.inbox));
        let (from, id) = (from.clone(), id.to_owned());
        self.server.spawn(async move {
            let manner = || server.state().accounts.get(&own.number).map(|account| account.manner);
            let Some(pace) = manner().map(|manner| manner.pace) else { return };
            tokio::time::sleep(pace.delivered).await;
            route_receipt(&server, &own, NodeBuilder::new("receipt").attr("to", &from).attr("id", id.as_str()).build());
            tokio::time::sleep(pace.read).await;
            // The owner may have changed their manner meanwhile, or have read it on another device.
            if manner().is_some_and(|manner| manner.reads)
                && inbox.lock().unwrap_or_else(PoisonError::into_inner).see(&id)
            {
                route_receipt(&server, &own, read_receipt(&server, &own, &from, &[id]));
            }
        });
    }
}

impl Phone {
    /// The owner reads everything in a chat; the ids of what was new.
    pub(in super::super) fn read(&self, server: &Server, own: &DeviceId, chat: &Jid) -> Vec<String> {
        let ids = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).see_chat(&chat.to_string());
        if !ids.is_empty() {
            route_receipt(server, own, read_receipt(server, own, chat, &ids));
        }
        ids
    }

    /// How many messages the owner has not read.
    pub(in super::super) fn unread(&self) -> usize {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).unread()
    }
}

/// A receipt for messages that the owner has read, of the kind that their privacy setting asks for.
fn read_receipt(server: &Server, own: &DeviceId, to: &Jid, ids: &[String]) -> Node {
    let open = server.state().accounts.get(&own.number).is_some_and(|account| account.settings.tells_when_read());
    let kind = if open { "read" } else { "read-self" };
    let (first, rest) = ids.split_first().map_or(("", ids), |(first, rest)| (first.as_str(), rest));
    let receipt = NodeBuilder::new("receipt").attr("to", to).attr("id", first).attr("type", kind);
    if rest.is_empty() {
        return receipt.build();
    }
    let items = rest.iter().map(|id| NodeBuilder::new("item").attr("id", id.as_str()).build());
    receipt.children([NodeBuilder::new("list").children(items).build()]).build()
}
