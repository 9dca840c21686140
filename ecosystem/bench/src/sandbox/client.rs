//! A bare client of the library, linked to the sandbox, with its state in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use wacore::store::InMemoryBackend;
use wacore::types::events::{ChannelEventHandler, Event};
use whatsapp_rust::async_channel::Receiver;
use whatsapp_rust::bot::{Bot, BotHandle};
use whatsapp_rust::client::Client;

use super::process::Process;

/// Limit for linking one device; many are linked at once.
const TIMEOUT: Duration = Duration::from_mins(2);

pub(crate) struct Linked {
    pub(crate) number: String,
    pub(crate) client: Arc<Client>,
    pub(crate) events: Receiver<Arc<Event>>,
    /// The client runs as long as this handle lives.
    _running: BotHandle,
}

impl Linked {
    /// Adds an account and links a device to it.
    pub(crate) async fn new(sandbox: &Process, number: String) -> anyhow::Result<Self> {
        sandbox.post("/phones", json!({ "number": number })).await?;
        let transport = whatsapp_rust_tokio_transport::TokioWebSocketTransportFactory::new().with_url(&sandbox.ws);
        let bot = Bot::builder()
            .with_backend_arc(Arc::new(InMemoryBackend::new()))
            .with_transport_factory(transport)
            .with_http_client(wagres::session::http::MediaClient::new())
            .with_runtime(whatsapp_rust::TokioRuntime)
            .with_version((2, 3000, 0))
            .with_wanted_pre_key_count(30)
            .with_push_name("bench")
            .build()
            .await?;
        let client = bot.client();
        let (handler, events) = ChannelEventHandler::new();
        client.subscribe_handler(handler).detach();
        client.set_force_active_delivery_receipts(true);
        let running = bot.spawn();
        let linking = async {
            loop {
                if let Event::PairingQrCode(code) = &*events.recv().await? {
                    let scan = json!({ "qr": code.code });
                    break sandbox.post(&format!("/phones/{number}/scan"), scan).await;
                }
            }
        };
        tokio::time::timeout(TIMEOUT, linking).await.context("a device did not link in time")??;
        if let Err(error) = client.wait_for_connected(TIMEOUT).await {
            bail!("a linked device did not connect: {error}");
        }
        Ok(Self { number, client, events, _running: running })
    }
}
