//! awa, on its queue storage with receipts, its default engine. Jobs are copied into four partitions, the lever that its
//! documentation names first for a hot queue; a worker claims and completes up to 512 of a partition at once, and has
//! as many permits, because a claim takes no more jobs than there are permits. No deadlines: those would cost a row for
//! each claim; jobs of a worker that died are rescued without them. The latency is measured on one small queue.
//! Finished jobs stay until awa's ring of partitions comes round and truncates them, at the earliest after some seconds.

use awa::model::insert::params_with;
use awa::{
    Client, InsertOpts, JobArgs, JobError, JobResult, PartitionedQueue, QueueConfig, QueueStorage, QueueStorageConfig,
    insert_with, migrations,
};
use serde::{Deserialize, Serialize};
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::sleep;

const PEER: &str = "awa";
const QUEUE: &str = "noop";
const PARTITIONS: usize = 4;
/// Jobs of a partition that are claimed at once, and its permits.
const BATCH: u32 = 512;
/// Jobs at once in the latency measurement, where one queue suffices.
const CONCURRENCY: u32 = 24;
/// Pause between looks at whether all is done.
const LOOK: Duration = Duration::from_millis(2);
/// Pause before each job of the latency measurement, so that the worker is idle.
const IDLE: Duration = Duration::from_millis(30);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Serialize, Deserialize, JobArgs)]
struct Noop {
    number: usize,
}

/// Jobs whose handler ran.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// Jobs recorded as completed: in batches, as rows, or in partitions that are truncated already. awa's own exact count
/// says the same but takes half a second.
const COMPLETED: &str = "\
    SELECT ((SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
          + (SELECT count(*) FROM awa.done_entries WHERE state = 'completed')
          + (SELECT coalesce(sum(pruned_completed_count), 0) FROM awa.queue_terminal_rollups))::bigint";

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let jobs = arguments.get(1).and_then(|count| count.parse().ok()).filter(|jobs| *jobs > 0);
    let (Some(action), Some(jobs), Ok(url)) = (arguments.first(), jobs, std::env::var("DATABASE_URL")) else {
        return Err(format!("usage: DATABASE_URL=… {PEER} insert|drain|latency JOBS").into());
    };
    let figures = match action.as_str() {
        "insert" => insert(&url, jobs).await?,
        "drain" => drain(&url, jobs).await?,
        "latency" => latency(&url, jobs).await?,
        _ => return Err(format!("{action}: unknown; accepted is insert, drain or latency").into()),
    };
    println!(r#"{{"peer":"{PEER}","what":"{action}","jobs":{jobs}{figures}}}"#);
    Ok(())
}

/// A pool of the size that awa's documentation recommends for so many queues.
async fn connect(url: &str, queues: usize) -> Outcome<PgPool> {
    let connections = u32::try_from(queues * 4 + 20)?;
    Ok(PgPoolOptions::new().max_connections(connections).connect(url).await?)
}

async fn set_up(pool: &PgPool) -> Outcome<QueueStorage> {
    migrations::run(pool).await?;
    let storage = QueueStorage::new(QueueStorageConfig::default())?;
    storage.install(pool).await?;
    Ok(storage)
}

fn queue_config(permits: u32) -> QueueConfig {
    QueueConfig {
        max_workers: permits,
        claim_batch_size: permits as usize,
        deadline_duration: Duration::ZERO,
        ..QueueConfig::default()
    }
}

async fn insert(url: &str, jobs: usize) -> Outcome<String> {
    let pool = connect(url, PARTITIONS).await?;
    let storage = set_up(&pool).await?;
    let queue = PartitionedQueue::new(QUEUE, PARTITIONS)?;
    let all: Vec<usize> = (0..jobs).collect();
    for some in all.chunks(5000) {
        let routed = |number: &usize| {
            params_with(&Noop { number: *number }, queue.route_opts_by_index(InsertOpts::default(), *number))
        };
        storage.enqueue_params_copy(&pool, &some.iter().map(routed).collect::<Result<Vec<_>, _>>()?).await?;
    }
    Ok(String::new())
}

async fn drain(url: &str, jobs: usize) -> Outcome<String> {
    let began = Instant::now();
    let pool = connect(url, PARTITIONS).await?;
    let client = Client::builder(pool.clone())
        .partitioned_queue(&PartitionedQueue::new(QUEUE, PARTITIONS)?, queue_config(BATCH))
        .register::<Noop, _, _>(|_, _| async {
            HANDLED.fetch_add(1, Ordering::Relaxed);
            Ok(JobResult::Completed)
        })
        .build()?;
    client.start().await?;
    while HANDLED.load(Ordering::Relaxed) < jobs {
        sleep(LOOK).await;
    }
    while sqlx::query_scalar::<_, i64>(COMPLETED).fetch_one(&pool).await? < i64::try_from(jobs)? {
        sleep(LOOK).await;
    }
    Ok(format!(r#","seconds":{}"#, began.elapsed().as_secs_f64()))
}

async fn latency(url: &str, rounds: usize) -> Outcome<String> {
    let pool = connect(url, 1).await?;
    set_up(&pool).await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel::<Instant>();
    let client = Client::builder(pool)
        .queue(QUEUE, queue_config(CONCURRENCY))
        .register::<Noop, _, _>(move |_, _| {
            let sent = arrived.send(Instant::now());
            async move { sent.map(|()| JobResult::Completed).map_err(JobError::retryable) }
        })
        .build()?;
    client.start().await?;
    // A job inserted before the first LISTEN would not wake the worker.
    sleep(Duration::from_secs(1)).await;
    let mut connection = PgConnection::connect(url).await?;
    let mut times = Vec::with_capacity(rounds);
    for number in 0..rounds {
        sleep(IDLE).await;
        let began = Instant::now();
        let options = InsertOpts { queue: QUEUE.to_owned(), ..InsertOpts::default() };
        insert_with(&mut connection, &Noop { number }, options).await?;
        let arrival = arrivals.recv().await.ok_or("the worker has ended")?;
        times.push((arrival - began).as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(format!(r#","p50_ms":{},"p99_ms":{}"#, at(50), at(99)))
}
