#!/usr/bin/env bash
# Builds the Debian package: ecosystem/deploy/deb.sh [BINARY]. Without BINARY it compiles a release without the sandbox. Prints
# the path of the package, in the folder debian/ of the target folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SQLX_OFFLINE=true CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}

options=(--no-build)
if [ $# = 0 ]; then
    cargo build --locked --release >&2
    options+=(--no-strip) # the profile strips it
else
    # In a target folder of its own, as if it had been compiled there.
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/deb
    install -D "$1" "$CARGO_TARGET_DIR/release/wagres"
    options+=(--fast) # a development build is large
fi
# The shells' folders have names of their own for the same script.
binary=$CARGO_TARGET_DIR/release/wagres share=$CARGO_TARGET_DIR/release/share
rm -rf "$share"
mkdir -p "$share"
"$binary" man "$share/man" >&2
gzip -9n "$share"/man/*.1
"$binary" completions bash >"$share/wagres"
"$binary" completions zsh >"$share/_wagres"
"$binary" completions fish >"$share/wagres.fish"
cargo deb --quiet --locked "${options[@]}" >&2
ls -t "$CARGO_TARGET_DIR"/debian/wagres_*.deb | head -n 1
