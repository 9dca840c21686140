//! Connects a session to WhatsApp through a proxy (S11): its socket and its media.
//!
//! HTTP proxies get a CONNECT, and SOCKS5 proxies resolve names themselves, so that nothing of a session bypasses its
//! proxy. An application names the proxy, so the worker dials only what its [`Guard`] allows.

use super::endpoint::{CERTIFICATE_CHECK_IS_OFF, Endpoint};
use crate::config::Secret;
use crate::net::{Guard, PrivateNetwork};
use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_websockets::ClientBuilder;
use tower::{ServiceExt as _, service_fn};
use ureq::unversioned::transport::DefaultConnector;
use url::Url;
use wacore::net::WHATSAPP_WEB_ORIGIN;
use whatsapp_rust::transport::{Transport, TransportEvent, TransportFactory};
use whatsapp_rust::{async_channel::Receiver, async_trait};
use whatsapp_rust_tokio_transport::{default_tls_connector, from_websocket};

/// Buffer of each media connection in bytes, as in the library; the HTTP client's default is eight times as large.
const BUFFER: usize = 16 * 1024;
/// Idle connections that stay open for the next file.
const IDLE: usize = 3;

/// Why a proxy cannot be used. The text holds no password.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Not the address of a proxy.
    #[error(
        "proxy: not the address of a proxy; accepted is http:// or socks5://, then user:password@ if the proxy wants them, host:port"
    )]
    NotAProxy,
    /// A sandbox build and an address that is not loopback.
    #[error("proxy: not on this machine, and this build has the feature `sandbox`, which connects to nothing else")]
    NotLoopback,
    /// One of its addresses may not be dialled.
    #[error(
        "proxy: {0} is in a private network or on this machine; accepted is an address of the internet, or one that \
         worker.proxy_allow lists"
    )]
    Private(String),
    /// The name server gave no address.
    #[error("proxy: {host} has no address: {source}")]
    Unresolved {
        /// The host.
        host: String,
        /// The name server's answer.
        source: std::io::Error,
    },
}

/// A proxy. Secret, because it may hold a password.
#[derive(Clone)]
pub struct Proxy {
    url: Url,
    host: String,
    port: u16,
    guard: Guard,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}://{}:{})", self.url.scheme(), self.host, self.port)
    }
}

