//! A WhatsApp on loopback: server, simulated phones and a control API, in one process and in memory.
//!
//! What it promises: an unmodified client library (whatsapp-rust, Baileys) links by QR or pairing code, logs in, and
//! exchanges end-to-end encrypted messages with other linked devices and with simulated phones, in one-to-one chats and
//! in groups. It gets acks and receipts and, after an absence, every stanza sent meanwhile, in order. The server sees
//! only ciphertext, as the real one does; the phones are real Signal parties.
//!
//! What it does not: it serves this machine only (it refuses to listen on anything but loopback), and without a state
//! file it keeps nothing over a restart. It refuses stanzas that it does not understand with an error and counts them
//! in `GET /stats`, so that a gap shows as a number and not as a hanging client.
//!
//! The files:
//!
//! | file | content |
//! | --- | --- |
//! | `server`, `state` | one running sandbox, and its memory behind one lock |
//! | `account` | accounts, devices, key bundles and queues |
//! | `settings`, `presence`, `profile` | per account: privacy and blocked contacts; who is online and typing; picture and about text |
//! | `group` | groups: participants, roles, and the notifications of changes |
//! | `app_state` | the settings that an account's devices share, as opaque records |
//! | `media` | the media server: encrypted files and profile pictures |
//! | `ca`, `noise` | the certificate chain that a client checks; the handshake and the encrypted frames |
//! | `prompt` | a socket that acknowledges promptly |
//! | `connection`, `link` | one socket from accept to close; the queue of stanzas to it |
//! | `node`, `parcel` | helpers for stanzas; an encoded stanza in a queue |
//! | `stanza` | the stanzas of clients and their handlers, in one table |
//! | `pairing` | linking a device: QR code, pairing code, passkey, and the signed device identity |
//! | `phone` | the simulated phone |
//! | `faults` | faults on demand |
//! | `ledger` | the fate of every message |
//! | `stats`, `changes` | counters; a lock that announces changes |
//! | `saved` | the state file |
//! | `control` | the HTTP API that plays the owners of the phones, and the page for people (`src/page`) |
//! | `json` | a WhatsApp message as JSON |
//! | `fuzzing` | each decoder as a function of bytes, for fuzz targets and property tests; always compiled, hidden in the docs |

#![allow(
    clippy::disallowed_methods,
    reason = "the rule is about the product's database and keys; this server has a clock and a chance of its own"
)]

mod account;
mod app_state;
mod ca;
mod changes;
mod connection;
mod control;
mod faults;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod json;
mod ledger;
mod link;
mod media;
mod node;
mod noise;
mod pairing;
mod parcel;
mod phone;
mod presence;
mod profile;
mod prompt;
mod saved;
mod server;
mod settings;
mod stanza;
mod state;
mod stats;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use media::Media;
use server::Server;

pub use faults::{Scenario, ScenarioError};
pub use phone::{Media as PhoneMedia, MediaState, Message as PhoneMessage, Pace, Ticks};

/// The target of every log line of this crate.
const LOG: &str = "wagres_sandbox";

/// The default of [`Options::ledger_limit`].
const LEDGER_LIMIT: usize = 1_000_000;

/// The default of [`Options::distance`].
const DISTANCE: Duration = Duration::from_millis(50);

/// Where the sandbox listens and how its phones behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the WhatsApp WebSocket. Port 0 takes a free one.
    pub ws: SocketAddr,
    /// Address of the HTTP control API. Port 0 takes a free one.
    pub control: SocketAddr,
    /// Address of the media server, HTTP and HTTPS. Port 0 takes a free one.
    pub media: SocketAddr,
    /// How many bytes of media are stored at most.
    pub media_limit: usize,
    /// How fast the owner of a phone reads a new message.
    pub pace: Pace,
    /// How long the server takes to answer a login. Every real server needs some milliseconds, and Baileys 6.7 relies
    /// on that: its transport keys are ready only shortly after it has sent the last message of the handshake, and it
    /// breaks on a stanza that arrives earlier. On a busy machine it needs longer.
    pub distance: Duration,
    /// How many messages the ledger remembers; see `GET /verdict`.
    pub ledger_limit: usize,
    /// The seed of the chance in faults: the same seed and rules give the same decisions.
    pub seed: u64,
    /// The file that keeps accounts, devices, queues and phones over restarts. Without one, all state is in memory.
    pub state: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            ws: any,
            control: any,
            media: any,
            media_limit: 512 * 1024 * 1024,
            pace: Pace::default(),
            distance: DISTANCE,
            ledger_limit: LEDGER_LIMIT,
            seed: 1,
            state: None,
        }
    }
}

