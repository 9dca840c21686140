//! Files that the owner of a phone sends: received over the control API, encrypted and uploaded.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::Utc;
use serde::Deserialize;
use wacore::download::MediaType;
use wacore::upload::{EncryptedMedia, encrypt_media};
use waproto::whatsapp::Message;
use waproto::whatsapp::message::{
    AudioMessage, DocumentMessage, FutureProofMessage, ImageMessage, StickerMessage, VideoMessage,
};

use super::super::server::Server;
use super::PhoneError;

/// The bytes of a file, standard base64 in JSON.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(in super::super) struct Data(pub(in super::super) Bytes);

impl TryFrom<String> for Data {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match BASE64_STANDARD.decode(text) {
            Ok(bytes) if bytes.is_empty() => Err("data: a file must not be empty".to_owned()),
            Ok(bytes) => Ok(Self(bytes.into())),
            Err(error) => Err(format!("data: not standard base64: {error}")),
        }
    }
}

/// An image or a video.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Visual {
    pub(super) data: Data,
    mime: Option<String>,
    caption: Option<String>,
}

/// An audio file; with `voice` a voice message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Audio {
    pub(super) data: Data,
    mime: Option<String>,
    #[serde(default)]
    voice: bool,
}

/// Any other file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Document {
    pub(super) data: Data,
    mime: Option<String>,
    file_name: Option<String>,
    caption: Option<String>,
}

/// A sticker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Sticker {
    pub(super) data: Data,
    mime: Option<String>,
}

impl Visual {
    pub(super) fn image(self) -> Message {
        let mimetype = Some(or_default(self.mime, "image/jpeg"));
        let image = ImageMessage { mimetype, caption: self.caption, ..Default::default() };
        Message { image_message: buffa::MessageField::some(image), ..Default::default() }
    }

    pub(super) fn video(self) -> Message {
        let mimetype = Some(or_default(self.mime, "video/mp4"));
        let video = VideoMessage { mimetype, caption: self.caption, ..Default::default() };
        Message { video_message: buffa::MessageField::some(video), ..Default::default() }
    }
}

impl Audio {
    pub(super) fn message(self) -> Message {
        let mimetype = Some(or_default(self.mime, if self.voice { "audio/ogg; codecs=opus" } else { "audio/mpeg" }));
        let audio = AudioMessage { mimetype, ptt: Some(self.voice), ..Default::default() };
        Message { audio_message: buffa::MessageField::some(audio), ..Default::default() }
    }
}

impl Document {
    pub(super) fn message(self) -> Message {
        let document = DocumentMessage {
            mimetype: Some(or_default(self.mime, "application/octet-stream")),
            title: self.file_name.clone(),
            file_name: self.file_name,
            caption: self.caption,
            ..Default::default()
        };
        Message { document_message: buffa::MessageField::some(document), ..Default::default() }
    }
}

impl Sticker {
    pub(super) fn message(self) -> Message {
        let sticker = StickerMessage { mimetype: Some(or_default(self.mime, "image/webp")), ..Default::default() };
        Message { sticker_message: buffa::MessageField::some(sticker), ..Default::default() }
    }
}

fn or_default(mime: Option<String>, usual: &str) -> String {
    mime.unwrap_or_else(|| usual.to_owned())
}

/// A file of a draft.
#[derive(Debug, Clone)]
pub(super) struct Attachment {
    pub(super) kind: MediaType,
    pub(super) data: Bytes,
}

impl Attachment {
    /// Encrypts and uploads the file, and sets the message's pointer to it.
    pub(super) async fn upload(self, server: &Server, message: &mut Message) -> Result<(), PhoneError> {
        let (kind, data, length) = (self.kind, self.data.clone(), self.data.len() as u64);
        // Large files take time, and other phones share these threads.
        let sealed = tokio::task::spawn_blocking(move || encrypt_media(&data, kind)).await;
        let mut sealed =
            sealed.map_err(|_| PhoneError::Off)?.map_err(|error| PhoneError::Content(error.to_string()))?;
        let uploaded = std::mem::take(&mut sealed.data_to_upload);
        let direct_path = server.media.put(kind, uploaded.into())?;
        point(message, &sealed, &server.media.url(&direct_path), &direct_path, length);
        Ok(())
    }
}

fn point(message: &mut Message, sealed: &EncryptedMedia, url: &str, direct_path: &str, length: u64) {
    // The five message types have the same fields and share no trait.
    macro_rules! point {
        ($($part:ident),*) => { $(
            if let Some(part) = message.$part.as_option_mut() {
                part.url = Some(url.to_owned());
                part.direct_path = Some(direct_path.to_owned());
                part.media_key = Some(sealed.media_key.to_vec());
                part.media_key_timestamp = Some(Utc::now().timestamp());
                part.file_sha256 = Some(sealed.file_sha256.to_vec());
                part.file_enc_sha256 = Some(sealed.file_enc_sha256.to_vec());
                part.file_length = Some(length);
            }
        )* };
    }
    point!(image_message, video_message, audio_message, document_message, sticker_message);
    if let Some(video) = message.video_message.as_option_mut() {
        video.streaming_sidecar.clone_from(&sealed.streaming_sidecar);
    }
    if let Some(audio) = message.audio_message.as_option_mut() {
        audio.streaming_sidecar.clone_from(&sealed.streaming_sidecar);
    }
    if message.document_message.as_option().is_some_and(|document| document.caption.is_some()) {
        // The official apps wrap a document with a caption, because old apps know no captions there.
        let inner = FutureProofMessage { message: buffa::MessageField::some(std::mem::take(message)) };
        message.document_with_caption_message = buffa::MessageField::some(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_a_file_is_base64_and_not_empty() {
        let read = |text: &str| serde_json::from_value::<Visual>(serde_json::json!({ "data": text }));
        assert_eq!(read("aGk=").ok().map(|visual| visual.data.0), Some(Bytes::from_static(b"hi")));
        for bad in ["", "hi!", "aGk"] {
            let error = read(bad).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("data: "), "{bad:?}: {error}");
        }
    }
}
