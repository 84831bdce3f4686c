#!/bin/sh
# Runs in the virtual machine, as /payload/run.sh: the memory of N proxied
# connections. bench-200k.sh makes the payload.
#
# From /payload/settings: N RATE SIZE MINGAP MAXGAP HOLD_S IDLE_S, as for
# "echo_load client"; ADDRESSES of the echo server; NAME and COMMAND of the
# proxy, which stays in the foreground and listens on 127.0.0.1:5201. With an
# empty COMMAND the client talks directly to the server: the baseline. With
# UPGRADE the proxy goes on in its own binary after the idle phase was sampled.
#
# The last line is "RESULT {...}". In it "idle" and "active" were sampled half
# way through the client's idle phase and its hold phase:
#   resident_kb  of all processes of the proxy, from smaps_rollup
#   used_kb      by how much MemFree has fallen since before the proxy started:
#                user and kernel memory of proxy, client and server (without a
#                disk the page cache does not change). MemAvailable is unfit: it
#                counts the inodes of open sockets as reclaimable.
# Exit status: 0 if every connection was held and every byte was right.
set -u

. /payload/settings
server_port=7000 proxy_port=5201

# All processes of the proxy are in the session that setsid started. Few
# processes are started below, as each takes long on an emulated CPU.
proxy_stat() { # AWK_PROGRAM, for each, with $0 what follows "pid (name) "
    cat /proc/[0-9]*/stat 2>/dev/null |
        awk -v s="$proxy" "{ pid = \$1; sub(/^.*\\) /, \"\") } \$4 == s $1"
}
proxy_pids() {
    proxy_stat '{ print pid }'
}
proxy_cpu_s() {
    proxy_stat '{ n += $12 + $13 } END { printf "%.2f", n / 100 }'
}
minus() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a - b }'
}
sum() { # KEY FILE..., of lines "KEY: number"
    key=$1
    shift
    cat "$@" 2>/dev/null |
        awk -v k="$key:" '$1 == k { n += $2 } END { print n + 0 }'
}

wait_listen() { # PORT
    hex=$(printf '%04X' "$1")
    for i in $(seq 600); do
        grep -q ":$hex 00000000:0000 0A" /proc/net/tcp && return
        usleep 100000
    done
    echo "nothing listens on port $1"
    exit 3
}
wait_phase() { # NAME: until the client reports that it begins
    until grep -q "^echo_load: $1 " /tmp/client.err; do
        if ! kill -0 "$client" 2>/dev/null; then
            echo 'the client has ended'
            exit 3
        fi
        sleep 1
    done
}

# sample NAME NEXT: the current state, as JSON. It is copied before it is
# evaluated, so the evaluation does not change it.
sample() {
    d=/tmp/$1
    mkdir -p "$d"
    cat /proc/meminfo >"$d/meminfo"
    cat /proc/slabinfo >"$d/slabinfo"
    cat /proc/net/sockstat >"$d/sockstat"
    for p in $(proxy_pids); do
        cat "/proc/$p/smaps_rollup" >"$d/smaps.$p"
    done
    if grep -q "^echo_load: $2 " /tmp/client.err; then
        echo "the $1 phase was too short to be sampled" >&2
    fi
    echo "{\"resident_kb\":$(sum Rss "$d"/smaps.*)," \
        "\"used_kb\":$((free_before - $(sum MemFree "$d/meminfo")))," \
        "\"slab_kb\":$(sum Slab "$d/meminfo")," \
        "$(awk '/^TCP:/ { printf "\"tcp_sockets\":%d,\"tcp_kb\":%d",
            $3, $11 * 4 }' "$d/sockstat")}"
}

echo_load server $server_port "$ADDRESSES" &
wait_listen $server_port
sleep 1
cat /proc/meminfo >/tmp/before
free_before=$(sum MemFree /tmp/before)

proxy=none
target="127.0.1.1 $server_port"
if [ -n "$COMMAND" ]; then
    setsid sh -c "exec $COMMAND" &
    proxy=$!
    wait_listen $proxy_port
    sleep 2
    target="127.0.0.1 $proxy_port"
fi

: >/tmp/client.err
tail -f /tmp/client.err &
# shellcheck disable=SC2086 # the target is two words
echo_load client $target "$N" "$HOLD_S" "$RATE" "$SIZE" "$MINGAP" "$MAXGAP" \
    "$IDLE_S" >/tmp/client.json 2>/tmp/client.err &
client=$!

wait_phase idle
cpu_open=$(proxy_cpu_s)
sleep $((IDLE_S / 2))
idle=$(sample idle hold)
if [ -n "$UPGRADE" ] && [ "$proxy" != none ]; then
    kill -USR2 "$proxy"
    while readlink "/proc/$proxy/exe" >/dev/null; do sleep 1; done # it left
fi
wait_phase hold
cpu_idle=$(proxy_cpu_s)
sleep $((HOLD_S / 2))
active=$(sample active end)
wait_phase end
cpu_hold=$(proxy_cpu_s)
until [ -s /tmp/client.json ]; do usleep 100000; done

echo 'largest slab caches when idle: name, objects, object size, kB'
awk 'NR > 2 { printf "  %-20s %8d %6d %9d\n", $1, $3, $4, $15 * $6 * 4 }' \
    /tmp/idle/slabinfo | sort -k4 -n -r | head -n 8
echo "RESULT {\"name\":\"$NAME\",\"n\":$N,\"idle\":$idle,\"active\":$active," \
    "\"cpu_open_s\":$cpu_open,\"cpu_idle_s\":$(minus "$cpu_idle" "$cpu_open")," \
    "\"cpu_hold_s\":$(minus "$cpu_hold" "$cpu_idle")," \
    "\"client\":$(cat /tmp/client.json)}"

grep -q '"failed":0,"closed_by_peer":0,.*"mismatches":0,"unanswered":0' \
    /tmp/client.json
