//! App state as the phone keeps it: the key that it shares with the account's devices.

use wacore_binary::Jid;
use waproto::whatsapp::Message;
use waproto::whatsapp::message::protocol_message::Type;
use waproto::whatsapp::message::{
    AppStateSyncKey, AppStateSyncKeyData, AppStateSyncKeyFingerprint, AppStateSyncKeyId, AppStateSyncKeyShare,
    ProtocolMessage,
};

use super::super::account::{Addressing, DeviceId};
use super::super::node::unix_now;
use super::PhoneError;
use super::worker::Worker;

impl Worker {
    /// Gives a device of our account the key that app state is encrypted with.
    pub(super) async fn share_key(&mut self, device: u16) -> Result<(), PhoneError> {
        let device = DeviceId { number: self.own.number.clone(), device };
        let key = AppStateSyncKey {
            key_id: buffa::MessageField::some(AppStateSyncKeyId { key_id: Some(vec![0, 0, 0, 0, 0, 1]) }),
            key_data: buffa::MessageField::some(AppStateSyncKeyData {
                // Nothing is encrypted with it yet; one value for all keeps the phone without one more secret.
                key_data: Some(vec![7; 32]),
                fingerprint: buffa::MessageField::some(AppStateSyncKeyFingerprint {
                    raw_id: Some(1),
                    current_index: Some(0),
                    device_indexes: vec![0],
                }),
                timestamp: i64::try_from(unix_now()).ok(),
            }),
        };
        let message = Message {
            protocol_message: buffa::MessageField::some(ProtocolMessage {
                r#type: Some(Type::APP_STATE_SYNC_KEY_SHARE),
                app_state_sync_key_share: buffa::MessageField::some(AppStateSyncKeyShare { keys: vec![key] }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let enc = self.seal(&device, &message).await?;
        let stanza = self
            .envelope(Addressing::Pn, &self.server.stanza_id())?
            .attr("category", "peer")
            .attr("recipient", Jid::pn(self.own.number.as_str()))
            .attr("type", "text")
            .children([enc])
            .build();
        self.server.state().deliver(&device, stanza, &self.server.stats);
        Ok(())
    }
}
