//! What the supervisors of all connections report to, and how far sent messages have come.

use super::admission::Gate;
use crate::db::fence::Fence;
use crate::db::storable::{self, Storable};
use crate::jobs::bells::Bells;
use crate::jobs::change::{Change, Reached};
use crate::jobs::numbers::Numbers;
use crate::jobs::progress::Progress;
use crate::messages::address::phone_form;
use crate::messages::connection::Connections;
use crate::telemetry;
use tokio_util::task::TaskTracker;
use wacore::types::events::Receipt;
use wacore::types::presence::ReceiptType;
use wacore_binary::JidExt as _;
use whatsapp_rust::client::Client;

/// What a supervisor reports to.
#[derive(Clone)]
pub(super) struct Reports {
    /// The connections over which this worker sends.
    pub(super) connections: Connections,
    /// Acks and receipts.
    pub(super) progress: Progress,
    /// Rung when a session has connected.
    pub(super) bells: Bells,
    /// Requests to WhatsApp that run beside a supervisor's loop, because their answers are events that the loop must
    /// handle.
    pub(super) tasks: TaskTracker,
    /// Learns that WhatsApp answers.
    pub(super) gate: Gate,
    /// Counts decryption failures.
    pub(super) numbers: Numbers,
}

impl Reports {
    /// The server has a message.
    pub(super) async fn acked(&self, fence: Fence, message_id: &str) {
        self.progress.push(Change::reported(fence, Storable::id(message_id), Reached::Sent, None)).await;
    }

    /// A device of a recipient tells how far messages have come.
    pub(super) async fn received(&self, fence: Fence, client: &Client, receipt: &Receipt) {
        let Some((reached, changes)) = changes(fence, client, receipt).await else { return };
        telemetry::receipts(reached.name(), changes.len());
        for change in changes {
            self.progress.push(change).await;
        }
    }
}

/// What a receipt says of the messages that it names; `None` if it says nothing of a recipient.
pub(super) async fn changes(fence: Fence, client: &Client, receipt: &Receipt) -> Option<(Reached, Vec<Change>)> {
    let reached = match receipt.r#type {
        ReceiptType::Delivered | ReceiptType::Inactive => Reached::Delivered,
        ReceiptType::Read => Reached::Read,
        ReceiptType::Played => Reached::Played,
        _ => return None,
    };
    // Copies to our own phone and devices say nothing about the recipient.
    if receipt.source.is_from_me {
        return None;
    }
    let at = receipt.offline.then(|| storable::time(receipt.timestamp));
    let (chat, sender) = (&receipt.source.chat, &receipt.source.sender);
    let participant = if chat.is_group() || chat.is_status_broadcast() {
        let sender = phone_form(client, sender, receipt.source.sender_alt.as_ref()).await;
        Some(Storable::id(&sender.to_string()))
    } else {
        None
    };
    let change = |id: &String| Change {
        participant: participant.clone(),
        ..Change::reported(fence, Storable::id(id), reached, at)
    };
    Some((reached, receipt.message_ids.iter().map(change).collect()))
}
