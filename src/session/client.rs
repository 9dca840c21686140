//! Builds a client of the library for a session.

use super::endpoint::Endpoint;
use super::error::BuildError;
use super::forward::EventForwarder;
use super::http::MediaClient;
use super::proxy::{ProxiedFactory, Proxy};
use super::transport::FencedFactory;
use crate::auth::{AuthStore, SessionCredentials, Traffic, Vault};
use crate::config::DeviceConfig;
use crate::db::hold::Hold;
use crate::messages::inbound::InboxHook;
use crate::messages::redelivered::Redelivered;
use crate::telemetry::crypto::{CryptoError, SessionTask};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wacore::types::events::Event;
use whatsapp_rust::bot::Bot;
use whatsapp_rust::client::RawNodeLease;
use whatsapp_rust::transport::{TokioWebSocketTransportFactory, Transport, TransportEvent, TransportFactory};
use whatsapp_rust::{async_channel::Receiver, async_trait};

/// What opens a session's socket.
enum Socket {
    Direct(TokioWebSocketTransportFactory),
    Proxied(ProxiedFactory),
}

#[async_trait]
impl TransportFactory for Socket {
    async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
        match self {
            Self::Direct(factory) => factory.create_transport().await,
            Self::Proxied(factory) => factory.create_transport().await.inspect_err(|error| {
                tracing::warn!(error = format!("{error:#}"), "connection through the proxy failed");
            }),
        }
    }
}

/// The client version for the sandbox. For the real server the library asks for the current one.
const SANDBOX_VERSION: (u32, u32, u32) = (2, 3000, 1_015_901_307);

/// What all clients of a worker have in common.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The server to talk to.
    pub endpoint: Endpoint,
    /// How the linked devices appear on the phone.
    pub device: DeviceConfig,
    /// Encrypts and decrypts the auth state.
    pub vault: Arc<Vault>,
    /// Tasks that guard sockets, and requests to WhatsApp.
    pub tasks: TaskTracker,
}

/// A client that has not been started, and the receiving ends of its channels.
pub struct Built {
    /// The client.
    pub bot: Bot,
    /// Its events, as `forward` selects them.
    pub events: mpsc::UnboundedReceiver<Arc<Event>>,
    /// Messages that the server delivered again.
    pub redelivered: Arc<Redelivered>,
    /// Ids of messages that were decrypted and not stored, for [`Redelivered::request_resend`].
    pub missed: mpsc::UnboundedReceiver<String>,
    /// Decryption failures.
    pub crypto_errors: mpsc::UnboundedReceiver<CryptoError>,
    /// While this lives, the library forwards every stanza.
    pub stanzas: RawNodeLease,
}

/// Builds a client that stores its state under the hold and hands every message to the inbox before it is acknowledged.
/// The library does not reconnect by itself: a lost connection becomes a row (S5). Once the hold is lost, nothing
/// leaves the client's socket (R4). Log lines of the client's tasks go into the current span.
///
/// # Errors
/// The stored credentials cannot be read or written, or the session's proxy cannot be used.
pub async fn build(
    settings: &ClientSettings,
    hold: &Hold,
    traffic: &Arc<Traffic>,
    found: &SessionCredentials,
) -> Result<Built, BuildError> {
    let ClientSettings { endpoint, device, vault, tasks } = settings;
    let (forward, events) = mpsc::unbounded_channel();
    let (missed_sender, missed) = mpsc::unbounded_channel();
    let (error_sender, crypto_errors) = mpsc::unbounded_channel();
    let redelivered = Arc::<Redelivered>::default();
    let store =
        AuthStore::new(hold.clone(), vault.clone()).with_missed_messages(missed_sender).with_traffic(traffic.clone());
    let hook = InboxHook::new(hold.clone(), redelivered.clone(), traffic.clone());
    let (socket, media) = match found.proxy.as_ref().map(Proxy::parse).transpose()? {
        None => (Socket::Direct(TokioWebSocketTransportFactory::new().with_url(endpoint.as_str())), MediaClient::new()),
        Some(proxy) => {
            let media = MediaClient::with_agent(proxy.agent()?);
            (Socket::Proxied(ProxiedFactory { proxy, endpoint: endpoint.clone() }), media)
        }
    };
    let mut builder = Bot::builder()
        .with_backend_arc(Arc::new(store))
        .with_transport_factory(FencedFactory { inner: socket, lost: hold.lost.clone(), tasks: tasks.clone() })
        .with_http_client(media)
        .with_runtime(whatsapp_rust::TokioRuntime)
        .with_push_name(&*hold.session)
        .with_device_props(device.props())
        .with_task_instrument(Arc::new(SessionTask::new(error_sender, tracing::Span::current())))
        .with_event_handler(EventForwarder {
            events: forward,
            redelivered: redelivered.clone(),
            traffic: traffic.clone(),
            keep_past: found.keep_past,
        })
        .with_inbound_durability_hook(hook);
    if endpoint.is_loopback() {
        builder = builder.with_version(SANDBOX_VERSION);
    }
    let bot = builder.build().await.map_err(|error| BuildError::of(&error))?;
    let client = bot.client();
    client.enable_auto_reconnect.store(false, Ordering::Relaxed);
    let stanzas = client.acquire_raw_node_forwarding();
    Ok(Built { bot, events, redelivered, missed, crypto_errors, stanzas })
}
