#!/bin/sh
# Runs in the virtual machine, as /payload/run.sh: the memory of N UDP sessions.
# bench-udp.sh makes the payload.
#
# From /payload/settings: N, NAME and COMMAND of the proxy, which stays in the
# foreground and listens on 127.0.0.1:5201.
#
# The last line is "RESULT {...}". It has the resident bytes for each session:
# when each has had a datagram in both directions and is idle, and after two
# more of each. It also has the number of UDP sockets, less those of the load.
# Exit status: 0 if every answer reached the right client.
set -u

. /payload/settings

proxy_pids() { # all are in the session that setsid started
    cat /proc/[0-9]*/stat 2>/dev/null |
        awk -v s="$proxy" '{ pid = $1; sub(/^.*\) /, "") } $4 == s { print pid }'
}
resident_kb() {
    for p in $(proxy_pids); do
        cat "/proc/$p/smaps_rollup"
    done | awk '$1 == "Rss:" { n += $2 } END { print n + 0 }'
}
sockets() {
    awk '/^UDP:/ { print $3 }' /proc/net/sockstat
}
wait_bound() { # PORT
    hex=$(printf '%04X' "$1")
    for i in $(seq 600); do
        grep -q ":$hex 00000000:0000 07" /proc/net/udp && return
        usleep 100000
    done
    echo "nothing is bound to port $1"
    exit 3
}
wait_line() { # PATTERN: until the client has written it
    until grep -q "$1" /tmp/client.out; do
        if ! kill -0 "$client" 2>/dev/null; then
            echo 'the client has ended'
            exit 3
        fi
        sleep 1
    done
}
each() { # KB: bytes for each session
    echo $((($1 - before) * 1024 / N))
}

netload udpecho 127.0.0.1:7000 &
wait_bound 7000
setsid sh -c "exec $COMMAND" &
proxy=$!
wait_bound 5201
sleep 2
before=$(resident_kb)
sockets_before=$(sockets)

mkfifo /tmp/go
netload udp 127.0.0.1:5201 -c "$N" -n $((2 * N)) -p 20000 </tmp/go \
    >/tmp/client.out &
client=$!
exec 3>/tmp/go
wait_line READY
held=$(($(sockets) - sockets_before - 1))
sleep 5
quiet=$(resident_kb)
echo >&3
wait_line '^{'
sleep 5
used=$(resident_kb)

echo "RESULT {\"name\":\"$NAME\",\"n\":$N,\"sockets\":$held," \
    "\"start_kb\":$before,\"bytes_quiet\":$(each "$quiet")," \
    "\"bytes_used\":$(each "$used"),\"client\":$(tail -n 1 /tmp/client.out)}"
grep -q '"wrong": 0}' /tmp/client.out && [ "$held" -ge "$N" ]
