//! Baileys, driven by JSON lines.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::party::{Client, Draft, Party, Pick, Received, Ticks, Way, address, canonical};
use crate::baileys::{Baileys, Library};
use crate::control::Control;

pub(super) struct BaileysClient {
    number: String,
    baileys: Baileys,
    /// How many lines the driver wrote before the last start.
    before: usize,
}

impl BaileysClient {
    /// A client, linked in this way and open.
    pub(super) async fn link(
        library: Library,
        way: Way,
        ws_url: &str,
        control: &Control,
        number: &str,
    ) -> Result<Self> {
        let mut baileys = Baileys::start(library, ws_url, control).await?;
        match way {
            Way::Qr => baileys.scanned(control, number).await?,
            Way::Code => baileys.confirmed(control, number).await?,
        }
        Ok(Self { number: number.to_owned(), baileys, before: 0 })
    }

    fn since_start(&self) -> impl Iterator<Item = &Value> {
        self.baileys.seen.iter().skip(self.before)
    }
}

fn received(line: &Value) -> Option<Received> {
    if line["event"] != "message" {
        return None;
    }
    Some(Received {
        id: line["id"].as_str()?.to_owned(),
        chat: address(line["from"].as_str()?),
        sender: address(line["sender"].as_str()?),
        from_me: line["from_me"] == true,
        content: canonical(line["content"].clone()),
    })
}

#[async_trait(?Send)]
impl Party for BaileysClient {
    fn number(&self) -> &str {
        &self.number
    }

    async fn send(&mut self, to: &str, draft: Draft) -> Result<String> {
        let sent = self.baileys.send_content(to, draft.json()?).await?;
        Ok(sent["message_id"].as_str().context("no id")?.to_owned())
    }

    async fn find(&mut self, what: &str, pick: Pick<'_>) -> Result<Received> {
        let found = self.baileys.wait(|line| received(line).filter(|message| pick(message))).await;
        found.with_context(|| format!("Baileys, {}: {what}", self.number))
    }

    async fn file(&mut self, message: &Received) -> Result<Vec<u8>> {
        let found = self.baileys.command("download", json!({ "message": message.id })).await?;
        Ok(BASE64_STANDARD.decode(found["data"].as_str().context("no data")?)?)
    }

    async fn ticked(&mut self, id: &str, ticks: Ticks) -> Result<()> {
        let status = match ticks {
            Ticks::Delivered => 3,
            Ticks::Read => 4,
        };
        self.baileys.wait_status(id, status).await.with_context(|| format!("{ticks:?} {id}"))
    }
}

#[async_trait(?Send)]
impl Client for BaileysClient {
    async fn stop(&mut self) -> Result<()> {
        self.baileys.command("stop", json!({})).await.map(drop)
    }

    async fn start(&mut self) -> Result<()> {
        self.before = self.baileys.seen.len();
        self.baileys.command("start", json!({})).await?;
        self.baileys.open_after(self.before).await
    }

    fn texts(&self) -> Vec<String> {
        let messages = self.since_start().filter_map(received).filter(|message| !message.from_me);
        messages.filter_map(|message| message.text().map(str::to_owned)).collect()
    }

    fn codes_shown(&self) -> usize {
        self.baileys.seen.iter().filter(|line| line["event"] == "qr" || !line["result"]["code"].is_null()).count()
    }

    async fn read(&mut self, message: &Received) -> Result<()> {
        self.baileys.command("read", json!({ "message": message.id })).await.map(drop)
    }

    async fn create_group(&mut self, subject: &str, participants: &[&str]) -> Result<String> {
        let participants: Vec<String> = participants.iter().map(|number| format!("{number}@s.whatsapp.net")).collect();
        let made = json!({ "method": "groupCreate", "args": [subject, participants] });
        let made = self.baileys.command("call", made).await?;
        Ok(made["id"].as_str().with_context(|| format!("no id: {made}"))?.to_owned())
    }

    async fn log_out(&mut self) -> Result<()> {
        self.baileys.command("call", json!({ "method": "logout" })).await.map(drop)
    }

    async fn logged_out(&mut self) -> Result<()> {
        self.baileys.wait(|line| (line["event"] == "close" && line["code"] == 401).then_some(())).await
    }
}
