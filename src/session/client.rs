//! How a client of the library is built for a session.

use super::endpoint::Endpoint;
use super::transport::FencedFactory;
use crate::auth::{AuthStore, Vault};
use crate::db::Db;
use crate::db::fence::Fence;
use crate::messages::inbound::InboxHook;
use crate::messages::redelivered::Redelivered;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wacore::types::events::{Event, EventHandler, EventInterest, EventKind};
use whatsapp_rust::bot::Bot;
use whatsapp_rust::client::RawNodeLease;
use whatsapp_rust::transport::TokioWebSocketTransportFactory;

/// The client could not be built; the text is the library's.
#[derive(Debug, thiserror::Error)]
#[error("building the client: {0}")]
pub struct BuildError(String);

impl BuildError {
    /// With every cause: what our own store says is at the end.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
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
    EventKind::LoggedOut,
    EventKind::StreamReplaced,
    EventKind::TemporaryBan,
    EventKind::ConnectFailure,
    EventKind::StreamError,
    EventKind::ServerAck,
    EventKind::Receipt,
    EventKind::RawNode,
];

struct Ears {
    heard: mpsc::UnboundedSender<Arc<Event>>,
    redelivered: Arc<Redelivered>,
}

impl EventHandler for Ears {
    fn handle_event(&self, event: Arc<Event>) {
        if let Event::RawNode(stanza) = &*event {
            return self.redelivered.came(stanza);
        }
        // The receiver goes only after the client's end; what comes later concerns nobody.
        drop(self.heard.send(event));
    }

    fn interest(&self) -> EventInterest {
        EventInterest::of(HEARD)
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
    /// As long as this is held the library shows every stanza.
    pub stanzas: RawNodeLease,
}

/// Builds a client that keeps its state under `fence` and hands every message to the inbox before it is acknowledged. Its
/// own reconnecting is off: a lost connection becomes a row (S5). Once the hold is `stale`, nothing leaves its socket (R4).
///
/// # Errors
/// When the stored credentials cannot be read or written.
pub async fn build(
    endpoint: &Endpoint,
    pool: &Db,
    fence: Fence,
    name: &str,
    vault: &Arc<Vault>,
    stale: &CancellationToken,
) -> Result<Built, BuildError> {
    let (heard, events) = mpsc::unbounded_channel();
    let (tell_missed, missed) = mpsc::unbounded_channel();
    let redelivered = Arc::<Redelivered>::default();
    let store = AuthStore::new(pool.clone(), fence, vault.clone(), stale.clone()).telling(tell_missed);
    let socket = TokioWebSocketTransportFactory::new().with_url(endpoint.as_str());
    let mut builder = Bot::builder()
        .with_backend_arc(Arc::new(store))
        .with_transport_factory(FencedFactory { inner: socket, stale: stale.clone() })
        .with_http_client(HttpClient::new())
        .with_runtime(whatsapp_rust::TokioRuntime)
        .with_push_name(name)
        .with_event_handler(Ears { heard, redelivered: redelivered.clone() })
        .with_inbound_durability_hook(InboxHook::new(pool.clone(), fence, stale.clone(), redelivered.clone()));
    if endpoint.is_loopback() {
        builder = builder.with_version(SANDBOX_VERSION);
    }
    let bot = builder.build().await.map_err(|error| BuildError::of(&error))?;
    let client = bot.client();
    client.enable_auto_reconnect.store(false, Ordering::Relaxed);
    let stanzas = client.acquire_raw_node_forwarding();
    Ok(Built { bot, events, redelivered, missed, stanzas })
}
