//! A WhatsApp on loopback: server, simulated phones and a control API, in one process and in memory.
//!
//! What it promises: an unmodified client library (whatsapp-rust, Baileys) links by QR or pairing code, logs in, exchanges
//! end-to-end encrypted one-to-one text with other linked devices and with simulated phones, and gets acks, receipts and, after an
//! absence, everything that was sent meanwhile, in order. The server side sees only ciphertext, as the real one does;
//! the phones are real Signal parties.
//!
//! What it does not: it is not a WhatsApp for anybody else (it refuses to bind to anything but loopback), it keeps
//! nothing over a restart, and groups and media are not there yet. What it does not know it refuses with
//! an error and counts in `GET /stats`, so that a gap shows as a number instead of as a hanging client.
//!
//! Where things are:
//!
//! | file | idea |
//! | --- | --- |
//! | `ca` | the certificate chain that a client checks |
//! | `noise` | the handshake and the encrypted frames |
//! | `connection` | one socket from accept to close |
//! | `pairing` | linking a device: QR codes, pairing codes, the signed device identity |
//! | `account`, `state` | what the server knows: accounts, devices, key bundles, queues |
//! | `parcel` | a stanza in a queue |
//! | `ledger` | what became of every message |
//! | `app_state` | the settings that an account's devices share, as opaque records |
//! | `stanza` | what a client may ask; one table says who answers |
//! | `phone` | the simulated phone |
//! | `control` | the HTTP API that plays the owner of the phones |

mod account;
mod app_state;
mod ca;
mod connection;
mod control;
mod ledger;
mod node;
mod noise;
mod pairing;
mod parcel;
mod phone;
mod server;
mod stanza;
mod state;
mod stats;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use server::Server;

pub use phone::{Message as PhoneMessage, Pace, Ticks};

/// The target of every log line of this module.
const LOG: &str = "wagres::sandbox";

/// How many messages the ledger remembers unless something else is asked for.
const LEDGER_LIMIT: usize = 1_000_000;

/// Where the sandbox listens and how its phones behave.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Address of the WhatsApp WebSocket. Port 0 takes a free one.
    pub ws: SocketAddr,
    /// Address of the HTTP control API. Port 0 takes a free one.
    pub control: SocketAddr,
    /// How fast the owner of a phone looks at a new message.
    pub pace: Pace,
    /// How many messages the ledger remembers; see `GET /verdict`.
    pub ledger_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { ws: any, control: any, pace: Pace::default(), ledger_limit: LEDGER_LIMIT }
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
    /// Its certificates could not be made.
    #[error("the sandbox cannot make its certificates: {0}")]
    Certificate(String),
}

/// Starts sandboxes; see [`Sandbox::start`].
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a sandbox with no accounts and new certificates. It listens when this returns.
    pub async fn start(options: Options) -> Result<Running, SandboxError> {
        let ws = bind(options.ws).await?;
        let control = bind(options.control).await?;
        let server = Server::new(&options)?;
        let (ws_addr, control_addr) = (ws.1, control.1);
        server.spawn(connection::accept(Arc::clone(&server), ws.0));
        server.spawn(control::serve(Arc::clone(&server), control.0));
        tracing::info!(target: LOG, %ws_addr, %control_addr, "sandbox is up");
        Ok(Running { server, ws: ws_addr, control: control_addr })
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

    /// Closes every socket and returns when every task has ended.
    pub async fn shutdown(self) {
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
