//! `wagres bench`: what this machine and this build can do, each number beside its reference from the same run.

mod client;
mod crypto;
mod load;
mod process;
mod sandbox;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Messages a second through the sandbox, between clients of the bare client library.
    Sandbox(sandbox::Args),
}

pub(super) async fn run(command: BenchCommand, json: bool) -> anyhow::Result<()> {
    match command {
        BenchCommand::Sandbox(args) => sandbox::run(args, json).await,
    }
}
