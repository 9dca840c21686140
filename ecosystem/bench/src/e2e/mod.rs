//! `wagres-bench e2e`: from the INSERT of a message to the server's ack and the recipient's receipt in its row,
//! end-to-end encrypted, through the sandbox (P3), beside the bare client library and Baileys with its store of files.
//!
//! All three send the same messages through the same sandbox to the same simulated phones, which decrypt each message
//! and confirm its delivery. Sandbox, worker, Postgres, bare clients and Baileys share the cores of this machine, and
//! one of the three sides works at a time. Each sender has exchanged a message with each chat before the clock starts.

mod bare;

use super::engine::{self, Lanes};
use super::figure::{self, Better, Figure, median};
use super::fleet::{self, SETTLING, Worker, connected, link, until};
use super::latency::percentiles;
use super::sandbox::process::Process;
use super::server::{self, Database, ServerArgs};
use anyhow::{Context, ensure};
use bare::Clients;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use wagres::db;
use wagres::telemetry::Usage;

/// P3: least ratio to the bare library's rate, and to Baileys'.
const TO_BARE: f64 = 0.4;
const TO_BAILEYS: f64 = 25.0;
/// Least ratio of a single message's p50 to Baileys'.
const TO_BAILEYS_P50: f64 = 0.5;
/// Length of the worker's lease.
const LEASE_SECONDS: u32 = 15;
/// The first number of Baileys' phones.
const BAILEYS: u64 = 15_580_000_000;
/// Intervals of the queries for one ack, and for all receipts.
const POLL_ONE: Duration = Duration::from_millis(1);
const POLL_ALL: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sessions that send at the same time, one or several sizes
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 10, 100],
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    sessions: Vec<u32>,
    /// Messages of one measurement
    #[arg(long, value_name = "M", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Chats of each session; messages of one chat are sent one after another
    #[arg(long, value_name = "C", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    chats: u32,
    /// Messages that are sent one at a time, for the latency
    #[arg(long, value_name = "M", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Measurements of each rate; the figure is their median
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Messages that Baileys, which is slower, sends
    #[arg(long, value_name = "M", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    baileys_messages: u64,
    /// Program of ecosystem/bench/peers/install.sh that sends with Baileys
    #[arg(long, value_name = "FILE", default_value = "ecosystem/bench/peers/.installed/bin/baileys-send")]
    baileys: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// The messages of one size.
#[derive(Debug, Clone, Copy)]
struct Load {
    sessions: u32,
    chats: u32,
    messages: u64,
    samples: u32,
}

impl Load {
    /// The recipients' numbers.
    fn chats(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.chats).map(fleet::chat)
    }

    /// A sender and a chat for each message of the latency.
    fn samples<'a, T>(&self, senders: &'a [T]) -> impl Iterator<Item = (&'a T, String)> + use<'a, T> {
        let chats = self.chats;
        (0..self.samples).zip(senders.iter().cycle()).map(move |(place, sender)| (sender, fleet::chat(place % chats)))
    }
}

/// A rate, and the CPU time of the sender's process for each message.
#[derive(Debug, Clone, Copy)]
struct Measured {
    per_second: f64,
    cpu_us: f64,
}

impl Measured {
    fn new(messages: u64, time: Duration, before: Usage, after: Usage) -> Self {
        let messages = engine::count(messages);
        let cpu = after.processor.saturating_sub(before.processor).as_secs_f64();
        Self { per_second: messages / time.as_secs_f64(), cpu_us: 1e6 * cpu / messages }
    }
}

/// The figures of one side at one size.
struct Side {
    per_second: f64,
    cpu_us: f64,
    /// p50 and p99, in milliseconds.
    latency: [f64; 2],
}

impl Side {
    fn new(rounds: &[Measured], latencies: Vec<f64>) -> Self {
        let middle = |of: fn(&Measured) -> f64| median(rounds.iter().map(of).collect());
        Self { per_second: middle(|it| it.per_second), cpu_us: middle(|it| it.cpu_us), latency: percentiles(latencies) }
    }
}

