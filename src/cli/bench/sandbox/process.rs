//! The sandbox as a process of its own, so that its memory and its CPU time are its own, and the way to its control API.

use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A running sandbox; ends with this value.
pub(super) struct Process {
    child: Child,
    pub(super) ws: String,
    control: String,
}

impl Process {
    /// Starts this same program as a sandbox.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .args(["sandbox", "--json"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the sandbox")?;
        let output = child.stdout.take().context("the sandbox has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.context("the sandbox did not start")?;
        let ready: Value = serde_json::from_str(&line)?;
        let field = |name: &str| ready[name].as_str().map(str::to_owned).context("the sandbox did not say where it is");
        Ok(Self { ws: field("sandbox")?, control: field("sandbox_control")?, child })
    }

    /// What a process uses: this one, or the sandbox.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(&self.child.id().context("the sandbox has ended")?.to_string())
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
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

    pub(super) async fn stop(mut self) {
        // It holds nothing that would have to be saved.
        let _ = self.child.kill().await;
    }
}

/// Resident memory and CPU time of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) memory_kb: f64,
    pub(super) cpu_seconds: f64,
}

impl Usage {
    pub(super) fn own() -> anyhow::Result<Self> {
        Self::of("self")
    }

    fn of(process: &str) -> anyhow::Result<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}"));
        let context = "reading /proc; this benchmark runs on Linux";
        let status = read("status").context(context)?;
        let memory =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        // After the name, which may hold spaces: the state is the first field, user and system time the 12th and 13th.
        let stat = read("stat").context(context)?;
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum();
        // Linux counts in hundredths of a second whatever its timer does.
        Ok(Self { memory_kb: memory.context("no VmRSS in /proc")?, cpu_seconds: ticks / 100.0 })
    }
}
