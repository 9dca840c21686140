//! Rows of `wa.event` that a session writes.

use crate::db::fence::Fence;
use crate::db::hold::Hold;
use serde_json::Value;

/// Writes an event of the session.
pub(crate) async fn write(hold: &Hold, kind: &str, data: &Value) {
    let Fence { session_id, epoch } = hold.fence;
    hold.write(|| sqlx::query_file_scalar!("sql/session/event.sql", session_id, epoch, kind, data).fetch_one(&hold.db))
        .await;
}
