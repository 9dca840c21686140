#!/usr/bin/env bash
# Fuzzes all targets, or the named ones, for some seconds each: ecosystem/dev/fuzz.sh SECONDS [TARGET…]. Starts with the
# committed seeds and the inputs found by earlier runs (fuzz/corpus, not committed). Ends at the first input that does
# harm, and leaves that input in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. ecosystem/dev/lib.sh
# The fuzzer's flags are for the nightly compiler; with RUSTC_BOOTSTRAP the stable one accepts them.
export RUSTC_BOOTSTRAP=1 SQLX_OFFLINE=true

seconds=${1:?usage: ecosystem/dev/fuzz.sh SECONDS [TARGET…]}
shift
[ $# -gt 0 ] || set -- $(cargo fuzz list)

# No sanitizer: the code has no unsafe block, and without a sanitizer the fuzzer tries twice as many inputs. The targets
# are built once and run directly, because `cargo fuzz run` builds much of the code again for each target.
cargo fuzz build --sanitizer none
CARGO_TARGET_DIR=fuzz/target cargo_settled
triple=$(rustc -vV | sed -n 's/^host: //p')
for target in "$@"; do
    printf 'fuzz: %s for %s s\n' "$target" "$seconds" >&2
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    "fuzz/target/$triple/release/$target" -artifact_prefix="fuzz/artifacts/$target/" -max_total_time="$seconds" \
        -rss_limit_mb=2048 -print_final_stats=1 "fuzz/corpus/$target" "fuzz/seeds/$target"
done
