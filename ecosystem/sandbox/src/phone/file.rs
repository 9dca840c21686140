//! The files of messages, on the phone that shows the message.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use wacore::download::{DownloadUtils, Downloadable, MediaType};
use wacore::proto_helpers::MessageExt as _;
use waproto::whatsapp::Message;

use super::super::server::Server;

/// The file of a message, as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// The MIME type, as stated by the sender.
    pub mime: Option<String>,
    /// The size in bytes, as stated by the sender.
    pub size: Option<u64>,
    /// The file name, as stated by the sender.
    pub file_name: Option<String>,
    /// Whether it is a voice message.
    pub voice: bool,
    /// Whether the phone has the file.
    pub state: MediaState,
    /// Why the file cannot be read.
    pub problem: Option<String>,
}

/// Whether a phone has a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// The phone is downloading and checking the file.
    Fetching,
    /// The phone has the file, and it matches the message.
    Ready,
    /// The download failed, or the file does not match the message.
    Unreadable,
}

/// Where the file of a message is, and the keys and hashes to decrypt and check it.
#[derive(Debug, Clone)]
pub(in super::super) struct Pointer {
    kind: MediaType,
    pub(in super::super) direct_path: String,
    pub(in super::super) key: Vec<u8>,
    pub(super) sealed_hash: Vec<u8>,
    hash: Vec<u8>,
    length: Option<u64>,
}

/// The file of a message, and its state before the download. `None` for a message without a file.
pub(super) fn find(message: &Message) -> Option<(Pointer, Media)> {
    let message = message.get_base_message();
    let (of, mime, file_name, voice): (&dyn Downloadable, _, _, _) = if let Some(it) = message.image_message.as_option()
    {
        (it, &it.mimetype, None, false)
    } else if let Some(it) = message.video_message.as_option().or_else(|| message.ptv_message.as_option()) {
        (it, &it.mimetype, None, false)
    } else if let Some(it) = message.audio_message.as_option() {
        (it, &it.mimetype, None, it.ptt == Some(true))
    } else if let Some(it) = message.document_message.as_option() {
        (it, &it.mimetype, it.file_name.clone(), false)
    } else if let Some(it) = message.sticker_message.as_option() {
        (it, &it.mimetype, None, false)
    } else {
        return None;
    };
    let pointer = Pointer {
        kind: of.app_info(),
        direct_path: of.direct_path().unwrap_or_default().to_owned(),
        key: of.media_key().unwrap_or_default().to_vec(),
        sealed_hash: of.file_enc_sha256().unwrap_or_default().to_vec(),
        hash: of.file_sha256().unwrap_or_default().to_vec(),
        length: of.file_length(),
    };
    let (state, problem) = (MediaState::Fetching, None);
    Some((pointer, Media { mime: mime.clone(), size: of.file_length(), file_name, voice, state, problem }))
}

impl Pointer {
    /// Downloads the file and makes every check. Returns the encrypted bytes, or the reason of the failure.
    pub(super) async fn fetch(&self, server: &Server) -> Result<Bytes, String> {
        let sealed = server.media.get(&self.direct_path).map_err(|missing| missing.to_string())?;
        self.open(&sealed).await?;
        Ok(sealed)
    }

    pub(in super::super) async fn open(&self, sealed: &Bytes) -> Result<Vec<u8>, String> {
        let (pointer, sealed) = (self.clone(), sealed.clone());
        // Large files take time, and other phones share these threads.
        let opened = tokio::task::spawn_blocking(move || pointer.open_now(&sealed)).await;
        opened.unwrap_or_else(|_| Err("the sandbox is stopping".to_owned()))
    }

    fn open_now(&self, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let wrong = |what: &str| Err(format!("the {what} differs from the one in the message"));
        if sha2::Sha256::digest(sealed).as_slice() != self.sealed_hash {
            return wrong("SHA-256 of the encrypted file");
        }
        let opened = DownloadUtils::verify_and_decrypt(sealed, &self.key, self.kind);
        let opened = opened.map_err(|error| format!("the file cannot be decrypted: {error}"))?;
        if sha2::Sha256::digest(&opened).as_slice() != self.hash {
            return wrong("SHA-256 of the file");
        }
        if self.length.is_some_and(|length| length != opened.len() as u64) {
            return wrong("length of the file");
        }
        Ok(opened)
    }

    /// Uploads the encrypted file again, to a new path.
    pub(super) fn upload_again(
        &mut self,
        server: &Server,
        sealed: Bytes,
    ) -> Result<(), super::super::media::StorageFull> {
        self.direct_path = server.media.put(self.kind, sealed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wacore::upload::encrypt_media;

    #[test]
    fn x1_a_file_is_checked_in_every_way() -> Result<(), Box<dyn std::error::Error>> {
        let sealed = encrypt_media(b"a file", MediaType::Image)?;
        let good = Pointer {
            kind: MediaType::Image,
            direct_path: String::new(),
            key: sealed.media_key.to_vec(),
            sealed_hash: sealed.file_enc_sha256.to_vec(),
            hash: sealed.file_sha256.to_vec(),
            length: Some(6),
        };
        let bytes = &sealed.data_to_upload;
        assert_eq!(good.open_now(bytes)?, b"a file");
        let mut forged = bytes.clone();
        forged[0] ^= 1;
        let problem = |pointer: Pointer, bytes: &[u8]| pointer.open_now(bytes).err().unwrap_or_default();
        assert!(problem(good.clone(), &forged).contains("encrypted file"));
        let sealed_hash = sha2::Sha256::digest(&forged).to_vec();
        assert!(problem(Pointer { sealed_hash, ..good.clone() }, &forged).contains("MAC"));
        assert!(problem(Pointer { kind: MediaType::Video, ..good.clone() }, bytes).contains("MAC"));
        assert!(problem(Pointer { hash: vec![], ..good.clone() }, bytes).contains("SHA-256 of the file"));
        assert!(problem(Pointer { length: Some(7), ..good.clone() }, bytes).contains("length"));
        let empty = Pointer { sealed_hash: sha2::Sha256::digest([]).to_vec(), ..good };
        assert!(!problem(empty, &[]).is_empty());
        Ok(())
    }
}
