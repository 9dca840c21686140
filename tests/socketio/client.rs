//! A page in Node.js with the official client.

use super::token_of;
use crate::support::npm;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The longest wait for an event; a lease of three seconds, a grace and a backoff pass within it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The folder of the client.
pub(super) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/socketio/client")
}

/// A page.
pub(super) struct Client {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What has been heard, for the error of a failed test.
    heard: Vec<String>,
}

impl Client {
    /// With these options of the client, at the server with this URL.
    pub(super) async fn with(url: &str, options: Value) -> Result<Self> {
        npm::install(&home()).await?;
        let arguments = json!({ "url": format!("{url}/marketplace"), "options": options }).to_string();
        let mut command = Command::new("node");
        command.arg(home().join("client.mjs")).arg(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let input = child.stdin.take().context("no stdin")?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Self { _child: child, input, lines, heard: vec![] })
    }

    /// With a valid token and one transport.
    pub(super) async fn of(url: &str, company: i64, transport: &str) -> Result<Self> {
        Self::with(url, json!({ "auth": { "token": token_of(company)? }, "transports": [transport] })).await
    }

    async fn command(&mut self, command: Value) -> Result<()> {
        Ok(self.input.write_all(format!("{command}\n").as_bytes()).await?)
    }

    pub(super) async fn emit(&mut self, name: &str, argument: Option<Value>) -> Result<()> {
        let mut words = vec![json!(name)];
        words.extend(argument);
        self.command(json!({ "emit": words })).await
    }

    /// The page goes.
    pub(super) async fn leave(&mut self) -> Result<()> {
        self.command(json!({ "leave": true })).await
    }

    /// The next event: its name and its first argument.
    pub(super) async fn next(&mut self) -> Result<(String, Value)> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.with_context(|| format!("the page hears nothing more after {:?}", self.heard))??;
        let line = line.with_context(|| format!("the page has ended after {:?}", self.heard))?;
        // Pictures are long.
        self.heard.push(line.chars().take(200).collect());
        let event: Value = serde_json::from_str(&line)?;
        Ok((event["on"].as_str().context("no name")?.to_owned(), event["args"][0].clone()))
    }

    /// The argument of the next event, which has this name.
    pub(super) async fn hears(&mut self, name: &str) -> Result<Value> {
        let (heard, argument) = self.next().await?;
        ensure!(heard == name, "{heard} {argument} where {name} was expected, after {:?}", self.heard);
        Ok(argument)
    }

    /// The argument of the next event of this name; passes over others, except errors.
    pub(super) async fn until(&mut self, name: &str) -> Result<Value> {
        loop {
            let (heard, argument) = self.next().await?;
            if heard == name {
                return Ok(argument);
            }
            if ["error", "pairing-code-error"].contains(&heard.as_str()) {
                bail!("{heard} {argument} where {name} was expected, after {:?}", self.heard);
            }
        }
    }

    /// The next answer to a request for a pairing code, whatever it is.
    pub(super) async fn answer(&mut self) -> Result<Value> {
        loop {
            let (heard, argument) = self.next().await?;
            if ["pairing-code", "pairing-code-error"].contains(&heard.as_str()) {
                return Ok(argument);
            }
        }
    }

    /// An error with this code and status, and then the end.
    pub(super) async fn is_refused(&mut self, code: &str, status: u16) -> Result<()> {
        self.hears("connect").await?;
        let error = self.hears("error").await?;
        ensure!(error["code"] == code && error["status"] == status && error["message"].is_string(), "{error}");
        ensure!(self.hears("disconnect").await? == "io server disconnect");
        Ok(())
    }
}
