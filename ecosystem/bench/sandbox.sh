#!/usr/bin/env bash
# X1: the rate of messages through the sandbox between clients of the bare client library, in a release build, and the
# CPU time of a message in sandbox and clients, beside the encryption alone on the same cores; at the end 2,000
# connected devices. Prints a table for docs/benchmarks.md. Takes about two minutes after the build:
# ecosystem/bench/sandbox.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
. ecosystem/dev/lib.sh
seconds=${1:-8}

SQLX_OFFLINE=true cargo build --release --locked -p wagres-bench
cargo_settled
ulimit -n "$(ulimit -Hn)" # a file descriptor for each socket

field() { sed -n "s/.*$1:\"\{0,1\}\([^,}\"]*\).*/\1/p" <<<"$result"; }
row() {
    result=$(WAGRES_LOG=error "${CARGO_TARGET_DIR:-target}/release/wagres-bench" sandbox --json --seconds "$seconds" "$@")
    printf '| %s | %s | %s | %s | %s | %s | %s | %.0f | %.0f | %.0f %% | %.0f | %s |\n' \
        "$(field '"devices"')" "$(field '"pairs"')" "$(field '"window"')" "$([ "$(field '"phones"')" = true ] && echo on || echo off)" \
        "$(field '"messages_per_second"')" "$(field '"p50"')" "$(field '"p99"')" \
        "$(field '"sandbox":{"cpu_per_message_us"')" "$(field '"clients":{"cpu_per_message_us"')" \
        "$(field '"sandbox_share_of_cpu"' | awk '{ print 100 * $1 }')" \
        "$(field '"sandbox":{[^}]*"memory_per_device_kb"')" "$(field '"ok"')"
}

echo "$(date -u +%F), $(nproc) cores, $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo), load $(cut -d ' ' -f 1 /proc/loadavg)"
echo
echo '| devices | pairs | window | phones | messages/s | p50 ms | p99 ms | sandbox us | clients us | sandbox | KB a device | verdict ok |'
echo '| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |'
row --devices 2 --pairs 1 --window 1
row --devices 2 --pairs 1 --window 1000
row --devices 20 --pairs 10 --window 16
row --devices 20 --pairs 10 --window 1000
row --devices 20 --pairs 10 --phones
row --devices 2000 --pairs 10
echo
echo "2,000 devices linked in $(field '"linking_seconds"') s; the encryption alone: $(field '"crypto_cpu_per_message_us"') us a message"
