#!/usr/bin/env bash
# Shows two messages on their way, with psql and curl only (make demo).
#
#   DEMO_EXIT=1     end after the story; the default if standard input is not a terminal
#   DEMO_BIN=FILE   run this binary (built with the sandbox) instead of building one
#
# Exits 0 after the story, and 1 if a step fails or exceeds its time limit. Leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")/../.."
. ecosystem/dev/lib.sh

# The demo uses its own database and its own settings, not those of this shell.
for name in ${!WAGRES_@} ${!PG@} DATABASE_URL; do unset "$name"; done
export LC_ALL=C.UTF-8 NO_COLOR=1

if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

folder=$PWD/target/demo
log=$folder/wagres.log
data=$folder/data
wagres_pid=''
helpers=()
step='starting'
linked_by_hand=''

chapter() { step=$1; printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
note() { printf '  %s\n' "$*"; }
good() { printf '  %s✓%s %s\n' "$green" "$plain" "$*"; }
show() { sed "/^ *\$/d; s/ *\$//; s/^/    $dim/; s/\$/$plain/"; }

fail() {
    printf '\n%sThe demo failed at: %s%s\n  %s\n' "$red" "$step" "$plain" "$*"
    if [ -s "$log" ]; then
        printf '  The last lines of the log (%s):\n' "${log#"$PWD/"}"
        tail -n 15 "$log" | show
    fi
    exit 1
} >&2

# await SECONDS PROBLEM COMMAND…: repeats the command until it succeeds; when time is up, fails with PROBLEM.
await() {
    local limit=$1 problem=$2 end
    shift 2
    end=$((SECONDS + limit))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "$problem within $limit s"
        kill -0 "$wagres_pid" 2>/dev/null || fail "wagres ended unexpectedly"
        sleep 0.05
    done
}

sql() { PGCONNECT_TIMEOUT=5 psql -XAtq -v ON_ERROR_STOP=1 -d "$database" -c "SET statement_timeout = '10s'" -c "$1"; }
is() { [ "$(sql "$1")" = "$2" ]; }

# phone PATH JSON: a request to the sandbox's phones.
phone() {
    local answer
    answer=$(curl -sS --max-time 30 "$control$1" -d "$2" 2>&1) || fail "the sandbox does not answer: $answer"
    case $answer in *'"error"'*) fail "the sandbox refused $1: $answer" ;; esac
}

field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$folder/ready"; }

# Seconds from $inserted to $1, both in the format of EPOCHREALTIME.
since_insert() {
    local micros=$((${1/[.,]/} - ${inserted/[.,]/}))
    printf '%d.%03d s' $((micros / 1000000)) $((micros / 1000 % 1000))
}

postgres_pid() { head -n 1 "$data/postgres/postmaster.pid" 2>/dev/null || true; }
postgres_runs() {
    local pid
    pid=$(postgres_pid)
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ]
}

clean_up() {
    local code=$? pid
    trap - EXIT
    trap '' INT TERM
    for pid in "${helpers[@]}"; do kill "$pid" 2>/dev/null || true; done
    if [ -n "$wagres_pid" ]; then
        kill -TERM "$wagres_pid" 2>/dev/null || true
        for _ in {1..300}; do
            kill -0 "$wagres_pid" 2>/dev/null || break
            sleep 0.1
        done
        if kill -KILL "$wagres_pid" 2>/dev/null; then
            echo "wagres did not stop within 30 s and was killed." >&2
            [ "$code" != 0 ] || code=1
        fi
        local ended=0
        wait "$wagres_pid" 2>/dev/null || ended=$?
        if [ "$ended" != 0 ] && [ "$code" = 0 ]; then
            echo "wagres ended with exit code $ended; its log is ${log#"$PWD/"}." >&2
            code=1
        fi
        # Still running only if wagres could not stop it.
        if postgres_runs; then kill -INT "$(postgres_pid)" 2>/dev/null || true; fi
        rm -rf "$data"
    fi
    exit "$code"
}

# ---------------------------------------------------------------------------------------------------------------------

echo "${bold}wagres: a message from one session to another, by an INSERT.${plain}"
echo "The sandbox plays WhatsApp on this machine; nothing leaves the machine, and no account is needed."

if [ -n "${DEMO_BIN:-}" ]; then
    binary=$DEMO_BIN
else
    chapter 'Building'
    note 'cargo build --features sandbox (some minutes the first time)'
    SQLX_OFFLINE=true cargo build --locked --quiet --features sandbox || fail 'cargo build failed; see above'
    cargo_settled
    binary=${CARGO_TARGET_DIR:-target}/debug/wagres
