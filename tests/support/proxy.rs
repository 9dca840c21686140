//! A proxy such as providers rent out: HTTP CONNECT and SOCKS5 on one port, for one user.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const USER: &str = "anna";
const PASSWORD: &str = "s@cret";

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Protocol and target of each connection.
    reached: Arc<Mutex<Vec<(&'static str, String)>>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let reached = Arc::<Mutex<Vec<_>>>::default();
        let book = reached.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let book = book.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &book).await {
                        eprintln!("proxy: {error:#}");
                    }
                });
            }
        });
        Ok(Self { address, reached, task })
    }

    /// A proxy that accepts connections and never answers.
    pub(crate) async fn silent() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut held = vec![];
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Ok(Self { address, reached: Arc::default(), task })
    }

    /// Its URL with user and password.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{USER}:{}@{}", PASSWORD.replace('@', "%40"), self.address)
    }

    pub(crate) fn reached(&self) -> Vec<(&'static str, String)> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, book: &Mutex<Vec<(&'static str, String)>>) -> Result<()> {
    let first = stream.read_u8().await?;
    let (protocol, target) =
        if first == 5 { ("socks5", socks5(&mut stream).await?) } else { ("http", http(&mut stream, first).await?) };
    let mut other = TcpStream::connect(&target).await?;
    book.lock().unwrap_or_else(PoisonError::into_inner).push((protocol, target));
    match protocol {
        "socks5" => stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?,
        _ => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
    }
    copy_bidirectional(&mut stream, &mut other).await?;
    Ok(())
}

/// RFC 1928 and 1929: user and password, then a command to connect.
async fn socks5(stream: &mut TcpStream) -> Result<String> {
    let mut methods = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut methods).await?;
    ensure!(methods.contains(&2), "the client offers no login");
    stream.write_all(&[5, 2]).await?;
    ensure!(stream.read_u8().await? == 1, "not a login by user and password");
    let mut text = async || -> Result<String> {
        let mut text = vec![0; stream.read_u8().await?.into()];
        stream.read_exact(&mut text).await?;
        Ok(String::from_utf8(text)?)
    };
    ensure!((text().await?.as_str(), text().await?.as_str()) == (USER, PASSWORD), "a wrong login");
    stream.write_all(&[1, 0]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    ensure!(head[..3] == [5, 1, 0], "not a command to connect");
    let host = match head[3] {
        1 => {
            let mut ip = [0; 4];
            stream.read_exact(&mut ip).await?;
            std::net::Ipv4Addr::from(ip).to_string()
        }
        3 => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            String::from_utf8(name)?
        }
        other => anyhow::bail!("address type {other}"),
    };
    Ok(format!("{host}:{}", stream.read_u16().await?))
}

/// CONNECT with basic authentication.
async fn http(stream: &mut TcpStream, first: u8) -> Result<String> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).context("not a CONNECT")?;
    let login = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let answer = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    });
    ensure!(answer.is_some_and(|answer| answer.eq_ignore_ascii_case(&format!("Basic {login}"))), "a wrong login");
    Ok(target.to_owned())
}
