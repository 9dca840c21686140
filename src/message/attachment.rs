//! The file of a row of `wa.outbound`.

use serde::Deserialize;
use wacore::download::MediaType;
use wacore_binary::Jid;
use waproto::whatsapp as wa;

/// The MIME type of a document of unknown type.
pub(crate) const ANYTHING: &str = "application/octet-stream";

/// A kind of message with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Video,
    Gif,
    Audio,
    Voice,
    Document,
    Sticker,
}

impl MediaKind {
    /// The kind of that name in `wa.outbound`.
    pub(crate) fn parse(kind: &str) -> Option<Self> {
        Some(match kind {
            "image" => Self::Image,
            "video" => Self::Video,
            "gif" => Self::Gif,
            "audio" => Self::Audio,
            "voice" => Self::Voice,
            "document" => Self::Document,
            "sticker" => Self::Sticker,
            _ => return None,
        })
    }

    /// The type under which the file is encrypted and uploaded.
    pub(crate) fn media_type(self) -> MediaType {
        match self {
            Self::Image => MediaType::Image,
            Self::Video | Self::Gif => MediaType::Video,
            Self::Audio | Self::Voice => MediaType::Audio,
            Self::Document => MediaType::Document,
            Self::Sticker => MediaType::Sticker,
        }
    }
}

/// The `content` of a message with a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Attachment {
    pub(crate) url: Option<String>,
    pub(crate) media: Option<i64>,
    pub(crate) large_object: Option<u32>,
    /// The role that named the large object, and must still be allowed to read it. Filled at INSERT.
    pub(crate) large_object_reader: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) quote: Option<String>,
    #[serde(deserialize_with = "super::fields::jids")]
    pub(crate) mentions: Vec<Jid>,
    #[serde(deserialize_with = "super::fields::jids")]
    pub(crate) audience: Vec<Jid>,
    #[serde(deserialize_with = "super::fields::some_bytes")]
    thumbnail: Option<Vec<u8>>,
    file_name: Option<String>,
    mime: Option<String>,
}

impl Attachment {
    /// The file's name, as given or as the last part of its path.
    fn name(&self) -> Option<String> {
        let of_url = || Some(url::Url::parse(self.url.as_deref()?).ok()?.path_segments()?.next_back()?.to_owned());
        let of_path = || Some(self.file.as_deref()?.rsplit('/').next()?.to_owned());
        self.file_name.clone().or_else(of_url).or_else(of_path).filter(|name| !name.is_empty())
    }

    /// Adds what the row says to the message that names the uploaded file.
    pub(crate) fn describe(self, message: &mut wa::Message, caption: Option<String>) {
        let caption = caption.filter(|caption| !caption.is_empty());
        let name = self.name();
        if let Some(image) = message.image_message.as_option_mut() {
            image.caption = caption;
        } else if let Some(video) = message.video_message.as_option_mut() {
            video.caption = caption;
            video.jpeg_thumbnail = self.thumbnail;
        } else if let Some(document) = message.document_message.as_option_mut() {
            document.caption = caption;
            document.jpeg_thumbnail = self.thumbnail;
            document.title.clone_from(&name);
            if let Some(mime) = self.mime {
                document.mimetype = Some(mime);
            } else if let Some(by_name) = name.as_deref().filter(|_| document.mimetype.as_deref() == Some(ANYTHING)) {
                document.mimetype = Some(mime_guess::from_path(by_name).first_or_octet_stream().to_string());
            }
            document.file_name = name;
        }
    }
}
