//! A real Baileys, from npm, as a peer in tests. It is skipped, with the reason printed, where Node is missing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wagres::sandbox::{Options, Sandbox};

use crate::control::{Control, LIMIT};

/// Where the client and its lock file are.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/baileys")
}

/// Whether Baileys can run here; installs it if it must. `false` comes with a printed reason.
pub(crate) async fn available() -> Result<bool> {
    for program in ["node", "npm"] {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if !version.is_ok_and(|status| status.success()) {
            eprintln!("skipped: {program} is not installed, so Baileys cannot run");
            return Ok(false);
        }
    }
    install().await?;
    Ok(true)
}

/// `npm ci`, once, however many test processes want it at the same time.
async fn install() -> Result<()> {
    let lock = tokio::task::spawn_blocking(|| -> Result<std::fs::File> {
        let file = std::fs::File::create(home().join(".install.lock"))?;
        file.lock()?;
        Ok(file)
    })
    .await??;
    let (wanted, installed) = (home().join("package-lock.json"), home().join("node_modules/.installed"));
    let wanted = tokio::fs::read(&wanted).await?;
    // A copy of the lock file marks a complete install of just that; npm's own folder also exists halfway through.
    if tokio::fs::read(&installed).await.ok().as_ref() != Some(&wanted) {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        let status = Command::new("npm").args(arguments).current_dir(home()).stdout(Stdio::null()).status().await?;
        if !status.success() {
            bail!("npm ci failed in {}: {status}", home().display());
        }
        tokio::fs::write(&installed, wanted).await?;
    }
    drop(lock);
    Ok(())
}

/// A running Baileys client. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Baileys {
    _process: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<Value>,
    next: u64,
    _auth: AuthDir,
}

/// The folder with the client's session, gone with the client.
#[derive(Debug)]
struct AuthDir(PathBuf);

impl Drop for AuthDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Baileys {
    /// Starts a client, links it to a number of the sandbox (the phone is made if there is none) and waits until it is
    /// open. `None` where Baileys cannot run; the reason is printed.
    pub(crate) async fn link(ws_url: &str, control_url: &str, number: &str) -> Result<Option<Self>> {
        Self::link_with(ws_url, control_url, number, false).await
    }

    /// The same by pairing code.
    pub(crate) async fn link_by_code(ws_url: &str, control_url: &str, number: &str) -> Result<Option<Self>> {
        Self::link_with(ws_url, control_url, number, true).await
    }

    async fn link_with(ws_url: &str, control_url: &str, number: &str, by_code: bool) -> Result<Option<Self>> {
        if !available().await? {
            return Ok(None);
        }
        let control = Control::new(control_url);
        control.post("/phones", json!({ "number": number })).await?;
        let root = control.get("/ca").await?["root_public_key"].as_str().context("no root key")?.to_owned();
        let auth = AuthDir(std::env::temp_dir().join(format!("wagres-baileys-{}", uuid::Uuid::new_v4())));
        let mut process = Command::new("node")
            .arg("client.mjs")
            .current_dir(home())
            .envs([("WS_URL", ws_url), ("CA_ROOT", root.as_str())])
            .env("AUTH_DIR", &auth.0)
            .env("PAIR_NUMBER", if by_code { number } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = process.stdin.take().context("no stdin")?;
        let lines = BufReader::new(process.stdout.take().context("no stdout")?).lines();
        let mut client = Self { _process: process, commands, lines, seen: vec![], next: 0, _auth: auth };
        let (event, what) = if by_code { ("code", "confirm") } else { ("qr", "scan") };
        let shown = client.wait(|line| (line["event"] == event).then(|| line[event].clone())).await?;
        control.post(&format!("/phones/{number}/{what}"), json!({ event: shown })).await?;
        client.wait(|line| (line["event"] == "open").then_some(())).await.context("it did not log in")?;
        Ok(Some(client))
    }

    /// Sends a text; returns the message's id.
    pub(crate) async fn send(&mut self, to: &str, text: &str) -> Result<String> {
        self.next += 1;
        let id = self.next;
        let command = json!({ "cmd": "send", "id": id, "to": to, "text": text });
        self.commands.write_all(format!("{command}\n").as_bytes()).await?;
        let answer = self.wait(|line| (line["id"] == id).then(|| line.clone())).await?;
        answer["message_id"].as_str().map(str::to_owned).with_context(|| format!("it did not send: {answer}"))
    }

    /// Waits for a text; the whole event, with `from`, `id` and `from_me`.
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

    /// Waits for a line, or finds it among those that came before.
    async fn wait<T>(&mut self, pick: impl Fn(&Value) -> Option<T>) -> Result<T> {
        if let Some(found) = self.seen.iter().find_map(&pick) {
            return Ok(found);
        }
        let deadline = tokio::time::Instant::now() + LIMIT + Duration::from_secs(30);
        loop {
            let line = tokio::time::timeout_at(deadline, self.lines.next_line()).await;
            let Ok(line) = line else { bail!("Baileys did not say what was expected; it said {:?}", self.seen) };
            let Some(line) = line? else { bail!("Baileys ended; it said {:?}", self.seen) };
            let Ok(value) = serde_json::from_str::<Value>(&line) else {
                // A library that prints on its own is no reason to fail.
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

#[tokio::test]
async fn x1_baileys_exchanges_text_with_a_phone() -> Result<()> {
    let sandbox = Sandbox::start(Options::default()).await?;
    let control = Control::new(&sandbox.control_url());
    control.post("/phones", json!({ "number": "15550002" })).await?;
    let Some(mut baileys) = Baileys::link(&sandbox.ws_url(), &sandbox.control_url(), "15550001").await? else {
        return Ok(());
    };
    let id = baileys.send("15550002", "from Baileys").await?;
    let shown = control.shown("15550002", "from Baileys").await?;
    assert_eq!(shown["id"], id);
    assert_eq!(shown["arrivals"], 1);
    baileys.wait_status(&id, 4).await?;
    for text in ["from the phone", "and again"] {
        let sent = control.post("/phones/15550002/send", json!({ "to": "15550001", "text": text })).await?;
        let message = baileys.wait_message(text).await?;
        assert_eq!(message["id"], sent["id"]);
        assert_eq!(message["from"], "15550002@s.whatsapp.net");
    }
    // Its own phone has both directions.
    control.shown("15550001", "and again").await?;
    assert_eq!(control.shown("15550001", "from Baileys").await?["from_me"], true);
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}
