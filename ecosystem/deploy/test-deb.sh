#!/usr/bin/env bash
# Tries the Debian package: ecosystem/deploy/test-deb.sh BINARY, with DATABASE_URL of an empty database. Builds the package with
# BINARY, installs it into a copy of this machine's root, runs what its units run, and removes it. The copy is an overlay that
# only this process sees, so the machine stays as it is. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${1:-}" != --inside ]; then
    binary=$(realpath "${1:?usage: ecosystem/deploy/test-deb.sh BINARY}")
    package=$(ecosystem/deploy/deb.sh "$binary")
    work=$(mktemp -d)
    trap 'rmdir "$work"' EXIT
    unshare --mount --propagation private "$0" --inside "$package" "$work"
    exit
fi

package=$2 work=$3
step() { printf 'test-deb: %s\n' "$*" >&2; }
fail() { step "FAILED: $*"; exit 1; }

mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/changes" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/changes" "$work/root"
root=$work/root
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
# The database's socket may be there.
mount --rbind /tmp "$root/tmp"
install "$package" "$root/root/wagres.deb"
# Without the variables of the caller, some of which wagres would take for settings.
clean=(env --ignore-environment "PATH=$PATH" DEBIAN_FRONTEND=noninteractive)
inside() { "${clean[@]}" chroot "$root" "$@"; }
# As the services' user. Not a function, so that what it starts in the background is the program itself.
as_service=(chroot "$root" setpriv --reuid=wagres --regid=wagres --clear-groups)

step "dpkg --install"
inside dpkg --install /root/wagres.deb >&2
inside getent passwd wagres >/dev/null || fail "no user wagres"
[ "$(inside stat -c '%U %G %a' /etc/wagres/wagres.env)" = 'root wagres 640' ] || fail "everybody may read wagres.env"
mapfile -t units < <(inside dpkg --listfiles wagres | grep '\.service$')
[ ${#units[@]} = 2 ] || fail "the units are ${units[*]}"
inside systemd-analyze verify --man=no "${units[@]}"
files=$(inside dpkg --listfiles wagres)
for file in man/man1/wagres.1.gz man/man1/wagres-session-link.1.gz bash-completion/completions/wagres zsh/vendor-completions/_wagres \
    fish/vendor_completions.d/wagres.fish; do
    grep -qx "/usr/share/$file" <<<"$files" || fail "no /usr/share/$file"
done

step "wagres --version, config and migrate"
inside wagres --version >&2
printf 'DATABASE_URL=%s\nWAGRES_HTTP=127.0.0.1:0\n' "$DATABASE_URL" >>"$root/etc/wagres/wagres.env"
settings=(env --ignore-environment PATH=/usr/bin HOME=/var/lib/wagres)
while IFS= read -r line; do settings+=("$line"); done < <(grep -v '^#' "$root/etc/wagres/wagres.env")
"${as_service[@]}" "${settings[@]}" wagres --config /etc/wagres/wagres.toml config | grep -q 'http = "127.0.0.1:0"' ||
    fail "the settings are not those of /etc/wagres"
"${as_service[@]}" "${settings[@]}" wagres --config /etc/wagres/wagres.toml migrate >&2

step "the unit's command: a worker"
read -ra command < <(sed -n 's/^ExecStart=\(.* worker.*\)/\1/p' "${units[@]/#/$root}")
: >"$work/ready"
"${as_service[@]}" "${settings[@]}" "${command[@]}" --json >"$work/ready" 2>"$work/log" &
worker=$!
# The worker may have ended by itself.
trap 'kill "$worker" 2>/dev/null || true' EXIT
for _ in {1..600}; do
    grep -q '"ready":true' "$work/ready" && break
    kill -0 "$worker" 2>/dev/null || { cat "$work/log" >&2; fail "the worker ended"; }
    sleep 0.05
done
http=$(sed -n 's/.*"http":"http:\/\/\([^"]*\)".*/\1/p' "$work/ready")
[ -n "$http" ] || { cat "$work/log" >&2; fail "the worker was not ready within 30 s"; }
inside wagres health --at "$http" >&2
psql -XAtq -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -c "SELECT wa.add_session('shop')" \
    -c "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+15550002', 'Hello')" >/dev/null
[ "$(psql -XAtq -d "$DATABASE_URL" -c "SELECT status FROM wa.outbound")" = queued ] || fail "the message is not queued"
kill -TERM "$worker"
wait "$worker" || fail "the worker ended with exit code $?"
trap - EXIT
[ "$(psql -XAtq -d "$DATABASE_URL" -c "SELECT count(*) FROM wa.worker")" = 0 ] || fail "the worker did not drain"

step "dpkg --remove and --purge"
inside dpkg --remove wagres >&2
[ ! -e "$root/usr/bin/wagres" ] && [ -e "$root/etc/wagres/wagres.toml" ] || fail "removed too much or too little"
inside dpkg --purge wagres >&2
[ ! -e "$root/etc/wagres/wagres.env" ] && [ ! -e "$root/var/lib/wagres" ] || fail "something was left behind"
step "passed"
