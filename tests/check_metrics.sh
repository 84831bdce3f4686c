#!/bin/bash
# The manual page of the metrics has each of them, and none besides.
set -euo pipefail
cd "$(dirname "$0")/.."

source=src/control/metrics.c
manual=conf/evproxy-metrics.7

# Every row that begins with a string is a family's, whatever follows: one that
# is written in another way must not pass unseen.
named=$(sed -nE 's/^ *\{"([^"]*)".*/\1/p' $source | sort)
entries=$(sed -n '/^\.Sh METRICS/,/^\.Sh STATUS/p' $manual | grep '^\.It Cm ' |
    grep -oE '\b(evproxy|process)_[a-z0-9_]+' | sort)

if [ -z "$named" ] || [ -z "$entries" ]; then
    echo "$source, $manual: no metrics are found in one of them" >&2
    exit 1
fi
if [ "$named" != "$entries" ]; then
    echo "$manual: not the metrics of $source:" >&2
    diff <(echo "$named") <(echo "$entries") | sed -n '/^[<>]/p' >&2
    exit 1
fi
