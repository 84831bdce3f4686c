#!/bin/bash
# iperf3 through evproxy: up, down, both at once, eight streams.
. "${0%/*}/lib.sh"
need iperf3

port=$(free_port)

# iperf [OPTION...]: the test ends without an error, and bytes arrived
iperf() {
    iperf3 -c 127.0.0.1 -p "$through" -t 2 "$@" | tee "$dir/iperf"
    [ "${PIPESTATUS[0]}" -eq 0 ] &&
        grep 'receiver' "$dir/iperf" | grep -Eq '[1-9][0-9.]* [KMG]bits/sec'
}

start iperf3 iperf3 -s -B 127.0.0.1 -p "$port"
wait_for iperf3 "$port"
start_proxy "$port"

check 'iperf3 up' iperf
check 'iperf3 down' iperf -R
check 'iperf3, eight streams up' iperf -P 8
check 'iperf3, eight streams down' iperf -P 8 -R
stop_proxy

# iperf3 numbers the two streams in the order in which they arrive. Two workers
# may swap them, and then both ends wait.
start_proxy "$port" -w 1
check 'iperf3 in both directions at once' iperf --bidir
stop_proxy
