//! Rings the bells of a worker: for notifications of the database, and for sessions that connect.

use crate::jobs::bells::Bells;
use crate::jobs::cron;
use crate::partner;
use crate::session::lease;
use crate::webhooks;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The channel on which work is announced.
pub(super) const CHANNEL: &str = "wa_work";

/// Sessions that connect within this time share one claim.
const MOMENT: Duration = Duration::from_millis(50);

/// Rings the bell for a notification on [`CHANNEL`]; without a notification (the listener has just connected), all
/// bells.
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
        Some(_) => bells.claim.notify_one(),
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
