//! A wire between a worker and its database that can be cut without either end being told.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Wire {
    /// The database's URL by way of it.
    pub(crate) url: String,
    whole: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    pub(crate) async fn to(database_url: &str) -> Result<Self> {
        let mut url = url::Url::parse(database_url)?;
        let target = (url.host_str().context("a host")?.to_owned(), url.port().context("a port")?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address: SocketAddr = listener.local_addr()?;
        url.set_ip_host(address.ip()).ok().context("the host")?;
        url.set_port(Some(address.port())).ok().context("the port")?;
        let whole = Arc::new(watch::Sender::new(true));
        let state = whole.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, state.subscribe()));
                tokio::spawn(carry(far_in, near_out, state.subscribe()));
            }
        });
        Ok(Self { url: url.into(), whole, task })
    }

    /// Nothing passes any more; what is on its way stays there.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// What stayed on its way arrives, and the rest passes again.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if whole.wait_for(|whole| *whole).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
