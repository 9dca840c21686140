//! `wagres-bench pages`: database time of each page of the dashboard, with ten million messages and 10,000 sessions.
//!
//! The rows are made in SQL, without triggers, so the server's user must be a superuser. The pages come over HTTP from a
//! `wagres web` of one connection, and each is asked for by an admin and by operators of a large and of a small tenant. Time
//! is what `pg_stat_statements` has for the statements of the page, planning included. On a busy machine a backend waits for
//! its turn; the time that it had the processor stands beside it, where the server is on this machine. The first load of a
//! page plans its statements; those behind it may use plans that fit any parameters.

mod list;

use super::figure::{self, Better, Figure, median};
use super::server::{self, Database, Server, ServerArgs};
use anyhow::{Context, ensure};
use list::Reader;
use serde_json::Value;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use wagres::config::Secret;
use wagres::db;

/// The limit for a page, in ms.
const LIMIT: f64 = 50.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Messages, of which three tenths are received; ten million need 12 GB of disk, and minutes to write
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(i64).range(10_000..))]
    messages: i64,
    /// Sessions
    #[arg(long, value_name = "S", default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(100..))]
    sessions: i64,
    /// Loads of each page after the first; their median counts
    #[arg(long, value_name = "R", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Database that has these rows already (ecosystem/bench/sql/pages), instead of a new one
    #[arg(long, value_name = "URL")]
    filled: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let pages = if let Some(url) = &args.filled {
        measure(&Database::open(&Secret::new(url)).await?, &args).await?
    } else {
        server::with(&args.server, given, async |server| measure(&fresh(server, &args).await?, &args).await).await?
    };
    if json {
        let figures: Vec<_> = pages.iter().flat_map(Page::figures).collect();
        return figure::print(&figures, true);
    }
    println!("ms of database time; limit {LIMIT} ms\n");
    println!(
        "{:8} {:70} {:>8} {:>9} {:>8} {:>8} {:>8}  met",
        "reader", "page", "first", "processor", "least", "median", "of limit"
    );
    for page in &pages {
        let (first, least, middle) = (page.first, page.least(), page.median());
        let processor = page.processor.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
        println!(
            "{:8} {:70} {first:>8.1} {processor:>9} {least:>8.1} {middle:>8.1} {:>8.2}  {}",
            page.reader,
            page.path,
            middle / LIMIT,
            if middle <= LIMIT { "yes" } else { "no" }
        );
    }
    Ok(())
}

/// What was measured of a page, in ms.
#[derive(Debug)]
struct Page {
    reader: &'static str,
    path: String,
    first: f64,
    others: Vec<f64>,
    /// Of the others, the median of what the backends had the processor.
    processor: Option<f64>,
}

impl Page {
    fn median(&self) -> f64 {
        median(self.others.clone())
    }

