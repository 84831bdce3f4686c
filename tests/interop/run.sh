#!/bin/bash
# Real programs through evproxy, on loopback, each with its own server.
#
#   EVPROXY=build/evproxy tests/interop/run.sh [NAME...]
#
# The output of a script that fails is shown at the end; V=1 shows all of them as
# they run. Last line: "N passed, N failed".
set -uo pipefail

EVPROXY=$(realpath "${EVPROXY:?names the evproxy to test}")
NETLOAD=$(realpath "${NETLOAD:-build/bench/netload}")
export EVPROXY NETLOAD
cd "$(dirname "$0")" || exit 1

if [ $# -eq 0 ]; then
    set -- nginx redis ssh iperf3 postgresql proxy_protocol names srv checks \
        tls udp migrations syscalls metrics page dashboard upgrade \
        downgrade
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
if [ "${V:-0}" = 1 ]; then
    exec 3>&1
else
    exec 3>/dev/null
fi

bad_ones=()
passed=0
failed=0
for name in "$@"; do
    log=$logs/$name
    echo "# $name" >&3
    timeout 120 "./$name.sh" 2>&1 | tee "$log" >&3
    status=${PIPESTATUS[0]}
    sed -n "s/^# skipped: /skipped: interop\/$name: /p" "$log"
    good=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "not ok - $name.sh ended with status $status" >>"$log"
        bad=1
    fi
    echo "interop/$name: $good passed"
    if [ "$bad" -gt 0 ]; then
        bad_ones+=("$name")
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done

for name in "${bad_ones[@]}"; do
    echo "failed: interop/$name"
    cat "$logs/$name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