/// Why the sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is reachable from other machines. The sandbox has no authentication, so it listens on loopback only.
    #[error("the sandbox listens on loopback only; {0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The port is taken, or not permitted.
    #[error("the sandbox cannot listen on {addr}")]
    Bind {
        /// The requested address.
        addr: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The state file is damaged, of another program or version, or cannot be read. It stays as it is.
    #[error("the state file {path} cannot be used: {why}", path = path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The certificates could not be created.
    #[error("the sandbox cannot create its certificates: {0}")]
    Certificate(String),
    /// A phone of the scenario could not be created.
    #[error("the scenario cannot be played: {0}")]
    Scenario(String),
}

/// Starts sandboxes; see [`Sandbox::start`].
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a sandbox from its state file; without one, with no accounts and new certificates. When this function
    /// returns, all three addresses accept connections.
    pub async fn start(options: Options) -> Result<Running, SandboxError> {
        let ws = bind(options.ws).await?;
        let control = bind(options.control).await?;
        let media = bind(options.media).await?;
        let server = match options.state.as_deref() {
            Some(path) => saved::open(path, &options, media.1).await?,
            None => Server::new(&options, ca::Authority::new()?, Media::new(media.1, options.media_limit)?, 1),
        };
        let keeper = match &options.state {
            Some(path) => Some(saved::StateWriter::start(&server, path.clone()).await?),
            None => None,
        };
        let (ws_addr, control_addr) = (ws.1, control.1);
        server.spawn(connection::accept(Arc::clone(&server), ws.0));
        server.spawn(control::serve(Arc::clone(&server), control.0));
        server.spawn(media::serve(Arc::clone(&server), media.0));
        tracing::info!(target: LOG, %ws_addr, %control_addr, media_addr = %media.1, "sandbox started");
        Ok(Running { server, keeper, ws: ws_addr, control: control_addr })
    }
}

async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), SandboxError> {
    if !addr.ip().is_loopback() {
        return Err(SandboxError::NotLoopback(addr));
    }
    let failed = |source| SandboxError::Bind { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A running sandbox. Dropping it stops it without waiting; [`Running::shutdown`] waits.
pub struct Running {
    server: Arc<Server>,
    keeper: Option<Arc<saved::StateWriter>>,
    ws: SocketAddr,
    control: SocketAddr,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("ws", &self.ws).field("control", &self.control).finish_non_exhaustive()
    }
}

impl Running {
    /// The WebSocket address for client libraries.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws/chat", self.ws)
    }

    /// The base of the control API, without a trailing slash.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The base of the media server, without a trailing slash. The same port answers HTTPS.
    #[must_use]
    pub fn media_url(&self) -> String {
        format!("http://{}", self.server.media.host())
    }

    /// The public key of this sandbox's root certificate, for clients that check the chain.
    #[must_use]
    pub fn root_public_key(&self) -> [u8; 32] {
        self.server.authority.root_public_key()
    }

    /// Offers a client's QR code to all phones, under a name for the client, so that a person who plays a phone can
    /// pick it. `false` when no client is waiting under this code (any more).
    #[must_use]
    pub fn show_qr(&self, qr: &str, label: &str) -> bool {
        pairing::show(&self.server, qr, Some(label.to_owned())).is_ok()
    }

    /// Creates the phones of a scenario and replaces all faults by the scenario's; its clock starts now.
    pub fn play(&self, scenario: Scenario) -> Result<(), SandboxError> {
        scenario.play(&self.server).map(drop).map_err(|error| SandboxError::Scenario(error.to_string()))
    }

    /// Closes every socket, writes the state file, and returns when every task has ended.
    pub async fn shutdown(self) {
        let ending = async {
            self.server.doors.cancel();
            self.server.readers.close();
            self.server.readers.wait().await;
            // No new stanzas arrive from here on, so the file is complete once the phones have done their tasks.
            if let Some(keeper) = &self.keeper {
                keeper.keep(&self.server).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(5), ending).await.is_err() {
            tracing::warn!(target: LOG, "sandbox shutdown timed out; stopping its tasks");
        }
        self.server.stop.cancel();
        self.server.tasks.close();
        // A task that does not end is a bug of the sandbox, and must not hang the program that embeds it.
        if tokio::time::timeout(Duration::from_secs(5), self.server.tasks.wait()).await.is_err() {
            tracing::warn!(target: LOG, "tasks of the sandbox did not end in time; leaving them");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.stop.cancel();
    }
}
