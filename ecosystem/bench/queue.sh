#!/usr/bin/env bash
# Runs benchmarks in a release build, all or the named ones:
# ecosystem/bench/queue.sh [queue|latency|insert|history|auth|e2e|webhook …]
# The job engine beside its references: P1 and P10 (queue), P2 (latency), P9 (insert), P8 (history); the auth state: P7
# (auth); messages from INSERT to receipt: P3 (e2e); webhooks: H5 (webhook); pages of the dashboard with ten million messages: H2 (pages, if named). ecosystem/bench/peers/install.sh installs the references. JSON=1
# prints a line of JSON for each figure.
set -euo pipefail
cd "$(dirname "$0")/../.."
. ecosystem/dev/lib.sh
[ $# -gt 0 ] || set -- queue latency insert history auth e2e webhook

SQLX_OFFLINE=true cargo build --release --locked -p wagres-bench
cargo_settled
for which in "$@"; do
    WAGRES_LOG=${WAGRES_LOG:-warn,sqlx=error,wagres_bench=info} "${CARGO_TARGET_DIR:-target}/release/wagres-bench" "$which" ${JSON:+--json}
    [ -n "${JSON:-}" ] || echo
done
