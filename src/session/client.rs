//! How a client of the library is built for a session.

use super::endpoint::Endpoint;
use super::transport::FencedFactory;
use crate::auth::AuthStore;
use crate::messages::inbound::InboxHook;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wacore::types::events::{Event, EventHandler, EventInterest, EventKind};
use whatsapp_rust::bot::Bot;
use whatsapp_rust::transport::TokioWebSocketTransportFactory;

/// The client could not be built; the text is the library's.
#[derive(Debug, thiserror::Error)]
#[error("building the client: {0}")]
pub struct BuildError(String);

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
];

struct Ears(mpsc::UnboundedSender<Arc<Event>>);

impl EventHandler for Ears {
    fn handle_event(&self, event: Arc<Event>) {
        // The receiver goes only after the client's end; what comes later concerns nobody.
        drop(self.0.send(event));
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

/// Builds a client that keeps its state in `store` and hands every message to `hook` before it is acknowledged. Its own
/// reconnecting is off: a lost connection becomes a row (S5). Once the hold is `stale`, nothing leaves its socket (R4).
///
/// # Errors
/// When the stored credentials cannot be read or written.
pub async fn build(
    endpoint: &Endpoint,
    store: Arc<AuthStore>,
    hook: InboxHook,
    name: &str,
    stale: CancellationToken,
) -> Result<(Bot, mpsc::UnboundedReceiver<Arc<Event>>), BuildError> {
    let (sender, events) = mpsc::unbounded_channel();
    let socket = TokioWebSocketTransportFactory::new().with_url(endpoint.as_str());
    let mut builder = Bot::builder()
        .with_backend_arc(store)
        .with_transport_factory(FencedFactory { inner: socket, stale })
        .with_http_client(HttpClient::new())
        .with_runtime(whatsapp_rust::TokioRuntime)
        .with_push_name(name)
        .with_event_handler(Ears(sender))
        .with_inbound_durability_hook(hook);
    if endpoint.is_loopback() {
        builder = builder.with_version(SANDBOX_VERSION);
    }
    let bot = builder.build().await.map_err(|e| BuildError(format!("{e:#}")))?;
    bot.client().enable_auto_reconnect.store(false, Ordering::Relaxed);
    Ok((bot, events))
}
