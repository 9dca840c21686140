//! HTTP and HTTPS on one port: the first byte of a connection tells them apart.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::saved::Blob;
use super::super::server::Server;
use super::super::{LOG, SandboxError};

/// The host names of the certificate: the server itself, and the hosts that clients have built in.
const NAMES: &[&str] = &["localhost", "127.0.0.1", "::1", "mmg.whatsapp.net", "media.whatsapp.net", "pps.whatsapp.net"];
/// The first byte of a TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// The time limit for the first byte; a slower client is not going to send it.
const OPENING_LIMIT: Duration = Duration::from_secs(20);

/// The server's certificate and the root that signed it.
pub(super) struct Identity {
    pub(super) root_pem: String,
    leaf: Vec<u8>,
    key: Vec<u8>,
    acceptor: TlsAcceptor,
}

/// [`Identity`] in the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedIdentity {
    root_pem: String,
    leaf: Blob,
    key: Blob,
}

fn failed(error: &dyn std::fmt::Display) -> SandboxError {
    SandboxError::Certificate(error.to_string())
}

impl Identity {
    pub(super) fn new() -> Result<Self, SandboxError> {
        let made = || {
            let root_key = KeyPair::generate()?;
            let mut root = CertificateParams::new(vec![])?;
            root.distinguished_name.push(DnType::CommonName, "wagres sandbox");
            root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let root_pem = pem(root.self_signed(&root_key)?.der());
            let key = KeyPair::generate()?;
            let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
            let mut leaf = CertificateParams::new(names)?;
            leaf.distinguished_name.push(DnType::CommonName, "wagres sandbox media");
            leaf.use_authority_key_identifier_extension = true;
            let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key))?;
            Ok::<_, rcgen::Error>((root_pem, leaf.der().to_vec(), key.serialize_der()))
        };
        let (root_pem, leaf, key) = made().map_err(|error| failed(&error))?;
        Self::assemble(root_pem, leaf, key)
    }

    pub(super) fn save(&self) -> SavedIdentity {
        SavedIdentity { root_pem: self.root_pem.clone(), leaf: Blob(self.leaf.clone()), key: Blob(self.key.clone()) }
    }

    pub(super) fn restore(saved: SavedIdentity) -> Result<Self, SandboxError> {
        Self::assemble(saved.root_pem, saved.leaf.0, saved.key.0)
    }

    fn assemble(root_pem: String, leaf: Vec<u8>, key: Vec<u8>) -> Result<Self, SandboxError> {
        let (chain, private) = (vec![CertificateDer::from(leaf.clone())], PrivatePkcs8KeyDer::from(key.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::Pkcs8(private))
            .map_err(|error| failed(&error))?;
        Ok(Self { root_pem, leaf, key, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// A certificate as PEM.
fn pem(der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body = lines.fold(String::new(), |body, line| body + &line + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}

/// A connection of either kind.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

type Open = (Box<dyn Socket>, SocketAddr);

/// Connections that are ready for a request.
pub(super) struct Listener {
    ready: Receiver<Open>,
    address: SocketAddr,
}

impl Listener {
    /// Opens the connections of `listener`, each in its own task, so that a slow one delays no other.
    pub(super) fn new(server: &Arc<Server>, mut listener: TcpListener) -> Self {
        let (sender, ready) = channel(16);
        let inner = Arc::clone(server);
        server.spawn(async move {
            loop {
                let (socket, peer) = serve::Listener::accept(&mut listener).await;
                let (server, sender) = (Arc::clone(&inner), sender.clone());
                inner.spawn(async move {
                    let opening = tokio::time::timeout(OPENING_LIMIT, open(&server.media.identity, socket)).await;
                    match opening.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
                        // The receiver ends with the sandbox.
                        Ok(socket) => drop(sender.send((socket, peer)).await),
                        Err(error) => tracing::info!(target: LOG, %peer, %error, "media connection failed"),
                    }
                });
            }
        });
        Self { ready, address: server.media.address }
    }
}

async fn open(identity: &Identity, socket: TcpStream) -> std::io::Result<Box<dyn Socket>> {
    let _ = socket.set_nodelay(true);
    let mut first = [0];
    socket.peek(&mut first).await?;
    if first == [TLS_HANDSHAKE] {
        return Ok(Box::new(identity.acceptor.accept(socket).await?));
    }
    Ok(Box::new(socket))
}

impl serve::Listener for Listener {
    type Io = Box<dyn Socket>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Open {
        match self.ready.recv().await {
            Some(open) => open,
            // No task opens connections any more: the sandbox is stopping, and also ends this task.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
