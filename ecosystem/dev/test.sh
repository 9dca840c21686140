#!/usr/bin/env bash
# Runs all tests. Arguments go to the test runner: ecosystem/dev/test.sh auth runs the tests with "auth" in their name.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SQLX_OFFLINE=true
# Properties are tried with the same inputs each time, so that a red run is about the change; PROPTEST_RNG_SEED=… tries others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}
# What failed tests say is in their words; the frames of the test runner would bury it.
export RUST_LIB_BACKTRACE=${RUST_LIB_BACKTRACE:-0}

# One test compares a build without the sandbox with the one under test, and finds it by this variable.
cargo build --locked
install -D target/debug/wagres target/plain/wagres
export PLAIN_WAGRES=$PWD/target/plain/wagres

command -v node >/dev/null 2>&1 || echo 'No Node.js here: the tests with a real Baileys client will be skipped.'
command -v chromedriver >/dev/null 2>&1 || echo 'No Chromium here: the tests of the page will be skipped.'
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --features sandbox "$@"
else
    cargo test --locked --workspace --features sandbox --lib --bins --tests "$@"
fi
