//! The phone's task: it handles one job after the other.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use wacore::libsignal::protocol::SignalProtocolError;
use wacore::proto_helpers::MessageExt as _;
use wacore_binary::{Jid, JidExt as _, Node};
use waproto::whatsapp::Message;
use waproto::whatsapp::message::protocol_message::Type;

use super::super::LOG;
use super::super::account::{Addressing, DeviceId};
use super::super::changes::{Guard, Watched};
use super::super::node::{listed_ids, text};
use super::super::server::Server;
use super::app_state::Replica;
use super::history::{History, SentChunk};
use super::inbox::{Inbox, Ticks};
use super::keys::Keys;
use super::origin::Origin;
use super::{PhoneError, Task};

/// A sent message, kept for retries.
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) to: Jid,
    pub(super) message: Message,
}

pub(super) struct Worker {
    pub(super) server: Arc<Server>,
    pub(super) own: DeviceId,
    pub(super) keys: Keys,
    pub(super) inbox: Arc<Watched<Inbox>>,
    pub(super) sent: VecDeque<Sent>,
    /// By chat, the devices that have our sender key.
    pub(super) given: HashMap<String, BTreeSet<DeviceId>>,
    pub(super) app_state: Replica,
    pub(super) history: History,
    pub(super) sent_chunks: Arc<Watched<Vec<SentChunk>>>,
    /// For each linked device that is not active yet, how many inbox entries belong to its history.
    pub(super) cuts: HashMap<u16, usize>,
}

