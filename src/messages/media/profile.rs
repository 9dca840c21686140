//! Profile pictures, as WhatsApp takes them.

use super::look;
use crate::db::Db;
use crate::jobs::{JobError, SessionJob};
use serde_json::Value;

/// The picture that the row names; `None` when it names none.
///
/// # Errors
/// [`JobError::Permanent`] when there is none that can be shown, [`JobError::Retry`] when it cannot be read now.
pub(crate) async fn picture(job: &SessionJob, pool: &Db) -> Result<Option<Vec<u8>>, JobError> {
    let Some(media_id) = job.args.get("media").and_then(Value::as_i64) else { return Ok(None) };
    let no = |why: String| JobError::Permanent(format!("args.media: {media_id}: {why}"));
    let found = sqlx::query_file_scalar!("sql/media/picture.sql", job.fence.session_id, media_id).fetch_optional(pool);
    let found = found.await.map_err(|error| JobError::Retry(format!("the picture cannot be read: {error}")))?;
    let bytes = found
        .ok_or_else(|| no("there is no such file".into()))?
        .ok_or_else(|| no("it is in the media store; a picture has to be in wa.media.data".into()))?;
    let square = tokio::task::spawn_blocking(move || look::square(bytes));
    square.await.map_err(|error| no(error.to_string()))?.map(Some).map_err(no)
}
