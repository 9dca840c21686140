#!/usr/bin/env bash
# Installs the programs that a make target needs and this machine lacks:
# ecosystem/dev/setup.sh demo|test|soak|fuzz|lint|docs|sqlx
# Prints what it installs, and nothing if no program is missing. Needs Debian or Ubuntu with Rust; apt-get runs as root
# or by sudo.
set -euo pipefail

target=${1:?usage: ecosystem/dev/setup.sh demo|test|soak|fuzz|lint|docs|sqlx}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else die "installing packages needs root or sudo"
    fi
}

updated=
apt_install() {
    have apt-get || die "no apt-get; please install by hand: $*"
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

# Only the programs are needed. The package would also create and start a server; a setting prevents that during the
# installation.
install_postgres() {
    local off=/etc/postgresql-common/createcluster.d/wagres.conf
    as_root mkdir -p "${off%/*}"
    echo 'create_main_cluster = false' | as_root tee "$off" >/dev/null
    apt_install postgresql
    as_root rm -f "$off"
    have_postgres || die "the package postgresql has no initdb"
}

have_pgbouncer() {
    have pgbouncer || [ -x /usr/sbin/pgbouncer ]
}

# install_without_service PACKAGE: the package starts a service of its name, which is stopped again, because the tests need the
# programs alone. Where services cannot be managed (a container has systemctl and no systemd) none was started, so a failure
# there is no error.
install_without_service() {
    apt_install "$1" || return
    ! have systemctl || as_root systemctl disable --now --quiet "$1" >/dev/null 2>&1 || true
}

have_promtool() { have promtool; }
have_systemd() { have systemd-analyze; }

have_node() { have node && have npm; }
have_python() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }
have_php() { have php && php -r 'exit((int) !(extension_loaded("pdo_pgsql") && is_file("/usr/share/php/Illuminate/Database/autoload.php")));'; }
have_go() { have go && [ -d /usr/share/gocode/src/github.com/jackc/pgx ]; }
have_mdbook() { have mdbook; }
have_browser() { have chromium && have chromedriver; }

# for_tests WHAT CHECK INSTALL…: installs a program that only some tests need. A build server must have it; elsewhere
# test.sh leaves those tests out.
for_tests() {
    local what=$1 check=$2
    shift 2
    "$check" && return
    ("$@") && "$check" && return
    [ -z "${CI:-}" ] || die "$what could not be installed, and CI is set, so its tests may not be left out"
    say "$what could not be installed; its tests will be left out"
}

install_cargo_tool() {
    say "installing $1 with cargo install (it is compiled, which takes some minutes)"
    # Away from the repository, so that its settings do not apply. Unoptimised: that compiles in less than half the
    # time, and the tool is hardly slower.
    (cd / && cargo install --locked --quiet --debug "$1")
}

have cargo || die "no cargo on PATH; install Rust from https://rustup.rs"

packages=()
have cc || packages+=(gcc libc6-dev)
have psql || packages+=(postgresql-client)
have curl || packages+=(curl ca-certificates)
have setpriv || packages+=(util-linux)
[ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
[ "$target" = fuzz ] || [ "$target" = docs ] || have_postgres || install_postgres

case $target in
    demo | sqlx) ;;
    test | soak)
        # Without nextest the tests run under cargo test, which is slower and does not stop a hanging test.
        cargo nextest --version >/dev/null 2>&1 || install_cargo_tool cargo-nextest ||
            say "cargo-nextest could not be installed; the tests will run under cargo test"
        # Node.js runs Baileys, an S3 server, receivers of webhooks, PM2 and what checks compose files; Python receivers and what
        # checks the Dockerfile and Kubernetes' manifests; the browser the pages; each language runs its examples.
        for_tests Node.js have_node apt_install nodejs npm
        for_tests Python have_python apt_install python3 python3-venv
        for_tests PHP have_php apt_install php-cli php-pgsql php-illuminate-database
        for_tests Go have_go apt_install golang-go golang-github-jackc-pgx-v4-dev
        for_tests mdbook have_mdbook install_cargo_tool mdbook@0.4.52
        for_tests Chromium have_browser apt_install chromium chromium-driver
        for_tests PgBouncer have_pgbouncer install_without_service pgbouncer
        # Both check files of ecosystem/: promtool alerts and metrics, systemd-analyze the units.
        for_tests promtool have_promtool install_without_service prometheus
        for_tests systemd-analyze have_systemd apt_install systemd
        # Builds the Debian package.
        [ "$target" = test ] || cargo deb --version >/dev/null 2>&1 || install_cargo_tool cargo-deb ||
            die "cargo-deb could not be installed"
        ;;
    docs)
        # npm gets the program that draws diagrams, Python checks the links.
        have_node || apt_install nodejs npm
        have python3 || apt_install python3
        have_mdbook || install_cargo_tool mdbook@0.4.52 || die "mdbook could not be installed"
        ;;
    fuzz)
        # The fuzzer is written in C++.
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
    *) die "unknown target $target; known are demo, test, soak, fuzz, lint, docs, sqlx" ;;
esac
