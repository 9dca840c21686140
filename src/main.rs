//! The binary: parses the command line and calls the library.
#![recursion_limit = "512"]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = wagres::cli::Cli::parse();
    match wagres::cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wagres: {error:#}");
            ExitCode::FAILURE
        }
    }
}
