//! A phone in the state file: its keys, sessions, messages and settings, and its waiting tasks while it is off.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use buffa::Message as _;
use serde::{Deserialize, Serialize};
use wacore::libsignal::protocol::{
    GenericSignedPreKey as _, IdentityKey, IdentityKeyPair, KeyPair, PreKeyRecord, ProtocolAddress, SenderKeyRecord,
    SessionRecord, SignedPreKeyRecord,
};
use wacore_binary::Jid;
use waproto::whatsapp::Message as Content;

use super::super::account::DeviceId;
use super::super::saved::{Blob, Files, StateError};
use super::super::server::Server;
use super::app_state::SavedReplica;
use super::file::{self, MediaState};
use super::history::{History, SentChunk};
use super::inbox::{Entry, Inbox, Message};
use super::keys::{Identities, Keys, OneTimeKeys, SenderKeys, Sessions, SignedKeys};
use super::origin::Origin;
use super::worker::{Sent, Worker};
use super::{Phone, Task};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SavedPhone {
    sessions: Vec<(String, u32, Blob)>,
    identities: Vec<(String, u32, Blob)>,
    one_time_keys: Vec<Blob>,
    signed_key: Blob,
    next_key: u32,
    /// Sender keys of groups and statuses: those of others, and ours.
    sender_keys: BTreeMap<String, Blob>,
    /// By chat, the devices that have our sender key.
    given: BTreeMap<String, BTreeSet<DeviceId>>,
    app_state: SavedReplica,
    /// The generated history, the chunks sent to devices, and the end of the history for new devices.
    history: History,
    #[serde(rename = "told")]
    sent_chunks: Vec<SentChunk>,
    cuts: BTreeMap<u16, usize>,
    messages: Vec<SavedMessage>,
    /// Own messages that devices may still request again.
    sent: Vec<(String, String, Blob)>,
    /// The waiting tasks while the phone is off.
    pub(super) held: Option<Vec<SavedTask>>,
    /// The encrypted files of its messages.
    #[serde(skip)]
    pub(in super::super) files: Files,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedMessage {
    shown: Message,
    content: Blob,
    /// The current path of its file, which may have been uploaded again.
    direct_path: Option<String>,
}

/// A waiting task of a phone that is off.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SavedTask {
    Receive { from: String, number: String, device: u16, stanza: Blob },
    FromPhone { number: String, to: String, participant: Option<String>, id: String, message: Blob },
    Linked(u16),
    Unlinked(u16),
    Introduce(u16),
    AppStateChanged(String),
    Replenish,
}

fn jid(text: &str) -> Result<Jid, StateError> {
    text.parse().map_err(|_| StateError::Address(text.to_owned()))
}

fn message(bytes: &Blob) -> Result<Content, StateError> {
    Ok(Content::decode_from_slice(&bytes.0)?)
}

impl SavedTask {
    /// Requests of an owner are not saved: nobody would receive the answer.
    pub(super) fn of(task: &Task) -> Result<Option<Self>, StateError> {
        Ok(Some(match task {
            Task::Receive { from, device, node } => Self::Receive {
                from: from.to_string(),
                number: device.number.clone(),
                device: device.device,
                stanza: Blob::stanza(node)?,
            },
            Task::FromPhone { number, origin, id, message } => Self::FromPhone {
                number: number.clone(),
                to: origin.to.to_string(),
                participant: origin.participant.as_ref().map(Jid::to_string),
                id: id.clone(),
                message: Blob(message.encode_to_vec()),
            },
            Task::Linked(device) => Self::Linked(*device),
            Task::Unlinked(device) => Self::Unlinked(*device),
            Task::Introduce(device) => Self::Introduce(*device),
            Task::AppStateChanged(collection) => Self::AppStateChanged(collection.clone()),
            Task::Replenish => Self::Replenish,
            Task::Send { .. }
            | Task::Act { .. }
            | Task::RotateKey(_)
            | Task::Settings(_)
            | Task::Reregister(_)
            // An unfinished history sync is not resumed; see `docs/sandbox.md`.
            | Task::History(_)
            | Task::Save(_) => return Ok(None),
        }))
    }

    fn restore(self) -> Result<Task, StateError> {
        Ok(match self {
            Self::Receive { from, number, device, stanza } => {
                Task::Receive { from: jid(&from)?, device: DeviceId { number, device }, node: stanza.node()? }
            }
            Self::FromPhone { number, to, participant, id, message: content } => {
                let participant = participant.as_deref().map(jid).transpose()?;
                let origin = Origin { to: jid(&to)?, participant };
                Task::FromPhone { number, origin, id, message: Box::new(message(&content)?) }
            }
            Self::Linked(device) => Task::Linked(device),
            Self::Unlinked(device) => Task::Unlinked(device),
            Self::Introduce(device) => Task::Introduce(device),
            Self::AppStateChanged(collection) => Task::AppStateChanged(collection),
            Self::Replenish => Task::Replenish,
        })
    }
}

