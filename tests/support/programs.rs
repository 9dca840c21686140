//! Programs that tests need besides Rust and Postgres.

use anyhow::anyhow;

/// The error of a test that needs a program which is not installed.
pub(crate) fn missing(program: &str) -> anyhow::Error {
    anyhow!("{program} is not installed; `make test` installs it")
}
