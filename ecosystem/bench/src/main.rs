//! Measures what this machine and this build can do, each figure beside its reference from the same run.
//! `docs/benchmarks.md` says how each is measured.

mod auth;
mod cost;
mod e2e;
mod engine;
mod figure;
mod fleet;
mod history;
mod insert;
mod latency;
mod peers;
mod queue;
mod sandbox;
mod server;
mod sessions;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::process::Command;
use wagres::config::{Config, Overrides};

/// Measures wagres beside its references. A benchmark runs on a private Postgres, or on databases of its own on the server of
/// --database-url, which it drops in the end.
#[derive(Debug, Parser)]
#[command(name = "wagres-bench", version)]
struct Cli {
    /// Configuration file; else wagres.toml in this folder, when there is one.
    #[arg(long, global = true, value_name = "FILE", env = "WAGRES_CONFIG")]
    config: Option<PathBuf>,
    /// Server to measure on, instead of a private one. The environment and the configuration file do not count: the database
    /// of an application is no place for a benchmark.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// What to log: info, wagres=debug …
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Print JSON, one figure a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Messages a second through the sandbox, between clients of the bare client library.
    Sandbox(sandbox::Args),
    /// Loading and writing a session's auth state, beside the library's SQLite store and Baileys' files (P7).
    Auth(auth::Args),
    /// Memory a session, start of many, and failover, through the sandbox (P4, P5, P6).
    Sessions(sessions::Args),
    /// From INSERT to acknowledgement and receipts in the row, through the sandbox, beside the bare client library and Baileys
    /// (P3).
    E2e(e2e::Args),
    /// Jobs a second through the worker without WhatsApp, beside other queues on Postgres, and what each job costs (P1, P10).
    Queue(queue::Args),
    /// From INSERT to the start of the handler, beside a bare NOTIFY and other queues on Postgres (P2).
    Latency(latency::Args),
    /// Inserts a second with the wake-up on and off (P9).
    Insert(insert::Args),
    /// Jobs a second with a long history and with none (P8).
    History(history::Args),
    /// Run the gateway's own command line: the processes that are measured.
    #[command(hide = true, disable_help_flag = true)]
    Wagres {
        /// What `wagres` takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli { command: BenchCommand::Wagres { arguments }, .. } => {
            let arguments = std::iter::once("wagres".to_owned()).chain(arguments);
            wagres::cli::run(wagres::cli::Cli::parse_from(arguments))
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
        tracing::warn!("development build; its figures say little");
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
            BenchCommand::Wagres { .. } => Ok(()),
        }
    })
}

/// The gateway as a process of its own, with nothing of this environment's configuration.
fn wagres() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAGRES_") || name == "DATABASE_URL") {
        command.env_remove(name);
    }
    command.arg("wagres");
    Ok(command)
}
