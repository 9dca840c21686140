//! `wagres send`: a message of any kind. The flags are the fields of `content`, under their names in SQL, and the database
//! checks them, as it does for an INSERT.

use super::words::{Moment, moment};
use super::{Exit, Fault, connect, print};
use crate::auth::codec;
use crate::config::Config;
use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Name of the session that sends
    session: String,
    /// Phone number with country code, or JID
    recipient: String,
    /// Text of the message, caption of a file, question of a poll, emoji of a reaction
    body: Option<String>,
    /// Kind of message
    #[arg(long, value_name = "KIND", default_value = "text", value_parser = KINDS)]
    kind: String,
    #[command(flatten)]
    file: FileFlags,
    #[command(flatten)]
    content: ContentFlags,
    #[command(flatten)]
    order: OrderFlags,
}

/// The kinds of `wa.message_kinds()`.
const KINDS: [&str; 17] = [
    "text",
    "image",
    "video",
    "gif",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contact",
    "poll",
    "reaction",
    "edit",
    "revoke",
    "forward",
    "read",
    "chat_state",
];

/// As many bytes as `wa.media` takes. More are not even read.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
struct FileFlags {
    /// File on this machine, of at most 64 MiB; - reads standard input
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Address from which the worker fetches the file
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Id of a file in wa.media
    #[arg(long, value_name = "ID")]
    media: Option<i64>,
    /// Path in the media store, in the folder of the session's tenant
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// Id of a large object that the workers' role may read
    #[arg(long, value_name = "ID")]
    large_object: Option<i64>,
    /// Small JPEG on this machine, shown until the file is loaded
    #[arg(long, value_name = "FILE")]
    thumbnail: Option<PathBuf>,
    /// Name of a document [default: the last part of its path or address]
    #[arg(long, value_name = "NAME")]
    file_name: Option<String>,
    /// Media type of a document, such as application/pdf
    #[arg(long, value_name = "TYPE")]
    mime: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
struct ContentFlags {
    /// The message that this one answers
    #[arg(long, value_name = "MESSAGE_ID")]
    quote: Option<String>,
    /// People whom the body mentions, with commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    mentions: Option<Vec<String>>,
    /// Who may see a status, with commas; for status@broadcast
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    audience: Option<Vec<String>>,
    /// Degrees north of a location
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    latitude: Option<f64>,
    /// Degrees east of a location
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true)]
    longitude: Option<f64>,
    /// Name of a place or of a contact
    #[arg(long)]
    name: Option<String>,
    /// Address of a location
    #[arg(long)]
    address: Option<String>,
    /// Number of a contact
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// A vCard 3.0 of your own for a contact
    #[arg(long)]
    vcard: Option<String>,
    /// An option of a poll; once for each
    #[arg(long = "option", value_name = "TEXT")]
    options: Option<Vec<String>>,
    /// How many options of a poll may be chosen; 0 is any number
    #[arg(long, value_name = "N")]
    choices: Option<i32>,
    /// The message to react to, to edit, to revoke or to forward
    #[arg(long, value_name = "MESSAGE_ID")]
    message_id: Option<String>,
    /// The messages that were read, with commas
    #[arg(long, value_name = "MESSAGE_IDS", value_delimiter = ',')]
    message_ids: Option<Vec<String>>,
    /// Who wrote the messages that were read; for groups
    #[arg(long, value_name = "NUMBER")]
    sender: Option<String>,
    /// Chat of the message to forward [default: this one]
    #[arg(long, value_name = "JID")]
    chat: Option<String>,
    /// What the chat shows: typing, recording or paused; for the kind `chat_state`
    #[arg(long)]
    state: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Order")]
