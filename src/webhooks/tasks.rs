//! The tasks of holders, each known by its fence also when it panics.

use super::settings::Fence;
use std::collections::HashMap;
use tokio::task::{Id, JoinSet};

/// How a task has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself: its lease is free, or another worker's.
    Done(Fence),
    /// It panicked, and what it had under way may not be over.
    Panicked(Fence),
}

/// Running tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Fence>,
    fences: HashMap<Id, Fence>,
}

impl Tasks {
    /// Runs a task that acts under this fence.
    pub fn spawn(&mut self, fence: Fence, task: impl Future<Output = Fence> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.fences.insert(id, fence);
    }

    /// Waits until one has ended; `None` when there is none.
    pub async fn next(&mut self) -> Option<Ended> {
        let ended = self.set.join_next_with_id().await?;
        let (id, panic) = match ended {
            Ok((id, _)) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let fence = self.fences.remove(&id)?;
        Some(match panic {
            None => Ended::Done(fence),
            Some(error) => {
                tracing::error!(webhook = fence.webhook_id, %error, "holder of a webhook panicked");
                Ended::Panicked(fence)
            }
        })
    }

    /// Ends all.
    pub async fn shutdown(&mut self) {
        self.set.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn h5_a_holder_that_panics_is_told_from_those_that_live_on() {
        let fence = |webhook_id| Fence { webhook_id, epoch: 1, worker_id: Uuid::nil() };
        let mut tasks = Tasks::default();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(fence(1), async move {
            let _ = ended.await;
            fence(1)
        });
        tasks.spawn(fence(2), async { panic!("on purpose") });
        assert_eq!(tasks.next().await, Some(Ended::Panicked(fence(2))));
        drop(end);
        assert_eq!((tasks.next().await, tasks.next().await), (Some(Ended::Done(fence(1))), None));
    }
}
