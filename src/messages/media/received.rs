//! Downloads the files of received messages (M6).

use super::{Media, blocking, database_error, disk, hashed, hold_lost};
use crate::db::Db;
use crate::db::fence::Fence;
use crate::jobs::JobError;
use crate::message::file::{ReceivedFile, file_of};
use crate::message::json;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Error, Seek, SeekFrom, Write};
use tempfile::NamedTempFile;
use wacore::download::{DownloadWriter, Downloadable, MediaType};
use wacore_binary::{Jid, JidExt as _};
use whatsapp_rust::client::Client;
use whatsapp_rust::features::{MediaRetryResult, MediaReuploadRequest};
use whatsapp_rust::http::HttpStatusError;

/// Largest file that Postgres keeps, in bytes. On the way there it takes several times its size in memory.
const IN_POSTGRES: u64 = 64 << 20;

/// Where a file is on WhatsApp's servers, with its keys and hashes.
struct Pointer {
    direct_path: Option<String>,
    media_key: Option<Vec<u8>>,
    file_enc_sha256: Option<Vec<u8>>,
    file_sha256: Option<Vec<u8>>,
    file_length: Option<u64>,
    kind: MediaType,
}

impl Pointer {
    fn of(file: &dyn Downloadable) -> Self {
        Self {
            direct_path: file.direct_path().map(str::to_owned),
            media_key: file.media_key().map(<[u8]>::to_vec),
            file_enc_sha256: file.file_enc_sha256().map(<[u8]>::to_vec),
            file_sha256: file.file_sha256().map(<[u8]>::to_vec),
            file_length: file.file_length(),
            kind: file.app_info(),
        }
    }
}

impl Downloadable for Pointer {
    fn direct_path(&self) -> Option<&str> {
        self.direct_path.as_deref()
    }

    fn media_key(&self) -> Option<&[u8]> {
        self.media_key.as_deref()
    }

    fn file_enc_sha256(&self) -> Option<&[u8]> {
        self.file_enc_sha256.as_deref()
    }

    fn file_sha256(&self) -> Option<&[u8]> {
        self.file_sha256.as_deref()
    }

    fn file_length(&self) -> Option<u64> {
        self.file_length
    }

    fn app_info(&self) -> MediaType {
        self.kind
    }
}

/// A file that does not grow beyond the accepted size, whatever its sender says.
struct LimitedFile {
    file: File,
    position: u64,
    most: u64,
}

const TOO_LARGE: &str = "more than media.max_bytes";

impl Write for LimitedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.position + bytes.len() as u64 > self.most {
            return Err(Error::other(TOO_LARGE));
        }
        let written = self.file.write(bytes)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for LimitedFile {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}

impl DownloadWriter for LimitedFile {
    fn truncate(&mut self, length: u64) -> std::io::Result<()> {
        self.file.set_len(length)
    }
}

impl Media {
    /// Downloads the file of a message to `wa.media` or the media store. Returns the job's result.
    ///
    /// # Errors
    /// [`JobError::Permanent`] when the file no longer exists or is too large.
    pub(crate) async fn download(
        &self,
        fence: Fence,
        inbox_id: i64,
        client: &Client,
        pool: &Db,
    ) -> Result<Value, JobError> {
        let session_id = fence.session_id;
        let row = sqlx::query_file!("sql/media/received.sql", session_id, inbox_id).fetch_optional(pool).await;
        let none = || JobError::Permanent(format!("args.inbox_id: {inbox_id} is not a message with a file"));
        let row = row.map_err(|error| database_error(&error))?.filter(|row| row.has_media).ok_or_else(none)?;
        if let (Some(id), Some(size)) = (row.media_id, row.size) {
            return Ok(json!({ "media": id, "mime": row.mime, "size": size }));
        }
        let message =
            json::read(&row.message).map_err(|error| JobError::Permanent(format!("wa.inbox {inbox_id}: {error}")))?;
        let ReceivedFile { file, mime, name, .. } = file_of(&message).ok_or_else(none)?;
        let (mime, name) = (mime.map(json::storable), name.map(str::to_owned));
        let mut pointer = Pointer::of(file);
        if pointer.file_length.is_some_and(|length| length > self.0.settings.max_bytes) {
            return Err(too_large(self.0.settings.max_bytes));
        }
        let file = match self.fetch(client, &pointer).await {
            Err(FetchError::Gone) => {
                let (chat, sender) = (parsed(&row.chat)?, parsed(&row.sender)?);
                let request = MediaReuploadRequest {
                    msg_id: &row.message_id,
                    chat_jid: &chat,
                    media_key: pointer.media_key.as_deref().unwrap_or_default(),
                    is_from_me: row.from_me,
                    participant: chat.is_group().then_some(&sender),
                };
                pointer.direct_path = Some(request_reupload(client, &request).await?);
                self.fetch(client, &pointer).await
            }
            fetched => fetched,
        };
        let (file, hash) = match file {
            Ok(file) => blocking(move || hashed(file)).await?,
            Err(FetchError::Gone) => return Err(gone()),
            Err(FetchError::Other(error)) => return Err(error),
        };
        if pointer.file_sha256.is_some_and(|expected| expected != hash) {
            return Err(JobError::Permanent("the file does not have the hash that its sender names".into()));
        }
        let size = file.as_file().metadata().map_err(disk)?.len();
        let (data, path) = match &self.0.store {
            Some(store) => {
                let extension = extension(mime.as_deref(), name.as_deref());
                let path = format!("{}/received/{}{extension}", row.tenant, hex::encode(&hash));
                // Before the file is there, so that retention deletes it if no row names it in the end: when this worker
                // dies first, or when another one keeps the same file under another name.
                let noted = sqlx::query_file_scalar!("sql/media/note_file.sql", row.tenant, hash, path);
                let path = noted.fetch_one(pool).await.map_err(|error| database_error(&error))?;
                let put = store.put(&path, &file).await;
                put.map_err(|error| JobError::Retry(format!("the media store: {error}")))?;
                (None, Some(path))
            }
            None if size > IN_POSTGRES => {
                return Err(JobError::Permanent(format!("more than {IN_POSTGRES} bytes; media.store takes them")));
            }
            None => (Some(blocking(move || std::fs::read(file.path()).map_err(disk)).await?), None),
        };
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let keep = sqlx::query_file!(
            "sql/media/keep_received.sql",
            session_id,
            fence.epoch,
            inbox_id,
            hash,
            size,
            mime,
            data,
            path
        );
        let kept = keep.fetch_optional(pool).await.map_err(|error| database_error(&error))?.ok_or_else(hold_lost)?;
        Ok(json!({ "media": kept.media_id, "mime": kept.mime, "size": size }))
    }

