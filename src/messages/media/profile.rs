//! Profile pictures, in the form that WhatsApp accepts.

use super::inspect;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::jobs::JobError;

/// The file of `wa.media` as a profile picture.
///
/// # Errors
/// [`JobError::Permanent`] when it is not a picture, [`JobError::Retry`] when it cannot be read now.
pub(crate) async fn picture(fence: Fence, media_id: i64, pool: &Db) -> Result<Vec<u8>, JobError> {
    let unusable = |why: String| JobError::Permanent(format!("args.media: {media_id}: {why}"));
    let found = sqlx::query_file_scalar!("sql/media/picture.sql", fence.session_id, media_id).fetch_optional(pool);
    let found = found.await.map_err(|error| JobError::Retry(format!("the picture cannot be read: {error}")))?;
    let bytes = found
        .ok_or_else(|| unusable("there is no such file".into()))?
        .ok_or_else(|| unusable("it is in the media store; a picture has to be in wa.media.data".into()))?;
    let square = tokio::task::spawn_blocking(move || inspect::square(bytes));
    square.await.map_err(|error| unusable(error.to_string()))?.map_err(unusable)
}
