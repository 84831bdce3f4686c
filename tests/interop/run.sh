#!/bin/bash
# Real programs through evproxy, on loopback, each with its own server.
#
#   EVPROXY=build/evproxy tests/interop/run.sh [NAME...]
#
# Last line: "N passed, N failed".
set -uo pipefail

EVPROXY=$(realpath "${EVPROXY:?names the evproxy to test}")
NETLOAD=$(realpath "${NETLOAD:-build/bench/netload}")
export EVPROXY NETLOAD
cd "$(dirname "$0")" || exit 1

if [ $# -eq 0 ]; then
    set -- nginx redis ssh iperf3 postgresql proxy_protocol names srv checks \
        tls udp syscalls metrics page dashboard upgrade
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

passed=0
failed=0
for name in "$@"; do
    echo "# $name"
    timeout 120 "./$name.sh" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    good=$(grep -c '^ok ' "$log")
    bad=$(grep -c '^not ok ' "$log")
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "not ok - $name.sh ended with status $status"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
