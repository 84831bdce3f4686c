#!/bin/bash
# evproxy with conf/demo.ini in front of small servers, until Ctrl-C.
#
#   tests/demo/run.sh EVPROXY UPSTREAM        ("make run" builds both)
set -euo pipefail

# In the foreground of a terminal Ctrl-C reaches make as well, which would then
# report a failure. So the rest runs in its own process group.
read -r _ _ _ _ group _ _ foreground _ </proc/$$/stat
if [ "$group" = "$foreground" ] && [ "$group" != $$ ]; then
    set -m
    "$0" "$@"
    exit
fi

evproxy=$1
upstream=$2
conf=$(dirname "$0")/../../conf/demo.ini

# values KEY: its values in the demo's configuration, one on each line
values() {
    sed -nE "s/^$1[ \t]*=[ \t]*([^ \t;#]+).*/\1/p" "$conf"
}

# listens ADDRESS: whether a program listens on its port. It reads /proc, as a
# connection would show in the log.
listens() {
    grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf '%04X' "${1##*:}") [0-9A-F:]+ 0A " \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

children=()
proxy=

# Open connections get a second to end. A second SIGTERM ends evproxy at once.
stop_proxy() {
    local tries=20
    kill "$proxy" 2>/dev/null || return 0
    while [ $tries -gt 0 ] && kill -0 "$proxy" 2>/dev/null; do
        sleep 0.05
        tries=$((tries - 1))
    done
    kill "$proxy" 2>/dev/null || true
    wait "$proxy" || true
}

stop() {
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$proxy" ]; then
        stop_proxy
    fi
    if [ ${#children[@]} -gt 0 ]; then
        kill "${children[@]}" 2>/dev/null || true
        wait "${children[@]}" 2>/dev/null || true
    fi
}

interrupted() {
    echo
    stop
    exit 0
}

listen=$(values listen | head -n 1)
for address in $(values listen) $(values upstream); do
    if listens "$address"; then
        echo "$address is in use: stop what listens there, or change" \
            'conf/demo.ini' >&2
        exit 1
    fi
done

trap stop EXIT
trap interrupted INT TERM HUP

# Each has its own process group, so Ctrl-C reaches only this script.
set -m
for address in $(values upstream); do
    "$upstream" "${address%:*}" "${address##*:}" &
    children+=($!)
done
"$evproxy" -c "$conf" &
proxy=$!
set +m

until listens "$listen"; do
    if ! kill -0 "$proxy" 2>/dev/null; then
        wait "$proxy"
        exit 1
    fi
    sleep 0.05
done

cat <<TEXT

evproxy listens on $listen, in front of $(values upstream | tr '\n' ' ')
In a second terminal, a few times (the upstream greets each connection and
echoes what you type; Ctrl-D ends it):

    nc ${listen%:*} ${listen##*:}

or, with bash alone, for a single line:

    exec 3<>/dev/tcp/${listen%:*}/${listen##*:}; head -n 1 <&3; exec 3>&-

    kill -USR1 $proxy         writes the stats lines here
    kill -HUP $proxy          reads conf/demo.ini again

Ctrl-C stops everything.

TEXT
wait "$proxy"
