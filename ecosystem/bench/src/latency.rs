//! `wagres-bench latency`: from the INSERT of an application to the start of the handler, while the worker is idle.
//!
//! The floor is a bare NOTIFY from one connection to another, in a database of its own. A transaction that only
//! notifies does not wait for the disk, and one that inserts does, so a NOTIFY with an INSERT into a plain table is
//! measured too. All three take turns, one sample each.

use super::engine::{self, Engine, Lanes};
use super::figure::{self, Better, Figure};
use super::peers::{PeerArgs, Peers};
use super::server::{self, Database, Server, ServerArgs};
use anyhow::Context;
use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use wagres::config::Config;
use wagres::db::listener;
use wagres::worker::Handler;

const CHANNEL: &str = "wagres_bench_floor";
/// Pause before each sample, so that the worker is idle; the peers pause too.
const IDLE: Duration = Duration::from_millis(30);
/// Limit for a sample.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Samples that do not count, because connections and plans are new.
const WARM_UP: u64 = 5;
/// Least ratio of the floor's p50 to ours.
const BUDGET_FLOOR: f64 = 0.5;
/// Least ratio of the best peer's p99 to ours.
const BUDGET_PEER: f64 = 1.0;
/// Name and statement of each floor.
const FLOORS: [(&str, &str); 2] = [
    ("NOTIFY round trip", "SELECT pg_notify($1, '')"),
    ("INSERT and NOTIFY round trip", "WITH written AS (INSERT INTO floor DEFAULT VALUES) SELECT pg_notify($1, '')"),
];
const NAMES: [&str; 2] = ["INSERT to handler, p50", "INSERT to handler, p99"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs to insert, one at a time
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    #[command(flatten)]
    peers: PeerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, config: &Config, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let peers = Peers::find(&args.peers)?;
    let figures =
        server::with(&args.server, given, async |server| measure(server, &args, config, &peers).await).await?;
    figure::print(&figures, json)
}

async fn measure(server: &Server, args: &Args, config: &Config, peers: &Peers) -> anyhow::Result<Vec<Figure>> {
    tracing::info!(jobs = args.jobs, "measuring wagres and the floor");
    let (ours, floors) = ours_and_floors(server, args, config).await?;
    let own = |place: usize| Figure::new("P2", NAMES[place], ours[place], "ms");
    let mut figures = vec![];
    for (place, ((name, _), floor)) in FLOORS.iter().zip(floors).enumerate() {
        let p50 = own(0).beside(*name, floor[0], Better::Less);
        // A message is a row, so the floor that counts has one, too.
        figures.push(if place == 1 { p50.budget(BUDGET_FLOOR) } else { p50 });
        figures.push(own(1).beside(*name, floor[1], Better::Less));
    }
    let mut measured = vec![];
    for peer in &peers.installed {
        match peers.latency(peer, server, args.jobs).await {
            Ok((p50, p99)) => measured.push((peer.name, [p50, p99])),
            Err(error) => figures.push(own(0).without(peer.name, format!("{error:#}"))),
        }
    }
    measured.sort_by(|(_, one), (_, other)| one[1].total_cmp(&other[1]));
    for (rank, (name, theirs)) in measured.into_iter().enumerate() {
        figures.push(own(0).beside(name, theirs[0], Better::Less));
        let p99 = own(1).beside(name, theirs[1], Better::Less);
        figures.push(if rank == 0 { p99.budget(BUDGET_PEER) } else { p99 });
    }
    figures.extend(peers.missing("P2", NAMES[0]));
    Ok(figures)
}

/// p50 and p99 in milliseconds, of the worker and of each floor.
async fn ours_and_floors(server: &Server, args: &Args, config: &Config) -> anyhow::Result<([f64; 2], [[f64; 2]; 2])> {
    let database = server.database().await?;
    engine::prepare(&database, Lanes { sessions: 1, chats: 1 }).await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let handler = Handler::new(move |_| {
        // Fails only after the measurement.
        let _ = arrived.send(Instant::now());
        std::future::ready(Ok(()))
    });
    let engine = Engine::start(&database, config, handler).await?;
    let floor_database = server.database().await?;
    let mut floor = Floor::new(&floor_database).await?;
    let mut inserts = engine::application(&database).await?;
    let (mut ours, mut floors) = (vec![], [vec![], vec![]]);
    for sample in 0..WARM_UP + args.jobs {
        for ((_, statement), times) in FLOORS.iter().zip(&mut floors) {
            tokio::time::sleep(IDLE).await;
            let time = floor.sample(statement).await?;
            if sample >= WARM_UP {
                times.push(time);
            }
        }
        tokio::time::sleep(IDLE).await;
        let time = insert(&mut inserts, &mut arrivals).await?;
        if sample >= WARM_UP {
            ours.push(time);
        }
    }
    engine.stop().await?;
    Ok((percentiles(ours), floors.map(percentiles)))
}

async fn insert(connection: &mut PgConnection, arrivals: &mut mpsc::UnboundedReceiver<Instant>) -> anyhow::Result<f64> {
    let began = Instant::now();
    sqlx::query_file!("sql/insert_to.sql", 1, "15550000000").fetch_one(connection).await?;
    let arrival = tokio::time::timeout(TIMEOUT, arrivals.recv()).await.context("the job was not handled in time")?;
    Ok(milliseconds(began, arrival.context("the worker has ended")?))
}

struct Floor {
    notify: sqlx::pool::PoolConnection<sqlx::Postgres>,
    listener: PgListener,
}

impl Floor {
    async fn new(database: &Database) -> anyhow::Result<Self> {
        sqlx::raw_sql("CREATE TABLE floor (at timestamptz DEFAULT now())").execute(&database.pool).await?;
        let listener = listener::connect(&database.url, &[CHANNEL]).await?;
        Ok(Self { notify: database.pool.acquire().await?, listener })
    }

    async fn sample(&mut self, statement: &'static str) -> anyhow::Result<f64> {
        let received = async {
            let received =
                tokio::time::timeout(TIMEOUT, self.listener.recv()).await.context("no notification in time")?;
            received.map(|_| Instant::now()).context("listening")
        };
        let began = Instant::now();
        let notify = sqlx::query(statement).bind(CHANNEL).execute(&mut *self.notify);
        let (notified, received) = tokio::join!(async { notify.await.context("notifying") }, received);
        notified?;
        Ok(milliseconds(began, received?))
    }
}

fn milliseconds(began: Instant, ended: Instant) -> f64 {
    ended.duration_since(began).as_secs_f64() * 1000.0
}

/// p50 and p99.
pub(super) fn percentiles(mut samples: Vec<f64>) -> [f64; 2] {
    samples.sort_by(f64::total_cmp);
    [50, 99].map(|percent| {
        let place = (samples.len().saturating_sub(1) * percent + 50) / 100;
        samples.get(place).copied().unwrap_or(f64::NAN)
    })
}
