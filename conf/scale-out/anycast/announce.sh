#!/bin/bash
# Tells BIRD each second what /healthz says: "serving" announces the address,
# "draining" announces it for old connections only, else it is withdrawn. A host
# that has failed returns after 3 good answers in a row.
#
#   announce.sh [URL]            BIRDC: the command, with its options
url=${1:-http://127.0.0.1:9100/healthz}
bird() {
    ${BIRDC:-birdc} "$@" >/dev/null
}
good=0
bad=0
while sleep 1; do
    case $(curl -s -m 1 -o /dev/null -w '%{http_code}' "$url") in
    200) bad=0 good=$((good + 1)) ;;
    503) bad=0 good=0 && bird enable draining && bird disable serving ;;
    *) bad=$((bad + 1)) good=0 ;;
    esac
    if [ $good -ge 3 ]; then
        bird enable serving && bird disable draining
    elif [ $bad -ge 2 ]; then
        bird disable serving && bird disable draining
    fi
done
