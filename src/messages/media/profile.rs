//! Profile pictures, as WhatsApp takes them.

use super::look;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::jobs::JobError;

/// The file of `wa.media` as a profile picture.
///
/// # Errors
/// [`JobError::Permanent`] when it is not a picture, [`JobError::Retry`] when it cannot be read now.
pub(crate) async fn picture(fence: Fence, media_id: i64, pool: &Db) -> Result<Vec<u8>, JobError> {
    let no = |why: String| JobError::Permanent(format!("args.media: {media_id}: {why}"));
    let found = sqlx::query_file_scalar!("sql/media/picture.sql", fence.session_id, media_id).fetch_optional(pool);
    let found = found.await.map_err(|error| JobError::Retry(format!("the picture cannot be read: {error}")))?;
    let bytes = found
        .ok_or_else(|| no("there is no such file".into()))?
        .ok_or_else(|| no("it is in the media store; a picture has to be in wa.media.data".into()))?;
    let square = tokio::task::spawn_blocking(move || look::square(bytes));
    square.await.map_err(|error| no(error.to_string()))?.map_err(no)
}
