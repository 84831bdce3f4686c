#!/bin/bash
# The manual page of the metrics has each of them, and none besides.
set -euo pipefail
cd "$(dirname "$0")/.."

source=src/control/metrics.c
manual=conf/evproxy-metrics.7

named=$(sed -nE 's/^ *\{"([a-z_]+)", (COUNTER|GAUGE|HISTOGRAM),.*/\1/p' $source |
    sort)
entries=$(sed -n '/^\.Sh METRICS/,/^\.Sh STATUS/p' $manual | grep '^\.It Cm ' |
    grep -oE '\b(evproxy|process)_[a-z_]+' | sort)

if [ -z "$named" ]; then
    echo "$source: has no families that this can find" >&2
    exit 1
fi
if [ "$named" != "$entries" ]; then
    echo "$manual: not the metrics of $source:" >&2
    diff <(echo "$named") <(echo "$entries") | grep '^[<>]' >&2
    exit 1
fi
