//! A worker in the test's own process.

use super::db::TestDb;
use anyhow::{Result, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wagres::config::{Config, Secret};
use wagres::db::fence::Fence;
use wagres::worker::{Handler, Phase, Window, Worker, WorkerError};

/// Dropped, it stops where it is, as if killed.
pub(crate) struct Working {
    stop: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
    window: Window,
}

impl Working {
    /// One that polls often.
    pub(crate) fn start(db: &TestDb) -> Result<Self> {
        Self::of(db, 50, |worker| worker)
    }

    /// One that holds every session, gives their messages to `handler`, and looks for work by itself that seldom.
    pub(crate) async fn with_handler(db: &TestDb, poll_ms: u32, handler: Handler) -> Result<Self> {
        let mut working = Self::of(db, poll_ms, |worker| worker.with_handler(handler))?;
        tokio::select! {
            ended = &mut working.task => bail!("the worker ended before it began: {ended:?}"),
            began = working.window.phase.wait_for(|phase| *phase == Phase::Working) => drop(began?),
        }
        let held: Vec<(i64, i64)> = sqlx::query_as(
            "UPDATE wa.lease SET holder = (SELECT worker_id FROM wa.worker), epoch = epoch + 1 RETURNING session_id, epoch",
        )
        .fetch_all(&db.pool)
        .await?;
        for (session_id, epoch) in held {
            working.window.ready.insert(Fence { session_id, epoch }, "shop".into());
        }
        Ok(working)
    }

    fn of(db: &TestDb, poll_ms: u32, change: impl FnOnce(Worker) -> Worker) -> Result<Self> {
        let mut config = Config {
            database_url: Some(Secret::new(&db.url)),
            whatsapp_url: "ws://127.0.0.1:9/".into(),
            ..Config::default()
        };
        (config.worker.poll_ms, config.worker.connections) = (poll_ms, 4);
        let (worker, stop) = (change(Worker::new(config)?), CancellationToken::new());
        Ok(Self { window: worker.window(), task: tokio::spawn(worker.run(stop.clone())), stop })
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        Ok((&mut self.task).await??)
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.task.abort();
    }
}
