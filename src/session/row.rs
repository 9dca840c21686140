//! The rows of a held session: its row in `wa.session`, and the job that makes its next connection.

use super::ending::Ended;
use super::error::SessionError;
use super::held::Held;
use super::status::Status;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::storable::Storable;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use wacore_binary::Jid;

/// A QR code to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qr<'a> {
    pub(super) text: &'a str,
    pub(super) seconds: f64,
}

/// Writes a status before a supervisor runs.
pub(super) async fn set_status(held: &Held, status: Status, reason: Option<&str>) -> Result<(), SessionError> {
    let written = write_status(held, status, reason, None).await?;
    if written { Ok(()) } else { Err(SessionError::Lost(held.hold.fence.epoch)) }
}

pub(super) async fn change_status(held: &Held, next: Status, reason: Option<&str>, qr: Option<Qr<'_>>) {
    persist(&held.hold, || write_status(held, next, reason, qr)).await;
}

async fn write_status(held: &Held, status: Status, reason: Option<&str>, qr: Option<Qr<'_>>) -> sqlx::Result<bool> {
    held.set_status(status);
    let fence = held.hold.fence;
    let (reason, qr_text) = (reason.map(Storable::error), qr.map(|qr| Storable::text(qr.text)));
    sqlx::query_file_scalar!(
        "sql/session/set_status.sql",
        fence.session_id,
        fence.epoch,
        status.name(),
        reason.as_ref().map(Storable::as_str),
        qr_text.as_ref().map(Storable::as_str),
        qr.map(|qr| qr.seconds)
    )
    .fetch_one(&held.hold.db)
    .await
}

/// What the row of a session says when the session has logged in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// How many connections in a row failed before.
    pub(super) failures: i32,
    /// WhatsApp limited the account when it was last asked.
    pub(super) limited: bool,
}

/// The session is logged in.
pub(super) async fn connected(held: &Held) -> Before {
    held.set_status(Status::Connected);
    let (Fence { session_id, epoch }, db) = (held.hold.fence, &held.hold.db);
    let found = Mutex::new(Before::default());
    let before = &found;
    persist(&held.hold, || async move {
        let row = sqlx::query_file!("sql/session/connected.sql", session_id, epoch).fetch_one(db).await?;
        *before.lock().unwrap_or_else(PoisonError::into_inner) =
            Before { failures: row.failures, limited: row.limited };
        Ok(row.held)
    })
    .await;
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The connection has proven itself: the failures before it no longer count.
pub(super) async fn steady(hold: &Hold) {
    let Fence { session_id, epoch } = hold.fence;
    persist(hold, || sqlx::query_file_scalar!("sql/session/steady.sql", session_id, epoch).fetch_one(&hold.db)).await;
}

/// Sets the state that a scheduled job wants, now that it runs.
pub(super) async fn set_wish(hold: &Hold, job: i64) -> Result<(), SessionError> {
    let Fence { session_id, epoch } = hold.fence;
    let set = sqlx::query_file!("sql/session/wish.sql", session_id, epoch, job).fetch_optional(&hold.db);
    // Once: nothing else is done yet, and the job comes again.
    set.await?.map(drop).ok_or(SessionError::Lost(epoch))
}

/// Writes the account of the session.
pub(super) async fn identify(held: &Held, pn: &Jid, lid: &Jid) {
    held.set_phone_known(true);
    let (Fence { session_id, epoch }, db) = (held.hold.fence, &held.hold.db);
    let [phone, jid, lid] = [&*pn.user, &pn.to_string(), &lid.to_string()].map(Storable::id);
    persist(&held.hold, || {
        let (phone, jid, lid) = (phone.as_str(), jid.as_str(), lid.as_str());
        sqlx::query_file_scalar!("sql/session/set_identity.sql", session_id, epoch, phone, jid, lid).fetch_one(db)
    })
    .await;
}

/// Shows a pairing code for some time, or hides it for `reason`.
pub(super) async fn show_code(hold: &Hold, code: Option<(&str, Duration)>, reason: Option<&str>) {
    let Fence { session_id, epoch } = hold.fence;
    let (code, seconds) = code.map(|(code, valid)| (Storable::id(code), valid.as_secs_f64())).unzip();
    let reason = reason.map(Storable::error);
    persist(hold, || {
        let (code, reason) = (code.as_ref().map(Storable::as_str), reason.as_ref().map(Storable::as_str));
        sqlx::query_file_scalar!("sql/session/set_code.sql", session_id, epoch, code, seconds, reason)
            .fetch_one(&hold.db)
    })
    .await;
}

/// A connection ended or could not be made: writes the status and the event, and the job that makes the next connection,
/// after this time or a backoff.
pub(super) async fn lost(held: &Held, ended: &Ended, status: Status, after: Option<Duration>) {
    persist(&held.hold, || write_lost(held, ended, status, after)).await;
}

/// The same, once. Returns whether the epoch still holds.
pub(super) async fn write_lost(
    held: &Held,
    ended: &Ended,
    status: Status,
    after: Option<Duration>,
) -> sqlx::Result<bool> {
    held.set_status(status);
    let Fence { session_id, epoch } = held.hold.fence;
    let kind = if ended.linked { "reconnect" } else { "link" };
    let (reason, shown) = (Storable::error(&ended.reason()), ended.why.shown());
    let after = after.map(|time| time.as_secs_f64());
    sqlx::query_file_scalar!(
        "sql/session/lost.sql",
        session_id,
        epoch,
        status.name(),
        reason.as_str(),
        kind,
        after,
        shown.name,
        ended.code,
        shown.advice
    )
    .fetch_one(&held.hold.db)
    .await
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
