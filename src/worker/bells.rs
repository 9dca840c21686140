//! Rings the bells of a worker: for notifications of the database, and for sessions that connect.

use crate::jobs::bells::Bells;
use crate::jobs::cron;
use crate::partner;
use crate::session::lease;
use crate::webhooks;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The channels on which work is announced: to all workers, and to this one.
pub(super) fn channels(worker_id: Uuid) -> Vec<String> {
    vec!["wa_work".to_owned(), format!("wa_work_{worker_id}")]
}

/// Sessions that connect within this time share one claim.
const MOMENT: Duration = Duration::from_millis(50);

/// Rings the bell for a notification on [`channels`]: a number is the session of new messages. Without a notification (the
/// listener has just connected) it rings all bells.
pub(super) fn ring(bells: Bells) -> impl Fn(Option<&str>) + Send + Sync + 'static {
    move |payload| match payload {
        Some(cron::CHANGED) => bells.cron.notify_one(),
        Some(lease::FREED) => {
            bells.reconcile.notify_one();
            bells.webhook_settings.notify_one();
        }
        Some(webhooks::FED) => bells.webhooks.notify_one(),
        Some(webhooks::CHANGED) => bells.webhook_settings.notify_one(),
        Some(partner::ASKED) => bells.partner.notify_one(),
        Some(payload) => match payload.parse() {
            Ok(session_id) => bells.messages.ring(session_id),
            Err(_) => bells.claim.notify_one(),
        },
        None => bells.ring_all(),
    }
}

/// Rings for a claim when sessions connect, once for all that connect within a moment.
pub(super) async fn gather(bells: Bells, ended: CancellationToken) {
    while ended.run_until_cancelled(bells.connected.notified()).await.is_some() {
        bells.claim.notify_one();
        tokio::time::sleep(MOMENT).await;
    }
}
