//! A receiver on loopback: an HTTP server that answers as a test wants, and checks each signature by itself.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request that the receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    /// Headers, with small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Received {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Checks the signature of the specification: HMAC-SHA256 over id, timestamp and body, under one of the secrets.
    pub(crate) fn verify(&self, secret: &str) -> Result<()> {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").context("whsec_")?)?;
        let timestamp = &self.headers["webhook-timestamp"];
        let age =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().abs_diff(timestamp.parse()?);
        ensure!(age < 60, "{age} s old");
        let signed = [format!("{}.{timestamp}.", self.id()).as_bytes(), &self.bytes].concat();
        let wanted = format!("v1,{}", BASE64_STANDARD.encode(hmac(&key, &signed)));
        let signatures = &self.headers["webhook-signature"];
        ensure!(signatures.split(' ').any(|it| it == wanted), "{signatures} is not {wanted}");
        Ok(())
    }
}

/// RFC 2104, by hand, because the product uses a library.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block.resize(64, 0);
    let padded = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = Sha256::digest([padded(0x36).as_slice(), message].concat());
    Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, headers and a body.
    Status(u16, &'static str, String),
    /// The same, after a while.
    Late(Duration, u16),
    /// Nothing, ever.
    Never,
    /// The beginning of an answer, then the end of the connection.
    Half,
    /// A failure with a body of a gigabyte.
    Flood,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, "", String::new())
    }
}

type Answer = dyn Fn(&Received, usize) -> Reply + Send + Sync;

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Answers as `answer` says for each request and its number, from 0.
    pub(crate) async fn start(answer: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, received) = (listener.local_addr()?, Arc::<Mutex<Vec<Received>>>::default());
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), received.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (answer.clone(), seen.clone());
                tokio::spawn(async move { drop(serve(stream, &answer, &seen).await) });
            }
        });
        Ok(Self { address, received, server })
    }

    /// Answers each request with 204.
    pub(crate) async fn ok() -> Result<Self> {
        Self::start(|_, _| Reply::status(204)).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?a=1", self.address)
    }

    /// The requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Their ids.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.received().iter().map(|it| it.id().to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, answer: &Arc<Answer>, seen: &Mutex<Vec<Received>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).context("no path")?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let mut bytes = vec![0; headers.get("content-length").context("no length")?.parse()?];
        stream.read_exact(&mut bytes).await?;
        let request = Received { path, headers, body: serde_json::from_slice(&bytes)?, bytes };
        let reply = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(request.clone());
            answer(&request, seen.len() - 1)
        };
        match reply {
            Reply::Status(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(head.as_bytes()).await?;
            }
            Reply::Late(after, status) => {
                tokio::time::sleep(after).await;
                stream.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
            }
            Reply::Never => std::future::pending().await,
            Reply::Half => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await?;
                return Ok(());
            }
            Reply::Flood => {
                stream.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 1000000000\r\n\r\n").await?;
                let part = vec![b'x'; 1 << 16];
                for _ in 0..(1_000_000_000 >> 16) {
                    stream.write_all(&part).await?;
                }
            }
        }
    }
}
