#!/bin/bash
# Every configuration in conf is one that evproxy takes.
#
#   tests/check_samples.sh EVPROXY
set -euo pipefail

evproxy=$(realpath "$1")
cd "$(dirname "$0")/.."

status=0
for file in conf/*.ini; do
    if ! "$evproxy" -t -c "$file" >/dev/null; then
        echo "$file: refused by evproxy -t" >&2
        status=1
    fi
done
exit $status
