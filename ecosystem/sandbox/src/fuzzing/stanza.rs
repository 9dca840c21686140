//! Stanzas of connected clients.

use std::sync::Arc;

use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};

use super::super::account::DeviceId;
use super::super::node::{self, text};
use super::super::phone::Party;
use super::super::server::Server;
use super::client::Client;
use super::parts;
use super::world::{ALICE, BOB, check, device, run};

/// Sends stanzas and messages. The first byte of each part gives its kind: 0 a stanza of an unlinked client, 1 one of
/// Alice's first device, 2 one of Bob's; 3 a message (protobuf) from Alice's first device to her phone, 4 one from
/// Bob's to her phone, encrypted for it. The parts are sent in order, so that one can prepare the state for the next.
pub fn stanza(data: &[u8]) {
    run(async |server| {
        let mut clients = Clients::new(&server);
        for part in parts(data) {
            let Some((what, bytes)) = part.split_first() else { continue };
            match what % 5 {
                who @ 0..=2 => clients.send(usize::from(who), bytes),
                3 => clients.write(0, bytes).await,
                _ => clients.write(1, bytes).await,
            }
        }
        clients.check_pings();
        check(&server).await;
    });
}

struct Clients<'a> {
    server: &'a Arc<Server>,
    /// The unlinked client, Alice's first device and Bob's.
    all: [Client; 3],
    /// The keys of the two devices, created at their first message.
    parties: [Option<Party>; 2],
}

impl<'a> Clients<'a> {
    fn new(server: &'a Arc<Server>) -> Self {
        let [alice, bob] = Self::devices();
        let mut all = [Client::unlinked(server), Client::login(server, &alice), Client::login(server, &bob)];
        for client in &mut all {
            client.received();
        }
        Self { server, all, parties: [None, None] }
    }

    fn devices() -> [DeviceId; 2] {
        [device(ALICE, 1), device(BOB, 1)]
    }

    /// Sends one stanza, and lets every client receive the results. Bytes that do not decode are ignored.
    fn send(&mut self, who: usize, bytes: &[u8]) {
        let Ok(stanza) = node::read(bytes) else { return };
        let expected = expected(&stanza, self.all[who].device.is_some());
        self.all[who].send(self.server, stanza.clone());
        let received: Vec<Vec<Node>> = self.all.iter_mut().map(Client::received).collect();
        if let Some((tag, id)) = expected {
            let answers = received[who].iter().filter(|node| node.tag == tag && text(node, "id") == id);
            assert!(answers.count() > 0, "no {tag} for {stanza:?}");
        }
    }

    /// Sends a message from a device to Alice's phone.
    async fn write(&mut self, who: usize, message: &[u8]) {
        let [alice, bob] = Self::devices();
        let own = if who == 0 { alice } else { bob };
        if self.parties[who].is_none() {
            self.parties[who] = Party::new(self.server, own).ok();
        }
        let Some(party) = &mut self.parties[who] else { return };
        let Some(enc) = party.seal(&device(ALICE, 0), message).await else { return };
        let to = NodeBuilder::new("to").attr("jid", Jid::pn(ALICE)).children([enc]).build();
        let list = NodeBuilder::new("participants").children([to]).build();
        let id = format!("W{}", self.server.next());
        let message = NodeBuilder::new("message").attr("to", Jid::pn(ALICE)).attr("id", id).attr("type", "text");
        self.all[who + 1].send(self.server, message.children([list]).build());
        // The phone must read it before the next stanza is sent.
        let phone = self.server.state().accounts.get(ALICE).map(|account| account.phone.clone());
        if let Some(phone) = phone {
            let _ = phone.settings().await;
        }
    }

    /// Every client that is still connected must still get answers.
    fn check_pings(&mut self) {
        for client in self.all.iter_mut().filter(|client| !client.link.is_closed()) {
            let question = NodeBuilder::new("iq").attr("id", "ping").attr("type", "get").attr("xmlns", "w:p").build();
            client.send(self.server, question);
            let pong = client.received().into_iter().find(|node| text(node, "id") == "ping");
            assert!(pong.is_some_and(|pong| text(&pong, "type") == "result"), "a ping is not answered");
        }
    }
}

/// The tag and the id of the answer that a stanza must get.
fn expected(stanza: &Node, linked: bool) -> Option<(&'static str, String)> {
    let id = text(stanza, "id");
    match stanza.tag.as_ref() {
        "iq" if !matches!(text(stanza, "type").as_str(), "result" | "error") => Some(("iq", id)),
        "message" if linked && node::jid(stanza, "to").is_some() => Some(("ack", id)),
        _ => None,
    }
}
