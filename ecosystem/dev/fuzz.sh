#!/usr/bin/env bash
# Fuzzes for some seconds each target, or those that are named: fuzz.sh SECONDS [TARGET…]. It begins with the committed
# seeds and what earlier runs have found (fuzz/corpus, not committed). Ends at the first input that does harm, which then
# lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
# The flags are for the nightly compiler; with the first of these the stable one takes them.
export RUSTC_BOOTSTRAP=1 SQLX_OFFLINE=true

seconds=${1:?usage: ecosystem/dev/fuzz.sh SECONDS [TARGET…]}
shift
[ $# -gt 0 ] || set -- $(cargo fuzz list)

# No sanitizer: our code has no unsafe block, and without one twice as much is tried in the same time. Built once and run by
# hand, because `cargo fuzz run` builds much of it again for each target.
cargo fuzz build --sanitizer none
triple=$(rustc -vV | sed -n 's/^host: //p')
for target in "$@"; do
    printf 'fuzz: %s for %s s\n' "$target" "$seconds" >&2
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    "fuzz/target/$triple/release/$target" -artifact_prefix="fuzz/artifacts/$target/" -max_total_time="$seconds" \
        -rss_limit_mb=2048 -print_final_stats=1 "fuzz/corpus/$target" "fuzz/seeds/$target"
done
