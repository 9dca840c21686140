//! Reads the file of a message from where its row says.

use super::fetch::{self, SourceFile, too_large};
use super::{Media, database_error, disk};
use crate::db::Db;
use crate::jobs::{JobError, OutboundJob};
use crate::message::attachment::Attachment;
use futures::TryStreamExt as _;
use sqlx::postgres::types::Oid;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;

/// Bytes of a file that one query reads from the database.
const PART: i32 = 1 << 20;

/// Where a file is, as `content` names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Url(String),
    Media(i64),
    /// With the role that named it.
    LargeObject(u32, String),
    File(String),
}

impl Source {
    /// Where the file of a row is.
    ///
    /// # Errors
    /// The row names no file.
    pub(super) fn of(attachment: &Attachment) -> Result<Self, JobError> {
        let sources = [
            attachment.url.clone().map(Self::Url),
            attachment.media.map(Self::Media),
            attachment
                .large_object
                .map(|oid| Self::LargeObject(oid, attachment.large_object_reader.clone().unwrap_or_default())),
            attachment.file.clone().map(Self::File),
        ];
        sources.into_iter().flatten().next().ok_or_else(|| JobError::Permanent("content: it names no file".into()))
    }

    pub(super) fn url(&self) -> Option<&str> {
        if let Self::Url(url) = self { Some(url) } else { None }
    }

    /// The hash of the bytes, if it is known before they are read.
    pub(super) async fn known_hash(&self, job: &OutboundJob, pool: &Db) -> Result<Option<Vec<u8>>, JobError> {
        let Self::Media(id) = self else { return Ok(None) };
        let found = sqlx::query_file!("sql/media/find.sql", job.fence.session_id, id).fetch_optional(pool).await;
        Ok(Some(found.map_err(|error| database_error(&error))?.ok_or_else(|| gone(*id))?.sha256))
    }

    /// Copies the file; `None` when it has not changed since `validators`.
    pub(super) async fn read(
        &self,
        media: &Media,
        job: &OutboundJob,
        pool: &Db,
        validators: Option<(Option<String>, Option<String>)>,
    ) -> Result<Option<SourceFile>, JobError> {
        let most = media.0.settings.max_bytes;
        let mut copy = LocalCopy::new(most)?;
        match self {
            Self::Url(url) => {
                let (agent, url) = (media.0.agent.clone(), url.clone());
                return super::blocking(move || fetch::fetch(&agent, &url, validators, most)).await;
            }
            Self::Media(id) => {
                let found = sqlx::query_file!("sql/media/find.sql", job.fence.session_id, id);
                let found = found
                    .fetch_optional(pool)
                    .await
                    .map_err(|error| database_error(&error))?
                    .ok_or_else(|| gone(*id))?;
                match found.path {
                    Some(path) => copy.read_store("media", media, &path).await?,
                    None => loop {
                        let from = i32::try_from(copy.length + 1).map_err(|_| too_large("media", most))?;
                        let part = sqlx::query_file_scalar!("sql/media/part.sql", id, from, PART);
                        let part = part
                            .fetch_optional(pool)
                            .await
                            .map_err(|error| database_error(&error))?
                            .ok_or_else(|| gone(*id))?;
                        if copy.write("media", &part).await? < PART as usize {
                            break;
                        }
                    },
                }
            }
            Self::LargeObject(oid, reader) => loop {
                let from = i64::try_from(copy.length).map_err(|_| too_large("large_object", most))?;
                let part = sqlx::query_file_scalar!("sql/media/large_object_part.sql", Oid(*oid), from, PART, reader);
                let part = part.fetch_optional(pool).await.map_err(|error| match error.as_database_error() {
                    Some(refused) => JobError::Permanent(format!("content.large_object: {}", refused.message())),
                    None => database_error(&error),
                })?;
                let part = part.ok_or_else(|| unreadable(*oid, reader))?;
                if copy.write("large_object", &part).await? < PART as usize {
                    break;
                }
            },
            Self::File(path) => {
                let tenant = sqlx::query_file_scalar!("sql/media/tenant.sql", job.fence.session_id);
                let tenant = tenant.fetch_one(pool).await.map_err(|error| database_error(&error))?;
                copy.read_store("file", media, &format!("{tenant}/{path}")).await?;
            }
        }
        copy.done().await.map(Some)
    }
}

fn gone(id: i64) -> JobError {
    JobError::Permanent(format!("content.media: media {id} no longer exists"))
}

fn unreadable(oid: u32, reader: &str) -> JobError {
    let why = format!("large object {oid} no longer exists, or {reader}, which named it, may not read it any more");
    JobError::Permanent(format!("content.large_object: {why}"))
}

/// A copy of a file, in the making.
struct LocalCopy {
    file: NamedTempFile,
    into: tokio::fs::File,
    length: u64,
    most: u64,
}

impl LocalCopy {
    fn new(most: u64) -> Result<Self, JobError> {
        let file = NamedTempFile::new().map_err(disk)?;
        let into = tokio::fs::File::from_std(file.reopen().map_err(disk)?);
        Ok(Self { file, into, length: 0, most })
    }

    /// Appends a part. Returns its length in bytes.
    async fn write(&mut self, field: &str, part: &[u8]) -> Result<usize, JobError> {
        self.length += part.len() as u64;
        if self.length > self.most {
            return Err(too_large(field, self.most));
        }
        self.into.write_all(part).await.map_err(disk)?;
        Ok(part.len())
    }

    async fn read_store(&mut self, field: &str, media: &Media, path: &str) -> Result<(), JobError> {
        let Some(store) = &media.0.store else {
            return Err(JobError::Permanent(format!("content.{field}: this worker has no media store (media.store)")));
        };
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => {
                JobError::Permanent(format!("content.{field}: there is no {path} in the media store"))
            }
            error => JobError::Retry(format!("content.{field}: {error}")),
        };
        let mut parts = store.get(path).await.map_err(failed)?;
        while let Some(part) = parts.try_next().await.map_err(failed)? {
            self.write(field, &part).await?;
        }
        Ok(())
    }

    async fn done(mut self) -> Result<SourceFile, JobError> {
        self.into.flush().await.map_err(disk)?;
        if self.length == 0 {
            return Err(JobError::Permanent("content: the file is empty".into()));
        }
        Ok(SourceFile { bytes: self.file, etag: None, modified: None })
    }
}
