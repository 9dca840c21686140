//! The same messages from clients of the bare library: no rows, no database, state in memory.

use super::super::sandbox::client::Linked;
use super::super::sandbox::process::Process;
use super::{Load, Measured, answer, milliseconds};
use anyhow::{Context, bail};
use futures::StreamExt as _;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wacore::proto_helpers::MessageBuilderExt as _;
use wacore::types::events::Event;
use wacore::types::presence::ReceiptType;
use wacore_binary::Jid;
use wagres::telemetry::Usage;
use waproto::whatsapp::Message;

/// The number of the first client's phone.
const OWN: u64 = 15_570_000_000;
/// Clients that are linked at the same time.
const LINKING: usize = 8;
/// Limit for the next event.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Messages of a client that may lack their receipt; enough to keep the server busy.
const WINDOW: usize = 1000;

pub(super) struct Clients(Vec<Arc<Linked>>);

/// Acks and receipts of a client's messages, and texts that it received.
#[derive(Debug, Default)]
struct Counts {
    acked: u64,
    delivered: u64,
    texts: u64,
}

impl Counts {
    /// Counts events until `enough`.
    async fn until(&mut self, client: &Linked, enough: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        while !enough(self) {
            self.next(client).await?;
        }
        Ok(())
    }

    async fn next(&mut self, client: &Linked) -> anyhow::Result<()> {
        let event = tokio::time::timeout(TIMEOUT, client.events.recv()).await;
        match &*event.map_err(|_| anyhow::anyhow!("no event for a client of the bare library in time: {self:?}"))?? {
            Event::ServerAck(ack) if ack.class.as_deref() == Some("message") => {
                if let Some(code) = &ack.error {
                    bail!("the server refused a message of the bare library: {code}");
                }
                self.acked += 1;
            }
            Event::Receipt(receipt) if receipt.r#type == ReceiptType::Delivered => {
                self.delivered += receipt.message_ids.len() as u64;
            }
            event => self.texts += event.messages().count() as u64,
        }
        Ok(())
    }
}

impl Clients {
    /// Links clients and lets each exchange a message with every chat.
    pub(super) async fn start(sandbox: &Process, load: &Load) -> anyhow::Result<Self> {
        let linking = (0..load.sessions).map(|number| async move {
            let client = Linked::new(sandbox, (OWN + u64::from(number)).to_string()).await?;
            sandbox.post("/phones", json!({ "number": client.number, "phone": "off" })).await?;
            for chat in load.chats() {
                client.client.send_message(Jid::pn(chat.as_str()), Message::text("Hello")).await?;
            }
            let (chats, mut counts) = (u64::from(load.chats), Counts::default());
            counts.until(&client, |counts| counts.acked >= chats && counts.delivered >= chats).await?;
            answer(sandbox, load, &client.number).await?;
            counts.until(&client, |counts| counts.texts >= chats).await?;
            anyhow::Ok(Arc::new(client))
        });
        let linked: Vec<_> = futures::stream::iter(linking).buffer_unordered(LINKING).collect().await;
        Ok(Self(linked.into_iter().collect::<anyhow::Result<_>>()?))
    }

    /// From the first message to the last receipt.
    pub(super) async fn rate(&self, load: &Load) -> anyhow::Result<Measured> {
        let (before, start) = (Usage::now(), Instant::now());
        let sessions = u64::from(load.sessions);
        let mut running = vec![];
        for (client, number) in self.0.iter().zip(0..) {
            // This client's share, the same as that of a session.
            let share = load.messages / sessions + u64::from(number < load.messages % sessions);
            let chats: Vec<Jid> = load.chats().map(|chat| Jid::pn(chat.as_str())).collect();
            running.push(tokio::spawn(exchange(Arc::clone(client), chats, share)));
        }
        for exchange in running {
            exchange.await.context("a client of the bare library")??;
        }
        Ok(Measured::new(load.messages, start.elapsed(), before, Usage::now()))
    }

    /// Milliseconds from the call that sends to the server's ack, one message at a time.
    pub(super) async fn latencies(&self, load: &Load) -> anyhow::Result<Vec<f64>> {
        let mut times = vec![];
        for (client, chat) in load.samples(&self.0) {
            let (start, mut counts) = (Instant::now(), Counts::default());
            client.client.send_message(Jid::pn(chat), Message::text("one")).await?;
            counts.until(client, |counts| counts.acked == 1).await?;
            times.push(milliseconds(start));
            counts.until(client, |counts| counts.delivered == 1).await?;
        }
        Ok(times)
    }
}

/// Sends to the chats in turn, until all messages are acknowledged and delivered.
async fn exchange(client: Arc<Linked>, chats: Vec<Jid>, share: u64) -> anyhow::Result<()> {
    let room = Semaphore::new(WINDOW);
    let sending = async {
        for (chat, number) in chats.iter().cycle().zip(0..share) {
            room.acquire().await?.forget();
            client.client.send_message(chat.clone(), Message::text(format!("message {number}"))).await?;
        }
        anyhow::Ok(())
    };
    let counting = async {
        let mut counts = Counts::default();
        while counts.acked < share || counts.delivered < share {
            let before = counts.delivered;
            counts.next(&client).await?;
            room.add_permits(usize::try_from(counts.delivered - before)?);
        }
        Ok(())
    };
    futures::future::try_join(sending, counting).await.map(drop)
}
