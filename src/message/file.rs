//! The file of a received message.

use super::json;
use super::unwrap;
use serde_json::{Map, Value};
use wacore::download::Downloadable;
use waproto::whatsapp as wa;

/// Bytes of a file that somebody may have: a terabyte. WhatsApp itself takes 2 GB; the number is the sender's.
const LARGEST: u64 = 1 << 40;
/// Most characters of a file's name.
const NAME: usize = 255;

/// What the sender says about the file of a message, for `wa.inbox.media`; `None` for a message without a file.
pub(crate) fn description(message: &wa::Message) -> Option<Value> {
    let found = file_of(message)?;
    let mut fields = Map::new();
    let mut set = |name: &str, value: Option<Value>| drop(value.map(|value| fields.insert(name.into(), value)));
    set("mime", found.mime.map(|mime| json::storable(mime).into()));
    set("size", found.file.file_length().filter(|size| *size <= LARGEST).map(Value::from));
    set("file_name", found.name.map(|name| json::storable(name).chars().take(NAME).collect::<String>().into()));
    set("seconds", found.seconds.map(Value::from));
    Some(fields.into())
}

/// The file of a received message, as its sender describes it.
pub(crate) struct ReceivedFile<'a> {
    pub(crate) file: &'a dyn Downloadable,
    pub(crate) mime: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    pub(crate) seconds: Option<u32>,
}

/// The file of a message; `None` for a message without one.
pub(crate) fn file_of(message: &wa::Message) -> Option<ReceivedFile<'_>> {
    let message = unwrap::content(message);
    macro_rules! found {
        ($($field:ident: $name:expr, $seconds:expr;)*) => {
            $(if let Some(it) = message.$field.as_option() {
                let (name, seconds): (fn(&_) -> Option<&str>, fn(&_) -> Option<u32>) = ($name, $seconds);
                return Some(ReceivedFile { file: it, mime: it.mimetype.as_deref(), name: name(it), seconds: seconds(it) });
            })*
        };
    }
    found! {
        image_message: |_| None, |_| None;
        video_message: |_| None, |it: &wa::message::VideoMessage| it.seconds;
        ptv_message: |_| None, |it: &wa::message::VideoMessage| it.seconds;
        audio_message: |_| None, |it: &wa::message::AudioMessage| it.seconds;
        document_message: |it: &wa::message::DocumentMessage| it.file_name.as_deref(), |_| None;
        sticker_message: |_| None, |_| None;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_what_a_sender_says_of_a_file_is_bounded() {
        let said = |size, name: &str| {
            let document = wa::message::DocumentMessage {
                file_length: Some(size),
                file_name: Some(name.to_owned()),
                ..Default::default()
            };
            description(&wa::Message { document_message: Some(document).into(), ..Default::default() })
        };
        let long = "\u{1f4c4}".repeat(9000);
        let shown = "\u{1f4c4}".repeat(255);
        assert_eq!(
            said(2_147_483_648, "a.pdf"),
            Some(serde_json::json!({ "size": 2_147_483_648_u64, "file_name": "a.pdf" }))
        );
        for absurd in [i64::MAX.unsigned_abs(), u64::MAX] {
            assert_eq!(said(absurd, &long), Some(serde_json::json!({ "file_name": shown })));
        }
    }
}
