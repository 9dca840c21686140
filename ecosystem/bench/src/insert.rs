//! `wagres-bench insert`: the cost of the wake-up for inserting applications.
//!
//! A worker holds the session and claims the messages without sending them. Clients of `pgbench` insert one row in each
//! transaction, with the doorbell on, off, and replaced by a plain NOTIFY, in turn, because no machine is equally
//! fast for long. While it is off a connection of the benchmark rings every few milliseconds, so that the
//! worker does the same work and only the INSERT differs. The plain NOTIFY is for orientation: it shows the cost that
//! the trigger saves.

#![expect(clippy::disallowed_types, reason = "the trigger in force is part of ALTER TABLE")]

use super::engine::{self, Engine, Lanes};
use super::figure::{self, Better, Figure, median};
use super::server::{self, Database, Server, ServerArgs};
use anyhow::{Context, bail};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use wagres::config::Config;
use wagres::db::{self, cluster};
use wagres::worker::Handler;

const CHATS: u32 = 1000;
/// Least ratio of the rate with the trigger to the rate without.
const BUDGET: f64 = 0.9;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Clients that insert at once, one or several numbers
    #[arg(long, value_name = "C", value_delimiter = ',', default_values_t = [1, 8, 50],
          value_parser = clap::value_parser!(u32).range(1..=150))]
    clients: Vec<u32>,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Measurements of each trigger, in turn; the medians are compared
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    server: ServerArgs,
}

/// Rounds of P9b, of which the first does not count, and INSERTs of each.
const BLOCKS: u32 = 11;
const BLOCK: u32 = 100;
/// Least ratio of a superuser's processor time to that of a member of `wa_app`.
const BUDGET_ROLE: f64 = 1.0 / 1.3;
/// Interval of the benchmark's wake-ups while the trigger is off.
const RING_INTERVAL: Duration = Duration::from_millis(5);

/// The trigger on INSERT.
#[derive(Debug, Clone, Copy)]
enum Bell {
    Ring,
    Off,
    Plain,
}

/// In the insert trigger: whether somebody sleeps.
const LOOK: &str = "FOUND AND EXISTS (SELECT FROM wa.worker WHERE parked)";
const BELLS: [Bell; 3] = [Bell::Ring, Bell::Off, Bell::Plain];

pub(super) async fn run(args: Args, config: &Config, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let pgbench =
        cluster::server_program("pgbench").context("no pgbench found; it comes with the PostgreSQL server")?;
    let figures =
        server::with(&args.server, given, async |server| measure(server, &args, config, &pgbench).await).await?;
    figure::print(&figures, json)
}

async fn measure(server: &Server, args: &Args, config: &Config, pgbench: &Path) -> anyhow::Result<Vec<Figure>> {
    let database = server.database().await?;
    engine::prepare(&database, Lanes { sessions: 1, chats: CHATS }).await?;
    let setup = "CREATE FUNCTION plain_notify() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN PERFORM pg_notify(''wa_work'', ''''); RETURN NULL; END'; \
                 CREATE TRIGGER plain AFTER INSERT ON wa.outbound FOR EACH STATEMENT EXECUTE FUNCTION plain_notify()";
    sqlx::raw_sql(setup).execute(&database.pool).await?;
    let engine = Engine::start(&database, config, Handler::new(|_| std::future::ready(Ok(())))).await?;
    let mut figures = one_row(&database).await?;
    for &clients in &args.clients {
        let mut rates: [Vec<f64>; 3] = Default::default();
        for round in 1..=args.rounds {
            // Each trigger goes first in its turn.
            for turn in 0..BELLS.len() {
                let which = (turn + round as usize) % BELLS.len();
                let bell = BELLS[which];
                set(&database, bell).await?;
                let rate = tokio::select! {
                    rate = inserts(pgbench, &database, clients, args.seconds) => rate?,
                    error = ring(&database), if matches!(bell, Bell::Off) => return Err(error),
                };
                tracing::info!(clients, round, ?bell, rate, "measured");
                rates[which].push(rate);
            }
        }
        let [ring, off, plain] = rates.map(median);
        let name = |what: &str| format!("inserts, {clients} clients, {what}");
        let beside =
            |what, rate| Figure::new("P9", name(what), rate, "inserts/s").beside("no wake-up", off, Better::More);
        figures.push(beside("wake-up on", ring).budget(BUDGET));
        figures.push(beside("plain NOTIFY", plain));
    }
    engine.stop().await?;
    Ok(figures)
}

