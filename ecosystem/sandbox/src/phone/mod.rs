//! The simulated phone: the primary device of an account, a Signal party like any other.
//!
//! Each phone is a task that handles one job after the other, as a phone does; [`Phone`] is the handle to it. Its
//! messages take the same routing as those of a device.

mod app_state;
mod attachment;
mod content;
mod file;
mod groups;
mod history;
mod inbox;
mod keys;
mod origin;
mod party;
mod power;
mod reading;
mod renewal;
mod reupload;
mod saved;
mod sending;
mod signal;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::Message as Content;

use super::account::{Account, DeviceId};
use super::app_state::AppState;
use super::ca::new_key;
use super::changes::Watched;
use super::group::GroupRefusal;
use super::media::StorageFull;
use super::presence::Presence;
use super::profile::Profile;
use super::saved::StateError;
use super::server::Server;
use super::settings::Settings;
use history::Delivery;
use inbox::Inbox;
use keys::Keys;
use origin::Origin;
use power::Power;
use worker::Worker;

pub(super) use app_state::Action;
pub(super) use attachment::Data;
pub(super) use content::Draft;
pub(super) use file::Pointer;
pub use file::{Media, MediaState};
pub(super) use history::{History, SentChunk};
pub use inbox::{Message, Ticks};
pub(super) use party::Party;
pub(super) use saved::SavedPhone;

/// How fast the owner of a phone reads a new message.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// From arrival to the delivery receipt.
    pub delivered: Duration,
    /// From the delivery receipt to the read receipt.
    pub read: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { delivered: Duration::from_millis(20), read: Duration::from_millis(100) }
    }
}

/// When the owner of a phone reads messages.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadingSettings {
    pub(super) pace: Pace,
    /// Whether the owner reads new messages unasked.
    pub(super) reads: bool,
}

