//! `wagres-bench`: measures wagres on this machine, each figure beside a reference from the same run.
//!
//! A benchmark is a file or folder of its name. `docs/benchmarks.md` describes how each is measured.

mod auth;
mod cost;
mod e2e;
mod engine;
mod figure;
mod fleet;
mod growth;
mod history;
mod insert;
mod latency;
mod pages;
mod peers;
mod queue;
mod sandbox;
mod server;
mod sessions;
mod webhook;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::process::Command;
use wagres::config::{Config, Overrides};

/// Measures wagres beside its references
///
/// A benchmark runs on a private Postgres, or in databases of its own on the server of --database-url, which it drops
/// at the end. docs/benchmarks.md describes each benchmark.
#[derive(Debug, Parser)]
#[command(name = "wagres-bench", version)]
struct Cli {
    /// Configuration file [default: wagres.toml in the working folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "WAGRES_CONFIG")]
    config: Option<PathBuf>,
    /// Postgres server to measure on, instead of a private one
    ///
    /// Environment and configuration file are ignored, because a benchmark must not run in the database of an
    /// application.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Log filter: info, wagres=debug …
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Print JSON, one figure on each line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// X1: messages a second through the sandbox, between clients of the bare client library
    Sandbox(sandbox::Args),
    /// P7: load and write a session's auth state, beside the client library's SQLite store and Baileys' files
    Auth(auth::Args),
    /// P4, P5, P6: memory of a session, start of many sessions, and failover, through the sandbox
    Sessions(sessions::Args),
    /// P3: from the INSERT to ack and receipts in the row, through the sandbox, beside the bare client library and
    /// Baileys
    E2e(e2e::Args),
    /// P1, P10: jobs a second through the worker without WhatsApp, and their cost, beside other queues on Postgres
    Queue(queue::Args),
    /// P2: from the INSERT to the start of the handler, beside a bare NOTIFY and other queues on Postgres
    Latency(latency::Args),
    /// P9: inserts a second with the wake-up on and off
    Insert(insert::Args),
    /// P8: jobs a second with a long history and with none
    History(history::Args),
    /// P11, P12: how cost grows with sessions, workers and rows
    Growth(growth::Args),
    /// H2: database time of each page of the dashboard with ten million messages and 10,000 sessions
    Pages(pages::Args),
    /// H5: deliveries a second to a local receiver, and with a million that wait for a dead one
    Webhook(webhook::Args),
    /// Run the command line of wagres: benchmarks measure processes of this program
    #[command(hide = true, disable_help_flag = true)]
    Wagres {
        /// Arguments of wagres
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli { command: BenchCommand::Wagres { arguments }, .. } => {
            return wagres::cli::main(std::iter::once("wagres".to_owned()).chain(arguments).map(Into::into));
        }
        cli => run(cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wagres-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { config, database_url, log, json, command } = cli;
    let config = Config::load(config.as_deref(), &Overrides { log, ..Overrides::default() })?;
    wagres::telemetry::log::start(&config.log, config.log_format)?;
    if cfg!(debug_assertions) {
        tracing::warn!("development build; its figures are worthless");
    }
    let given = database_url.as_deref();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        match command {
            BenchCommand::Sandbox(args) => sandbox::run(args, json).await,
            BenchCommand::Auth(args) => auth::run(args, given, json).await,
            BenchCommand::Sessions(args) => sessions::run(args, given, json).await,
            BenchCommand::E2e(args) => e2e::run(args, given, json).await,
            BenchCommand::Queue(args) => queue::run(args, &config, given, json).await,
            BenchCommand::Latency(args) => latency::run(args, &config, given, json).await,
            BenchCommand::Insert(args) => insert::run(args, &config, given, json).await,
            BenchCommand::History(args) => history::run(args, &config, given, json).await,
            BenchCommand::Growth(args) => growth::run(args, given, json).await,
            BenchCommand::Pages(args) => pages::run(args, given, json).await,
            BenchCommand::Webhook(args) => webhook::run(args, &config, given, json).await,
            BenchCommand::Wagres { .. } => Ok(()),
        }
    })
}

/// `wagres` as a process of its own, by the hidden subcommand, without this environment's configuration.
fn wagres() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAGRES_") || name == "DATABASE_URL") {
        command.env_remove(name);
    }
    command.arg("wagres");
    Ok(command)
}
