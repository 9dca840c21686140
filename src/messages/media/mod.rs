//! Files of messages (M1, M6): fetched from where a row says, inspected, encrypted, and uploaded once for all
//! recipients.
//!
//! A file passes through a temporary file (`TMPDIR`) and not through memory, except for downloads into Postgres. How
//! many a worker handles at a time is limited by the places of messages with a file
//! ([`FILES`](crate::jobs::lanes::FILES)) and of downloads ([`DOWNLOADS`](crate::jobs::actions::DOWNLOADS)), which the
//! tenants share. Each upload is a row of `wa.upload`, so that the next message with the same bytes
//! reuses it, and a message that quotes or forwards it can show it.

mod fetch;
#[cfg(any(test, feature = "sandbox"))]
pub(super) mod fuzzing;
mod inspect;
pub(crate) mod profile;
pub(crate) mod received;
mod source;
mod steps;
pub mod store;

use crate::config::MediaConfig;
use crate::db::Db;
use crate::jobs::maintenance::leftovers::Files;
use crate::jobs::{JobError, OutboundJob};
use crate::message::attachment::{Attachment, MediaKind};
use crate::message::json;
use fetch::SourceFile;
use sha2::{Digest as _, Sha256};
use source::Source;
use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use store::{MediaStore, StoreError};
use tempfile::NamedTempFile;
use wacore::upload::{UploadSource, encrypt_media_streaming};
use waproto::whatsapp as wa;
use whatsapp_rust::client::Client;

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
    /// One picture at a time, because a picture takes more memory than its file.
    decoding: Arc<Mutex<()>>,
    flights: Mutex<HashMap<Flight, Arc<tokio::sync::Mutex<()>>>>,
}

/// One message uploads a file for a session, and the others with the same file wait for it.
type Flight = (i64, String, Source);

impl Media {
    /// Opens the media store, if one is configured.
    ///
    /// # Errors
    /// The setting `media.store` or `media.store_options` is not usable.
    pub fn open(settings: &MediaConfig) -> Result<Self, StoreError> {
        let store = settings.store.as_ref().map(|url| MediaStore::open(url, &settings.store_options)).transpose()?;
        Ok(Self(Arc::new(Inner {
            agent: fetch::agent(settings),
            settings: settings.clone(),
            store,
            decoding: Arc::default(),
            flights: Mutex::default(),
        })))
    }

    /// The media store, for the deletion of files.
    #[must_use]
    pub fn files(&self) -> Option<Arc<dyn Files>> {
        self.0.store.clone().map(|store| Arc::new(store) as Arc<dyn Files>)
    }

    /// Ensures that the file is on WhatsApp's servers. Returns the message that names it there, without caption and the
    /// like.
    ///
    /// # Errors
    /// [`JobError::Permanent`] when the file is missing or the kind does not accept it, else [`JobError::Retry`] or
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
        // A panic elsewhere cannot leave the map half changed.
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
        let validators = earlier.as_ref().map(|upload| (upload.etag.clone(), upload.modified.clone()));
        let Some(SourceFile { bytes, etag, modified }) = source.read(self, job, pool, validators).await? else {
            // The server says that the file has not changed.
            let upload =
                earlier.take().ok_or_else(|| JobError::Retry("content.url: status 304 for a first request".into()))?;
            return self.reuse(job, &upload, pool).await;
        };
        let (file, hash) = blocking(move || hashed(bytes)).await?;
        if let Some(upload) = self.earlier(job, Some(&hash), None, pool).await? {
            return self.reuse(job, &upload, pool).await;
        }
        let decoding = self.0.decoding.clone();
        let (mut inspected, sealed, info) = blocking(move || {
            let mut inspected = {
                let _one = decoding.lock().unwrap_or_else(PoisonError::into_inner);
                inspect::inspect(kind, &file).map_err(JobError::Permanent)?
            };
            let mut plain = BufReader::new(inspected.converted.take().unwrap_or(file).reopen().map_err(disk)?);
            let mut sealed = NamedTempFile::new().map_err(disk)?;
            let info = encrypt_media_streaming(&mut plain, sealed.as_file_mut(), kind.media_type()).map_err(disk)?;
            Ok((inspected, sealed, info))
        })
        .await?;
        let uploading = client.upload_stream(Sealed::new(sealed).map_err(disk)?, info, kind.media_type());
        let uploaded = match tokio::time::timeout(self.0.settings.timeout(), uploading).await {
            Ok(Ok(uploaded)) => uploaded,
            // The attempt counts also when the connection ended with it: the upload may be what the server hangs up at.
            Ok(Err(error)) => {
                let what = if client.is_connected() { "not uploaded" } else { "the connection was lost" };
                return Err(JobError::Retry(format!("{what}: {error:#}")));
            }
            Err(_) => {
                let limit = self.0.settings.timeout_seconds;
                return Err(JobError::Retry(format!("not uploaded within media.timeout_seconds, {limit} s")));
            }
        };
        let message = inspect::message(kind, &mut inspected, uploaded);
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
            .map_err(|error| database_error(&error))
    }

    async fn reuse(&self, job: &OutboundJob, upload: &Upload, pool: &Db) -> Result<wa::Message, JobError> {
        let message = json::read(&upload.message)
            .map_err(|error| JobError::Permanent(format!("wa.upload {}: {error}", upload.id)))?;
        let (session_id, epoch) = (job.fence.session_id, job.fence.epoch);
        let set = sqlx::query_file!("sql/media/set_upload.sql", session_id, epoch, upload.id, job.id);
        held(set.execute(pool).await)?;
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

/// An encrypted file to upload.
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

/// Runs blocking work on a thread of its own. A library that panics over a file makes that file unusable, no more.
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

fn database_error(error: &sqlx::Error) -> JobError {
    JobError::Release(format!("the database: {error}"))
}

fn hold_lost() -> JobError {
    JobError::Release("the session is no longer held here".into())
}

/// One row was changed, or the session is no longer held.
fn held(done: sqlx::Result<sqlx::postgres::PgQueryResult>) -> Result<(), JobError> {
    match done.map_err(|error| database_error(&error))?.rows_affected() {
        0 => Err(hold_lost()),
        _ => Ok(()),
    }
}
