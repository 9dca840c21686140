//! Our side of the comparisons: a production worker, except for its handling of a claimed message.
//!
//! Dispatcher, apalis workers, progress writer, heartbeat, listener and fence are the real ones. Sessions have no
//! connection: the benchmark gives their leases to the worker and marks them as connected.

use super::server::Database;
use anyhow::{Context, bail};
use sqlx::{ConnectOptions as _, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wagres::config::Config;
use wagres::db::{self, fence::Fence};
use wagres::jobs::OutboundJob;
use wagres::worker::{Handler, Phase, Worker, WorkerError};

/// Limit for a drain.
const TIMEOUT: Duration = Duration::from_mins(20);

/// The sessions and chats of a benchmark's jobs.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Lanes {
    /// Sessions that the worker holds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) sessions: u32,
    /// Chats of each session; messages of one chat are sent one after another
    #[arg(long, value_name = "C", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) chats: u32,
}

/// Migrates the schema and adds the sessions.
pub(super) async fn prepare(database: &Database, lanes: Lanes) -> anyhow::Result<()> {
    db::migrate::migrate(&database.pool).await?;
    sqlx::query_file!("sql/add_sessions.sql", i64::from(lanes.sessions)).fetch_all(&database.pool).await?;
    Ok(())
}

/// The role with which an application's connection works: a member of `wa_app` that sees the sessions' tenant.
pub(super) const APPLICATION: &str = "wagres_bench_app";

/// A connection of an application.
pub(super) async fn application(database: &Database) -> anyhow::Result<PgConnection> {
    sqlx::raw_sql(
        "DO $$ BEGIN CREATE ROLE wagres_bench_app IN ROLE wa_app; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         SELECT wa.grant_tenant('wagres_bench_app', 'default')",
    )
    .execute(&database.pool)
    .await
    .context("making the application's role")?;
    let options = db::options(&database.url, "wagres-bench application")?;
    Ok(options.options([("role", APPLICATION)]).connect().await?)
}

/// The last jobs of the table: their first id and their number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jobs {
    pub(super) first: i64,
    count: u64,
}

/// Inserts messages in one statement, spread over all lanes.
pub(super) async fn insert(database: &Database, lanes: Lanes, count: u64) -> anyhow::Result<Jobs> {
    let (jobs, sessions, chats) = (i64::try_from(count)?, i64::from(lanes.sessions), i64::from(lanes.chats));
    let first = sqlx::query_file_scalar!("sql/insert.sql", jobs, sessions, chats);
    Ok(Jobs { first: first.fetch_one(&mut application(database).await?).await?, count })
}

/// A running worker.
pub(super) struct Engine {
    stop: CancellationToken,
    running: JoinHandle<Result<(), WorkerError>>,
}

impl Engine {
    /// Starts a worker that holds every session and gives each message to `handler`.
    pub(super) async fn start(database: &Database, config: &Config, handler: Handler) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.database_url = Some(database.url.clone());
        // Every build accepts this address, and no session connects.
        config.whatsapp_url = "ws://127.0.0.1:9/".into();
        let worker = Worker::new(config)?.with_handler(handler);
        let mut window = worker.window();
        let stop = CancellationToken::new();
        let mut running = tokio::spawn(worker.run(stop.clone()));
        tokio::select! {
            ended = &mut running => {
                ended??;
                bail!("the worker ended before it was ready");
            }
            began = window.phase.wait_for(|phase| *phase == Phase::Working) => drop(began),
        }
        let held = sqlx::query_file!("sql/hold.sql").fetch_all(&database.pool).await?;
        sqlx::query_file!("sql/open.sql").execute(&database.pool).await?;
        for row in held {
            let fence = Fence { session_id: row.session_id, epoch: row.epoch };
            window.ready.insert(fence, row.session_id.to_string().into());
        }
        // As an INSERT does, so that the worker claims the jobs inserted before.
        sqlx::raw_sql("NOTIFY wa_work").execute(&database.pool).await?;
        Ok(Self { stop, running })
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await.context("the worker")??;
        Ok(())
    }
}

/// Jobs a second from the start of a worker until it has handled all `jobs` and recorded the last.
pub(super) async fn drain(database: &Database, config: &Config, jobs: Jobs) -> anyhow::Result<f64> {
    let began = Instant::now();
    let countdown = Arc::new(Countdown { handled: AtomicU64::new(0), jobs: jobs.count, over: Notify::new() });
    let counted = Arc::clone(&countdown);
    let handle = move |_: OutboundJob| {
        if counted.handled.fetch_add(1, Ordering::Relaxed) + 1 == counted.jobs {
            counted.over.notify_one();
        }
        std::future::ready(Ok(()))
    };
    let engine = Engine::start(database, config, Handler::new(handle)).await?;
    let over = async {
        countdown.over.notified().await;
        while sqlx::query_file_scalar!("sql/unfinished.sql", jobs.first).fetch_one(&database.pool).await? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(began.elapsed().as_secs_f64())
    };
    let seconds = tokio::time::timeout(TIMEOUT, over).await.map_err(|_| {
        let handled = countdown.handled.load(Ordering::Relaxed);
        anyhow::anyhow!("only {handled} of {} jobs handled in {TIMEOUT:?}", jobs.count)
    })??;
    engine.stop().await?;
    Ok(count(jobs.count) / seconds)
}

/// A number of jobs as a float.
#[expect(clippy::cast_precision_loss, reason = "nothing counted here comes near 2^52")]
pub(super) fn count(jobs: u64) -> f64 {
    jobs as f64
}

struct Countdown {
    handled: AtomicU64,
    jobs: u64,
    over: Notify,
}