fi
[ -x "$binary" ] || fail "there is no program at $binary"

chapter 'Starting'
mkdir -p "$folder"
# As root the server runs as user postgres, who may have no access to the folder of this repository.
if [ "$(id -u)" = 0 ] && ! setpriv --reuid=postgres --regid=postgres --init-groups test -x "$folder" 2>/dev/null; then
    data=$(mktemp -d /tmp/wagres-demo.XXXXXX)
    chmod 755 "$data"
fi
if postgres_runs; then
    fail "a demo is already running here, or left its Postgres behind; stop that Postgres first: kill -INT $(postgres_pid)"
fi
rm -rf "$data/postgres" "$data/sandbox.json" "$data/sandbox.json.media"
: >"$log"
: >"$folder/wagres.toml"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
started=$SECONDS
# In a process group of its own, so that Ctrl-C reaches only this script, which then stops wagres in order.
setsid "$binary" up --sandbox --json --config "$folder/wagres.toml" --data "$data" --http 127.0.0.1:0 \
    >"$folder/ready" 2>"$log" </dev/null &
wagres_pid=$!
note 'wagres up --sandbox'
await 60 'Postgres did not start' test -s "$data/postgres/postmaster.pid"
good 'a private Postgres has started'
await 60 'wagres was not ready' grep -q '"ready":true' "$folder/ready"
database=$(field database_url) control=$(field sandbox_control) whatsapp=$(field sandbox)
[ -n "$database" ] && [ -n "$control" ] || fail "the line printed when ready lacks an address: $(cat "$folder/ready")"
good "the schema wa is migrated and the worker is ready, $((SECONDS - started)) s after the start"
note "Postgres   $database"
note "WhatsApp   $whatsapp (the sandbox)"
note "phones     $control"
note "dashboard  $(field web_login)   (signs one browser in, once)"

# A psql that listens from here on. psql prints notifications after each command, so it gets empty ones; each line is
# kept with its time of arrival.
notifications=$folder/notifications
: >"$notifications"
(
    echo 'LISTEN wa_status; LISTEN wa_inbound; SELECT 1;'
    while sleep 0.02; do echo 'SELECT WHERE false;'; done
) 2>/dev/null | psql -XAtq -d "$database" 2>/dev/null | while IFS= read -r line; do
    printf '%s %s\n' "$EPOCHREALTIME" "$line"
done >"$notifications" &
helpers+=($!)
await 10 'psql did not listen' test -s "$notifications"

chapter 'Two sessions'
for name in shop cafe; do
    sql "SELECT wa.add_session('$name')" >/dev/null || fail "the session $name could not be added"
    note "SELECT wa.add_session('$name');"
done
is "SELECT count(*) FROM wa.session WHERE name IN ('shop', 'cafe')" 2 || fail 'the sessions are not in wa.session'
good 'both are in wa.session'

# scan NAME NUMBER: the phone with this number scans the session's current QR code.
has_qr() { qr=$(sql "SELECT qr FROM wa.session WHERE name = '$1' AND qr IS NOT NULL") && [ -n "$qr" ]; }
scan() {
    phone /phones "{\"number\":\"$2\"}"
    await 20 "no QR code appeared in wa.session for $1" has_qr "$1"
    phone "/phones/$2/scan" "{\"qr\":\"$qr\"}"
    await 20 "the session $1 did not become connected" is "SELECT status FROM wa.session WHERE name = '$1'" connected
    good "the phone +$2 scanned the code; $1 is $(sql "SELECT status || ' as +' || phone FROM wa.session WHERE name = '$1'")"
}

chapter 'Linking by QR'
note 'wagres session link shop'
DATABASE_URL=$database "$binary" --config "$folder/wagres.toml" session link shop >"$folder/link" 2>>"$log" </dev/null &
linked_by_hand=$!
helpers+=("$linked_by_hand")
await 20 'no QR code was drawn' grep -q 'scan it' "$folder/link"
sed -n '1,/scan it/p' "$folder/link"
scan shop 15550001
wait "$linked_by_hand" || fail "wagres session link ended with an error: $(tail -n 1 "$folder/link")"
note "SELECT wa.link('cafe');   -- the same in SQL; the QR code's text is in wa.session.qr"
sql "SELECT wa.link('cafe')" >/dev/null || fail 'wa.link was refused'
scan cafe 15550002