impl Worker {
    pub(super) fn new(
        server: Arc<Server>,
        own: DeviceId,
        keys: Keys,
        inbox: Arc<Watched<Inbox>>,
        history: History,
        sent_chunks: Arc<Watched<Vec<SentChunk>>>,
    ) -> Self {
        Self {
            server,
            own,
            keys,
            inbox,
            sent: VecDeque::new(),
            given: HashMap::new(),
            app_state: Replica::new(),
            history,
            sent_chunks,
            cuts: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut tasks: UnboundedReceiver<Task>) {
        while let Some(task) = tasks.recv().await {
            let done = match task {
                Task::Receive { from, device, node } => self.receive(&from, &device, &node).await,
                Task::Send { to, draft, sent } => {
                    // The request may be gone; the message is sent all the same.
                    let _ = sent.send(self.send(to, draft).await);
                    Ok(())
                }
                Task::FromPhone { number, origin, id, message } => {
                    if self.store(&origin.chat(&number), &number, &id, &message, false) {
                        self.send_receipts(&origin, &id);
                    }
                    self.server.ledger.opened(&self.own, &number, &id, true);
                    Ok(())
                }
                Task::Linked(device) => {
                    self.linked(device);
                    Ok(())
                }
                Task::Unlinked(device) => self.unlinked(device).await,
                Task::Introduce(device) => self.introduce(device).await,
                Task::History(delivery) => self.continue_history(delivery).await,
                Task::RotateKey(done) => {
                    let _ = done.send(self.rotate_key().await);
                    Ok(())
                }
                Task::AppStateChanged(collection) => {
                    self.catch_up(&collection);
                    Ok(())
                }
                Task::Act { action, done } => {
                    let _ = done.send(self.act(action));
                    Ok(())
                }
                Task::Settings(shown) => {
                    let _ = shown.send(self.settings());
                    Ok(())
                }
                Task::Reregister(done) => {
                    let _ = done.send(self.reregister());
                    Ok(())
                }
                Task::Save(saved) => {
                    // The receiver may have given up.
                    let _ = saved.send(self.save());
                    Ok(())
                }
                Task::Replenish => {
                    let keys = self.keys.more();
                    if let Some(account) = self.server.state().accounts.get_mut(&self.own.number) {
                        account.phone_bundle.one_time.extend(keys);
                    }
                    Ok(())
                }
            };
            if let Err(error) = done {
                tracing::warn!(target: LOG, phone = %self.own.number, %error, "phone task failed; continuing with the next");
            }
        }
    }

    async fn receive(&mut self, from: &Jid, device: &DeviceId, node: &Node) -> Result<(), PhoneError> {
        match node.tag.as_ref() {
            "message" => {
                let origin = Origin::of(from, node);
                let mut readable = true;
                for enc in node.get_children_by_tag("enc") {
                    let opened = match text(enc, "type").as_str() {
                        "skmsg" => self.open_shared(&origin.to, device, enc).await,
                        _ => self.open(device, enc).await,
                    };
                    match opened {
                        Ok(message) => self.read(&origin, device, node, message).await?,
                        // The same ciphertext arrived again; there is nothing new to read.
                        Err(PhoneError::Signal(SignalProtocolError::DuplicatedMessage(..))) => return Ok(()),
                        Err(error) => {
                            readable = false;
                            tracing::info!(target: LOG, phone = %self.own.number, %from, %error, "cannot decrypt a message; requesting it again");
                            self.inbox().expect(&text(node, "id"));
                            // One retry receipt is enough: the answer contains the whole message.
                            self.send_retry_receipt(&origin, node)?;
                            break;
                        }
                    }
                }
                self.server.ledger.opened(&self.own, &device.number, &text(node, "id"), readable);
                Ok(())
            }
            "receipt" if text(node, "type") == "retry" => self.send_again(device, &text(node, "id")).await,
            "receipt" if text(node, "type") == "server-error" => self.upload_again(device, node),
            "receipt" => {
                self.ticked(device, node);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Handles a decrypted message.
    async fn read(
        &mut self,
        origin: &Origin,
        device: &DeviceId,
        node: &Node,
        message: Message,
    ) -> Result<(), PhoneError> {
        let id = text(node, "id");
        if origin.participant.is_some() {
            self.learn_sender_key(&origin.to, device, &message).await?;
        }
        let own = device.number == self.own.number;
        if own && let Some(copy) = message.device_sent_message.as_option() {
            // Written on one of our other devices: shown, without a receipt.
            let chat = copy.destination_jid.as_deref().and_then(|jid| jid.parse::<Jid>().ok());
            let chat = chat.and_then(|chat| self.server.state().number_of(&chat));
            if let (Some(chat), Some(inner)) = (chat, copy.message.as_option()) {
                self.store(&Jid::pn(chat), &device.number, &id, inner, true);
            }
            return Ok(());
        }
        if own && let Some(protocol) = message.protocol_message.as_option() {
            let device = device.device;
            if protocol.r#type == Some(Type::APP_STATE_SYNC_KEY_REQUEST) {
                return self.answer_key_request(device, &protocol.app_state_sync_key_request.key_ids).await;
            }
            if let Some(request) = protocol.peer_data_operation_request_message.as_option() {
                return self.answer_peer(device, &id, request).await;
            }
        }
        if self.store(&origin.chat(&device.number), &device.number, &id, &message, own) && !own {
            self.send_receipts(origin, &id);
        }
        Ok(())
    }

    /// Sends a device of our account a message that only devices see.
    pub(super) async fn send_peer_message(&mut self, device: u16, message: &Message) -> Result<(), PhoneError> {
        self.send_peer_message_as(&self.server.stanza_id(), device, message).await
    }

    /// Sends such a message under a given id.
    pub(super) async fn send_peer_message_as(
        &mut self,
        id: &str,
        device: u16,
        message: &Message,
    ) -> Result<(), PhoneError> {
        let device = DeviceId { number: self.own.number.clone(), device };
        let enc = self.seal(&device, message).await?;
        let stanza = self
            .envelope(Addressing::Pn, id)?
            .attr("category", "peer")
            .attr("recipient", Jid::pn(self.own.number.as_str()))
            .attr("type", "text")
            .children([enc])
            .build();
        self.server.state().deliver(&device, stanza, &self.server.stats);
        Ok(())
    }

    /// Shows a message in a chat. `false` when it has no visible content.
    pub(super) fn store(&self, chat: &Jid, sender: &str, id: &str, message: &Message, from_me: bool) -> bool {
        self.server.state().stop_typing(&self.own.number, sender);
        if let Some(words) = message.get_base_message().text_content() {
            self.server.ledger.record_text(sender, id, words);
        }
        let known = |number: &str| Jid::pn(number).to_string();
        let (readers, admin) = match self.server.state().group(chat) {
            Ok(group) => {
                let others = group.participants.keys().filter(|it| from_me && *it != sender);
                (others.map(|it| known(it)).collect(), group.require_admin(sender).is_ok())
            }
            Err(_) => (vec![], false),
        };
        let shown = {
            let mut inbox = self.inbox();
            let shown = inbox.add(&chat.to_string(), &known(sender), id, message, from_me);
            if admin {
                inbox.moderate(&chat.to_string(), message);
            }
            for reader in readers {
                inbox.tick(id, Some(&reader), Ticks::Sent);
            }
            shown
        };
        if shown {
            self.fetch(id);
        }
        shown
    }

    /// The owner, and everyone that the owner has a chat with.
    pub(super) fn contacts(&self) -> BTreeSet<String> {
        let chats = self.inbox().chats();
        let people = chats.iter().filter_map(|chat| chat.parse::<Jid>().ok()).filter(Jid::is_pn);
        people.map(|chat| chat.user.to_string()).chain([self.own.number.clone()]).collect()
    }

    /// Downloads the file of a message, if there is one.
    pub(super) fn fetch(&self, id: &str) {
        let Some((pointer, _)) = self.inbox().pointer(id).cloned() else { return };
        let (server, inbox, id) = (Arc::clone(&self.server), Arc::clone(&self.inbox), id.to_owned());
        self.server.spawn(async move {
            let outcome = pointer.fetch(&server).await;
            inbox.lock().fetched(&id, outcome);
        });
    }

    pub(super) fn inbox(&self) -> Guard<'_, Inbox> {
        self.inbox.lock()
    }

    /// Handles a receipt for a message of the account, from its recipient or from one of our own devices.
    fn ticked(&self, reader: &DeviceId, receipt: &Node) {
        if reader.number == self.own.number {
            return self.inbox().mark_all_seen(&listed_ids(receipt));
        }
        let ticks = match text(receipt, "type").as_str() {
            "" => Ticks::Delivered,
            "read" => Ticks::Read,
            "played" => Ticks::Played,
            _ => return,
        };
        let many = receipt.attrs.get("participant").is_some();
        let reader = many.then(|| Jid::pn(reader.number.as_str()).to_string());
        let mut inbox = self.inbox();
        for id in listed_ids(receipt) {
            inbox.tick(&id, reader.as_deref(), ticks);
        }
    }
}

/// Whether a chat is a group or `status@broadcast`.
pub(super) fn is_many(chat: &Jid) -> bool {
    chat.is_group() || chat.is_status_broadcast()
}