impl Proxy {
    /// Parses an address as `wa.set_proxy` takes it.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub fn parse(url: &Secret, guard: &Guard) -> Result<Self, ProxyError> {
        let url = Url::parse(url.expose()).map_err(|_| ProxyError::NotAProxy)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(ProxyError::NotAProxy);
        };
        if !matches!(url.scheme(), "http" | "socks5") {
            return Err(ProxyError::NotAProxy);
        }
        // For schemes that browsers do not know, the URL parser does not tell addresses from names.
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if CERTIFICATE_CHECK_IS_OFF && !ip.map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback()) {
            return Err(ProxyError::NotLoopback);
        }
        Ok(Self { host: host.to_owned(), port, url, guard: guard.clone() })
    }

    /// User and password, if the proxy wants them.
    fn login(&self) -> Option<(String, String)> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let wanted = !self.url.username().is_empty() || self.url.password().is_some();
        wanted.then(|| (decoded(self.url.username()), decoded(self.url.password().unwrap_or_default())))
    }

    /// The addresses of the proxy.
    ///
    /// # Errors
    /// [`ProxyError::Private`] and [`ProxyError::Unresolved`].
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, ProxyError> {
        self.guard.resolve(&self.host, self.port).await.map_err(|source| {
            if source.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<PrivateNetwork>) {
                ProxyError::Private(self.host.clone())
            } else {
                ProxyError::Unresolved { host: self.host.clone(), source }
            }
        })
    }

    /// Connects to `host` and `port` through the proxy, which has these `addresses`.
    async fn open(&self, addresses: &[SocketAddr], host: &str, port: u16) -> anyhow::Result<TcpStream> {
        let target: Uri = format!("https://{host}:{port}/").parse()?;
        let proxy: Uri = format!("http://{}:{}", self.host, self.port).parse()?;
        // Not by the name: a second answer of the name server could lead elsewhere.
        let addresses: Arc<[SocketAddr]> = addresses.into();
        let connector = service_fn(move |_: Uri| {
            let addresses = addresses.clone();
            async move {
                let stream = TcpStream::connect(&*addresses).await?;
                stream.set_nodelay(true)?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let stream = if self.url.scheme() == "http" {
            let mut tunnel = Tunnel::new(proxy, connector);
            if let Some((user, password)) = self.login() {
                let login = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
                tunnel = tunnel.with_auth(HeaderValue::from_str(&login)?);
            }
            tunnel.oneshot(target).await?
        } else {
            let mut tunnel = SocksV5::new(proxy, connector);
            if let Some((user, password)) = self.login() {
                tunnel = tunnel.with_auth(user, password);
            }
            tunnel.oneshot(target).await?
        };
        Ok(stream.into_inner())
    }

    /// The HTTP client that fetches media through the proxy.
    ///
    /// # Errors
    /// The address is not usable.
    pub fn agent(&self) -> Result<ureq::Agent, ProxyError> {
        // With "socks5" this machine would resolve the names.
        let url = self.url.as_str().replacen("socks5://", "socks5h://", 1);
        let proxy = ureq::Proxy::new(&url).map_err(|_| ProxyError::NotAProxy)?;
        let config = ureq::Agent::config_builder().proxy(Some(proxy));
        let config = config.input_buffer_size(BUFFER).output_buffer_size(BUFFER).max_idle_connections(IDLE);
        Ok(ureq::Agent::with_parts(config.build(), DefaultConnector::default(), self.guard.resolver()))
    }
}

/// Opens WhatsApp's WebSocket through a proxy.
pub struct ProxiedFactory {
    /// The proxy.
    pub proxy: Proxy,
    /// The addresses of the proxy, from [`Proxy::resolve`].
    pub addresses: Vec<SocketAddr>,
    /// The server.
    pub endpoint: Endpoint,
}

#[async_trait]
impl TransportFactory for ProxiedFactory {
    async fn create_transport(&self) -> anyhow::Result<(Arc<dyn Transport>, Receiver<TransportEvent>)> {
        let server = Url::parse(self.endpoint.as_str())?;
        let host = server.host_str().context("the server has no name")?;
        let port = server.port_or_known_default().context("the server has no port")?;
        let stream = self.proxy.open(&self.addresses, host, port).await;
        let stream = stream.with_context(|| format!("through {:?}", self.proxy))?;
        let uri: http::Uri = self.endpoint.as_str().parse()?;
        let origin = HeaderValue::from_static(WHATSAPP_WEB_ORIGIN);
        let request = ClientBuilder::from_uri(uri).add_header(http::header::ORIGIN, origin)?;
        if server.scheme() == "wss" {
            let stream = default_tls_connector().wrap(host, stream).await?;
            return Ok(from_websocket(request.connect_on(stream).await?.0));
        }
        Ok(from_websocket(request.connect_on(stream).await?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allowed;
    use crate::net::Reach;

    /// The internet, and these networks and hosts.
    fn guard(allow: &[&str]) -> Guard {
        let allow = allow.iter().map(|it| it.parse().map_or_else(|_| Allowed::Host((*it).into()), Allowed::Network));
        Guard::new(Reach::Internet, &allow.collect::<Vec<_>>())
    }

    #[test]
    fn s11_only_addresses_of_proxies_are_accepted_and_the_password_is_hidden() {
        for (url, ok) in [
            ("http://127.0.0.1:3128", true),
            ("socks5://anna:s%40cret@127.0.0.1:1080", true),
            ("http://localhost", true),
            ("socks5://localhost", false),
            ("https://127.0.0.1:3128", false),
            ("127.0.0.1:3128", false),
            ("", false),
        ] {
            let proxy = Proxy::parse(&Secret::new(url), &guard(&[]));
            assert_eq!(proxy.is_ok(), ok, "{url}: {proxy:?}");
            assert!(!format!("{proxy:?}").contains("cret"), "{proxy:?}");
        }
        let proxy = Secret::new("socks5://anna:s%40cret@127.0.0.1:1080");
        let proxy = Proxy::parse(&proxy, &guard(&[])).expect("a proxy");
        assert_eq!(proxy.login(), Some(("anna".into(), "s@cret".into())));
        let elsewhere = Proxy::parse(&Secret::new("http://10.0.0.1:3128"), &guard(&["10.0.0.0/8"]));
        assert_eq!(matches!(elsewhere, Err(ProxyError::NotLoopback)), CERTIFICATE_CHECK_IS_OFF);
    }

    #[tokio::test]
    async fn r9_s11_a_proxy_inside_is_refused_by_its_address_unless_allowed() {
        for url in ["http://127.0.0.1:3128", "socks5://[::1]:1080", "http://localhost:3128"] {
            let inside = Proxy::parse(&Secret::new(url), &guard(&[])).expect("a proxy").resolve().await;
            assert!(matches!(inside, Err(ProxyError::Private(_))), "{url}: {inside:?}");
            let others = guard(&["10.0.0.0/8", "proxy.internal"]);
            let inside = Proxy::parse(&Secret::new(url), &others).expect("a proxy").resolve().await;
            assert!(matches!(inside, Err(ProxyError::Private(_))), "{url}: {inside:?}");
            let listed =
                if url.contains("localhost") { guard(&["LocalHost"]) } else { guard(&["127.0.0.0/8", "::1/128"]) };
            let allowed = Proxy::parse(&Secret::new(url), &listed).expect("a proxy").resolve().await;
            assert!(allowed.is_ok_and(|found| found.iter().all(|it| it.ip().is_loopback())), "{url}");
        }
    }

    #[test]
    fn r9_s11_media_through_a_proxy_inside_is_refused() {
        // A server that would answer: only the guard keeps the client from it.
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://127.0.0.1:{}", server.local_addr().expect("an address").port());
        let agent = Proxy::parse(&Secret::new(url), &guard(&[])).expect("a proxy").agent().expect("a client");
        let refused = agent.get("https://mmg.whatsapp.net/").call();
        assert!(matches!(&refused, Err(ureq::Error::Other(why)) if why.is::<PrivateNetwork>()), "{refused:?}");
    }
}
