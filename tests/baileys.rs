//! Real Baileys clients, from npm, as peers in tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::control::Control;
use crate::support::npm;
use crate::support::until::LIMIT;

/// A version of the library: a folder with its lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    V6,
    V7,
}

impl Library {
    fn folder(self) -> &'static str {
        match self {
            Self::V6 => "v6",
            Self::V7 => "v7",
        }
    }

    fn home(self) -> PathBuf {
        home().join(self.folder())
    }
}

/// The folder of the client script.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/baileys")
}

/// A file with the root certificate of a sandbox's media server. Dropping it deletes the file.
#[derive(Debug)]
struct Roots(PathBuf);

impl Roots {
    async fn new(control: &Control) -> Result<Self> {
        let roots = Self(std::env::temp_dir().join(format!("wagres-media-ca-{}.pem", uuid::Uuid::new_v4())));
        tokio::fs::write(&roots.0, control.bytes("/media-ca").await?).await?;
        Ok(roots)
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A running Baileys client. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Baileys {
    _process: Child,
    _roots: Roots,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) seen: Vec<Value>,
    next: u64,
}

impl Baileys {
    /// Starts a client that is not linked, and installs the library first where needed.
    ///
    /// # Errors
    /// Node.js or npm is missing, or the client does not start.
    pub(crate) async fn start(library: Library, ws_url: &str, control: &Control) -> Result<Self> {
        npm::install(&library.home()).await?;
        let root = control.get("/ca").await?["root_public_key"].as_str().context("no root key")?.to_owned();
        let roots = Roots::new(control).await?;
        let mut process = Command::new("node")
            .arg("client.mjs")
            .current_dir(home())
            .envs([("LIBRARY", library.folder()), ("WS_URL", ws_url), ("CA_ROOT", root.as_str())])
            .env("NODE_EXTRA_CA_CERTS", &roots.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = process.stdin.take().context("no stdin")?;
        let lines = BufReader::new(process.stdout.take().context("no stdout")?).lines();
        Ok(Self { _process: process, _roots: roots, commands, lines, seen: vec![], next: 0 })
    }

    /// Starts Baileys 7, links it by QR to a number of the sandbox (creating its phone if needed) and waits until it is
    /// open.
    ///
    /// # Errors
    /// As [`Baileys::start`], or the link fails.
    pub(crate) async fn link(ws_url: &str, control_url: &str, number: &str) -> Result<Self> {
        let control = Control::new(control_url);
        let mut client = Self::start(Library::V7, ws_url, &control).await?;
        client.scanned(&control, number).await?;
        Ok(client)
    }

    /// The phone with this number scans the QR code (creating the phone if needed); waits until the client is open.
    pub(crate) async fn scanned(&mut self, control: &Control, number: &str) -> Result<()> {
        control.post("/phones", json!({ "number": number })).await?;
        let qr = self.qr().await?;
        control.post(&format!("/phones/{number}/scan"), json!({ "qr": qr })).await?;
        self.open_after(0).await
    }

    /// Links by a pairing code typed on the phone; waits until the client is open.
    pub(crate) async fn confirmed(&mut self, control: &Control, number: &str) -> Result<()> {
        control.post("/phones", json!({ "number": number })).await?;
        self.qr().await?;
        let shown = self.command("code", json!({ "number": number })).await?;
        control.post(&format!("/phones/{number}/confirm"), json!({ "code": shown["code"] })).await?;
        self.open_after(0).await
    }

    async fn qr(&mut self) -> Result<String> {
        let qr = self.wait(|line| (line["event"] == "qr").then(|| line["qr"].as_str().map(str::to_owned))?).await;
        qr.context("no QR code")
    }

    /// Waits until the client reports that it is open, ignoring its first `lines` lines.
    pub(crate) async fn open_after(&mut self, lines: usize) -> Result<()> {
        self.wait_after(lines, |line| (line["event"] == "open").then_some(())).await.context("Baileys did not log in")
    }

    /// Runs one command and returns its result.
    pub(crate) async fn command(&mut self, cmd: &str, mut arguments: Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        arguments["cmd"] = cmd.into();
        arguments["id"] = id.into();
        self.commands.write_all(format!("{arguments}\n").as_bytes()).await?;
        let answer = |line: &Value| (line["id"] == id && line["event"].is_null()).then(|| line.clone());
        let mut answer = self.wait(answer).await?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => bail!("Baileys failed {arguments}: {answer}"),
        }
    }

    /// Sends content that `client.mjs` accepts; returns `message_id`, and the sent message as `content`.
    pub(crate) async fn send_content(&mut self, to: &str, content: Value) -> Result<Value> {
        self.command("send", json!({ "to": to, "content": content })).await
    }

    /// Sends a text; returns the message's id.
    pub(crate) async fn send(&mut self, to: &str, text: &str) -> Result<String> {
        let sent = self.send_content(to, json!({ "text": text })).await?;
        sent["message_id"].as_str().map(str::to_owned).with_context(|| format!("no id: {sent}"))
    }

    /// Waits for a text; returns the whole event, with `from`, `id` and `from_me`.
    pub(crate) async fn wait_message(&mut self, text: &str) -> Result<Value> {
        self.wait(|line| (line["event"] == "message" && line["text"] == text).then(|| line.clone())).await
    }

    /// Waits until one of its messages has at least a status: 2 server, 3 delivered, 4 read.
    pub(crate) async fn wait_status(&mut self, message_id: &str, status: u64) -> Result<()> {
        self.wait(|line| {
            (line["event"] == "update" && line["id"] == message_id && line["status"].as_u64() >= Some(status))
                .then_some(())
        })
        .await
    }

    /// Waits until a connection has ended with this code.
    pub(crate) async fn wait_close(&mut self, code: u16) -> Result<()> {
        self.wait_close_after(0, code).await
    }

    /// As [`Baileys::wait_close`], ignoring the first `lines` lines.
    pub(crate) async fn wait_close_after(&mut self, lines: usize, code: u16) -> Result<()> {
        self.wait_after(lines, |line| (line["event"] == "close" && line["code"] == code).then_some(())).await
    }

    /// Waits until one of its messages has failed.
    pub(crate) async fn wait_failed(&mut self, message_id: &str) -> Result<()> {
        self.wait(|line| (line["event"] == "update" && line["id"] == message_id && line["status"] == 0).then_some(()))
            .await
    }

    /// Waits for a line, or finds it among the earlier ones.
    pub(crate) async fn wait<T>(&mut self, pick: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.wait_after(0, pick).await
    }

    /// As [`Baileys::wait`], ignoring the first `lines` lines.
    async fn wait_after<T>(&mut self, lines: usize, pick: impl Fn(&Value) -> Option<T>) -> Result<T> {
        if let Some(found) = self.seen.iter().skip(lines).find_map(&pick) {
            return Ok(found);
        }
        let deadline = tokio::time::Instant::now() + LIMIT + Duration::from_secs(30);
        loop {
            let line = tokio::time::timeout_at(deadline, self.lines.next_line()).await;
            let Ok(line) = line else { bail!("timed out waiting for a line of Baileys; its lines: {:?}", self.seen) };
            let Some(line) = line? else { bail!("Baileys exited; its lines: {:?}", self.seen) };
            let Ok(value) = serde_json::from_str::<Value>(&line) else {
                // The library may print lines of its own; they do not fail the test.
                eprintln!("baileys: {line}");
                continue;
            };
            let found = pick(&value);
            self.seen.push(value);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }
}