pub(super) async fn run(args: Args, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let figures = server::with(&args.server, given, async |server| {
        let mut figures = vec![];
        for sessions in &args.sessions {
            let Args { chats, messages, samples, .. } = args;
            let load = Load { sessions: *sessions, chats, messages, samples };
            figures.extend(measure(&server.database().await?, &args, load).await?);
        }
        Ok(figures)
    })
    .await?;
    figure::print(&figures, json)
}

async fn measure(database: &Database, args: &Args, load: Load) -> anyhow::Result<Vec<Figure>> {
    tracing::info!(sessions = load.sessions, "linking");
    db::migrate::migrate(&database.pool).await?;
    let sandbox = Process::start().await?;
    for chat in load.chats() {
        sandbox.post("/phones", json!({ "number": chat })).await?;
        sandbox.post(&format!("/phones/{chat}/pace"), json!({ "read": "never", "delivered_ms": 0 })).await?;
    }
    let worker = Worker::start(database, &sandbox, LEASE_SECONDS).await?;
    link(database, &sandbox, 0..load.sessions).await?;
    connected(database, load.sessions, Duration::ZERO).await?;
    introduce(database, &sandbox, &load).await?;
    let clients = Clients::start(&sandbox, &load).await?;
    tokio::time::sleep(SETTLING).await;

    tracing::info!(sessions = load.sessions, "measuring");
    let (mut own, mut bare) = (vec![], vec![]);
    for _ in 0..args.rounds {
        database.settle().await?;
        own.push(rate(database, &worker, &load).await?);
        bare.push(clients.rate(&load).await?);
    }
    let own = Side::new(&own, latencies(database, &load).await?);
    let bare = Side::new(&bare, clients.latencies(&load).await?);
    drop(clients);
    worker.stop().await?;
    let baileys = baileys(args, &sandbox, &load).await;
    sandbox.stop().await;

    let sessions = if load.sessions == 1 { "1 session".to_owned() } else { format!("{} sessions", load.sessions) };
    let rate = || Figure::new("P3", format!("messages/s, {sessions}"), own.per_second, "messages/s");
    let cpu = Figure::new("P3", format!("CPU of a message, {sessions}"), own.cpu_us, "us");
    let names = ["p50", "p99"].map(|part| format!("INSERT to ack, {part}, {sessions}"));
    let latency = |at: usize| Figure::new("P3", &*names[at], own.latency[at], "ms");
    let mut figures = vec![rate().beside("bare library", bare.per_second, Better::More).budget(TO_BARE)];
    figures.push(match &baileys {
        Ok(baileys) => rate().beside("Baileys", baileys.per_second, Better::More).budget(TO_BAILEYS),
        Err(error) => rate().without("Baileys", format!("{error:#}")),
    });
    figures.push(cpu.beside("bare library", bare.cpu_us, Better::Less));
    for at in 0..names.len() {
        figures.push(latency(at).beside("bare library", bare.latency[at], Better::Less));
        if let Ok(baileys) = &baileys {
            let beside = latency(at).beside("Baileys", baileys.latency[at], Better::Less);
            figures.push(if at == 0 { beside.budget(TO_BAILEYS_P50) } else { beside });
        }
    }
    Ok(figures)
}

/// Inserts messages for all lanes in one statement and returns the first id.
async fn insert(database: &Database, load: &Load, messages: u64) -> anyhow::Result<i64> {
    let lanes = Lanes { sessions: load.sessions, chats: load.chats };
    Ok(engine::insert(database, lanes, messages).await?.first)
}

/// Lets each session exchange a message with each chat.
async fn introduce(database: &Database, sandbox: &Process, load: &Load) -> anyhow::Result<()> {
    let lanes = u64::from(load.sessions) * u64::from(load.chats);
    let first = insert(database, load, lanes).await?;
    delivered(database, first).await?;
    for session in 0..load.sessions {
        answer(sandbox, load, &fleet::own(session)).await?;
    }
    let lanes = i64::try_from(lanes)?;
    until("the answers have come", async || {
        Ok(sqlx::query_file_scalar!("sql/answers.sql").fetch_one(&database.pool).await? >= lanes)
    })
    .await?;
    Ok(())
}

