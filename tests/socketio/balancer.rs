//! A balancer in front of several web processes: each connection goes to the first that lives.

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(super) struct Balancer {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Balancer {
    /// In front of these addresses.
    pub(super) async fn to(hosts: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let hosts = hosts.clone();
                tokio::spawn(async move {
                    for host in &hosts {
                        if let Ok(mut far) = TcpStream::connect(host).await {
                            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { url, task })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
