#!/bin/bash
# redis-benchmark through evproxy, plain and pipelined, and a value of 16 MB.
. "${0%/*}/lib.sh"
need redis-server redis-benchmark redis-cli

port=$(free_port)

# benchmark REQUESTS [OPTION...]
benchmark() {
    local requests=$1
    shift
    redis-benchmark -p "$through" -c 50 -n "$requests" -q \
        -t ping,set,get,lpush,lrange_100 "$@" 2>&1 | tr '\r' '\n' |
        tee "$dir/benchmark"
    [ "$(grep -c 'requests per second' "$dir/benchmark")" -ge 5 ] &&
        ! grep -i error "$dir/benchmark"
}

large_value() {
    head -c 16777216 /dev/urandom >"$dir/value"
    redis-cli -p "$through" -x set large <"$dir/value" &&
        redis-cli -p "$through" get large | head -c -1 | cmp - "$dir/value"
}

start redis redis-server --port "$port" --bind 127.0.0.1 --save '' \
    --appendonly no --dir "$dir"
wait_for redis "$port"
start_proxy "$port"

check 'redis-benchmark, one request at a time' benchmark 20000
check 'redis-benchmark, 16 requests pipelined' benchmark 100000 -P 16
check 'a value of 16 MB comes back unchanged' large_value
stop_proxy
