//! A device that cannot download a file asks the phone, which still has the file, to upload it again.

use buffa::Message as _;
use wacore::crypto::hkdf_sha256_into;
use wacore::libsignal::crypto::aes_256_gcm_encrypt;
use wacore::media_retry::decrypt_media_retry_notification;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node};
use waproto::whatsapp::MediaRetryNotification;
use waproto::whatsapp::media_retry_notification::ResultType;

use super::super::account::DeviceId;
use super::super::node::{child_bytes, leaf, text, unix_now};
use super::PhoneError;
use super::worker::Worker;

impl Worker {
    /// Answers a device of our account that requests the file of a message.
    pub(super) fn upload_again(&mut self, device: &DeviceId, request: &Node) -> Result<(), PhoneError> {
        if device.number != self.own.number {
            return Ok(());
        }
        let id = text(request, "id");
        let answer = match self.new_path(&id, request) {
            Ok((direct_path, key)) => success(&id, &direct_path, &key)?,
            Err(result) => NodeBuilder::new("error").attr("code", result as i32).build(),
        };
        let mut content = vec![answer];
        content.extend(request.get_optional_child("rmr").cloned());
        let notification = NodeBuilder::new("notification")
            .attr("from", Jid::pn(self.own.number.as_str()))
            .attr("type", "mediaretry")
            .attr("id", id)
            .attr("t", unix_now())
            .children(content)
            .build();
        self.server.state().deliver(device, notification, &self.server.stats);
        Ok(())
    }

    /// The file's new path and its media key.
    fn new_path(&self, id: &str, request: &Node) -> Result<(String, Vec<u8>), ResultType> {
        let mut inbox = self.inbox();
        let (pointer, sealed) = inbox.pointer(id).ok_or(ResultType::NOT_FOUND)?;
        let sealed = sealed.clone().ok_or(ResultType::NOT_FOUND)?;
        // Baileys calls this part useless, because the real phone answers without it; if present, it must be right.
        if let Some(encrypted) = request.get_optional_child("encrypt") {
            let (request, iv) = (child_bytes(encrypted, "enc_p"), child_bytes(encrypted, "enc_iv"));
            decrypt_media_retry_notification(&pointer.key, id, &iv, &request)
                .map_err(|_| ResultType::DECRYPTION_ERROR)?;
        }
        pointer.upload_again(&self.server, sealed).map_err(|_| ResultType::GENERAL_ERROR)?;
        Ok((pointer.direct_path.clone(), pointer.key.clone()))
    }
}

/// `<encrypt>` with the new path, encrypted with the file's own key.
fn success(id: &str, direct_path: &str, media_key: &[u8]) -> Result<Node, PhoneError> {
    let failed = |error: &dyn std::fmt::Display| PhoneError::Content(error.to_string());
    let plain = MediaRetryNotification {
        stanza_id: Some(id.to_owned()),
        direct_path: Some(direct_path.to_owned()),
        result: Some(ResultType::SUCCESS),
        ..Default::default()
    }
    .encode_to_vec();
    let (mut key, iv, mut sealed) = ([0; 32], rand::random::<[u8; 12]>(), vec![]);
    hkdf_sha256_into(media_key, None, b"WhatsApp Media Retry Notification", &mut key)
        .map_err(|error| failed(&error))?;
    aes_256_gcm_encrypt(&key, &iv, id.as_bytes(), &plain, &mut sealed).map_err(|error| failed(&error))?;
    Ok(NodeBuilder::new("encrypt").children([leaf("enc_p", sealed), leaf("enc_iv", iv)]).build())
}
