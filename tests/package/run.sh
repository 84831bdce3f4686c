#!/bin/bash
# The Debian packages, on a throw-away copy of the machine's root, and the static
# binary alone in an empty root. As root; make package-test calls it.
#
#   tests/package/run.sh FOLDER STATIC      last line: "N passed, N failed"
#
# FOLDER has the packages. The copy is an overlay in memory, and its mounts end
# with their namespace.
set -uo pipefail

folder=$(realpath "$1")
static=$(realpath "$2")
here=$(realpath "$(dirname "$0")")

if [ "$(id -u)" -ne 0 ]; then
    echo 'skipped: package-test: root is needed'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi

if [ "${3:-}" != inside ]; then
    exec unshare --mount --net --pid --fork "$here/run.sh" "$folder" "$static" \
        inside
fi

stage=$(mktemp -d)
mount -t tmpfs tmpfs "$stage"
trap 'cd /; umount -l "$stage"; rmdir "$stage"' EXIT
mkdir "$stage"/{upper,work,root,empty,deb}
root=$stage/root
passed=0
failed=0

# check WHAT COMMAND...
check() {
    local what=$1
    shift
    if "$@" >"$stage/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok - $what"
    else
        failed=$((failed + 1))
        echo "not ok - $what"
        sed 's/^/    /' "$stage/log"
    fi
}

lacks() {
    ! grep -q "$@"
}

# inside COMMAND...: in the copy
inside() {
    chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"
}

there() {
    (cd "$root" && ls -d "$@")
}

# none PATTERN...: no such file is in the copy
none() {
    local pattern
    for pattern in "$@"; do
        if compgen -G "$root/$pattern"; then
            return 1
        fi
    done
}

ip link set lo up

# ---- the packages ----

if command -v lintian >/dev/null; then
    check 'lintian has nothing against them' lintian --allow-root \
        --fail-on error,warning "$folder"/*.deb
    lintian --allow-root "$folder"/*.deb >"$stage/words" 2>&1
    check 'and no word at all' test ! -s "$stage/words"
else
    echo 'skipped: lintian: it is not installed'
fi
check 'the binary is stripped' lacks 'debug_info' \
    <(dpkg-deb --fsys-tarfile "$folder"/evproxy_*.deb |
        tar xO ./usr/sbin/evproxy)
check 'the debug package has the debug information' bash -c \
    "dpkg-deb --fsys-tarfile '$folder'/evproxy-dbgsym_*.deb | tar t |
        grep -E 'build-id/../[0-9a-f]{38}[.]debug'"

mount -t overlay overlay -o \
    "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/packages"
cp "$folder"/*.deb "$root/packages"

check 'dpkg installs both' inside sh -c 'dpkg -i /packages/*.deb'
check 'the binary runs, with TLS' inside sh -c 'evproxy -V | grep -w tls'
check 'manuals, compressed' there usr/share/man/man8/evproxy.8.gz \
    usr/share/man/man5/evproxy.ini.5.gz usr/share/man/man7/evproxy-metrics.7.gz \
    usr/share/man/man7/evproxy-scale.7.gz \
    usr/share/man/man7/evproxy-migrate.7.gz
check 'copyright, changelog, examples' there usr/share/doc/evproxy/copyright \
    usr/share/doc/evproxy/changelog.gz \
    usr/share/doc/evproxy/examples/example-web.ini \
    usr/share/doc/evproxy/examples/scale-out/anycast/announce.sh \
    usr/share/doc/evproxy/examples/migrations/galera.ini
check 'the unit is enabled' there \
    etc/systemd/system/multi-user.target.wants/evproxy.service
check 'the unit names the binary that is there' inside grep -q \
    'ExecStart=/usr/sbin/evproxy ' /usr/lib/systemd/system/evproxy.service
check 'the configuration is good' inside sh -c \
    'mkdir -p /run/evproxy && evproxy -t'
check 'and takes no port' lacks '^listen *= *[^u ]' "$root/etc/evproxy/evproxy.ini"
check 'a configuration that was changed is kept' inside sh -c \
    'echo "# mine" >>/etc/evproxy/evproxy.ini &&
     dpkg -i /packages/evproxy_*.deb && grep mine /etc/evproxy/evproxy.ini'
check 'bash completes an option' inside bash -c \
    '. /usr/share/bash-completion/completions/evproxy
     COMP_WORDS=(evproxy --as) COMP_CWORD=1 && _evproxy &&
     test "${COMPREPLY[*]}" = --as-service'
check 'every long option is completed' inside bash -c \
    'for option in $(evproxy --help | grep -oE -- "--[a-z-]+"); do
         grep -q -e "$option" /usr/share/bash-completion/completions/evproxy ||
             exit 1
     done'
check 'it is removed, its configuration stays' inside sh -c \
    'dpkg -r evproxy-dbgsym evproxy && test -e /etc/evproxy/evproxy.ini &&
     test ! -e /usr/sbin/evproxy'
check 'it is purged' inside dpkg -P evproxy
check 'and nothing is left' none 'etc/evproxy' 'etc/ufw/applications.d/evproxy' \
    'usr/share/doc/evproxy*' 'usr/share/*/evproxy*' \
    'etc/systemd/system/*/evproxy.service' 'var/lib/systemd/*/evproxy*'

. "$here/scripts.sh"

# ---- alone in an empty root, as conf/Containerfile makes it ----

check 'the static binary needs no library' lacks 'NEEDED' \
    <(readelf -dW "$static")
mkdir -p "$stage/empty/etc/evproxy"
cp "$static" "$stage/empty/evproxy"
cat >"$stage/empty/etc/evproxy/evproxy.ini" <<'TEXT'
[global]
metrics_listen = 127.0.0.1:9100
[service web]
listen = 127.0.0.1:8080
upstream = localhost:9100
TEXT
printf '127.0.0.1 localhost\n' >"$stage/empty/etc/hosts"
chroot --userspec=65534:65534 "$stage/empty" /evproxy >"$stage/alone" 2>&1 &
alone=$!
for _ in {1..100}; do
    grep -q 'name=localhost addresses=1' "$stage/alone" && break
    sleep 0.1
done
check 'it starts as nobody' grep '^ready ' "$stage/alone"
check 'it looks up a name' grep 'resolve name=localhost addresses=1' \
    "$stage/alone"
check 'and serves' bash -c \
    'exec 3<>/dev/tcp/127.0.0.1/8080 && printf "GET /healthz HTTP/1.0\r\n\r\n" >&3 &&
     head -n 1 <&3 | grep 200'
kill $alone
check 'it stops' wait $alone

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
