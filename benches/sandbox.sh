#!/usr/bin/env bash
# X1: messages a second through the sandbox between clients of the bare client library, in a release build, beside what
# the same cores encrypt and decrypt without any network; then 2,000 connected devices.
# sandbox.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}

SQLX_OFFLINE=true cargo build --release --locked --features sandbox
ulimit -n "$(ulimit -Hn)" # one file for each socket
bench() { WAGRES_LOG=error target/release/wagres bench sandbox --seconds "$seconds" "$@"; echo; }
bench --devices 2 --pairs 1 --window 64
bench --devices 20 --pairs 10
bench --devices 20 --pairs 10 --phones
bench --devices 2000 --pairs 10
