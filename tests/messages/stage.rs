//! A session of ours, and whoever may be on the other side.

use crate::baileys::Baileys;
use crate::support::world::World;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SHOP: &str = "15550001";

/// Who writes and reads on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    Baileys,
    Phone,
    Session,
}

pub(super) const PEERS: [Peer; 3] = [Peer::Baileys, Peer::Phone, Peer::Session];

impl Peer {
    pub(super) const fn number(self) -> &'static str {
        match self {
            Self::Baileys => "15550002",
            Self::Phone => "15550003",
            Self::Session => "15550004",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Baileys => "Baileys 7",
            Self::Phone => "phone",
            Self::Session => "wagres",
        }
    }
}

/// A table of `docs/messages.md`: what was seen of which peer, by kind.
pub(super) fn table(seen: &BTreeMap<String, BTreeSet<Peer>>, peers: &[Peer]) -> String {
    let heads: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    let head = format!("| kind | {} |\n| --- |{}\n", heads.join(" | "), " --- |".repeat(peers.len()));
    let line = |(kind, seen): (&String, &BTreeSet<Peer>)| {
        let marks: Vec<&str> = peers.iter().map(|peer| if seen.contains(peer) { "yes" } else { "no" }).collect();
        format!("| `{kind}` | {} |\n", marks.join(" | "))
    };
    head + &seen.iter().map(line).collect::<String>()
}

/// Everybody there is, linked; no Baileys where there is no Node.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) baileys: Option<Baileys>,
}

impl Stage {
    pub(super) async fn new() -> Result<Self> {
        let world = World::new().await?;
        Ok(Self { world, baileys: None })
    }

    pub(super) async fn link(&mut self) -> Result<()> {
        self.world.link("shop", SHOP).await?;
        self.world.link("anna", Peer::Session.number()).await?;
        self.world.phone(Peer::Phone.number()).await?;
        let (ws_url, control) = (self.world.sandbox.ws_url(), self.world.sandbox.control_url());
        self.baileys = Baileys::link(&ws_url, &control, Peer::Baileys.number()).await?;
        Ok(())
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> + use<> {
        let baileys = self.baileys.is_some();
        PEERS.into_iter().filter(move |peer| baileys || *peer != Peer::Baileys)
    }

    /// They write first: a text of theirs in our inbox. Returns its id.
    pub(super) async fn hi(&mut self, peer: Peer) -> Result<String> {
        match peer {
            Peer::Baileys => drop(self.baileys.as_mut().context("no Baileys")?.send(SHOP, "Hi").await?),
            Peer::Phone => {
                let hi = json!({ "to": SHOP, "text": "Hi" });
                self.world.control.post(&format!("/phones/{}/send", peer.number()), hi).await?;
            }
            Peer::Session => drop(self.world.send("anna", SHOP, "Hi").await?),
        }
        let chat = format!("{}@s.whatsapp.net", peer.number());
        let theirs =
            format!("SELECT message_id FROM wa.inbox WHERE session = 'shop' AND chat = '{chat}' AND body = 'Hi'");
        self.world.until(&theirs).await
    }

    /// Queues a message of ours and waits until the server has it. Returns its id.
    pub(super) async fn send(&self, kind: &str, to: &str, arguments: &str) -> Result<String> {
        let insert = format!("SELECT wa.send_{kind}('shop', '{to}', {arguments})");
        let id = self.world.count(&insert).await.with_context(|| insert.clone())?;
        let sent = format!(
            "SELECT message_id FROM wa.outbound WHERE id = {id} AND (sent_at IS NOT NULL OR failed_at IS NOT NULL)"
        );
        let message_id = self.world.until::<String>(&sent).await?;
        let failed = format!("SELECT count(*) FROM wa.outbound WHERE id = {id} AND failed_at IS NOT NULL");
        ensure!(self.world.count(&failed).await? == 0, "{insert}: {}", self.errors(id).await?);
        Ok(message_id)
    }

    pub(super) async fn errors(&self, id: i64) -> Result<String> {
        self.world.until(&format!("SELECT errors::text FROM wa.outbound WHERE id = {id}")).await
    }

    /// The message as the other side has it.
    pub(super) async fn arrived(
        &mut self,
        peer: Peer,
        message_id: &str,
        columns: &Value,
        message: &Value,
    ) -> Result<()> {
        match peer {
            Peer::Baileys => {
                let baileys = self.baileys.as_mut().context("no Baileys")?;
                let found = baileys
                    .wait(|line| {
                        (line["event"] == "message" && line["id"] == message_id).then(|| line["content"].clone())
                    })
                    .await?;
                ensure!(contains(&found, &camel(message)), "Baileys has {found:#}, not {message:#}");
            }
            Peer::Phone => {
                let path = format!("/phones/{}/messages", peer.number());
                let found = self
                    .world
                    .control
                    .until(&path, |it| it["messages"].as_array()?.iter().find(|m| m["id"] == message_id).cloned())
                    .await?;
                // It shows a GIF as the film that it is, and says apart from the kind that something was said.
                let kind = if found["media"]["voice"] == true { "voice".into() } else { found["kind"].clone() };
                let shown = json!({ "kind": kind, "body": found["text"], "quoted_id": found["quotes"], "target_id": found["target"] });
                let expected = columns.as_object().context("columns")?;
                ensure!(
                    expected.iter().all(|(name, value)| {
                        shown[name] == *value || (name == "kind" && value == "gif" && shown[name] == "video")
                    }),
                    "the phone shows {found:#}, not {columns}"
                );
            }
            Peer::Session => {
                let row: Value = self
                    .world
                    .until(&format!(
                        "SELECT to_jsonb(i) FROM wa.inbox i WHERE session = 'anna' AND message_id = '{message_id}'"
                    ))
                    .await?;
                ensure!(contains(&row, columns), "the inbox has {row:#}, not {columns:#}");
                for name in ["body", "quoted_id", "target_id"] {
                    ensure!(columns.get(name).is_some() || row[name].is_null() || row[name] == "", "{name} of {row:#}");
                }
                ensure!(contains(&row["message"], message), "the inbox has {row:#}, not {message:#}");
            }
        }
        Ok(())
    }
}

/// Everything that is expected is there.
pub(super) fn contains(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, value)| contains(&found[name], value)),
        Value::Array(items) => found
            .as_array()
            .is_some_and(|all| all.len() == items.len() && items.iter().zip(all).all(|(e, f)| contains(f, e))),
        // What a client leaves out is what it is unless said otherwise.
        Value::Bool(false) => found.is_null() || found == false,
        _ => found == expected,
    }
}

/// The protocol's names as JavaScript has them.
pub(super) fn camel(value: &Value) -> Value {
    let name = |snake: &str| {
        let mut words = snake.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
    };
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (name(key), camel(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(camel).collect(),
        other => other.clone(),
    }
}

/// How the phone shows one of the messages that it has.
pub(super) async fn shown(stage: &Stage, message_id: &str, is: impl Fn(&Value) -> bool) -> Result<()> {
    let path = format!("/phones/{}/messages", Peer::Phone.number());
    let found = |it: &Value| {
        let messages = it["messages"].as_array()?;
        messages.iter().any(|message| message["id"] == message_id && is(message)).then_some(())
    };
    stage.world.control.until(&path, found).await
}
