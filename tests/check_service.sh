#!/bin/bash
# systemd can read the unit, and the exposure of the service is low.
set -euo pipefail
cd "$(dirname "$0")/.."

threshold=15 # in tenths

if ! command -v systemd-analyze >/dev/null; then
    echo 'systemd-analyze is not installed: the unit was not checked'
    exit 0
fi
report=$(systemd-analyze security --offline=yes --no-pager \
    --threshold=$threshold conf/evproxy.service 2>&1) || {
    printf '%s\n' "$report" >&2
    exit 1
}
# It reports a line that it cannot read, but does not fail.
if grep -n 'evproxy.service:' <<<"$report" | grep -v 'Overall' >&2; then
    exit 1
fi
grep 'Overall' <<<"$report"

# Each of these is asked for elsewhere: see evproxy(8).
for line in '^StartLimitIntervalSec=0$' '^LogRateLimitBurst=1000000$' \
    '^ExecReload=.* -t --as-service -c ' '^TimeoutStopSec='; do
    grep -q -e "$line" conf/evproxy.service || {
        echo "conf/evproxy.service: no line fits $line" >&2
        exit 1
    }
done

# The example of a socket unit, beside the service that it needs.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed 's|^Exec\(Start\|Reload\)=[^ ]*|Exec\1=/bin/true|' conf/evproxy.service \
    >"$folder/evproxy.service"
cp conf/evproxy.socket "$folder"
SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify --man=no \
    "$folder/evproxy.socket"
