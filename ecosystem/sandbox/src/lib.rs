//! A WhatsApp on loopback: server, simulated phones and a control API, in one process and in memory.
//!
//! What it promises: an unmodified client library (whatsapp-rust, Baileys) links by QR or pairing code, logs in, exchanges
//! end-to-end encrypted messages, in chats of two and in groups, with other linked devices and with simulated phones, and
//! gets acks, receipts and, after an absence, everything that was sent meanwhile, in order. The server side sees only
//! ciphertext, as the real one does; the phones are real Signal parties.
//!
//! What it does not: it is not a WhatsApp for anybody else (it refuses to bind to anything but loopback), it keeps
//! nothing over a restart without a state file. What it does not know it refuses with an error and counts in
//! `GET /stats`, so that a gap shows as a number instead of as a hanging client.
//!
//! Where things are:
//!
//! | file | idea |
//! | --- | --- |
//! | `ca` | the certificate chain that a client checks |
//! | `noise` | the handshake and the encrypted frames |
//! | `connection`, `link` | one socket from accept to close, and the way to it |
//! | `pairing` | linking a device: QR codes, pairing codes, the signed device identity |
//! | `changes` | a lock that tells when what it guards has changed |
//! | `account`, `state` | what the server knows: accounts, devices, key bundles, queues |
//! | `parcel` | a stanza in a queue |
//! | `ledger` | what became of every message |
//! | `app_state` | the settings that an account's devices share, as opaque records |
//! | `group` | groups: who is in, who may do what, who is told |
//! | `media` | the files that messages point to, and the server that keeps them |
//! | `presence`, `settings` | who is online and typing; privacy, blocked contacts |
//! | `saved` | the state file |
//! | `stanza` | what a client may ask; one table says who answers |
//! | `phone` | the simulated phone |
//! | `profile` | pictures and about texts |
//! | `faults` | what goes wrong on demand |
//! | `fuzzing` | each of its decoders as a function of bytes, for fuzz targets and property tests |
//! | `control` | the HTTP API that plays the owner of the phones, and the page that does so for people |

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

/// The target of every log line of this module.
const LOG: &str = "wagres_sandbox";

/// How many messages the ledger remembers unless something else is asked for.
const LEDGER_LIMIT: usize = 1_000_000;

/// See [`Options::distance`].
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
    /// How fast the owner of a phone looks at a new message.
    pub pace: Pace,
    /// How long the server takes to answer a login. No real one is nearer than some milliseconds, and Baileys 6.7 relies
    /// on it: it has its transport keys only a moment after it has sent the last message of the handshake, and breaks on
    /// a stanza that comes before. On a busy machine that moment is longer.
    pub distance: Duration,
    /// How many messages the ledger remembers; see `GET /verdict`.
    pub ledger_limit: usize,
    /// What the chance in faults begins with: the same seed and rules, the same decisions.
    pub seed: u64,
    /// The file that keeps accounts, devices, queues and phones over restarts. Without one everything is in memory.
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
    /// The address is reachable from elsewhere; the sandbox authenticates nobody, so it stays on this machine.
    #[error("the sandbox listens on loopback only, and {0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The port is taken, or not ours to take.
    #[error("the sandbox cannot listen on {addr}")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The state file is not ours, damaged, or cannot be read. It stays as it is.
    #[error("the state file {path} cannot be used: {why}", path = path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Its certificates could not be made.
    #[error("the sandbox cannot make its certificates: {0}")]
    Certificate(String),
    /// A phone of the scenario could not be made.
    #[error("the scenario cannot be played: {0}")]
    Scenario(String),
}

/// Starts sandboxes; see [`Sandbox::start`].
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a sandbox: as its state file says, else with no accounts and new certificates. It listens when this
    /// returns.
    pub async fn start(options: Options) -> Result<Running, SandboxError> {
        let ws = bind(options.ws).await?;
        let control = bind(options.control).await?;
        let media = bind(options.media).await?;
        let server = match options.state.as_deref() {
            Some(path) => saved::open(path, &options, media.1).await?,
            None => Server::new(&options, ca::Authority::new()?, Media::new(media.1, options.media_limit)?, 1),
        };
        let keeper = match &options.state {
            Some(path) => Some(saved::Keeper::start(&server, path.clone()).await?),
            None => None,
        };
        let (ws_addr, control_addr) = (ws.1, control.1);
        server.spawn(connection::accept(Arc::clone(&server), ws.0));
        server.spawn(control::serve(Arc::clone(&server), control.0));
        server.spawn(media::serve(Arc::clone(&server), media.0));
        tracing::info!(target: LOG, %ws_addr, %control_addr, media_addr = %media.1, "sandbox is up");
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

/// A sandbox that is up. Dropping it stops it without waiting; [`Running::shutdown`] waits.
pub struct Running {
    server: Arc<Server>,
    keeper: Option<Arc<saved::Keeper>>,
    ws: SocketAddr,
    control: SocketAddr,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("ws", &self.ws).field("control", &self.control).finish_non_exhaustive()
    }
}

impl Running {
    /// What a client library takes as its WebSocket address.
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

    /// Holds a QR code that a client shows in front of the cameras of the phones, under a name for the client, so that
    /// whoever plays a phone can pick it. `false` when no client is waiting under this code (any more).
    #[must_use]
    pub fn show_qr(&self, qr: &str, label: &str) -> bool {
        pairing::show(&self.server, qr, Some(label.to_owned())).is_ok()
    }

    /// Makes the phones of a scenario and sets its faults in the place of all others; its clock starts now.
    pub fn play(&self, scenario: Scenario) -> Result<(), SandboxError> {
        scenario.play(&self.server).map(drop).map_err(|error| SandboxError::Scenario(error.to_string()))
    }

    /// Closes every socket, writes the state file, and returns when every task has ended.
    pub async fn shutdown(self) {
        let ending = async {
            self.server.doors.cancel();
            self.server.readers.close();
            self.server.readers.wait().await;
            // Nothing new comes in, so the file is complete when the phones have done what they have.
            if let Some(keeper) = &self.keeper {
                keeper.keep(&self.server).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(5), ending).await.is_err() {
            tracing::warn!(target: LOG, "the sandbox could not end in order");
        }
        self.server.stop.cancel();
        self.server.tasks.close();
        // A task that does not end is a bug of ours, and not a reason to hang the program that embeds the sandbox.
        if tokio::time::timeout(Duration::from_secs(5), self.server.tasks.wait()).await.is_err() {
            tracing::warn!(target: LOG, "some tasks of the sandbox did not end in time");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.stop.cancel();
    }
}
