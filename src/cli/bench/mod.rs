//! `wagres bench`: what this machine and this build can do, each number beside its reference from the same run.
//! `docs/benchmarks.md` says how each is measured.

#[cfg(feature = "sandbox")]
mod auth;
mod cost;
#[cfg(feature = "sandbox")]
mod e2e;
mod engine;
mod figure;
#[cfg(feature = "sandbox")]
mod fleet;
mod history;
mod insert;
mod latency;
mod peers;
mod queue;
#[cfg(feature = "sandbox")]
mod sandbox;
mod server;
#[cfg(feature = "sandbox")]
mod sessions;

use crate::config::Config;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Messages a second through the sandbox, between clients of the bare client library.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Args),
    /// Loading and writing a session's auth state, beside the library's SQLite store and Baileys' files (P7).
    #[cfg(feature = "sandbox")]
    Auth(auth::Args),
    /// Memory a session, start of many, and failover, through the sandbox (P4, P5, P6).
    #[cfg(feature = "sandbox")]
    Sessions(sessions::Args),
    /// From INSERT to acknowledgement and receipts in the row, through the sandbox, beside the bare client library and Baileys
    /// (P3).
    #[cfg(feature = "sandbox")]
    E2e(e2e::Args),
    /// Jobs a second through the worker without WhatsApp, beside other queues on Postgres, and what each job costs (P1, P10).
    Queue(queue::Args),
    /// From INSERT to the start of the handler, beside a bare NOTIFY and other queues on Postgres (P2).
    Latency(latency::Args),
    /// Inserts a second with the wake-up on and off (P9).
    Insert(insert::Args),
    /// Jobs a second with a long history and with none (P8).
    History(history::Args),
}

/// `given` is the URL of the command line alone: the database of an application is no place for a benchmark, so the one
/// that its environment or file names is not taken.
pub(super) async fn run(
    command: BenchCommand,
    config: Config,
    given: Option<String>,
    json: bool,
) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        tracing::warn!("this is a development build; what it measures says little");
    }
    let given = given.as_deref();
    match command {
        #[cfg(feature = "sandbox")]
        BenchCommand::Sandbox(args) => sandbox::run(args, json).await,
        #[cfg(feature = "sandbox")]
        BenchCommand::Auth(args) => auth::run(args, given, json).await,
        #[cfg(feature = "sandbox")]
        BenchCommand::Sessions(args) => sessions::run(args, given, json).await,
        #[cfg(feature = "sandbox")]
        BenchCommand::E2e(args) => e2e::run(args, given, json).await,
        BenchCommand::Queue(args) => queue::run(args, &config, given, json).await,
        BenchCommand::Latency(args) => latency::run(args, &config, given, json).await,
        BenchCommand::Insert(args) => insert::run(args, &config, given, json).await,
        BenchCommand::History(args) => history::run(args, &config, given, json).await,
    }
}
