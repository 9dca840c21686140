//! A worker in the test's own process.

use super::db::TestDb;
use anyhow::{Result, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wagres::config::{Config, Secret};
use wagres::db::fence::Fence;
use wagres::worker::{Handler, Phase, Window, Worker, WorkerError};

/// Dropping it aborts the worker, as a kill would.
pub(crate) struct InProcessWorker {
    stop: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
    window: Window,
}

impl InProcessWorker {
    /// Starts a worker that polls every 50 ms.
    pub(crate) fn start(db: &TestDb) -> Result<Self> {
        Self::of(db, 50, |worker| worker, |_| {})
    }

    /// The same with another configuration.
    pub(crate) fn with_config(db: &TestDb, change: impl FnOnce(&mut Config)) -> Result<Self> {
        Self::of(db, 50, |worker| worker, change)
    }

    /// Starts a worker that holds every session, gives their messages to `handler` and polls every `poll_ms`.
    pub(crate) async fn with_handler(db: &TestDb, poll_ms: u32, handler: Handler) -> Result<Self> {
        let mut worker = Self::of(db, poll_ms, |worker| worker.with_handler(handler), |_| {})?;
        tokio::select! {
            ended = &mut worker.task => bail!("the worker ended before it took work: {ended:?}"),
            began = worker.window.phase.wait_for(|phase| *phase == Phase::Working) => drop(began?),
        }
        let held: Vec<(i64, i64)> = sqlx::query_as(
            "UPDATE wa.lease SET holder = (SELECT worker_id FROM wa.worker), epoch = epoch + 1 RETURNING session_id, epoch",
        )
        .fetch_all(&db.pool)
        .await?;
        for (session_id, epoch) in held {
            worker.window.ready.insert(Fence { session_id, epoch }, "shop".into());
        }
        Ok(worker)
    }

    fn of(
        db: &TestDb,
        poll_ms: u32,
        change: impl FnOnce(Worker) -> Worker,
        configure: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let mut config = Config {
            database_url: Some(Secret::new(&db.url)),
            whatsapp_url: "ws://127.0.0.1:9/".into(),
            ..Config::default()
        };
        (config.worker.poll_ms, config.worker.connections) = (poll_ms, 4);
        configure(&mut config);
        let (worker, stop) = (change(Worker::new(config)?), CancellationToken::new());
        Ok(Self { window: worker.window(), task: tokio::spawn(worker.run(stop.clone())), stop })
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        Ok((&mut self.task).await??)
    }
}

impl Drop for InProcessWorker {
    fn drop(&mut self) {
        self.task.abort();
    }
}