/// What the server spends on an INSERT of one row by a member of `wa_app`, beside a superuser, for whom no policy counts.
async fn one_row(database: &Database) -> anyhow::Result<Vec<Figure>> {
    let mut superuser = db::options(&database.url, "wagres-bench")?.connect().await?;
    let mut application = engine::application(database).await?;
    let (mut theirs, mut ours) = (vec![], vec![]);
    for _ in 0..BLOCKS {
        for (connection, times) in [(&mut superuser, &mut theirs), (&mut application, &mut ours)] {
            times.push(processor(connection).await?);
        }
    }
    let of = |times: Vec<Option<f64>>| {
        times.into_iter().collect::<Option<Vec<f64>>>().map(|times| median(times[1..].to_vec()))
    };
    let figure =
        |figure| Figure::new("P9b", "INSERT of one row as a member of wa_app", figure, "us of the server's processor");
    Ok(match (of(ours), of(theirs)) {
        (Some(ours), Some(theirs)) => {
            vec![figure(ours).beside("as superuser", theirs, Better::Less).budget(BUDGET_ROLE)]
        }
        _ => vec![figure(f64::NAN).without("as superuser", "the server is on another machine".to_owned())],
    })
}

/// Microseconds that the connection's backend has the processor for each of some INSERTs; nothing for a server on another
/// machine.
async fn processor(connection: &mut PgConnection) -> anyhow::Result<Option<f64>> {
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *connection).await?;
    let so_far = || -> Option<f64> {
        // Nanoseconds come first.
        std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    let before = so_far();
    for _ in 0..BLOCK {
        sqlx::query_file!("sql/insert_to.sql", 1, "15550000000").fetch_one(&mut *connection).await?;
    }
    Ok(so_far().zip(before).map(|(after, before)| (after - before) / 1000.0 / f64::from(BLOCK)))
}

/// Empties the tables, and lets the insert trigger ring, or not look for whom to ring, or only a plain trigger.
async fn set(database: &Database, bell: Bell) -> anyhow::Result<()> {
    let (from, to) = match bell {
        Bell::Ring => ("FOUND AND false", LOOK),
        Bell::Off | Bell::Plain => (LOOK, "FOUND AND false"),
    };
    let plain = if matches!(bell, Bell::Plain) { "ENABLE" } else { "DISABLE" };
    let sql = format!(
        "TRUNCATE wa.outbound, wa.outbound_queue CASCADE; ALTER TABLE wa.outbound {plain} TRIGGER plain; \
         DO $do$ BEGIN \
             EXECUTE replace(pg_get_functiondef('wa.outbound_after_insert()'::regprocedure), '{from}', '{to}'); \
         END $do$"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&database.pool).await?;
    Ok(())
}

/// Rings the doorbell at an interval, until an error.
async fn ring(database: &Database) -> anyhow::Error {
    loop {
        if let Err(error) = sqlx::raw_sql("NOTIFY wa_work").execute(&database.pool).await {
            return error.into();
        }
        tokio::time::sleep(RING_INTERVAL).await;
    }
}

/// Inserts a second.
async fn inserts(pgbench: &Path, database: &Database, clients: u32, seconds: u32) -> anyhow::Result<f64> {
    let script = format!(
        "\\set chat random(0, {})\n\
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('bench1', '+1555' || (1000000 + :chat), 'x');\n",
        CHATS - 1
    );
    let mut child = Command::new(pgbench)
        .args(["-n", "-M", "prepared", "-f", "/dev/stdin", "-j", &clients.min(2).to_string()])
        .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), database.url.expose()])
        .env("PGOPTIONS", format!("-c role={}", engine::APPLICATION))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting pgbench")?;
    let mut stdin = child.stdin.take().context("pgbench has no input")?;
    stdin.write_all(script.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    match rate {
        Some(rate) if output.status.success() => Ok(rate),
        _ => bail!("pgbench: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}
