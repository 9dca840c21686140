//! How a device is unlinked: on request, by the phone, by WhatsApp, or at a crypto limit (S7, S8).

use super::ending::Ended;
use super::error::SessionError;
use super::leave::Leave;
use super::registry::{Entry, Sessions};
use super::running::Running;
use super::status::Status;
use crate::auth::AuthStore;
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::jobs::connecting::WAITING;
use crate::jobs::in_hand::Hand;
use crate::messages::connection::Connection;
use crate::messages::events;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How long a logout waits for the connection over which it tells WhatsApp.
const LOGIN: Duration = Duration::from_secs(30);

impl Sessions {
    /// Unlinks the device, deletes its auth state and releases the session. A session that is not connected is connected
    /// once, because WhatsApp has to be told; with `force` it is not told. While the job waits for the login, it takes no
    /// place from others.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn logout(
        &self,
        fence: Fence,
        name: &str,
        reason: &str,
        force: bool,
        hand: &Hand,
    ) -> Result<(), SessionError> {
        let entry = self.enter(fence, name).await;
        let hold = &entry.held.hold;
        let linked = crate::auth::session_credentials(&hold.db, fence.session_id).await?.linked;
        let connection = match self.connections().get(fence) {
            None if linked && !force => Some(self.connect_once(&entry, name, hand).await?),
            connection => connection,
        };
        if let Some(running) = entry.running.lock().await.as_ref() {
            running.expect_end();
        }
        let told = connection.is_some() || !linked;
        if let Some(connection) = connection {
            connection.client.logout().await;
        }
        self.disconnect(&entry).await;
        if told {
            return self.forget(&entry, reason).await;
        }
        let reason = format!("{reason}; WhatsApp was not told");
        let advice = "remove the device on the phone: Settings, Linked devices";
        events::write(hold, "auth_deleted", json!({ "reason": reason, "told": false, "advice": advice })).await;
        self.forget(&entry, &reason).await
    }

    /// Connects a session whose device is to be unlinked. If that fails, the session is released, so that any worker may
    /// try again.
    async fn connect_once(&self, entry: &Arc<Entry>, name: &str, hand: &Hand) -> Result<Arc<Connection>, SessionError> {
        let fence = entry.held.hold.fence;
        match self.start(fence, name, false).await {
            Err(error @ SessionError::Build(_)) => {
                self.leave(entry, Leave::stopped(Status::Stopped, &error.to_string())).await?;
                return Err(error);
            }
            started => started?,
        }
        let login = async {
            let _wait = hand.wait(WAITING);
            self.place_freed();
            loop {
                if let Some(connection) = self.connections().get(fence) {
                    return Some(connection);
                }
                if !entry.running.lock().await.as_ref().is_some_and(Running::is_connected) {
                    return None;
                }
                entry.held.changed.notified().await;
            }
        };
        if let Ok(Some(connection)) = tokio::time::timeout(LOGIN, login).await {
            return Ok(connection);
        }
        self.disconnect(entry).await;
        // The end of the connection may have released the session already: WhatsApp has unlinked it.
        if self.get(fence).is_none() {
            return Err(SessionError::Lost(fence.epoch));
        }
        let reason = "the device is not unlinked yet, because the session could not be connected";
        self.leave(entry, Leave::stopped(Status::Stopped, reason)).await?;
        Err(SessionError::NotUnlinked)
    }

    /// Deletes the auth state of a session that is logged out on request, and releases it. Background tasks of its
    /// client may still write, so the deletion happens under a new epoch, which refuses their writes.
    async fn forget(&self, entry: &Entry, reason: &str) -> Result<(), SessionError> {
        let hold = renewed(&entry.held.hold).await?;
        AuthStore::new(hold.clone(), self.settings.vault.clone()).delete_all().await?;
        self.release(entry, &hold, Leave::unlinked(reason)).await
    }

    /// The same for a session that was unlinked without being asked to: the auth state goes to the quarantine. With
    /// `relinks` a new link is queued.
    pub(super) async fn quarantine(&self, entry: &Entry, ended: &Ended, relinks: bool) -> Result<(), SessionError> {
        let (hold, reason) = (renewed(&entry.held.hold).await?, ended.reason());
        AuthStore::new(hold.clone(), self.settings.vault.clone()).quarantine_all(&reason).await?;
        self.release(entry, &hold, Leave { relinks, ..Leave::unlinked(&reason).after(ended) }).await
    }
}

/// The same hold under a new epoch.
pub(super) async fn renewed(hold: &Hold) -> Result<Hold, SessionError> {
    let Fence { session_id, epoch } = hold.fence;
    let renew = || sqlx::query_file_scalar!("sql/session/renew.sql", session_id, epoch).fetch_optional(&hold.db);
    let epoch = hold.ask(renew).await?.ok_or(SessionError::Lost(epoch))?;
    Ok(hold.renewed(epoch))
}