impl Worker {
    pub(super) fn save(&self) -> Result<SavedPhone, StateError> {
        let keys = &self.keys;
        let place = |address: &ProtocolAddress| (address.name().to_owned(), u32::from(address.device_id()));
        let mut sessions = vec![];
        for (address, record) in &keys.sessions.0 {
            let (name, device) = place(address);
            sessions.push((name, device, Blob(record.serialize()?)));
        }
        let mut identities: Vec<_> = keys
            .identities
            .known
            .iter()
            .map(|(address, identity)| {
                let (name, device) = place(address);
                (name, device, Blob(identity.serialize().to_vec()))
            })
            .collect();
        let mut one_time: Vec<_> = keys.one_time.0.values().collect();
        one_time.sort_by_key(|record| record.id().ok().map(u32::from));
        // Sorted, so that the same state gives the same file.
        sessions.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        identities.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut sender_keys = BTreeMap::new();
        for (name, record) in &keys.senders.0 {
            sender_keys.insert(name.clone(), Blob(record.serialize()?));
        }
        let (mut files, mut messages) = (Files::default(), vec![]);
        for Entry { shown, content, file } in self.inbox().entries() {
            if let Some((pointer, Some(sealed))) = file
                && let Ok(hash) = pointer.sealed_hash.as_slice().try_into()
            {
                files.add(hash, sealed);
            }
            messages.push(SavedMessage {
                shown: shown.clone(),
                content: Blob(content.encode_to_vec()),
                direct_path: file.as_ref().map(|(pointer, _)| pointer.direct_path.clone()),
            });
        }
        Ok(SavedPhone {
            sessions,
            identities,
            one_time_keys: one_time
                .into_iter()
                .map(|key| Ok(Blob(key.serialize()?)))
                .collect::<Result<_, StateError>>()?,
            signed_key: Blob(keys.signed.0.serialize()?),
            next_key: keys.next_key,
            sender_keys,
            given: self.given.iter().map(|(chat, devices)| (chat.clone(), devices.clone())).collect(),
            app_state: self.app_state.save(),
            history: self.history,
            sent_chunks: self.sent_chunks.lock().clone(),
            cuts: self.cuts.iter().map(|(device, until)| (*device, *until)).collect(),
            messages,
            sent: self
                .sent
                .iter()
                .map(|sent| (sent.id.clone(), sent.to.to_string(), Blob(sent.message.encode_to_vec())))
                .collect(),
            held: None,
            files,
        })
    }
}

impl Worker {
    /// Downloads the files whose download the last shutdown interrupted.
    fn fetch_missing(&self) {
        let on_its_way =
            |entry: &&Entry| entry.shown.media.as_ref().is_some_and(|media| media.state == MediaState::Fetching);
        let ids: Vec<String> =
            self.inbox().entries().iter().filter(on_its_way).map(|entry| entry.shown.id.clone()).collect();
        for id in ids {
            self.fetch(&id);
        }
    }
}

impl SavedMessage {
    fn restore(self, files: &Files) -> Result<Entry, StateError> {
        let content = message(&self.content)?;
        let mut file = file::find(&content).map(|(pointer, _)| (pointer, None));
        if let Some((pointer, sealed)) = &mut file {
            pointer.direct_path = self.direct_path.unwrap_or_default();
            if self.shown.media.as_ref().is_some_and(|media| media.state == MediaState::Ready) {
                *sealed = Some(files.find(&Blob(pointer.sealed_hash.clone()))?.1);
            }
        }
        Ok(Entry { shown: self.shown, content, file })
    }
}

/// The keys of a phone with this identity.
fn keys(identity: &KeyPair, saved: &SavedPhone) -> Result<Keys, StateError> {
    let place = |name: &str, device: u32| ProtocolAddress::new(name, device.into());
    let mut sessions = Sessions::default();
    for (name, device, record) in &saved.sessions {
        sessions.0.insert(place(name, *device), SessionRecord::deserialize(&record.0)?);
    }
    let own = IdentityKeyPair::new(IdentityKey::new(identity.public_key), identity.private_key.clone());
    let mut identities = Identities { own, known: HashMap::new() };
    for (name, device, identity) in &saved.identities {
        identities.known.insert(place(name, *device), IdentityKey::decode(&identity.0)?);
    }
    let mut one_time = OneTimeKeys::default();
    for record in &saved.one_time_keys {
        let record = PreKeyRecord::deserialize(&record.0)?;
        one_time.0.insert(record.id()?, record);
    }
    let mut senders = SenderKeys::default();
    for (name, record) in &saved.sender_keys {
        senders.0.insert(name.clone(), SenderKeyRecord::deserialize(&record.0)?);
    }
    let signed = SignedKeys(SignedPreKeyRecord::deserialize(&saved.signed_key.0)?);
    Ok(Keys { sessions, identities, one_time, signed, senders, next_key: saved.next_key })
}

impl Phone {
    /// Restores the phone and starts it.
    pub(in super::super) fn restore(
        server: &Arc<Server>,
        number: &str,
        identity: &KeyPair,
        saved: SavedPhone,
        files: &Files,
    ) -> Result<Self, StateError> {
        let keys = keys(identity, &saved)?;
        let mut inbox = Inbox::default();
        for kept in saved.messages {
            inbox.restore(kept.restore(files)?);
        }
        let mut sent = VecDeque::new();
        for (id, to, content) in saved.sent {
            sent.push_back(Sent { id, to: jid(&to)?, message: message(&content)? });
        }
        let inbox = Self::inbox(server, number, inbox);
        let sent_chunks = Self::sent_chunks(server, number, saved.sent_chunks);
        let own = DeviceId { number: number.to_owned(), device: 0 };
        let mut worker = Worker::new(Arc::clone(server), own, keys, inbox, saved.history, sent_chunks);
        worker.cuts = saved.cuts.into_iter().collect();
        worker.sent = sent;
        worker.given = saved.given.into_iter().collect();
        worker.app_state = saved.app_state.restore()?;
        worker.fetch_missing();
        let phone = Self::start(server, worker);
        if let Some(held) = saved.held {
            phone.switch(false);
            for task in held {
                phone.enqueue(task.restore()?);
            }
        }
        Ok(phone)
    }
}
