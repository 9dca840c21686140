#!/usr/bin/env bash
# Renews .sqlx, the compiler's data about each SQL statement (parameters, columns, nullability), from a database made by
# migrations/ and sql/schema. With --check it changes nothing and fails if .sqlx is out of date.
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=${1:-write}
case $mode in
    write | --check) ;;
    *) echo "usage: ecosystem/dev/sqlx.sh [--check]" >&2; exit 2 ;;
esac

# The newest packaged server, else the one on PATH, as in src/db/cluster.rs.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] && [ -x "$bin/initdb" ] || bin=$(dirname "$(command -v initdb)")

# Postgres refuses to run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

work=$(mktemp -d)
server=$work/server
data=$work/sqlx
cleanup() {
    (cd / && as_server "$bin/pg_ctl" -D "$server/data" -m immediate -w stop) >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir "$server" "$data"
chmod 755 "$work"
[ "$(id -u)" != 0 ] || chown postgres:postgres "$server"
# A socket in the folder and no port: no collisions, and no access from outside.
(
    cd /
    as_server "$bin/initdb" -D "$server/data" -U wagres -A trust -E UTF8 --locale=C.UTF-8 -N
    as_server "$bin/pg_ctl" -D "$server/data" -l "$server/log" -w -o "-c listen_addresses='' -k $server" start
) >"$work/log" 2>&1 || { cat "$work/log" "$server/log" >&2; exit 1; }
url="postgres://wagres@localhost/postgres?host=$server"
for file in migrations/*.sql sql/schema/*.sql; do
    psql -XqAt -v ON_ERROR_STOP=1 -d "$url" -f "$file" >/dev/null
done

# The macros ask the database only when they are expanded, so the crates must be compiled again.
touch src/lib.rs tests/main.rs ecosystem/bench/src/main.rs
SQLX_OFFLINE=false DATABASE_URL=$url SQLX_OFFLINE_DIR=$data cargo check --locked --workspace --all-targets --features sandbox
count=$(find "$data" -name 'query-*.json' | wc -l)
[ "$count" -gt 0 ] || { echo "sqlx: the compiler wrote no query data" >&2; exit 1; }

if [ "$mode" = write ]; then
    mkdir -p .sqlx
    rm -f .sqlx/query-*.json
    cp "$data"/query-*.json .sqlx/
    echo "sqlx: .sqlx holds $count statements"
elif diff -r .sqlx "$data"; then
    echo "sqlx: .sqlx is up to date, $count statements"
else
    echo "sqlx: .sqlx is out of date; run make sqlx and commit it" >&2
    exit 1
fi
