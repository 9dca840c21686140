#!/usr/bin/env bash
# Installs what a make target needs and this machine lacks: setup.sh demo|test|fuzz|lint|sqlx. Says what it installs; does
# nothing and says nothing when everything is there. Needs Debian (or Ubuntu) with Rust; apt-get runs as root or by sudo.
set -euo pipefail

target=${1:?usage: ecosystem/dev/setup.sh demo|test|fuzz|lint|sqlx}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else die "to install packages run this as root, or install sudo"
    fi
}

updated=
apt_install() {
    have apt-get || die "no apt-get here; please install by hand: $*"
    say "installing $* with apt-get"
    if [ -z "$updated" ]; then
        as_root apt-get -qq update || die "apt-get update failed"
        updated=1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
        die "apt-get could not install $*"
}

have_postgres() {
    have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# Only the programs are wanted. The package would make and start a server of its own; a setting forbids that for the
# time of the installation.
install_postgres() {
    local off=/etc/postgresql-common/createcluster.d/wagres.conf
    as_root mkdir -p "${off%/*}"
    echo 'create_main_cluster = false' | as_root tee "$off" >/dev/null
    apt_install postgresql
    as_root rm -f "$off"
    have_postgres || die "the package postgresql brought no initdb"
}

have_pgbouncer() {
    have pgbouncer || [ -x /usr/sbin/pgbouncer ]
}

# Its service, which the package starts, is not wanted; the tests start their own. Where services cannot be managed (a
# container has systemctl and no systemd) none was started, so that to fail there is no error.
install_pgbouncer() {
    apt_install pgbouncer || return
    ! have systemctl || as_root systemctl disable --now --quiet pgbouncer >/dev/null 2>&1 || true
}

install_cargo_tool() {
    say "installing $1 with cargo install (it is compiled, which takes some minutes)"
    # Away from the repository, so that none of its settings apply to another program. Unoptimised: compiling it takes
    # less than half the time, and running it takes no longer that one would notice.
    (cd / && cargo install --locked --quiet --debug "$1")
}

have cargo || die "no cargo on PATH; install Rust from https://rustup.rs"

packages=()
have cc || packages+=(gcc libc6-dev)
have psql || packages+=(postgresql-client)
have curl || packages+=(curl ca-certificates)
have setpriv || packages+=(util-linux)
[ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
[ "$target" = fuzz ] || have_postgres || install_postgres

case $target in
    demo | sqlx) ;;
    test)
        # Without it the tests run under cargo test, which is slower and does not stop a test that hangs.
        cargo nextest --version >/dev/null 2>&1 || install_cargo_tool cargo-nextest ||
            say "cargo-nextest could not be installed; the tests will run under cargo test"
        # A connection pooler, for the tests of workers behind one.
        have_pgbouncer || (install_pgbouncer) || say "without pgbouncer the tests of workers behind a pooler are skipped"
        # A browser, for the tests of the page that the sandbox serves.
        if ! have chromium || ! have chromedriver; then
            (apt_install chromium chromium-driver) || say "without a browser the tests of the sandbox's page are skipped"
        fi
        ;;
    fuzz)
        # The fuzzer itself is C++.
        have c++ || apt_install g++
        cargo fuzz --version >/dev/null 2>&1 || install_cargo_tool cargo-fuzz || die "cargo-fuzz could not be installed"
        ;;
    lint)
        cargo deny --version >/dev/null 2>&1 || install_cargo_tool cargo-deny ||
            die "cargo-deny could not be installed"
        if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
            have rustup || die "no rustfmt or clippy; install them as your Rust was installed"
            say "adding rustfmt and clippy with rustup"
            rustup component add rustfmt clippy
        fi
        ;;
    *) die "unknown target $target; known are demo, test, fuzz, lint, sqlx" ;;
esac
