//! The sandbox as a process of its own, to measure its memory and CPU time, and a client of its control API.

use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use wagres::telemetry::Usage;

/// A running sandbox; it is killed when this value is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) ws: String,
    pub(crate) control: String,
}

impl Process {
    /// Starts this program as a sandbox.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut child = super::super::wagres()?
            .args(["sandbox", "--json"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the sandbox")?;
        let output = child.stdout.take().context("the sandbox has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.context("the sandbox did not start")?;
        let ready: Value = serde_json::from_str(&line)?;
        let field =
            |name: &str| ready[name].as_str().map(str::to_owned).context("the sandbox did not print its addresses");
        Ok(Self { ws: field("sandbox")?, control: field("sandbox_control")?, child })
    }

    /// The sandbox's memory and CPU time.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(Usage::of(self.child.id().context("the sandbox has ended")?))
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.request("POST", path, Some(body)).await
    }

    async fn request(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let host = self.control.trim_start_matches("http://");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = TcpStream::connect(host).await.context("reaching the sandbox's control API")?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the control API gave no answer")?;
        if head.split(' ').nth(1) != Some("200") {
            bail!("{method} {path}: {body}");
        }
        Ok(serde_json::from_str(body)?)
    }

    pub(crate) async fn stop(mut self) {
        // The sandbox has no state to save, and an error means that it has ended.
        let _ = self.child.kill().await;
    }
}
