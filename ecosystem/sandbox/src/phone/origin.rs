//! The origin of a message, as its receipts must name it.

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::node::jid;

/// Where a message was written, and the address for its receipts.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// The group, `status@broadcast`, or the device of the other side.
    pub(super) to: Jid,
    /// The device that wrote it, in a group or for a status.
    pub(super) participant: Option<Jid>,
}

impl Origin {
    /// Reads the origin from a stanza whose sender is `from`.
    pub(super) fn of(from: &Jid, node: &Node) -> Self {
        match (jid(node, "participant"), jid(node, "from")) {
            (Some(participant), Some(to)) => Self { to, participant: Some(participant) },
            _ => Self { to: from.clone(), participant: None },
        }
    }

    /// The chat as the owner knows it: the group, or the other side's number.
    pub(super) fn chat(&self, number: &str) -> Jid {
        if self.participant.is_some() { self.to.clone() } else { Jid::pn(number) }
    }

    /// The head of a receipt.
    pub(super) fn receipt(&self, id: &str) -> NodeBuilder {
        let receipt = NodeBuilder::new("receipt").attr("to", &self.to).attr("id", id);
        match &self.participant {
            Some(participant) => receipt.attr("participant", participant),
            None => receipt,
        }
    }
}
