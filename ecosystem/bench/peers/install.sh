#!/usr/bin/env bash
# Installs the references of `wagres-bench`, in the versions of the lock files here:
#   node/node_modules       graphile-worker and pg-boss, by npm
#   baileys/node_modules    Baileys and its store of files, by npm
#   .installed/venv         procrastinate, by pip
#   .installed/target       apalis-postgres and awa, compiled by cargo (some minutes the first time)
#   .installed/bin          one program for each peer; a peer without one is reported as missing
# Usage: ecosystem/bench/peers/install.sh [node|baileys|python|apalis|awa …]; without arguments all of them. A peer that
# cannot be installed does not stop the others; an installed one is not installed again.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
here=$PWD
bin=$here/.installed/bin

say() { printf 'peers: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1 || { say "no $1; skipping $2"; return 1; }; }
program() { # name, command …
    printf '#!/bin/sh\nexec %s "$@"\n' "${*:2}" >"$bin/$1.new"
    chmod +x "$bin/$1.new"
    mv "$bin/$1.new" "$bin/$1"
    say "installed $1"
}

install_node() {
    have npm "graphile-worker and pg-boss" && have node "graphile-worker and pg-boss" || return
    if [ ! node/node_modules/.package-lock.json -nt node/package-lock.json ]; then
        say "npm ci: graphile-worker and pg-boss into node/node_modules"
        (cd node && npm ci --no-audit --no-fund --loglevel=error >&2) || return
    fi
    program graphile-worker-local-queue node "'$here/node/graphile-worker.mjs'" --local-queue
    program graphile-worker node "'$here/node/graphile-worker.mjs'"
    program pg-boss node "'$here/node/pg-boss.mjs'"
}

install_baileys() {
    have npm Baileys && have node Baileys || return
    if [ ! baileys/node_modules/.package-lock.json -nt baileys/package-lock.json ]; then
        say "npm ci: Baileys into baileys/node_modules"
        (cd baileys && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) || return
    fi
    program baileys-store node "'$here/baileys/store.mjs'"
    program baileys-send node "'$here/baileys/send.mjs'"
}

install_python() {
    have python3 procrastinate || return
    if ! cmp -s python/requirements.txt .installed/venv/requirements.txt; then
        say "pip install: procrastinate into .installed/venv"
        python3 -m venv .installed/venv &&
            .installed/venv/bin/pip install --quiet --disable-pip-version-check -r python/requirements.txt >&2 &&
            cp python/requirements.txt .installed/venv/ || return
    fi
    program procrastinate "'$here/.installed/venv/bin/python'" "'$here/python/procrastinate_peer.py'"
}

install_rust() { # name, folder
    have cargo "$1" || return
    say "cargo build --release: $1 into .installed/target (some minutes the first time)"
    cargo build --quiet --release --locked --manifest-path "$2/Cargo.toml" --target-dir .installed/target >&2 || return
    program "$1" "'$here/.installed/target/release/$2-peer'"
}

install_apalis() { install_rust apalis-postgres apalis; }
install_awa() { install_rust awa awa; }

[ $# -gt 0 ] || set -- node baileys python apalis awa
mkdir -p "$bin"
failed=0
for which in "$@"; do
    case $which in
        node | baileys | python | apalis | awa) "install_$which" || { say "$which: not installed"; failed=1; } ;;
        *) say "$which: unknown; accepted is node, baileys, python, apalis or awa"; exit 2 ;;
    esac
done
exit $failed
