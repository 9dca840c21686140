//! The tasks of one life of a worker. Each has a name, and each is joined.

use std::collections::HashMap;
use tokio::task::{Id, JoinError, JoinSet};

/// The tasks of a life. Dropping this aborts those that still run.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a task.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits until all tasks have ended.
    pub(super) async fn join(&mut self) {
        while let Some(ended) = self.set.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Aborts all tasks, and waits for their ends.
    pub(super) async fn abort(&mut self) {
        self.set.abort_all();
        self.join().await;
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        if let Err(error) = ended.map(drop)
            && !error.is_cancelled()
        {
            tracing::error!(task = name, %error, "task panicked");
        }
    }
}
