//! A TCP relay between a worker and its database that a test can stall without either end noticing.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Relay {
    /// The database's URL through the relay.
    pub(crate) url: String,
    open: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub(crate) async fn to(database_url: &str) -> Result<Self> {
        let mut url = url::Url::parse(database_url)?;
        let target = (url.host_str().context("no host")?.to_owned(), url.port().context("no port")?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_addr()?;
        url.set_ip_host(address.ip()).ok().context("the host cannot be set")?;
        url.set_port(Some(address.port())).ok().context("the port cannot be set")?;
        let open = Arc::new(watch::Sender::new(true));
        let state = open.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, state.subscribe()));
                tokio::spawn(carry(far_in, near_out, state.subscribe()));
            }
        });
        Ok(Self { url: url.into(), open, task })
    }

    /// Holds all bytes from now on.
    pub(crate) fn stall(&self) {
        self.open.send_replace(false);
    }

    /// Passes the held bytes on, and all that follow.
    pub(crate) fn resume(&self) {
        self.open.send_replace(true);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