    fn least(&self) -> f64 {
        self.others.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn figures(&self) -> Vec<Figure> {
        let name = |what: &str| format!("{} {}{what}", self.reader, self.path);
        let processor = self.processor.map(|time| {
            Figure::new("H2", name(", processor"), time, "ms of the processor").beside("limit", LIMIT, Better::Less)
        });
        let mut figures = vec![
            Figure::new("H2", name(""), self.median(), "ms of the database")
                .beside("limit", LIMIT, Better::Less)
                .budget(1.0),
            Figure::new("H2", name(", first load"), self.first, "ms of the database").beside(
                "limit",
                LIMIT,
                Better::Less,
            ),
        ];
        figures.extend(processor);
        figures
    }
}

/// A new database with the rows.
async fn fresh(server: &Server, args: &Args) -> anyhow::Result<Database> {
    let database = server.database().await?;
    db::migrate::migrate(&database.pool).await?;
    fill(&database, args).await?;
    Ok(database)
}

async fn measure(database: &Database, args: &Args) -> anyhow::Result<Vec<Page>> {
    let web = Web::start(database).await?;
    let mut pages = vec![];
    for reader in list::readers(database).await? {
        for path in reader.pages() {
            let (page, next) = load(database, &web, &reader, path, args.rounds).await?;
            tracing::info!(
                reader = page.reader,
                path = page.path,
                first = page.first,
                median = page.median(),
                "measured"
            );
            pages.push(page);
            if let Some(path) = next {
                pages.push(load(database, &web, &reader, path, args.rounds).await?.0);
            }
        }
    }
    Ok(pages)
}

/// The page, and the one behind it if it is a list that goes on.
async fn load(
    database: &Database,
    web: &Web,
    reader: &Reader,
    path: String,
    rounds: u32,
) -> anyhow::Result<(Page, Option<String>)> {
    let mut times = vec![];
    let mut processor = vec![];
    let mut next = None;
    for _ in 0..=rounds {
        sqlx::query(FORGET).execute(&database.pool).await?;
        let before = on_processor(database).await?;
        let html = web.get(&path, &reader.secret).await?;
        processor.push(on_processor(database).await?.zip(before).map(|(after, before)| after - before));
        let (time, statements): (f64, i64) = sqlx::query_as(COUNTED).fetch_one(&database.pool).await?;
        ensure!(statements > 0, "{path}: no statement was counted");
        times.push(time);
        // Of a chat the pages behind are the older ones.
        let rel = if path.contains("chat=") { "prev" } else { "next" };
        let link = html.split(&format!("rel=\"{rel}\" href=\"")).nth(1).and_then(|rest| rest.split('"').next());
        next = link.map(|link| link.replace("&amp;", "&"));
    }
    let first = times.remove(0);
    let processor = processor.into_iter().skip(1).collect::<Option<Vec<f64>>>().map(median);
    Ok((Page { reader: reader.name, path, first, others: times, processor }, next))
}

/// How many ms the other backends of the database have had the processor; nothing for a server on another machine.
async fn on_processor(database: &Database) -> anyhow::Result<Option<f64>> {
    let backends: Vec<i32> = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    .fetch_all(&database.pool)
    .await?;
    let of = |pid: &i32| -> Option<f64> {
        // Nanoseconds come first.
        let times = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        Some(times.split(' ').next()?.parse::<f64>().ok()? / 1e6)
    };
    Ok(backends.iter().map(of).sum())
}

/// Not checked at compile time, because the extension is no part of the schema.
const FORGET: &str =
    "SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)";
const COUNTED: &str = "SELECT coalesce(sum(total_plan_time + total_exec_time), 0), coalesce(sum(calls), 0)::bigint \
                       FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' \
                       AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Writes the rows, and vacuums as a database that has been running for long.
async fn fill(database: &Database, args: &Args) -> anyhow::Result<()> {
    let counting = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET pg_stat_statements.track_planning = on', current_database()); END $$";
    sqlx::raw_sql(counting).execute(&database.pool).await?;
    sqlx::query(FORGET).execute(&database.pool).await.context(
        "this benchmark reads pg_stat_statements: Debian has it in postgresql, and shared_preload_libraries must name it",
    )?;
    let mut writer = database.pool.acquire().await?;
    let settings = "SELECT set_config('session_replication_role', 'replica', false), set_config('synchronous_commit', 'off', false), \
                    set_config('maintenance_work_mem', '768MB', false), set_config('work_mem', '256MB', false), \
                    set_config('bench.sessions', $1::text, false), set_config('bench.messages', $2::text, false)";
    sqlx::query(settings).bind(args.sessions.to_string()).bind(args.messages.to_string()).execute(&mut *writer).await?;
    for (what, sql) in [
        ("sessions", include_str!("../sql/pages/sessions.sql")),
        ("messages", include_str!("../sql/pages/messages.sql")),
        ("numbers", include_str!("../sql/pages/numbers.sql")),
        ("others", include_str!("../sql/pages/others.sql")),
    ] {
        tracing::info!(what, "writing rows");
        sqlx::raw_sql(sql).execute(&mut *writer).await.with_context(|| format!("writing {what}"))?;
    }
    // The connection keeps no setting of these.
    writer.close().await?;
    database.settle().await?;
    sqlx::raw_sql("CHECKPOINT").execute(&database.pool).await?;
    Ok(())
}

/// The pages as an operator serves them.
struct Web {
    host: String,
    _child: Child,
}

impl Web {
    async fn start(database: &Database) -> anyhow::Result<Self> {
        let mut child = super::wagres()?
            .args([
                "web",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "error",
                "--database-url",
                database.url.expose(),
            ])
            // One, so that each page finds the plans of its loads before.
            .env("WAGRES_WEB__CONNECTIONS", "1")
            .env("WAGRES_WEB__REQUESTS_PER_MINUTE", "1000000")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting wagres web")?;
        let output = child.stdout.take().context("wagres web has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.context("wagres web did not start")?;
        let ready: Value = serde_json::from_str(&line)?;
        let url = ready["web"].as_str().context("wagres web did not print its address")?;
        Ok(Self { host: url.trim_start_matches("http://").to_owned(), _child: child })
    }

    /// The page; of a stream its first event.
    async fn get(&self, path: &str, secret: &str) -> anyhow::Result<String> {
        let host = &self.host;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {secret}\r\nconnection: close\r\n\r\n"
        );
        let mut socket = TcpStream::connect(host).await.context("reaching wagres web")?;
        socket.write_all(request.as_bytes()).await?;
        let mut answer = vec![];
        if path.starts_with("/stream") {
            while !answer.windows(5).any(|part| part == b"data:") {
                ensure!(socket.read_buf(&mut answer).await? > 0, "{path}: the stream ended");
            }
        } else {
            socket.read_to_end(&mut answer).await?;
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer.split(' ').nth(1) == Some("200"), "{path}: {}", answer.lines().next().unwrap_or_default());
        Ok(answer)
    }
}
