#!/bin/bash
# The recipes of conf/scale-out: each with the programs that it names, and with
# real traffic, in networks of its own.
#
#   EVPROXY=build/evproxy tests/scale/run.sh [NAME...]
#
# The output of a script that fails is shown at the end; V=1 shows all of them as
# they run. Last line: "N passed, N failed".
set -uo pipefail

EVPROXY=$(realpath "${EVPROXY:?names the evproxy to test}")
export EVPROXY
cd "$(dirname "$0")" || exit 1

if [ $# -eq 0 ]; then
    set -- anycast vrrp kubernetes
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'exit 1' INT TERM

# They wait more than they work, so all run side by side.
for name in "$@"; do
    : >"$logs/$name"
    (
        timeout -k 10 240 "./$name.sh" >>"$logs/$name" 2>&1
        echo $? >"$logs/$name.status"
    ) &
    if [ "${V:-0}" = 1 ]; then
        tail -n +1 -s 0.2 -f --pid=$! "$logs/$name" &
    fi
done
wait

bad_ones=()
passed=0
failed=0
for name in "$@"; do
    log=$logs/$name
    status=$(<"$log.status")
    sed -n "s/^# skipped: /skipped: scale\/$name: /p" "$log"
    good=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "not ok - $name.sh ended with status $status" >>"$log"
        bad=1
    fi
    echo "scale/$name: $good passed"
    if [ "$bad" -gt 0 ]; then
        bad_ones+=("$name")
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done

for name in "${bad_ones[@]}"; do
    echo "failed: scale/$name"
    cat "$logs/$name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
