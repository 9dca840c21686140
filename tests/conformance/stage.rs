//! The stage of an exchange: a sandbox of its own, the client under test, and its peers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wagres_sandbox::{Options, Running, Sandbox};

use super::baileys::BaileysClient;
use super::party::{Client, Party, Way};
use super::phone::Phone;
use super::whatsapp_rust::WhatsappRust;
use crate::baileys::Library;
use crate::control::Control;

/// The number of the client under test.
pub(super) const ALICE: &str = "15550001";
/// The number of a simulated phone.
pub(super) const BOB: &str = "15550002";
/// The number of another client.
pub(super) const CAROL: &str = "15550003";

/// The client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    WhatsappRust,
    Baileys7,
    Baileys6,
}

impl Kind {
    fn library(self) -> Option<Library> {
        match self {
            Self::WhatsappRust => None,
            Self::Baileys7 => Some(Library::V7),
            Self::Baileys6 => Some(Library::V6),
        }
    }
}

pub(super) struct Stage {
    sandbox: Arc<Running>,
    pub(super) control: Control,
}

impl Stage {
    async fn new(options: Options) -> Result<Self> {
        let sandbox = Arc::new(Sandbox::start(options).await?);
        let control = Control::new(&sandbox.control_url());
        Ok(Self { sandbox, control })
    }

    /// A client, linked by QR and open.
    pub(super) async fn client(&self, kind: Kind, number: &str) -> Result<Box<dyn Client>> {
        self.linked(kind, Way::Qr, number).await
    }

    /// A client, linked in this way and open.
    pub(super) async fn linked(&self, kind: Kind, way: Way, number: &str) -> Result<Box<dyn Client>> {
        Ok(match kind.library() {
            None => Box::new(WhatsappRust::link(&self.sandbox, way, &self.control, number).await?),
            Some(library) => {
                let ws = self.sandbox.ws_url();
                Box::new(BaileysClient::link(library, way, &ws, &self.control, number).await?)
            }
        })
    }

    pub(super) async fn phone(&self, number: &str) -> Result<Phone> {
        Phone::new(&self.control, number).await
    }

    /// The client under test and its peers: a simulated phone and another client.
    pub(super) async fn client_and_peers(&self, kind: Kind) -> Result<(Box<dyn Client>, [Box<dyn Party>; 2])> {
        let bob = self.phone(BOB).await?;
        let (alice, carol) = tokio::try_join!(self.client(kind, ALICE), self.client(Kind::WhatsappRust, CAROL))?;
        Ok((alice, [Box::new(bob), carol]))
    }

    /// Waits until the server sees the client under test as connected or not.
    pub(super) async fn until_connected(&self, connected: bool) -> Result<()> {
        crate::support::linked::until_connected(&self.control, ALICE, connected).await
    }

    /// Waits until the client has acknowledged everything.
    pub(super) async fn until_settled(&self) -> Result<()> {
        let settled = |value: &Value| (alice(value)?["devices"][0]["unacknowledged"] == 0).then_some(());
        self.control.until("/phones", settled).await
    }

    /// The number of handshakes so far.
    pub(super) async fn handshakes(&self) -> Result<u64> {
        Ok(handshakes(&self.control.get("/stats").await?))
    }

    pub(super) async fn until_handshakes(&self, count: u64) -> Result<()> {
        self.control.until("/stats", |stats| (handshakes(stats) >= count).then_some(())).await
    }

    /// Waits until the client's account has this many devices on the server.
    pub(super) async fn until_devices(&self, count: usize) -> Result<()> {
        let counted = |value: &Value| (alice(value)?["devices"].as_array()?.len() == count).then_some(());
        self.control.until("/phones", counted).await
    }
}

/// The account of the client under test in the list of phones.
fn alice(phones: &Value) -> Option<&Value> {
    phones["phones"].as_array()?.iter().find(|phone| phone["number"] == ALICE)
}

fn handshakes(stats: &Value) -> u64 {
    stats["handshakes"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// Runs one exchange of one client in a sandbox of its own, and checks that the sandbox understood every stanza.
pub(super) async fn run(
    kind: Kind,
    mut options: Options,
    exchange: impl AsyncFnOnce(&Stage, Kind) -> Result<()>,
) -> Result<()> {
    if kind == Kind::Baileys6 {
        // Long enough for a machine that runs many tests at the same time; see the option.
        options.distance = Duration::from_secs(1);
    }
    let stage = Stage::new(options).await?;
    exchange(&stage, kind).await?;
    let stats = stage.control.get("/stats").await?;
    ensure!(stats["unknown"] == json!({}), "the sandbox did not understand every stanza of the client: {stats}");
    Ok(())
}
