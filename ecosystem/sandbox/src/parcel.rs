//! A stanza on its way to a device: encoded once, and shared between the device's queue and its socket.
//!
//! Queues are the largest part of the sandbox's memory, and a tree of nodes takes several times the memory of its
//! bytes.

use std::sync::Arc;

use wacore_binary::{BinaryError, Node};

use super::ledger::Ticket;
use super::node::{self, text};

/// An encoded stanza, with the fields that its acknowledgement names. Clones share the bytes.
#[derive(Debug, Clone)]
pub(super) struct Parcel(Arc<Content>);

#[derive(Debug)]
struct Content {
    tag: String,
    id: String,
    kind: String,
    ticket: Option<Ticket>,
    bytes: Vec<u8>,
}

impl Parcel {
    /// Encodes a stanza; a message has a ticket of the ledger.
    pub(super) fn new(node: &Node, ticket: Option<Ticket>) -> Result<Self, BinaryError> {
        Ok(Self(Arc::new(Content {
            tag: node.tag.to_string(),
            id: text(node, "id"),
            kind: text(node, "type"),
            ticket,
            bytes: wacore_binary::marshal(node)?,
        })))
    }

    pub(super) fn tag(&self) -> &str {
        &self.0.tag
    }

    /// The ledger's ticket, if it is a message.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        self.0.ticket
    }

    /// The encoded stanza.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Decodes the stanza.
    pub(super) fn node(&self) -> Result<Node, BinaryError> {
        node::read(&self.0.bytes)
    }

    /// The same stanza as sent at a login, with its position among the waiting ones.
    pub(super) fn marked(&self, place: usize) -> Self {
        let mark = || {
            let mut node = self.node()?;
            node.attrs.insert("offline", place.to_string());
            Self::new(&node, self.0.ticket)
        };
        // An encoded stanza can be decoded; if not, the mark is dispensable.
        mark().unwrap_or_else(|_: BinaryError| self.clone())
    }

    /// Whether an acknowledgement names this stanza. A receipt and its message have the same id, and one message gets
    /// several receipts, so the tag and, if the acknowledgement has one, the type must match.
    pub(super) fn is(&self, tag: &str, id: &str, kind: Option<&str>) -> bool {
        self.0.tag == tag && self.0.id == id && kind.is_none_or(|kind| self.0.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wacore_binary::builder::NodeBuilder;

    #[test]
    fn x1_a_stanza_survives_encoding() -> Result<(), BinaryError> {
        let node = NodeBuilder::new("message").attr("id", "A").attr("type", "text").bytes(vec![1, 2]).build();
        let parcel = Parcel::new(&node, None)?;
        let mut marked = node.clone();
        marked.attrs.insert("offline", "3");
        assert_eq!(parcel.marked(3).bytes(), wacore_binary::marshal(&marked)?);
        assert!(parcel.is("message", "A", None) && parcel.is("message", "A", Some("text")));
        assert!(!parcel.is("receipt", "A", None) && !parcel.is("message", "A", Some("media")));
        Ok(())
    }
}
