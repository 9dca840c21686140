//! A linked device as a Signal party, for the fuzz targets: its messages reach a phone encrypted, as a client's do.

use std::sync::Arc;

use buffa::Message as _;
use wacore_binary::Node;
use waproto::whatsapp::Message;

use super::super::account::DeviceId;
use super::super::ca::new_key;
use super::super::server::Server;
use super::history::History;
use super::inbox::Inbox;
use super::keys::Keys;
use super::worker::Worker;
use super::{Phone, PhoneError};

/// A worker that never runs: only its keys are used.
pub(in super::super) struct Party(Worker);

impl Party {
    /// Creates keys for a linked device, and gives the server their public halves.
    pub(in super::super) fn new(server: &Arc<Server>, own: DeviceId) -> Result<Self, PhoneError> {
        let (keys, bundle) = Keys::new(&new_key())?;
        let (inbox, sent_chunks) =
            (Phone::inbox(server, &own.number, Inbox::default()), Phone::sent_chunks(server, "", vec![]));
        if let Some(device) = server.state().device(&own) {
            device.bundle = bundle;
        }
        Ok(Self(Worker::new(Arc::clone(server), own, keys, inbox, History::default(), sent_chunks)))
    }

    /// A message, encrypted for one device. `None` when the bytes are no message.
    pub(in super::super) async fn seal(&mut self, to: &DeviceId, message: &[u8]) -> Option<Node> {
        let message = Message::decode_from_slice(message).ok()?;
        self.0.seal(to, &message).await.ok()
    }
}
