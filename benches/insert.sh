#!/usr/bin/env bash
# P9: INSERTs a second into wa.outbound beside an idle worker, with the wake-up trigger on and off, in one run on one
# private server; and, for orientation, with a plain NOTIFY trigger in its place. Ratio: on to off; 1 is free.
# The worker is a development build: what is measured is what it costs the inserters.
# insert.sh [SECONDS] [CLIENTS …]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5}
shift || true
clients=("${@:-8}")

pgbench=$(ls /usr/lib/postgresql/*/bin/pgbench 2>/dev/null | sort -V | tail -n 1)
[ -n "$pgbench" ] || pgbench=$(command -v pgbench) || { echo "insert.sh: no pgbench; it comes with PostgreSQL" >&2; exit 1; }
work=$(mktemp -d)
chmod 755 "$work" # the server runs as another user when this runs as root
trap 'kill "$wagres" 2>/dev/null && wait "$wagres" || true; rm -rf "$work"' EXIT
WAGRES_LOG=error target/debug/wagres up --sandbox --json --http 127.0.0.1:0 --data "$work/data" >"$work/ready" &
wagres=$!
until [ -s "$work/ready" ]; do
    kill -0 "$wagres" || { echo "insert.sh: wagres did not start" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/.*"database_url":"\([^"]*\)".*/\1/p' "$work/ready")
sql() { psql -Xqd "$url" -v ON_ERROR_STOP=1 -c "$1"; }

sql "SELECT wa.add_session('bench')" >/dev/null
sql "CREATE FUNCTION plain_notify() RETURNS trigger LANGUAGE plpgsql AS
     'BEGIN PERFORM pg_notify(''wa_work'', ''''); RETURN NULL; END'"
sql "CREATE TRIGGER plain AFTER INSERT ON wa.outbound FOR EACH STATEMENT EXECUTE FUNCTION plain_notify()"
echo "INSERT INTO wa.outbound (session, recipient, body) VALUES ('bench', '+15550002', 'x');" >"$work/insert.sql"

rate() { # trigger setting, clients
    sql "TRUNCATE wa.outbound; ALTER TABLE wa.outbound DISABLE TRIGGER ring; ALTER TABLE wa.outbound DISABLE TRIGGER plain"
    [ "$1" = off ] || sql "ALTER TABLE wa.outbound ENABLE TRIGGER $1"
    "$pgbench" -n -f "$work/insert.sql" -c "$2" -j 2 -T "$seconds" "$url" 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p'
}

printf '%8s %12s %12s %8s %14s %8s\n' clients 'off (1/s)' 'ring (1/s)' ratio 'notify (1/s)' ratio
for n in "${clients[@]}"; do
    off=$(rate off "$n") ring=$(rate ring "$n") plain=$(rate plain "$n")
    awk -v n="$n" -v o="$off" -v r="$ring" -v p="$plain" \
        'BEGIN { printf "%8d %12d %12d %8.2f %14d %8.2f\n", n, o, r, r / o, p, p / o }'
done
