//! The rows of a held session: its row in `wa.session`, and the job that makes its next connection.

use super::error::SessionError;
use super::status::Status;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use std::time::Duration;
use wacore_binary::Jid;

/// A QR code to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qr<'a> {
    pub(super) text: &'a str,
    pub(super) seconds: f64,
}

/// Writes a status before a supervisor runs.
pub(super) async fn set_status(hold: &Hold, status: Status) -> Result<(), SessionError> {
    if write_status(hold, status, None, None).await? { Ok(()) } else { Err(SessionError::Lost(hold.fence.epoch)) }
}

pub(super) async fn change_status(hold: &Hold, next: Status, reason: Option<&str>, qr: Option<Qr<'_>>) {
    persist(hold, || write_status(hold, next, reason, qr)).await;
}

async fn write_status(hold: &Hold, status: Status, reason: Option<&str>, qr: Option<Qr<'_>>) -> sqlx::Result<bool> {
    let fence = hold.fence;
    sqlx::query_file_scalar!(
        "sql/session/set_status.sql",
        fence.session_id,
        fence.epoch,
        status.name(),
        reason,
        qr.map(|q| q.text),
        qr.map(|q| q.seconds)
    )
    .fetch_one(&hold.db)
    .await
}

/// The session is logged in.
pub(super) async fn connected(hold: &Hold) {
    let Fence { session_id, epoch } = hold.fence;
    persist(hold, || sqlx::query_file_scalar!("sql/session/connected.sql", session_id, epoch).fetch_one(&hold.db))
        .await;
}

/// Writes the account of the session.
pub(super) async fn identify(hold: &Hold, pn: &Jid, lid: &Jid) {
    let Fence { session_id, epoch } = hold.fence;
    let (phone, jid, lid) = (pn.user.to_string(), pn.to_string(), lid.to_string());
    persist(hold, || {
        sqlx::query_file_scalar!("sql/session/set_identity.sql", session_id, epoch, phone, jid, lid).fetch_one(&hold.db)
    })
    .await;
}

/// Shows a pairing code for some time, or hides it for `reason`.
pub(super) async fn show_code(hold: &Hold, code: Option<(&str, Duration)>, reason: Option<&str>) {
    let Fence { session_id, epoch } = hold.fence;
    let (code, seconds) = code.map(|(code, valid)| (code, valid.as_secs_f64())).unzip();
    persist(hold, || {
        sqlx::query_file_scalar!("sql/session/set_code.sql", session_id, epoch, code, seconds, reason)
            .fetch_one(&hold.db)
    })
    .await;
}

/// A connection ended or could not be made: writes the status, and the job that makes the next connection, after this
/// time or a backoff.
pub(super) async fn lost(hold: &Hold, status: Status, reason: &str, linked: bool, after: Option<Duration>) {
    let Fence { session_id, epoch } = hold.fence;
    let kind = if linked { "reconnect" } else { "link" };
    let after = after.map(|time| time.as_secs_f64());
    persist(hold, || {
        sqlx::query_file_scalar!("sql/session/lost.sql", session_id, epoch, status.name(), reason, kind, after)
            .fetch_one(&hold.db)
    })
    .await;
}

/// Retries until the change is written or the hold is lost. A change of status that the database refuses as impossible
/// is not retried.
pub(super) async fn persist<F, W>(hold: &Hold, mut write: F)
where
    F: FnMut() -> W,
    W: Future<Output = sqlx::Result<bool>>,
{
    hold.write(|| {
        let written = write();
        async {
            match written.await {
                Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "WA029") => {
                    tracing::error!(%error, "impossible change of status; not written");
                    Ok(true)
                }
                written => written,
            }
        }
    })
    .await;
}
