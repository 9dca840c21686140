//! A session of ours (`shop`), and the peers that it writes with.

use crate::baileys::Baileys;
use crate::support::world::World;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const SHOP: &str = "15550001";

/// A peer of the session `shop`.
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

/// A table of `docs/messages.md`: which kinds each peer has received or sent.
pub(super) fn matrix_table(seen: &BTreeMap<String, BTreeSet<Peer>>, peers: &[Peer]) -> String {
    let heads: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    let head = format!("| kind | {} |\n| --- |{}\n", heads.join(" | "), " --- |".repeat(peers.len()));
    let line = |(kind, seen): (&String, &BTreeSet<Peer>)| {
        let marks: Vec<&str> = peers.iter().map(|peer| if seen.contains(peer) { "yes" } else { "no" }).collect();
        format!("| `{kind}` | {} |\n", marks.join(" | "))
    };
    head + &seen.iter().map(line).collect::<String>()
}

/// The sandbox, the session `shop` and its peers.
pub(super) struct Stage {
    pub(super) world: World,
    baileys: Option<Baileys>,
}

impl Stage {
    pub(super) async fn new() -> Result<Self> {
        let world = World::new().await?;
        Ok(Self { world, baileys: None })
    }

    /// Links the sessions `shop` and `anna` and Baileys, and adds the phone.
    pub(super) async fn link(&mut self) -> Result<()> {
        self.world.link("shop", SHOP).await?;
        self.world.link("anna", Peer::Session.number()).await?;
        self.world.phone(Peer::Phone.number()).await?;
        let (ws_url, control) = (self.world.sandbox.ws_url(), self.world.sandbox.control_url());
        self.baileys = Some(Baileys::link(&ws_url, &control, Peer::Baileys.number()).await?);
        Ok(())
    }

    pub(super) fn baileys(&mut self) -> Result<&mut Baileys> {
        self.baileys.as_mut().context("Stage::link was not called")
    }

    /// The peer writes first: sends "Hi", waits until it is in our inbox, and returns its message id.
    pub(super) async fn peer_says_hi(&mut self, peer: Peer) -> Result<String> {
        match peer {
            Peer::Baileys => drop(self.baileys()?.send(SHOP, "Hi").await?),
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

    /// Queues a message of ours, waits until the server has acknowledged it, and returns its message id.
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

    /// Waits until the peer has the message, and compares it with the columns and the message expected.
    pub(super) async fn check_received(
        &mut self,
        peer: Peer,
        message_id: &str,
        columns: &Value,
        message: &Value,
    ) -> Result<()> {
        match peer {
            Peer::Baileys => {
                let baileys = self.baileys()?;
                let found = baileys
                    .wait(|line| {
                        (line["event"] == "message" && line["id"] == message_id).then(|| line["content"].clone())
                    })
                    .await?;
                ensure!(contains(&found, &camel_case(message)), "Baileys has {found:#}, not {message:#}");
            }
            Peer::Phone => {
                let path = format!("/phones/{}/messages", peer.number());
                let found = self
                    .world
                    .control
                    .until(&path, |it| it["messages"].as_array()?.iter().find(|m| m["id"] == message_id).cloned())
                    .await?;
                // The phone shows a GIF as a video, and marks a voice note by a flag beside the kind.
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

/// Whether `found` has all that `expected` has; `found` may have more.
pub(super) fn contains(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(fields) => fields.iter().all(|(name, value)| contains(&found[name], value)),
        Value::Array(items) => found
            .as_array()
            .is_some_and(|all| all.len() == items.len() && items.iter().zip(all).all(|(e, f)| contains(f, e))),
        // A client leaves out a field that has its default value.
        Value::Bool(false) => found.is_null() || found == false,
        _ => found == expected,
    }
}

/// Field names as JavaScript writes them.
pub(super) fn camel_case(value: &Value) -> Value {
    let name = |snake: &str| {
        let mut words = snake.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
    };
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (name(key), camel_case(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(camel_case).collect(),
        other => other.clone(),
    }
}

/// Waits until the phone shows a message as expected.
pub(super) async fn phone_shows(stage: &Stage, message_id: &str, is: impl Fn(&Value) -> bool) -> Result<()> {
    let path = format!("/phones/{}/messages", Peer::Phone.number());
    let found = |it: &Value| {
        let messages = it["messages"].as_array()?;
        messages.iter().any(|message| message["id"] == message_id && is(message)).then_some(())
    };
    stage.world.control.until(&path, found).await
}
