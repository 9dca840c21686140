//! What nobody asks for any more, as a part of `retention`: consumers that nobody reads for, and files of the media store
//! whose row is gone (R6).

use super::retention::RetentionDays;
use super::{Batches, sql};
use crate::jobs::JobError;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::fmt::Debug;

/// The media store, as far as housekeeping needs it.
pub trait Files: Debug + Send + Sync {
    /// Deletes the file at `path`; one that is not there is deleted already.
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), String>>;
}

/// Pauses consumers beyond the limits, and deletes what paused and dropped ones have to read. The inbox keeps the
/// messages.
pub(super) async fn consumers(
    batches: &Batches<'_>,
    ages: &RetentionDays,
    counts: &mut Map<String, Value>,
) -> Result<(), JobError> {
    let RetentionDays { unread_days, unread_rows, dry_run, .. } = ages;
    let paused = sqlx::query_file_scalar!("sql/retention/pause_consumers.sql", *unread_rows, *unread_days, dry_run);
    let paused = paused.fetch_one(batches.pool()).await.map_err(sql)?;
    counts.insert("paused_consumers".to_owned(), paused.into());
    let (limit, mut total) = (batches.pace.batch, 0);
    loop {
        let unread = sqlx::query_file_scalar!("sql/retention/unread.sql", limit, dry_run);
        let count = unread.fetch_one(batches.pool()).await.map_err(sql)?;
        total += count;
        counts.insert("unread".to_owned(), total.into());
        if *dry_run || count < limit {
            return Ok(());
        }
        batches.rest(&Value::Object(counts.clone())).await?;
    }
}

/// Deletes files from the media store. A worker without one leaves them to the others. A file that cannot be deleted
/// now stays for the next run.
pub(super) async fn files(
    batches: &Batches<'_>,
    ages: &RetentionDays,
    counts: &mut Map<String, Value>,
) -> Result<(), JobError> {
    let (Some(days), Some(store)) = (ages.file_days, &batches.maintenance.files) else { return Ok(()) };
    let (limit, mut after, mut total) = (batches.pace.batch, String::new(), 0);
    loop {
        let page = sqlx::query_file!("sql/retention/dropped_file.sql", after, limit, days, ages.dry_run);
        let page = page.fetch_one(batches.pool()).await.map_err(sql)?;
        let mut gone = vec![];
        for path in page.paths {
            if ages.dry_run {
                total += 1;
                continue;
            }
            match store.delete(&path).await {
                Ok(()) => gone.push(path),
                Err(error) => {
                    tracing::warn!(path, error, "file not deleted from the media store; retried at the next run");
                }
            }
        }
        if !gone.is_empty() {
            let forgotten = sqlx::query_file!("sql/retention/forget_files.sql", &gone, days);
            forgotten.execute(batches.pool()).await.map_err(sql)?;
            total += gone.len();
        }
        counts.insert("file".to_owned(), total.into());
        let Some(last) = page.last else { return Ok(()) };
        after = last;
        batches.rest(&Value::Object(counts.clone())).await?;
    }
}