    async fn fetch(&self, client: &Client, pointer: &Pointer) -> Result<NamedTempFile, FetchError> {
        let settings = &self.0.settings;
        let file = NamedTempFile::new().map_err(disk)?;
        let into = LimitedFile { file: file.reopen().map_err(disk)?, position: 0, most: settings.max_bytes };
        let fetched = tokio::time::timeout(settings.timeout(), client.download_to_writer(pointer, into)).await;
        let Ok(fetched) = fetched else {
            let limit = settings.timeout_seconds;
            return Err(JobError::Retry(format!("not downloaded within media.timeout_seconds, {limit} s")).into());
        };
        match fetched {
            Ok(_) => Ok(file),
            Err(error) => match error.downcast_ref::<HttpStatusError>() {
                Some(HttpStatusError { status: 403 | 404 | 410 }) => Err(FetchError::Gone),
                _ if format!("{error:#}").contains(TOO_LARGE) => Err(too_large(settings.max_bytes).into()),
                _ => Err(JobError::Retry(format!("not downloaded: {error:#}")).into()),
            },
        }
    }
}

/// Why a file could not be fetched.
enum FetchError {
    /// The server no longer has it.
    Gone,
    Other(JobError),
}

impl From<JobError> for FetchError {
    fn from(error: JobError) -> Self {
        Self::Other(error)
    }
}

/// Asks the phone that has the file to upload it again. Returns its new path.
async fn request_reupload(client: &Client, request: &MediaReuploadRequest<'_>) -> Result<String, JobError> {
    match client.media_reupload().request(request).await {
        Ok(MediaRetryResult::Success { direct_path }) => Ok(direct_path),
        Ok(_) => Err(gone()),
        Err(error) => Err(JobError::Retry(format!("expired, and not uploaded again: {error}"))),
    }
}

fn gone() -> JobError {
    JobError::Permanent("neither WhatsApp's servers nor the phone have the file any more".into())
}

fn too_large(most: u64) -> JobError {
    JobError::Permanent(format!("{TOO_LARGE}, {most}"))
}

fn parsed(jid: &str) -> Result<Jid, JobError> {
    jid.parse().map_err(|error| JobError::Permanent(format!("{jid}: {error}")))
}

/// The extension of a file, from its name or its type.
fn extension(mime: Option<&str>, name: Option<&str>) -> String {
    let named = name.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let typed = || {
        let mime = mime?.split(';').next()?.trim();
        // The library's first extension for these is not the usual one.
        Some(match mime {
            "image/jpeg" => "jpg",
            "audio/ogg" => "ogg",
            "audio/mpeg" => "mp3",
            "text/plain" => "txt",
            mime => mime_guess::get_mime_extensions_str(mime)?.first()?,
        })
    };
    named
        .filter(|extension| {
            (1..=8).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
        .or_else(typed)
        .map(|extension| format!(".{}", extension.to_ascii_lowercase()))
        .unwrap_or_default()
}
