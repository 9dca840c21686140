//! Receivers of webhooks (H5): those of the documentation, and the official libraries of npm and `PyPI`.

mod deliveries;
mod examples;

use crate::support::{npm, pypi};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// The longest wait for a program, of which some are compiled first.
const PATIENCE: Duration = Duration::from_mins(3);

/// The folder of the programs for the official libraries.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks/receivers")
}

/// Runs a program with these lines as its input; returns its lines of JSON.
async fn answers(command: &mut Command, input: &[Value]) -> Result<Vec<Value>> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let input = input.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let done = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.context("the program does not end")??;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    let lines = String::from_utf8(done.stdout)?;
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The signatures that the official library of npm makes of `{"secret", "id", "timestamp", "body"}`.
async fn signatures(of: &[Value]) -> Result<Vec<String>> {
    npm::install(&home()).await?;
    let signed = answers(Command::new("node").arg(home().join("sign.mjs")), of).await?;
    ensure!(signed.len() == of.len(), "{signed:?}");
    signed.iter().map(|one| one.as_str().map(str::to_owned).context("no signature")).collect()
}

/// The receiver with the official library of npm.
async fn node() -> Result<Command> {
    npm::install(&home()).await?;
    let mut command = Command::new("node");
    command.arg(home().join("receiver.mjs"));
    Ok(command)
}

/// The receiver with the official library of `PyPI`.
async fn python() -> Result<Command> {
    let mut command = Command::new(pypi::install().await?);
    command.arg(home().join("receiver.py"));
    Ok(command)
}

/// A receiver in a process of its own, which prints its port and then a line for each delivery.
struct Program {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Program {
    async fn start(mut command: Command, secret: &str) -> Result<Self> {
        command
            .env("SECRET", secret)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let mut program = Self { _child: child, lines, port: 0 };
        program.port = program.line().await?.trim_start_matches("port ").parse()?;
        Ok(program)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.context("the receiver is silent")??;
        line.context("the receiver has ended")
    }

    /// `{"headers", "body"}` of the next request, with `event` or `error`.
    async fn next(&mut self) -> Result<Value> {
        let line = self.line().await?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    /// Sends a request by hand, with the headers of another one, which must be refused.
    async fn post(&self, headers: &Value, id: Option<&str>, body: &str) -> Result<()> {
        let header = |name: &str| headers[name].as_str().unwrap_or_default().to_owned();
        let id = id.map_or_else(|| header("webhook-id"), str::to_owned);
        let request = format!(
            "POST / HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\nwebhook-id: {id}\r\nwebhook-timestamp: {}\r\n\
             webhook-signature: {}\r\n\r\n{body}",
            body.len(),
            header("webhook-timestamp"),
            header("webhook-signature")
        );
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = vec![];
        socket.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.split(' ').nth(1) == Some("401"), "{answer}");
        Ok(())
    }
}
