//! apalis-postgres: fetches and completes in batches of 500. The second write that would mark each job as running is
//! off, as in the library's own tests; fetching has locked the job already. Finished jobs are kept as rows; apalis does
//! not delete them.

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use futures::stream;
use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const PEER: &str = "apalis-postgres";
const BATCH: usize = 500;
/// Jobs at once.
const CONCURRENCY: usize = 24;
/// Pause of the poller after it found no job.
const POLL: Duration = Duration::from_millis(20);
/// Pause before each job of the latency measurement, so that the worker is idle.
const IDLE: Duration = Duration::from_millis(30);
/// Longer than any measurement of latency, so that only NOTIFY wakes the worker.
const NEVER: Duration = Duration::from_secs(3600);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Jobs whose handler ran.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let jobs = arguments.get(1).and_then(|count| count.parse().ok()).filter(|jobs| *jobs > 0);
    let (Some(action), Some(jobs), Ok(url)) = (arguments.first(), jobs, std::env::var("DATABASE_URL")) else {
        return Err(format!("usage: DATABASE_URL=… {PEER} insert|drain|latency JOBS").into());
    };
    let pool = PgPool::connect(&url).await?;
    let figures = match action.as_str() {
        "insert" => insert(&pool, jobs).await?,
        "drain" => drain(&pool, jobs).await?,
        "latency" => latency(&pool, jobs).await?,
        _ => return Err(format!("{action}: unknown; accepted is insert, drain or latency").into()),
    };
    println!(r#"{{"peer":"{PEER}","what":"{action}","jobs":{jobs}{figures}}}"#);
    Ok(())
}

fn storage(pool: &PgPool) -> PostgresStorage<u64> {
    PostgresStorage::new(pool).with_config(Config::default().queue("noop").batch_size(BATCH).lock_tasks(false))
}

async fn insert(pool: &PgPool, jobs: usize) -> Outcome<String> {
    PostgresStorage::setup(pool).await?;
    let mut storage = storage(pool);
    let all: Vec<u64> = (0..jobs as u64).collect();
    for some in all.chunks(5000) {
        let mut tasks = stream::iter(some.iter().map(|i| TaskBuilder::new(*i).build()).collect::<Vec<_>>());
        storage.push_all(&mut tasks).await?;
    }
    Ok(String::new())
}

async fn drain(pool: &PgPool, jobs: usize) -> Outcome<String> {
    async fn noop(_: u64) -> Result<(), BoxDynError> {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    let began = Instant::now();
    let backend = storage(pool).with_pubsub().poll_with_strategy(Strategy::new().interval(POLL));
    let worker = WorkerBuilder::new("drain").backend(backend).concurrency(CONCURRENCY).build(noop);
    let mut worker = spawn(async move { worker.run().await });
    while HANDLED.load(Ordering::Relaxed) < jobs {
        alive(&mut worker, Duration::from_millis(2)).await?;
    }
    while sqlx::query_scalar("SELECT EXISTS (SELECT FROM apalis.jobs WHERE status <> 'Done')").fetch_one(pool).await? {
        alive(&mut worker, Duration::from_millis(2)).await?;
    }
    Ok(format!(r#","seconds":{}"#, began.elapsed().as_secs_f64()))
}

async fn latency(pool: &PgPool, rounds: usize) -> Outcome<String> {
    async fn noop(_: u64, arrived: Data<mpsc::UnboundedSender<Instant>>) -> Result<(), BoxDynError> {
        Ok(arrived.send(Instant::now())?)
    }
    PostgresStorage::setup(pool).await?;
    let mut push = storage(pool);
    let (arrived, mut arrivals) = mpsc::unbounded_channel::<Instant>();
    let backend = storage(pool).with_pubsub().poll_with_interval(NEVER);
    let worker = WorkerBuilder::new("latency").backend(backend).concurrency(CONCURRENCY).data(arrived).build(noop);
    let mut worker = spawn(async move { worker.run().await });
    // A job inserted before the first LISTEN would not wake the worker.
    alive(&mut worker, Duration::from_secs(1)).await?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        alive(&mut worker, IDLE).await?;
        let began = Instant::now();
        push.push(0).await?;
        let arrival = arrivals.recv().await.ok_or("the worker has ended")?;
        times.push((arrival - began).as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(format!(r#","p50_ms":{},"p99_ms":{}"#, at(50), at(99)))
}

fn spawn(run: impl Future<Output = Result<(), WorkerError>> + Send + 'static) -> JoinHandle<Result<(), WorkerError>> {
    tokio::spawn(run)
}

/// Waits for `time`; fails if the worker ends meanwhile.
async fn alive(worker: &mut JoinHandle<Result<(), WorkerError>>, time: Duration) -> Outcome<()> {
    match tokio::time::timeout(time, worker).await {
        Err(_) => Ok(()),
        Ok(ended) => {
            ended??;
            Err("the worker ended".into())
        }
    }
}
