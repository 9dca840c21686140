//! App state on the phone: the keys, which the phone creates and shares with the account's devices, and the settings.
//!
//! The phone is one more party of the collections: it decrypts what devices upload and uploads what its owner sets.
//! When a device was faster, the phone builds its patch again.

mod action;
mod keys;
mod replica;
mod saved;
mod view;

use serde_json::Value;
use waproto::whatsapp::Message;
use waproto::whatsapp::message::protocol_message::Type;
use waproto::whatsapp::message::{
    AppStateSyncKeyFingerprint, AppStateSyncKeyId, AppStateSyncKeyShare, ProtocolMessage,
};

use super::super::app_state::{COLLECTIONS, PatchRefusal, upload};
use super::PhoneError;
use super::worker::Worker;

pub(in super::super) use action::Action;
pub(super) use replica::Replica;
pub(super) use saved::SavedReplica;

impl Worker {
    /// Sends the app-state keys to a new device of our account.
    pub(super) async fn share_keys(&mut self, device: u16) -> Result<(), PhoneError> {
        let share = self.app_state.keys.share(&self.fingerprint()?);
        self.give_keys(device, share).await
    }

    /// Sends a device the keys that it requested.
    pub(super) async fn answer_key_request(
        &mut self,
        device: u16,
        wanted: &[AppStateSyncKeyId],
    ) -> Result<(), PhoneError> {
        let share = self.app_state.keys.answer(wanted, &self.fingerprint()?);
        self.give_keys(device, share).await
    }

    /// Creates a new key and sends it to all devices.
    pub(super) async fn rotate_key(&mut self) -> Result<(), PhoneError> {
        self.app_state.keys.rotate();
        let devices: Vec<u16> = {
            let state = self.server.state();
            state.accounts.get(&self.own.number).into_iter().flat_map(|own| own.devices.keys().copied()).collect()
        };
        for device in devices {
            // An error of one device must not keep the key from the others.
            if let Err(error) = self.share_keys(device).await {
                tracing::warn!(target: super::super::LOG, phone = %self.own.number, device, %error, "cannot send the app-state key to a device");
            }
        }
        Ok(())
    }

    /// A device was unlinked. A new key encrypts all further changes, so that the device cannot read them.
    pub(super) async fn unlinked(&mut self, device: u16) -> Result<(), PhoneError> {
        self.cuts.remove(&device);
        self.rotate_key().await
    }

    /// The devices that a key is meant for.
    fn fingerprint(&self) -> Result<AppStateSyncKeyFingerprint, PhoneError> {
        let state = self.server.state();
        let number = &self.own.number;
        let own = state.accounts.get(number).ok_or_else(|| PhoneError::NoAccount(number.clone()))?;
        Ok(AppStateSyncKeyFingerprint {
            raw_id: Some(own.raw_id),
            current_index: Some(u32::from(own.last_device)),
            device_indexes: std::iter::once(0).chain(own.devices.keys().copied().map(u32::from)).collect(),
        })
    }

    async fn give_keys(&mut self, device: u16, share: AppStateSyncKeyShare) -> Result<(), PhoneError> {
        let message = Message {
            protocol_message: buffa::MessageField::some(ProtocolMessage {
                r#type: Some(Type::APP_STATE_SYNC_KEY_SHARE),
                app_state_sync_key_share: buffa::MessageField::some(share),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.send_peer_message(device, &message).await
    }

    /// Applies an action of the owner.
    pub(super) fn act(&mut self, action: Action) -> Result<(), PhoneError> {
        if let Action::PushName { name } = &action
            && let Some(own) = self.server.state().accounts.get_mut(&self.own.number)
        {
            own.push_name = Some(name.clone());
        }
        let change = action.compose(&self.inbox())?;
        loop {
            self.catch_up(change.collection);
            let patch = self.app_state.build(&change).map_err(|error| PhoneError::Content(error.to_string()))?;
            let Some((base, patch)) = patch else { return Ok(()) };
            match upload(&self.server, &self.own, change.collection, base, patch) {
                Ok(_) => break,
                // A device was faster; build the patch again.
                Err(PatchRefusal::Conflict) => {}
                Err(refusal) => return Err(PhoneError::Content(refusal.to_string())),
            }
        }
        self.catch_up(change.collection);
        Ok(())
    }

    /// Reads the changes of a collection that the phone lacks.
    pub(super) fn catch_up(&mut self, collection: &str) {
        loop {
            let version = self.app_state.version(collection);
            let update = {
                let state = self.server.state();
                let own = state.accounts.get(&self.own.number);
                own.and_then(|own| own.app_state.update(collection, version, false))
            };
            let Some(update) = update.filter(|update| update.version > version) else { return };
            self.app_state.apply(&update);
        }
    }

    /// The settings as the phone sees them.
    pub(super) fn settings(&mut self) -> Value {
        for collection in COLLECTIONS {
            self.catch_up(collection);
        }
        view::of(&self.app_state)
    }
}
