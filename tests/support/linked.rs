//! An unmodified whatsapp-rust client in the sandbox, and all its events.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use wacore::store::InMemoryBackend;
use wacore::store::traits::{Backend, SignalStore as _};
use wacore::types::events::{ChannelEventHandler, Event};
use wacore::types::presence::ReceiptType;
use wacore_binary::Jid;
use wagres_sandbox::{Options, Running, Sandbox};
use waproto::whatsapp::Message;
use whatsapp_rust::async_channel::Receiver;
use whatsapp_rust::bot::{Bot, BotHandle};
use whatsapp_rust::client::Client;

use crate::control::Control;
use crate::support::until::LIMIT;

/// A whatsapp-rust client and all its events.
pub(crate) struct Linked<B = InMemoryBackend> {
    pub(crate) client: Arc<Client>,
    pub(crate) events: Receiver<Arc<Event>>,
    pub(crate) seen: Vec<Arc<Event>>,
    pub(crate) handle: Option<BotHandle>,
    pub(crate) backend: Arc<B>,
}

impl Linked {
    /// Starts a client with the state of a backend.
    pub(crate) async fn start(sandbox: &Running, backend: Arc<InMemoryBackend>) -> Result<Self> {
        Self::start_at(&sandbox.ws_url(), backend).await
    }

    /// Links a new device to a number.
    pub(crate) async fn link(sandbox: &Running, control: &Control, number: &str) -> Result<Self> {
        Self::link_at(&sandbox.ws_url(), control, number).await
    }

    /// A device of `number` that has received messages of a phone and then lost its sessions with it, so that it cannot
    /// decrypt the phone's next message.
    pub(crate) async fn without_sessions(
        sandbox: &Running,
        control: &Control,
        number: &str,
        phone: &str,
    ) -> Result<Self> {
        let mut linked = Self::link(sandbox, control, number).await?;
        control.post("/phones", json!({ "number": phone })).await?;
        control.post(&format!("/phones/{phone}/send"), json!({ "to": number, "text": "readable" })).await?;
        linked.text("readable").await?;
        linked.send(phone, "so the session is established").await?;
        control.shown(phone, "so the session is established").await?;
        let backend = linked.stop().await?;
        for address in [format!("{phone}@c.us.0"), format!("9{phone}@lid.0")] {
            backend.delete_session(&address).await?;
        }
        let linked = Self::start(sandbox, backend).await?;
        linked.connected().await?;
        Ok(linked)
    }

    pub(crate) async fn link_at(ws_url: &str, control: &Control, number: &str) -> Result<Self> {
        Self::link_on(ws_url, control, number, Arc::new(InMemoryBackend::new())).await
    }
}

impl<B: Backend + 'static> Linked<B> {
    /// Starts a client with the state of a backend, against the sandbox of any process.
    pub(crate) async fn start_at(ws_url: &str, backend: Arc<B>) -> Result<Self> {
        let transport = whatsapp_rust_tokio_transport::TokioWebSocketTransportFactory::new().with_url(ws_url);
        let bot = Bot::builder()
            .with_backend_arc(backend.clone())
            .with_transport_factory(transport)
            .with_http_client(wagres::session::http::MediaClient::new())
            .with_runtime(whatsapp_rust::TokioRuntime)
            .with_version((2, 3000, 0))
            .with_wanted_pre_key_count(30)
            .with_push_name("test")
            .build()
            .await?;
        let client = bot.client();
        let (handler, events) = ChannelEventHandler::new();
        client.subscribe_handler(handler).detach();
        // Otherwise its delivery receipts have the type `inactive`.
        client.set_force_active_delivery_receipts(true);
        Ok(Self { client, events, seen: vec![], handle: Some(bot.spawn()), backend })
    }

    /// Links a new device to a number, with its state in a backend.
    pub(crate) async fn link_on(ws_url: &str, control: &Control, number: &str, backend: Arc<B>) -> Result<Self> {
        control.post("/phones", json!({ "number": number })).await?;
        let mut linked = Self::start_at(ws_url, backend).await?;
        let qr = linked
            .wait("a QR code", |event| match event {
                Event::PairingQrCode(code) => Some(code.code.clone()),
                _ => None,
            })
            .await?;
        control.post(&format!("/phones/{number}/scan"), json!({ "qr": qr })).await?;
        linked.connected().await?;
        Ok(linked)
    }

    pub(crate) async fn connected(&self) -> Result<()> {
        self.client.wait_for_connected(LIMIT).await.map_err(|error| anyhow::anyhow!("not connected: {error}"))
    }

    /// Waits for an event, or finds it among the earlier ones.
    pub(crate) async fn wait<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> Result<T> {
        if let Some(found) = self.seen.iter().find_map(|event| pick(event)) {
            return Ok(found);
        }
        let wait = async {
            loop {
                let event = self.events.recv().await?;
                self.seen.push(Arc::clone(&event));
                if let Some(found) = pick(&event) {
                    return Ok::<T, anyhow::Error>(found);
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.with_context(|| format!("timed out waiting for {what}"))?
    }

    /// Waits for a text; returns its chat and its id.
    pub(crate) async fn text(&mut self, text: &str) -> Result<(Jid, String)> {
        self.wait(text, |event| {
            let mut messages = event.messages().filter(|message| text_of(&message.message) == Some(text));
            messages.next().map(|message| (message.info.source.chat.clone(), message.info.id.clone()))
        })
        .await
    }

    pub(crate) async fn receipt(&mut self, id: &str, kind: ReceiptType) -> Result<()> {
        self.wait(&format!("receipt {kind:?} of {id}"), |event| match event {
            Event::Receipt(receipt) if receipt.r#type == kind && receipt.message_ids.iter().any(|it| it == id) => {
                Some(())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn send(&self, to: &str, text: &str) -> Result<String> {
        let message = Message { conversation: Some(text.into()), ..Default::default() };
        Ok(self.client.send_message(Jid::pn(to), message).await?.message_id)
    }

    /// Goes offline and keeps the backend.
    pub(crate) async fn stop(&mut self) -> Result<Arc<B>> {
        self.client.disconnect().await;
        let handle = self.handle.take().context("stopped twice")?;
        tokio::time::timeout(LIMIT, handle).await.context("the client did not stop")?;
        Ok(Arc::clone(&self.backend))
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        let messages = self.seen.iter().flat_map(|event| event.messages());
        messages.filter(|message| text_of(&message.message) == Some(text)).count()
    }
}

pub(crate) fn text_of(message: &Message) -> Option<&str> {
    let message = match message.device_sent_message.as_option() {
        Some(sent) => sent.message.as_option()?,
        None => message,
    };
    let extended = || message.extended_text_message.as_option().and_then(|extended| extended.text.as_deref());
    message.conversation.as_deref().or_else(extended)
}

pub(crate) async fn sandbox() -> Result<(Running, Control)> {
    let sandbox = Sandbox::start(Options::default()).await?;
    let control = Control::new(&sandbox.control_url());
    Ok((sandbox, control))
}

/// Waits until a device of a number is connected, or not, on the server.
pub(crate) async fn until_connected(control: &Control, number: &str, connected: bool) -> Result<()> {
    control
        .until("/phones", |value| {
            let phone = value["phones"].as_array()?.iter().find(|phone| phone["number"] == number)?;
            (phone["devices"][0]["connected"] == connected).then_some(())
        })
        .await
}
