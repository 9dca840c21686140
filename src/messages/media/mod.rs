//! Files of messages (M1, M6): fetched from where a row says, looked at, encrypted, uploaded once for all who get them.
//!
//! A file goes through a temporary one (`TMPDIR`) and not through memory, but for what is downloaded into Postgres; a few are
//! under way at a time. What is uploaded stands in `wa.upload`, so that the next message with the same bytes names it, and
//! that a message which quotes or forwards it can show it.

mod fetch;
mod look;
pub(crate) mod profile;
pub(crate) mod received;
mod source;
pub mod store;

use crate::config::MediaConfig;
use crate::db::Db;
use crate::jobs::{JobError, OutboundJob};
use crate::message::attachment::{Attachment, MediaKind};
use crate::message::json;
use sha2::{Digest as _, Sha256};
use source::{File, Source};
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use store::{MediaStore, StoreError};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;
use wacore::upload::{UploadSource, encrypt_media_streaming};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

/// Files that a worker has under way.
const AT_ONCE: usize = 16;

/// What a worker needs for files.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

struct Inner {
    settings: MediaConfig,
    agent: ureq::Agent,
    store: Option<MediaStore>,
    slots: Semaphore,
    /// A picture takes more memory than its file.
    decoding: Arc<Mutex<()>>,
    flights: Mutex<HashMap<Flight, Arc<tokio::sync::Mutex<()>>>>,
}

/// The same file for the same session is uploaded by one, and the others wait for it.
type Flight = (i64, String, Source);

impl Media {
    /// Opens the media store, if there is one.
    ///
    /// # Errors
    /// The setting `media.store` or `media.store_options` is not usable.
    pub fn open(settings: &MediaConfig) -> Result<Self, StoreError> {
        let store = settings.store.as_ref().map(|url| MediaStore::open(url, &settings.store_options)).transpose()?;
        Ok(Self(Arc::new(Inner {
            agent: fetch::agent(settings),
            settings: settings.clone(),
            store,
            slots: Semaphore::new(AT_ONCE),
            decoding: Arc::default(),
            flights: Mutex::default(),
        })))
    }

