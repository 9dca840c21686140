//! Signals that ask a command to end.

use std::ops::Deref;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, unconstrained};
use tokio_util::sync::CancellationToken;

/// Exit code after SIGINT, and after a second signal of either kind.
pub(super) const INTERRUPTED: i32 = 130;
/// Exit code after SIGTERM.
pub(super) const TERMINATED: i32 = 143;

/// Cancelled by SIGTERM or SIGINT; the second signal ends the process at once. The console runs commands one after the other,
/// so signals are watched only as long as somebody has this.
pub(super) struct Stop {
    token: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Deref for Stop {
    type Target = CancellationToken;

    fn deref(&self) -> &CancellationToken {
        &self.token
    }
}

pub(super) fn stop_signal() -> anyhow::Result<Stop> {
    let mut signals = Signals::watch()?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let task = tokio::spawn(async move {
        loop {
            signals.next().await;
            if cancelled.is_cancelled() {
                std::process::exit(INTERRUPTED);
            }
            cancelled.cancel();
        }
    });
    Ok(Stop { token, task })
}

/// SIGTERM and SIGINT, which end the process no more once somebody has watched them.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub(super) fn watch() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// The exit code of the next signal.
    pub(super) async fn next(&mut self) -> i32 {
        tokio::select! {
            biased;
            _ = self.term.recv() => TERMINATED,
            _ = self.int.recv() => INTERRUPTED,
        }
    }

    /// That of a signal that has been received already. Whoever else watches has seen no signal that this misses.
    pub(super) async fn received(&mut self) -> Option<i32> {
        let next = unconstrained(self.next());
        tokio::select! {
            biased;
            code = next => Some(code),
            () = std::future::ready(()) => None,
        }
    }
}
