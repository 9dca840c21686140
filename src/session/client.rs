//! How a client of the library is built for a session.

use super::crypto::{Accompany, CryptoError};
use super::holder::{Held, Shared};
use super::passkey;
use super::proxy::{ProxiedFactory, Proxy, ProxyError};
use super::transport::FencedFactory;
use crate::auth::{AuthStore, Found, Traffic};
use crate::messages::inbound::InboxHook;
use crate::messages::redelivered::Redelivered;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use wacore::types::events::{Event, EventHandler, EventInterest, EventKind};
use whatsapp_rust::bot::Bot;
use whatsapp_rust::client::{Client, RawNodeLease};
use whatsapp_rust::transport::{TokioWebSocketTransportFactory, Transport, TransportEvent, TransportFactory};
use whatsapp_rust::{async_channel::Receiver, async_trait};

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The text is the library's.
    #[error("building the client: {0}")]
    Library(String),
    /// The session's proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

impl BuildError {
    /// With every cause: what our own store says is at the end.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self::Library(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

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
            Self::Proxied(factory) => factory
                .create_transport()
                .await
                .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "no connection through the proxy")),
        }
    }
}

/// What a supervisor wants to hear. Messages are not among it: they come through the durability hook, before their
/// acknowledgement.
const HEARD: &[EventKind] = &[
    EventKind::Connected,
    EventKind::Disconnected,
    EventKind::PairSuccess,
    EventKind::PairError,
    EventKind::PairingQrCode,
    EventKind::PairingQrCodesExhausted,
    EventKind::PairingCode,
    EventKind::PairingCodeError,
    EventKind::PairingCodeRefresh,
    EventKind::PairPasskeyRequest,
    EventKind::LoggedOut,
    EventKind::StreamReplaced,
    EventKind::TemporaryBan,
    EventKind::ConnectFailure,
    EventKind::StreamError,
    EventKind::ServerAck,
    EventKind::Receipt,
    EventKind::RawNode,
    EventKind::IncomingCall,
    EventKind::MissedCall,
    EventKind::GroupUpdate,
    EventKind::PictureUpdate,
    EventKind::Presence,
    EventKind::ChatPresence,
    EventKind::ContactNumberChanged,
    EventKind::IdentityChange,
];

struct Ears {
    heard: mpsc::UnboundedSender<Arc<Event>>,
    redelivered: Arc<Redelivered>,
    traffic: Arc<Traffic>,
    /// Whether what was before the link is wanted; the library puts it together only for those who hear of it.
    past: bool,
}

impl EventHandler for Ears {
    fn handle_event(&self, event: Arc<Event>) {
        if let Event::RawNode(stanza) = &*event
            && passkey::primary_of(stanza).is_none()
        {
            if stanza.get().tag.as_ref() == "message" {
                self.traffic.came();
                self.redelivered.came(stanza);
            }
            return;
        }
        // The receiver goes only after the client's end; what comes later concerns nobody.
        drop(self.heard.send(event));
    }

    fn interest(&self) -> EventInterest {
        let heard = EventInterest::of(HEARD);
        if self.past { heard.with(EventKind::HistorySync) } else { heard }
    }
}

/// What the client fetches media with. A build with the certificate check off asks no address but loopback ones here
/// either, see [`super::endpoint`].
#[cfg(feature = "sandbox")]
use crate::sandbox::MediaClient as HttpClient;
#[cfg(not(feature = "sandbox"))]
use whatsapp_rust_ureq_http_client::UreqHttpClient as HttpClient;

/// The client version that the sandbox is told. The real server is asked for the current one.
const SANDBOX_VERSION: (u32, u32, u32) = (2, 3000, 1_015_901_307);

/// A client that has not been started, and what is heard of it.
pub struct Built {
    /// The client.
    pub bot: Bot,
    /// What happens to it.
    pub events: mpsc::UnboundedReceiver<Arc<Event>>,
    /// The messages that came again, for [`Redelivered::ask_again`].
    pub redelivered: Arc<Redelivered>,
    /// The ids of those that were read and not kept.
    pub missed: mpsc::UnboundedReceiver<String>,
    /// What could not be decrypted.
    pub crypto_errors: mpsc::UnboundedReceiver<CryptoError>,
    /// As long as this is held the library shows every stanza.
    pub stanzas: RawNodeLease,
}

/// Builds a client that keeps its state under the hold and hands every message to the inbox before it is acknowledged. Its
/// own reconnecting is off: a lost connection becomes a row (S5). Once the hold is `stale`, nothing leaves its socket (R4).
///
/// # Errors
/// When the stored credentials cannot be read or written.
pub async fn build(shared: &Shared, held: &Held, found: &Found) -> Result<Built, BuildError> {
    let Held { fence, name, stale, traffic, .. } = held;
    let (heard, events) = mpsc::unbounded_channel();
    let (tell_missed, missed) = mpsc::unbounded_channel();
    let (tell_errors, crypto_errors) = mpsc::unbounded_channel();
    let redelivered = Arc::<Redelivered>::default();
    let Shared { pool, endpoint, .. } = shared;
    let store = AuthStore::new(pool.clone(), *fence, shared.vault.clone(), stale.clone())
        .telling(tell_missed)
        .watching(traffic.clone());
    let hook = InboxHook::new(pool.clone(), *fence, stale.clone(), redelivered.clone(), traffic.clone());
    let (socket, media) = match found.proxy.as_ref().map(Proxy::parse).transpose()? {
        None => (Socket::Direct(TokioWebSocketTransportFactory::new().with_url(endpoint.as_str())), HttpClient::new()),
        Some(proxy) => {
            let media = HttpClient::with_agent(proxy.agent()?);
            (Socket::Proxied(ProxiedFactory { proxy, endpoint: endpoint.clone() }), media)
        }
    };
    let mut builder = Bot::builder()
        .with_backend_arc(Arc::new(store))
        .with_transport_factory(FencedFactory { inner: socket, stale: stale.clone() })
        .with_http_client(media)
        .with_runtime(whatsapp_rust::TokioRuntime)
        .with_push_name(name)
        .with_device_props(shared.device.props())
        .with_task_instrument(Arc::new(Accompany::new(tell_errors)))
        .with_event_handler(Ears {
            heard,
            redelivered: redelivered.clone(),
            traffic: traffic.clone(),
            past: found.keep_past,
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

/// Writes the credentials as they are, after any save that is under way. The library's own flush does nothing meanwhile: it
/// takes them for saved as soon as the save has begun.
pub(super) async fn keep_credentials(client: &Client) -> wacore::store::error::Result<()> {
    let persistence = client.persistence_manager();
    persistence.backend().save(&persistence.get_device_snapshot().to_serializable()).await
}
