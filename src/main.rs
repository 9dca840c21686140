//! The binary: calls the library.
#![recursion_limit = "512"]

use std::process::ExitCode;

fn main() -> ExitCode {
    wagres::cli::main(std::env::args_os())
}