struct OrderFlags {
    /// Messages with a higher priority go first, -100 to 100
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Not before: a time from now such as 30min, 2h or 3d, or a moment such as 2026-11-23T10:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    send_at: Option<Moment>,
    /// Not after, in the same form
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    expires_at: Option<Moment>,
    /// Your own name for the message: the same name is sent once
    #[arg(long, value_name = "KEY")]
    dedupe_key: Option<String>,
    /// Attempts before the message fails
    #[arg(long, value_name = "N", default_value_t = 10)]
    max_attempts: i32,
}

impl SendArgs {
    /// The fields of `content` that are set.
    fn content(&self) -> anyhow::Result<Option<Value>> {
        let (file, content) = (&self.file, &self.content);
        let fields = [
            ("data", file.data.as_deref().map(bytes).transpose()?.map(Value::from)),
            ("url", file.url.clone().map(Value::from)),
            ("media", file.media.map(Value::from)),
            ("file", file.file.clone().map(Value::from)),
            ("large_object", file.large_object.map(Value::from)),
            ("thumbnail", file.thumbnail.as_deref().map(bytes).transpose()?.map(Value::from)),
            ("file_name", file.file_name.clone().or_else(|| self.own_name()).map(Value::from)),
            ("mime", file.mime.clone().map(Value::from)),
            ("quote", content.quote.clone().map(Value::from)),
            ("mentions", content.mentions.clone().map(Value::from)),
            ("audience", content.audience.clone().map(Value::from)),
            ("latitude", content.latitude.map(Value::from)),
            ("longitude", content.longitude.map(Value::from)),
            ("name", content.name.clone().map(Value::from)),
            ("address", content.address.clone().map(Value::from)),
            ("phone", content.phone.clone().map(Value::from)),
            ("vcard", content.vcard.clone().map(Value::from)),
            ("options", content.options.clone().map(Value::from)),
            ("choices", content.choices.map(Value::from)),
            ("message_id", content.message_id.clone().map(Value::from)),
            ("message_ids", content.message_ids.clone().map(Value::from)),
            ("sender", content.sender.clone().map(Value::from)),
            ("chat", content.chat.clone().map(Value::from)),
            ("state", content.state.clone().map(Value::from)),
        ];
        let set: Map<String, Value> =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Ok((!set.is_empty()).then_some(Value::Object(set)))
    }

    /// A document has the name of its file, which `data` does not tell.
    fn own_name(&self) -> Option<String> {
        let file = self.file.data.as_deref().filter(|_| self.kind == "document")?;
        Some(file.file_name()?.to_string_lossy().into_owned()).filter(|name| name != "-")
    }
}

/// A file of this machine, as base64.
fn bytes(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    let read =
        if file.as_os_str() == "-" { read(&mut stdin()) } else { File::open(file).and_then(|mut it| read(&mut it)) };
    read.with_context(|| file.display().to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        let text =
            format!("{}: more than {MOST_BYTES} bytes; --file and --large-object send larger files", file.display());
        return Err(Fault::error(Exit::Refused, text));
    }
    Ok(codec::base64(&bytes))
}

pub(super) async fn run(config: &Config, args: SendArgs, json: bool) -> anyhow::Result<()> {
    let content = args.content()?;
    let pool = connect(config).await?;
    let SendArgs { session, recipient, body, kind, order, .. } = args;
    let OrderFlags { priority, send_at, expires_at, dedupe_key, max_attempts } = order;
    let (send_at, send_in) = send_at.map_or((None, None), Moment::parts);
    let (expires_at, expires_in) = expires_at.map_or((None, None), Moment::parts);
    let id = sqlx::query_file_scalar!(
        "sql/cli/send.sql",
        session,
        recipient,
        kind,
        body,
        content,
        priority,
        send_at,
        send_in,
        expires_at,
        expires_in,
        dedupe_key,
        max_attempts
    )
    .fetch_one(&pool)
    .await?;
    let text = format!("queued as message {id} of wa.outbound; wagres why {id} says what it waits for");
    print(json, &json!({ "id": id, "status": "queued" }), &text);
    Ok(())
}
