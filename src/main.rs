//! The binary: parses the command line and calls the library.
#![recursion_limit = "512"]

use clap::Parser;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = wagres::cli::Cli::parse();
    match wagres::cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever reads this may have gone, too.
            let _ = writeln!(std::io::stderr(), "wagres: {}", wagres::cli::error_text(&error));
            ExitCode::FAILURE
        }
    }
}
