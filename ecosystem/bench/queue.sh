#!/usr/bin/env bash
# The job engine beside its references, in a release build: P1 and P10 (queue), P2 (latency), P9 (insert), P8 (history); the auth
# state: P7 (auth); and messages from INSERT to receipt: P3 (e2e).
# queue.sh [queue|latency|insert|history|auth|e2e …]; without arguments all of them. ecosystem/bench/peers/install.sh installs the references.
# JSON=1 prints a line of JSON for each figure.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- queue latency insert history auth e2e

SQLX_OFFLINE=true cargo build --release --locked -p wagres-bench
for which in "$@"; do
    WAGRES_LOG=${WAGRES_LOG:-warn,sqlx=error,wagres_bench=info} target/release/wagres-bench "$which" ${JSON:+--json}
    [ -n "${JSON:-}" ] || echo
done
