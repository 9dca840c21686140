//! What systemd is told about this process (`Type=notify`, `WatchdogSec=`). Without systemd there is nobody to tell, and
//! nothing happens.

use crate::worker::{Phase, Window};
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::time::Duration;

/// The process works.
pub(super) fn ready() {
    send(NotifyState::Ready);
}

/// The process was asked to stop.
pub(super) fn stopping() {
    send(NotifyState::Stopping);
}

/// How long a worker may take to stop beyond `worker.drain_seconds`, as docs/monitoring.md says.
const ENDING: Duration = Duration::from_secs(75);

/// Feeds the watchdog while `is_well`, three times in its limit; for ever.
pub(super) async fn watch(is_well: impl Fn() -> bool) -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        if is_well() {
            send(NotifyState::Watchdog);
        } else {
            tracing::error!("no heartbeat within a lease, and nothing says why; the watchdog is not fed");
        }
        tokio::time::sleep(limit / 3).await;
    }
}

/// Tells what a worker does, and feeds the watchdog while it is well; for ever. A stop takes up to `drain` and some time
/// beyond, for which systemd is asked.
pub(super) async fn tell(window: Window, drain: Duration) -> Infallible {
    let mut phase = window.phase.clone();
    let phases = async {
        loop {
            let now = *phase.borrow_and_update();
            match now {
                Phase::Starting => send(NotifyState::Status("registers again")),
                Phase::Working => send(NotifyState::Status("takes work")),
                Phase::Waiting => send(NotifyState::Status("waits for the database")),
                Phase::Stopping => {
                    stopping();
                    let limit = u32::try_from((drain + ENDING).as_micros()).unwrap_or(u32::MAX);
                    send(NotifyState::ExtendTimeoutUsec(limit));
                    send(NotifyState::Status("finishes what is under way"));
                }
            }
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        never = phases => never,
        never = watch(|| window.is_well()) => never,
    }
}

fn send(state: NotifyState<'_>) {
    // Nobody listens where there is no systemd, and a notice that is lost costs a line of its status.
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd not told");
    }
}