/// Every chat answers this number.
async fn answer(sandbox: &Process, load: &Load, number: &str) -> anyhow::Result<()> {
    for chat in load.chats() {
        sandbox.post(&format!("/phones/{chat}/send"), json!({ "to": number, "text": "Hi" })).await?;
    }
    Ok(())
}

/// Waits until every message from id `first` on is acknowledged and delivered in its row.
async fn delivered(database: &Database, first: i64) -> anyhow::Result<Instant> {
    let wait = async |deadline: Instant| {
        loop {
            // A small index answers this query, so it comes first.
            if !sqlx::query_file_scalar!("sql/unfinished.sql", first).fetch_one(&database.pool).await? {
                let row = sqlx::query_file!("sql/delivered.sql", first).fetch_one(&database.pool).await?;
                ensure!(row.failed == 0, "{} messages failed", row.failed);
                if row.open == 0 {
                    return Ok(Instant::now());
                }
            }
            ensure!(Instant::now() < deadline, "not all messages were delivered in {:?}", fleet::TIMEOUT);
            tokio::time::sleep(POLL_ALL).await;
        }
    };
    wait(Instant::now() + fleet::TIMEOUT).await
}

/// The rate from the INSERT to the last receipt in a row.
async fn rate(database: &Database, worker: &Worker, load: &Load) -> anyhow::Result<Measured> {
    let (before, start) = (worker.usage()?, Instant::now());
    let first = insert(database, load, load.messages).await?;
    let end = delivered(database, first).await?;
    Ok(Measured::new(load.messages, end - start, before, worker.usage()?))
}

/// Milliseconds from the call of the INSERT until a query finds the ack in the row, one message at a time.
async fn latencies(database: &Database, load: &Load) -> anyhow::Result<Vec<f64>> {
    let sessions: Vec<i64> = (1..=i64::from(load.sessions)).collect();
    let (mut application, mut connection) = (engine::application(database).await?, database.pool.acquire().await?);
    let mut times = vec![];
    for (session, chat) in load.samples(&sessions) {
        let start = Instant::now();
        let id = sqlx::query_file_scalar!("sql/insert_to.sql", session, chat).fetch_one(&mut application).await?;
        while sqlx::query_file_scalar!("sql/unfinished.sql", id).fetch_one(&mut *connection).await? {
            tokio::time::sleep(POLL_ONE).await;
        }
        times.push(milliseconds(start));
        while sqlx::query_file!("sql/delivered.sql", id).fetch_one(&mut *connection).await?.open > 0 {
            ensure!(start.elapsed() < fleet::TIMEOUT, "a message was not delivered");
            tokio::time::sleep(POLL_ONE).await;
        }
    }
    Ok(times)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Links as many devices with Baileys and sends its messages, in a process of its own.
async fn baileys(args: &Args, sandbox: &Process, load: &Load) -> anyhow::Result<Side> {
    let program = std::path::absolute(&args.baileys).context("--baileys")?;
    ensure!(program.exists(), "not installed: ecosystem/bench/peers/install.sh baileys");
    let numbers: Vec<String> = (0..u64::from(load.sessions)).map(|number| (BAILEYS + number).to_string()).collect();
    tracing::info!(sessions = load.sessions, "measuring Baileys");
    let task = json!({
        "sandbox": sandbox.ws, "control": sandbox.control, "numbers": numbers, "chats": load.chats().collect::<Vec<_>>(),
        "messages": args.baileys_messages, "samples": load.samples, "folder": args.server.folder(),
    });
    let called = Command::new(program)
        .arg(task.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(fleet::TIMEOUT, called).await.context("Baileys did not end in time")??;
    ensure!(output.status.success(), "Baileys: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(text.trim()).with_context(|| format!("Baileys printed {text:?}"))?;
    let number =
        |field: &str| report[field].as_f64().filter(|it| *it > 0.0).with_context(|| format!("no {field} in {report}"));
    Ok(Side {
        per_second: number("per_second")?,
        cpu_us: number("cpu_us")?,
        latency: [number("p50_ms")?, number("p99_ms")?],
    })
}