/// Why a phone did not do what its owner asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum PhoneError {
    #[error("{0} has no account; the recipient needs a phone, create it with POST /phones")]
    NoAccount(String),
    #[error("encryption failed: {0}")]
    Signal(#[from] wacore::libsignal::protocol::SignalProtocolError),
    #[error("key: {0}")]
    Key(#[from] wacore::libsignal::protocol::CurveError),
    #[error("device {0}:{1} has uploaded no keys")]
    NoKeys(String, u16),
    #[error("id: the phone has no message {0}")]
    NoMessage(String),
    #[error("id: {0} is another person's message; only own messages can be edited or revoked")]
    NotOurs(String),
    #[error("to: {0}")]
    Group(#[from] GroupRefusal),
    #[error("to: status@broadcast takes new messages and their revocation; reply and react in the author's chat")]
    Status,
    #[error("cannot read a message: {0}")]
    Content(String),
    #[error(transparent)]
    NoRoom(#[from] StorageFull),
    #[error("history: the phone already has another history; it is fixed when the phone is created")]
    OtherPast,
    #[error("the phone is switched off")]
    Off,
}

/// A task for a phone.
enum Task {
    /// A stanza arrived, with its sender in both forms.
    Receive { from: Jid, device: DeviceId, node: Node },
    /// The owner sends a message.
    Send { to: Jid, draft: Draft, sent: oneshot::Sender<Result<String, PhoneError>> },
    /// Another phone has sent a message.
    FromPhone { number: String, origin: Origin, id: String, message: Box<Content> },
    /// A device was linked to the account.
    Linked(u16),
    /// A device was unlinked.
    Unlinked(u16),
    /// A newly linked device has become active.
    Introduce(u16),
    /// The next chunk of a device's history sync.
    History(Box<Delivery>),
    /// Creates a new app-state key.
    RotateKey(oneshot::Sender<Result<(), PhoneError>>),
    /// A device has changed a collection of app state.
    AppStateChanged(String),
    /// The owner changes a setting.
    Act { action: Action, done: oneshot::Sender<Result<(), PhoneError>> },
    /// Returns the settings.
    Settings(oneshot::Sender<Value>),
    /// The server has few of the phone's one-time keys left.
    Replenish,
    /// The owner registers the number again on another phone.
    Reregister(oneshot::Sender<Result<(), PhoneError>>),
    /// Returns the phone's state for the state file.
    Save(oneshot::Sender<Result<SavedPhone, StateError>>),
}

/// The handle to a phone.
#[derive(Clone)]
pub(super) struct Phone {
    power: Power,
    inbox: Arc<Watched<Inbox>>,
    history: History,
    sent_chunks: Arc<Watched<Vec<SentChunk>>>,
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phone").finish_non_exhaustive()
    }
}

impl Phone {
    /// Creates an account with a phone, starts the phone, and returns the account's LID. An existing account stays as
    /// it is; its history cannot be changed.
    pub(super) fn create(server: &Arc<Server>, number: &str, history: Option<History>) -> Result<String, PhoneError> {
        let mut state = server.state();
        if let Some(account) = state.accounts.get(number) {
            let other = history.is_some_and(|history| history != account.phone.history);
            return if other { Err(PhoneError::OtherPast) } else { Ok(account.lid.clone()) };
        }
        let key = new_key();
        let (keys, phone_bundle) = Keys::new(&key)?;
        let inbox = Self::inbox(server, number, Inbox::default());
        let sent_chunks = Self::sent_chunks(server, number, vec![]);
        let own = DeviceId { number: number.to_owned(), device: 0 };
        let worker = Worker::new(Arc::clone(server), own, keys, inbox, history.unwrap_or_default(), sent_chunks);
        let phone = Self::start(server, worker);
        // Derived from the number, so that a log is easy to read; clients must not rely on it.
        let lid = format!("9{number}");
        state.lids.insert(lid.clone(), number.to_owned());
        let account = Account {
            number: number.to_owned(),
            lid: lid.clone(),
            key,
            raw_id: rand::random::<u32>() >> 1,
            phone,
            phone_bundle,
            devices: BTreeMap::new(),
            push_name: None,
            profile: Profile::default(),
            presence: Presence::default(),
            settings: Settings::default(),
            manner: ReadingSettings { pace: server.pace, reads: true },
            watchers: BTreeSet::new(),
            last_device: 0,
            passkey: false,
            signed_list: Mutex::default(),
            app_state: AppState::default(),
        };
        account.key_index_list()?;
        state.accounts.insert(number.to_owned(), account);
        Ok(lid)
    }

    /// An inbox that announces its changes.
    fn inbox(server: &Server, number: &str, inbox: Inbox) -> Arc<Watched<Inbox>> {
        Arc::new(Watched::new(inbox, &server.changes, [format!("/phones/{number}/messages")]))
    }

    fn sent_chunks(server: &Server, number: &str, sent_chunks: Vec<SentChunk>) -> Arc<Watched<Vec<SentChunk>>> {
        Arc::new(Watched::new(sent_chunks, &server.changes, [format!("/phones/{number}/history")]))
    }

    fn start(server: &Arc<Server>, worker: Worker) -> Self {
        let (tasks, queue) = unbounded_channel();
        let power = Power::new(worker.own.clone(), tasks, Arc::clone(&server.ledger));
        let (inbox, history, sent_chunks) =
            (Arc::clone(&worker.inbox), worker.history, Arc::clone(&worker.sent_chunks));
        server.spawn(worker.run(queue));
        Self { power, inbox, history, sent_chunks }
    }

    /// The phone's whole state, after its queued tasks.
    pub(super) async fn save(&self) -> Result<SavedPhone, StateError> {
        let (saved, answer) = oneshot::channel();
        self.power.pass(Task::Save(saved));
        let mut saved = answer.await.map_err(|_| PhoneError::Off)??;
        saved.held = self.power.save()?;
        Ok(saved)
    }

    /// The messages that the owner sees.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.inbox.lock().all()
    }

    /// The number of messages from others.
    pub(super) fn received(&self) -> u64 {
        self.inbox.lock().received()
    }

    /// The chats that have messages.
    pub(super) fn chats(&self) -> BTreeSet<String> {
        self.inbox.lock().chats()
    }

    /// One message with its whole content, by its id.
    pub(super) fn content(&self, id: &str) -> Option<(Message, Content)> {
        let inbox = self.inbox.lock();
        inbox.find(id).map(|entry| (entry.shown.clone(), entry.content.clone()))
    }

    /// The file of a message, and its encrypted bytes once downloaded.
    pub(super) fn file(&self, id: &str) -> Option<(Pointer, Option<Bytes>)> {
        let mut inbox = self.inbox.lock();
        let (pointer, sealed) = inbox.pointer(id)?;
        Some((pointer.clone(), sealed.clone()))
    }

    /// Sends a message; returns its id when every copy has been sent.
    pub(super) async fn send(&self, to: Jid, draft: Draft) -> Result<String, PhoneError> {
        let (sent, answer) = oneshot::channel();
        self.enqueue(Task::Send { to, draft, sent });
        answer.await.map_err(|_| PhoneError::Off)?
    }

    pub(super) fn receive(&self, from: Jid, device: DeviceId, node: Node) {
        self.enqueue(Task::Receive { from, device, node });
    }

    /// Applies an action of the owner; returns when the account's devices are notified.
    pub(super) async fn act(&self, action: Action) -> Result<(), PhoneError> {
        let (done, answer) = oneshot::channel();
        self.enqueue(Task::Act { action, done });
        answer.await.map_err(|_| PhoneError::Off)?
    }

    /// Creates a new app-state key; returns when it was sent to every device.
    pub(super) async fn rotate_key(&self) -> Result<(), PhoneError> {
        let (done, answer) = oneshot::channel();
        self.enqueue(Task::RotateKey(done));
        answer.await.map_err(|_| PhoneError::Off)?
    }

    /// The settings as the owner sees them.
    pub(super) async fn settings(&self) -> Result<Value, PhoneError> {
        let (shown, answer) = oneshot::channel();
        self.enqueue(Task::Settings(shown));
        answer.await.map_err(|_| PhoneError::Off)
    }

    pub(super) fn app_state_changed(&self, collection: String) {
        self.enqueue(Task::AppStateChanged(collection));
    }

    /// A device was linked: it receives all further messages live.
    pub(super) fn linked(&self, device: u16) {
        self.enqueue(Task::Linked(device));
    }

    /// A device was unlinked: it must not read later settings.
    pub(super) fn unlinked(&self, device: u16) {
        self.enqueue(Task::Unlinked(device));
    }

    /// A new device has become active: sends it the app-state keys and the history.
    pub(super) fn introduce(&self, device: u16) {
        self.enqueue(Task::Introduce(device));
    }

    /// A device acknowledged chunks of the history.
    pub(super) fn history_received(&self, device: u16, ids: &[String]) {
        let mut sent_chunks = self.sent_chunks.lock();
        for chunk in sent_chunks.iter_mut().filter(|chunk| chunk.device == device && ids.contains(&chunk.id)) {
            chunk.received.get_or_insert_with(Utc::now);
        }
    }

    /// The generated history of the phone, and the chunks that it has sent to devices.
    pub(super) fn history(&self) -> (History, Vec<SentChunk>) {
        (self.history, self.sent_chunks.lock().clone())
    }

    pub(super) fn replenish(&self) {
        self.enqueue(Task::Replenish);
    }

    /// The owner registers the number again, on a phone without the old keys.
    pub(super) async fn reregister(&self) -> Result<(), PhoneError> {
        let (done, answer) = oneshot::channel();
        self.enqueue(Task::Reregister(done));
        answer.await.map_err(|_| PhoneError::Off)?
    }

    pub(super) fn switch(&self, on: bool) {
        self.power.switch(on);
    }

    pub(super) fn is_on(&self) -> bool {
        self.power.is_on()
    }

    fn enqueue(&self, task: Task) {
        self.power.enqueue(task);
    }
}