chapter 'A message, by INSERT'
insert="INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+15550002', 'Hello from a row')"
note "$insert;"
inserted=$EPOCHREALTIME
id=$(sql "$insert RETURNING id") || fail 'the INSERT was refused'
good "the row has id $id; wa_status announces that it changed, and the row has its status"
await 30 'the message was not read' is "SELECT status FROM wa.outbound WHERE id = $id" read
# A notification carries ids alone, because everybody who may connect to the database can listen.
announced() { lines=$(grep "\"wa_status\" with payload .*\"ids\" *: *\[[^]]*\b$id\b" "$notifications"); }
await 10 'nothing was announced on wa_status' announced
note 'announced on wa_status, timed from before the INSERT:'
while IFS= read -r line; do
    printf '    %-10s %s\n' "$(since_insert "${line%% *}")" "$(sed 's/.*with payload "\(.*\)" received.*/\1/' <<<"$line")"
done <<<"$lines"
good 'the row in wa.outbound is read'

chapter 'The same message, on the other side'
message=$(sql "SELECT message_id FROM wa.outbound WHERE id = $id")
await 20 'the message did not arrive in wa.inbox of cafe' \
    is "SELECT count(*) FROM wa.inbox WHERE session = 'cafe' AND message_id = '$message' AND body = 'Hello from a row'" 1
note "SELECT session, chat, kind, body, received_at FROM wa.inbox WHERE session = 'cafe';"
psql -Xq -P footer=off -d "$database" -c \
    "SELECT session, chat, kind, body, received_at FROM wa.inbox WHERE session = 'cafe' AND message_id = '$message'" | show
# inbound_announced ID: the row of wa.inbox with this id was announced.
inbound_announced() { line=$(grep -m 1 "\"wa_inbound\" with payload .*\"id\" *: *$1\b" "$notifications"); }
arrived=$(sql "SELECT id FROM wa.inbox WHERE session = 'cafe' AND message_id = '$message'")
await 10 'nothing was announced on wa_inbound' inbound_announced "$arrived"
note "announced on wa_inbound after $(since_insert "${line%% *}"):"
printf '%s\n' "${line#* }" | show
good 'one message, encrypted end to end between the two sessions'

chapter 'A text from a person'
note 'the owner of the phone +15550002 writes "Is the shop open?" to +15550001'
inserted=$EPOCHREALTIME
phone /phones/15550002/send '{"to":"15550001","text":"Is the shop open?"}'
await 20 'the text did not arrive in wa.inbox of shop' \
    is "SELECT count(*) FROM wa.inbox WHERE session = 'shop' AND body = 'Is the shop open?' AND NOT from_me" 1
arrived=$(sql "SELECT id FROM wa.inbox WHERE session = 'shop' AND body = 'Is the shop open?'")
psql -Xq -P footer=off -d "$database" -c \
    "SELECT session, chat, kind, body, received_at FROM wa.inbox WHERE session = 'shop' AND id = $arrived" | show
await 10 'nothing was announced on wa_inbound' inbound_announced "$arrived"
good "the text is in wa.inbox of shop; announced on wa_inbound after $(since_insert "${line%% *}")"

if [ -n "${DEMO_EXIT:-}" ] || [ ! -t 0 ]; then
    step='stopping'
    printf '\n%sThat is the story.%s Stopping wagres, its Postgres and the sandbox.\n' "$bold" "$plain"
    exit 0
fi

cat <<END

${bold}That is the story.${plain} Everything keeps running; look around in another terminal:

  psql '$database'

and paste into it:

  LISTEN wa_inbound; LISTEN wa_status;
  INSERT INTO wa.outbound (session, recipient, body) VALUES ('cafe', '+15550001', 'Yes, until six');
  SELECT wa.send_text('shop', '+15550002', 'And a second one');
  SELECT id, session, recipient, body, status FROM wa.outbound ORDER BY id;
  SELECT id, session, chat, body, received_at FROM wa.inbox ORDER BY id;
  SELECT name, status, phone FROM wa.session;
  INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', 'nobody', 'This is refused');
  SELECT wa.close('shop', 'enough for today');

Write as the owner of a phone:

  curl -s $control/phones/15550002/send -d '{"to":"15550001","text":"Hello"}'

The log is ${log#"$PWD/"}. Ctrl-C stops everything.
END
step='running'
trap 'echo; echo "Stopping wagres, its Postgres and the sandbox."; exit 0' INT TERM
wait "$wagres_pid" || true
fail 'wagres ended unexpectedly'
