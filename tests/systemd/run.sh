#!/bin/bash
# The service under a real systemd, with the installed unit: see boot.sh.
#
#   INSTALLED=FOLDER tests/systemd/run.sh [NAME...]
#
# FOLDER is what "make install DESTDIR=FOLDER PREFIX=/usr/local" has made. ROOT is
# the root whose systemd is taken, the machine's unless it is given; it has
# systemd, python3, openssl, procps, jq and curl. The user is root, and
# has namespaces: where they are not allowed nothing is tested. The output is
# shown if a test fails, or with V=1. Last line: "N passed, N failed".
set -uo pipefail

INSTALLED=$(realpath "${INSTALLED:?names what was installed}")
ROOT=$(realpath "${ROOT:-/}")
cd "$(dirname "$0")" || exit 1

if [ $# -eq 0 ]; then
    set -- start reload sockets drain watchdog upgrade package keys
fi

dir=$(mktemp -d)
chmod 711 "$dir"
boot=
cleanup() {
    if [ -n "$boot" ]; then
        kill "$boot" 2>/dev/null
        wait "$boot"
    fi
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mkdir "$dir/stage" "$dir/folder"
if ! unshare --mount ./boot.sh probe "$dir/stage" "$ROOT" \
    >"$dir/probe" 2>&1; then
    sed 's/^/# /' "$dir/probe"
    echo 'skipped: systemd: no root, or no namespaces of its own'
    echo '0 passed, 0 failed'
    exit 0
fi
if [ ! -x "$ROOT/lib/systemd/systemd" ]; then
    echo 'not ok - systemd is installed'
    echo '0 passed, 1 failed'
    exit 1
fi

cp -r ../interop ../systemd ../../conf/debian ../../conf/evproxy.socket "$dir/folder/"
printf '%s\n' "$@" >"$dir/folder/names"
log=$dir/folder/log
: >"$log"
timeout -k 10 170 unshare --mount ./boot.sh outer "$dir/stage" "$ROOT" \
    "$dir/folder" "$INSTALLED" >>"$log" 2>&1 &
boot=$!
if [ "${V:-0}" = 1 ]; then
    tail -n +1 -s 0.1 -f --pid="$boot" "$log" & # it ends with that process
fi
wait "$boot"
status=$?
boot=
wait

passed=$(grep -c '^ok ' "$log")
failed=$(grep -c '^not ok ' "$log")
if ! grep -q '^# the end$' "$log" && [ "$failed" -eq 0 ]; then
    echo "not ok - systemd ended early, with status $status" >>"$log"
    failed=1
fi
if [ "$failed" -gt 0 ]; then
    echo 'failed: systemd'
    cat "$log"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
