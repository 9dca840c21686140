#!/usr/bin/env bash
# Runs all tests. Arguments go to the test runner: ecosystem/dev/test.sh auth runs the tests with "auth" in their names.
#
# A test whose program (Node.js, Python, PHP, Go, mdbook, Chromium, PgBouncer, promtool, systemd-analyze) is missing fails. Outside
# a build server this script leaves such tests out, and the runner counts them as skipped. With CI set, every test must run.
set -euo pipefail
cd "$(dirname "$0")/../.."
. ecosystem/dev/lib.sh
export SQLX_OFFLINE=true
# Property tests get the same inputs in each run, so that a failure is due to the change; PROPTEST_RNG_SEED=… tries
# others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}
# The error text of a failed test is enough; stack frames of the test runner would hide it.
export RUST_LIB_BACKTRACE=${RUST_LIB_BACKTRACE:-0}

# skip WHAT NAME…: leaves out the tests whose full names contain one of these.
skipped=()
skip() {
    local what=$1 name
    shift
    if [ -n "${CI:-}" ]; then
        echo "test: $what is missing, and CI is set, so its tests may not be left out" >&2
        exit 1
    fi
    echo "test: $what is missing; its tests are left out" >&2
    for name in "$@"; do skipped+=(--skip "$name"); done
}
have() { command -v "$1" >/dev/null 2>&1; }

# Baileys is one of the clients with which most tests of messages talk; tests of a bucket run an S3 server from npm.
have node && have npm ||
    skip Node.js baileys_6 baileys_7 x1_baileys x2_baileys a_real_baileys \
        messages::{events,history,hostile,inward,media_in,media_out,media_sources,outward}:: receivers:: \
        deploy::{pm2,kubernetes}:: deploy::container::h10_the_compose socketio::{limits,linking,pages,processes}:: \
        web::screens::h2_every_screen web::screens::h2_s2_pages_without the_bot_in_node h9_drizzle h9_the_bridge
have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null ||
    skip Python receivers:: deploy::{alerts,kubernetes,metrics}:: deploy::container::h10_{hadolint,the_compose} the_bot_in_python h9_sqlalchemy
have php && php -r 'exit((int) !(extension_loaded("pdo_pgsql") && is_file("/usr/share/php/Illuminate/Database/autoload.php")));' ||
    skip PHP the_bot_in_php h9_eloquent
have go && [ -d /usr/share/gocode/src/github.com/jackc/pgx ] || skip Go the_bot_in_go
have promtool || skip promtool deploy::{alerts,metrics}::
have systemd-analyze || skip systemd-analyze deploy::systemd::h10_systemd_accepts
[ "$(id -u)" = 0 ] || skip 'root (for chroot)' deploy::container::h10_the_image deploy::package::
have chromium && have chromedriver ||
    skip Chromium sandbox::page socketio::pages web::{first_steps,linking,screens}:: the_page_goes_on_by_itself \
        a_page_whose_token_was_revoked_leads_to_the_login a_webhook_is_tested_replayed_rotated_and_disabled_from_its_page
have mdbook && have npm && have python3 || skip mdbook h10_the_book_is_built
have pgbouncer || [ -x /usr/sbin/pgbouncer ] || skip PgBouncer pooler::

# One test compares a build without the sandbox with the build under test; this variable names the former.
cargo build --locked
cargo_settled
target=${CARGO_TARGET_DIR:-target}
install -D "$target/debug/wagres" "$target/plain/wagres"
PLAIN_WAGRES=$(realpath "$target/plain/wagres")
export PLAIN_WAGRES
# The tests' own build adds crates with other features.
trap cargo_settled EXIT

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --features sandbox "$@" -- "${skipped[@]}"
else
    cargo test --locked --workspace --features sandbox --lib --bins --tests "$@" -- "${skipped[@]}"
fi