    /// Makes sure that the file is on WhatsApp's servers; the message that names it there, without caption and the like.
    ///
    /// # Errors
    /// [`JobError::Permanent`] when it is not there or not what the kind takes, else [`JobError::Retry`] or
    /// [`JobError::Release`].
    pub(super) async fn uploaded(
        &self,
        job: &OutboundJob,
        kind: MediaKind,
        attachment: &Attachment,
        client: &Client,
        pool: &Db,
    ) -> Result<wa::Message, JobError> {
        let source = Source::of(attachment)?;
        let flight = (job.fence.session_id, job.kind.clone(), source.clone());
        let turn = self.flights().entry(flight.clone()).or_default().clone();
        let made = {
            let _turn = turn.lock().await;
            self.upload(job, kind, &source, client, pool).await
        };
        drop(turn);
        let mut flights = self.flights();
        if flights.get(&flight).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            flights.remove(&flight);
        }
        made
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<Flight, Arc<tokio::sync::Mutex<()>>>> {
        // The map is whole whatever panicked.
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn upload(
        &self,
        job: &OutboundJob,
        kind: MediaKind,
        source: &Source,
        client: &Client,
        pool: &Db,
    ) -> Result<wa::Message, JobError> {
        let url = source.url();
        let mut earlier = self.earlier(job, source.known_hash(job, pool).await?.as_deref(), url, pool).await?;
        let known = earlier.as_ref().filter(|upload| url.is_none() || upload.fresh);
        if let Some(upload) = known {
            return self.reuse(job, upload, pool).await;
        }
        let _slot = self.0.slots.acquire().await.map_err(|_| JobError::Release("the worker is stopping".into()))?;
        let asked = earlier.as_ref().map(|upload| (upload.etag.clone(), upload.modified.clone()));
        let Some(File { bytes, etag, modified }) = source.read(self, job, pool, asked).await? else {
            // The server says that it is what it was.
            let upload = earlier.take().ok_or_else(|| JobError::Retry("content.url: nothing came".into()))?;
            return self.reuse(job, &upload, pool).await;
        };
        let (file, hash) = blocking(move || hashed(bytes)).await?;
        if let Some(upload) = self.earlier(job, Some(&hash), None, pool).await? {
            return self.reuse(job, &upload, pool).await;
        }
        let decoding = self.0.decoding.clone();
        let (mut seen, sealed, info) = blocking(move || {
            let mut seen = {
                let _one = decoding.lock().unwrap_or_else(PoisonError::into_inner);
                look::look(kind, &file).map_err(JobError::Permanent)?
            };
            let mut plain = BufReader::new(seen.instead.take().unwrap_or(file).reopen().map_err(disk)?);
            let mut sealed = NamedTempFile::new().map_err(disk)?;
            let info = encrypt_media_streaming(&mut plain, sealed.as_file_mut(), kind.sealed_as()).map_err(disk)?;
            Ok((seen, sealed, info))
        })
        .await?;
        let uploading = client.upload_stream(Sealed::new(sealed).map_err(disk)?, info, kind.sealed_as());
        let uploaded = match tokio::time::timeout(self.0.settings.timeout(), uploading).await {
            Ok(Ok(uploaded)) => uploaded,
            Ok(Err(error)) if client.is_connected() => return Err(JobError::Retry(format!("not uploaded: {error:#}"))),
            Ok(Err(error)) => return Err(JobError::Release(format!("the connection was lost: {error:#}"))),
            Err(_) => {
                let limit = self.0.settings.timeout_seconds;
                return Err(JobError::Retry(format!("not uploaded within media.timeout_seconds, {limit} s")));
            }
        };
        let message = look::message(kind, &mut seen, uploaded);
        let kept = json::of(&message).map_err(|error| JobError::Permanent(format!("the message: {error}")))?;
        let (session_id, epoch) = (job.fence.session_id, job.fence.epoch);
        let keep = sqlx::query_file!(
            "sql/media/keep_upload.sql",
            session_id,
            epoch,
            job.kind,
            job.id,
            &hash,
            kept,
            url,
            etag,
            modified
        );
        held(keep.execute(pool).await)?;
        Ok(message)
    }

    async fn earlier(
        &self,
        job: &OutboundJob,
        hash: Option<&[u8]>,
        url: Option<&str>,
        pool: &Db,
    ) -> Result<Option<Upload>, JobError> {
        if hash.is_none() && url.is_none() {
            return Ok(None);
        }
        let session_id = job.fence.session_id;
        sqlx::query_file_as!(Upload, "sql/media/find_upload.sql", session_id, job.kind, hash, url)
            .fetch_optional(pool)
            .await
            .map_err(|error| away(&error))
    }

    async fn reuse(&self, job: &OutboundJob, upload: &Upload, pool: &Db) -> Result<wa::Message, JobError> {
        let message = json::read(&upload.message)
            .map_err(|error| JobError::Permanent(format!("wa.upload {}: {error}", upload.id)))?;
        let (session_id, epoch) = (job.fence.session_id, job.fence.epoch);
        let said = sqlx::query_file!("sql/media/set_upload.sql", session_id, epoch, upload.id, job.id);
        held(said.execute(pool).await)?;
        Ok(message)
    }
}

/// A row of `wa.upload`.
struct Upload {
    id: i64,
    message: serde_json::Value,
    etag: Option<String>,
    modified: Option<String>,
    fresh: bool,
}

/// An encrypted file on its way.
struct Sealed {
    file: NamedTempFile,
    length: u64,
}

impl Sealed {
    fn new(file: NamedTempFile) -> std::io::Result<Self> {
        let length = file.as_file().metadata()?.len();
        Ok(Self { file, length })
    }
}

impl UploadSource for Sealed {
    fn len(&self) -> u64 {
        self.length
    }

    fn reader_from(&self, offset: u64) -> std::io::Result<Box<dyn Read + Send>> {
        let mut file = self.file.reopen()?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(BufReader::new(file)))
    }
}

fn hashed(file: NamedTempFile) -> Result<(NamedTempFile, Vec<u8>), JobError> {
    let mut hasher = Sha256::new();
    let (mut plain, mut buffer) = (file.reopen().map_err(disk)?, vec![0; 64 << 10]);
    loop {
        match plain.read(&mut buffer).map_err(disk)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok((file, hasher.finalize().to_vec()))
}

/// Runs what takes its time on a thread of its own. A library that panics over a file makes that file unusable, no more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JobError> + Send + 'static,
) -> Result<T, JobError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(JobError::Permanent("content: the file cannot be read".into())))
}

fn disk(error: impl Display) -> JobError {
    JobError::Retry(format!("a temporary file: {error}"))
}

fn away(error: &sqlx::Error) -> JobError {
    JobError::Release(format!("the database: {error}"))
}

fn held_no_more() -> JobError {
    JobError::Release("the session is not held here".into())
}

/// One row was changed, or the session is not held any more.
fn held(done: sqlx::Result<sqlx::postgres::PgQueryResult>) -> Result<(), JobError> {
    match done.map_err(|error| away(&error))?.rows_affected() {
        0 => Err(held_no_more()),
        _ => Ok(()),
    }
}
