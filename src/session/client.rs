//! Builds a client of the library for a session.

use super::endpoint::Endpoint;
use super::error::BuildError;
use super::forward::{EventForwarder, WAITING};
use super::http::MediaClient;
use super::proxy::{ProxiedFactory, Proxy};
use super::transport::FencedFactory;
use crate::auth::{AuthStore, RatchetWriter, SessionCredentials, Traffic, Vault, proxy_url};
use crate::config::DeviceConfig;
use crate::db::hold::Hold;
use crate::db::proof::Proof;
use crate::jobs::numbers::Numbers;
use crate::messages::inbound::InboxHook;
use crate::messages::redelivered::Redelivered;
use crate::net::Guard;
use crate::telemetry::crypto::{CryptoError, SessionTask};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wacore::types::events::Event;
use wacore::types::message::MessageInfo;
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
    /// Which proxies may be dialled.
    pub proxies: Guard,
    /// Encrypts and decrypts the auth state.
    pub vault: Arc<Vault>,
    /// Tasks that guard sockets, and requests to WhatsApp.
    pub tasks: TaskTracker,
    /// Most handshakes with WhatsApp at once.
    pub max_handshakes: usize,
    /// Counts what happens in the sessions.
    pub numbers: Numbers,
    /// Writes the ratchets of all sessions together.
    pub ratchets: RatchetWriter,
    /// No session sends anything before the worker has proven that it lives.
    pub proof: Proof,
}

/// A client that has not been started, and the receiving ends of its channels.
pub struct Built {
    /// The client.
    pub bot: Bot,
    /// Its events, as `forward` selects them.
    pub events: mpsc::Receiver<Arc<Event>>,
    /// Cancelled when the socket was closed because too many events waited.
    pub cut: CancellationToken,
    /// Messages that the server delivered again.
    pub redelivered: Arc<Redelivered>,
    /// Ids of messages that were decrypted and not stored, for [`Redelivered::request_resend`].
    pub missed: mpsc::UnboundedReceiver<String>,
    /// Writes messages that the hook does not get.
    pub inbox: InboxHook,
    /// Decryption failures.
    pub crypto_errors: mpsc::UnboundedReceiver<CryptoError>,
    /// Messages that were decrypted and could not be read.
    pub unreadable: mpsc::Receiver<Arc<MessageInfo>>,
    /// Rung when messages could not be stored, so that the server has to deliver them again, over another connection.
    pub redeliver: Arc<Notify>,
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
    let ClientSettings { endpoint, device, proxies, vault, tasks, numbers, ratchets, proof, .. } = settings;
    let ((forward, events), cut) = (mpsc::channel(WAITING), hold.lost.child_token());
    let (missed_sender, missed) = mpsc::unbounded_channel();
    let (error_sender, crypto_errors) = mpsc::unbounded_channel();
    let (unreadable_sender, unreadable) = mpsc::channel(WAITING);
    let (redelivered, redeliver) = (Arc::<Redelivered>::default(), Arc::<Notify>::default());
    let store = AuthStore::new(hold.clone(), vault.clone())
        .with_missed_messages(missed_sender)
        .with_traffic(traffic.clone())
        .with_ratchets(ratchets.clone());
    let inbox = InboxHook::new(hold.clone(), redeliver.clone(), redelivered.clone(), traffic.clone(), numbers.clone());
    let (socket, media) = match &found.proxy {
        None => (Socket::Direct(TokioWebSocketTransportFactory::new().with_url(endpoint.as_str())), MediaClient::new()),
        Some(stored) => {
            let proxy = Proxy::parse(&proxy_url(hold, vault, stored).await?, proxies)?;
            let (addresses, media) = (proxy.resolve().await?, MediaClient::with_agent(proxy.agent()?));
            (Socket::Proxied(ProxiedFactory { proxy, addresses, endpoint: endpoint.clone() }), media)
        }
    };
    let mut builder = Bot::builder()
        .with_backend_arc(Arc::new(store))
        .with_transport_factory(FencedFactory {
            inner: socket,
            cut: cut.clone(),
            proof: proof.clone(),
            tasks: tasks.clone(),
        })
        .with_http_client(media)
        .with_runtime(whatsapp_rust::TokioRuntime)
        .with_push_name(&*hold.session)
        .with_device_props(device.props())
        .with_task_instrument(Arc::new(SessionTask::new(error_sender, tracing::Span::current())))
        .with_event_handler(EventForwarder {
            events: forward,
            cut: cut.clone(),
            redelivered: redelivered.clone(),
            unreadable: unreadable_sender,
            traffic: traffic.clone(),
            keep_past: found.keep_past,
        })
        .with_inbound_durability_hook(inbox.clone());
    if endpoint.is_loopback() {
        builder = builder.with_version(SANDBOX_VERSION);
    }
    let bot = builder.build().await.map_err(|error| BuildError::of(&error))?;
    let client = bot.client();
    client.enable_auto_reconnect.store(false, Ordering::Relaxed);
    let stanzas = client.acquire_raw_node_forwarding();
    Ok(Built { bot, events, cut, redelivered, missed, inbox, crypto_errors, unreadable, redeliver, stanzas })
}
