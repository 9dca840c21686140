//! What is written of a session while it is held: its row in `wa.session`, and the row that makes its next connection.

use super::holder::{Held, SessionError, Shared};
use super::status::Status;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::insist;
use serde_json::Value;
use std::time::Duration;
use wacore_binary::Jid;

/// A QR to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qr<'a> {
    pub(super) text: &'a str,
    pub(super) seconds: f64,
}

/// Writes a status before anybody supervises the session.
pub(super) async fn set_status(pool: &Db, fence: Fence, status: Status) -> Result<(), SessionError> {
    if write_status(pool, fence, status, None, None).await? { Ok(()) } else { Err(SessionError::Stale(fence.epoch)) }
}

pub(super) async fn become_status(pool: &Db, held: &Held, next: Status, reason: Option<&str>, qr: Option<Qr<'_>>) {
    persist(held, || write_status(pool, held.fence, next, reason, qr)).await;
}

async fn write_status(
    pool: &Db,
    fence: Fence,
    status: Status,
    reason: Option<&str>,
    qr: Option<Qr<'_>>,
) -> sqlx::Result<bool> {
    sqlx::query_file_scalar!(
        "sql/session/set_status.sql",
        fence.session_id,
        fence.epoch,
        status.name(),
        reason,
        qr.map(|q| q.text),
        qr.map(|q| q.seconds)
    )
    .fetch_one(pool)
    .await
}

/// It is logged in.
pub(super) async fn connected(pool: &Db, held: &Held) {
    let Fence { session_id, epoch } = held.fence;
    persist(held, || sqlx::query_file_scalar!("sql/session/connected.sql", session_id, epoch).fetch_one(pool)).await;
}

/// Who it is.
pub(super) async fn identify(pool: &Db, held: &Held, pn: &Jid, lid: &Jid) {
    let Fence { session_id, epoch } = held.fence;
    let (phone, jid, lid) = (pn.user.to_string(), pn.to_string(), lid.to_string());
    persist(held, || {
        sqlx::query_file_scalar!("sql/session/set_identity.sql", session_id, epoch, phone, jid, lid).fetch_one(pool)
    })
    .await;
}

/// Shows a pairing code for so long; or none any more, for that reason.
pub(super) async fn show_code(pool: &Db, held: &Held, code: Option<(&str, Duration)>, reason: Option<&str>) {
    let Fence { session_id, epoch } = held.fence;
    let (code, seconds) = code.map(|(code, valid)| (code, valid.as_secs_f64())).unzip();
    persist(held, || {
        sqlx::query_file_scalar!("sql/session/set_code.sql", session_id, epoch, code, seconds, reason).fetch_one(pool)
    })
    .await;
}

/// An event of the session, in `wa.event`.
pub(crate) async fn tell(pool: &Db, held: &Held, kind: &str, data: &Value) {
    let Fence { session_id, epoch } = held.fence;
    persist(held, || sqlx::query_file_scalar!("sql/session/event.sql", session_id, epoch, kind, data).fetch_one(pool))
        .await;
}

/// A connection ended or could not be made: writes that, and the row that makes the next one, `after` that time or a
/// backoff.
pub(super) async fn lost(
    shared: &Shared,
    held: &Held,
    status: Status,
    reason: &str,
    linked: bool,
    after: Option<Duration>,
) {
    let Fence { session_id, epoch } = held.fence;
    let kind = if linked { "reconnect" } else { "link" };
    let after = after.map(|d| d.as_secs_f64());
    persist(held, || {
        sqlx::query_file_scalar!("sql/session/lost.sql", session_id, epoch, status.name(), reason, kind, after)
            .fetch_one(&shared.pool)
    })
    .await;
    shared.wake.notify_one();
}

/// Writes until it is written or the hold is gone; an outage of the database only delays it. What the database refuses as
/// an impossible change of status is not asked again.
pub(super) async fn persist<F, W>(held: &Held, mut write: F)
where
    F: FnMut() -> W,
    W: Future<Output = sqlx::Result<bool>>,
{
    let write = || {
        let written = write();
        async {
            match written.await {
                Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "WA029") => {
                    tracing::error!(session = held.name, %error, "not written");
                    Ok(true)
                }
                written => written,
            }
        }
    };
    match insist(&held.stale, write).await {
        Some(true) => {}
        Some(false) => held.stale.cancel(),
        None => tracing::warn!(session = held.name, "status not written; the hold is lost"),
    }
}
