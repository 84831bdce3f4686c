#!/bin/bash
# Counts the system calls of a request and of a short connection, and checks
# that an idle connection holds no block and no pipe, even after it was busy.
# strace slows evproxy down, so one epoll_wait() returns more events than usual;
# it changes no other count.
. "${0%/*}/lib.sh"
need nginx strace "${NETLOAD:?names the load generator of tests/bench}"

connections=1000
requests=20000
bulk_connections=20
bulk_bytes=67108864

port=$(free_port)
mkdir "$dir/www"
head -c 600 /dev/zero >"$dir/www/small"
head -c "$bulk_bytes" /dev/zero >"$dir/www/large"
cp "$dir/www/small" "$dir/www/index.html"

# count_calls COMMAND...: counts evproxy's system calls while the command runs.
# TracerPid of a thread shows that strace has attached to it.
count_calls() {
    local tracer status=0 end=$((SECONDS + 10)) task
    strace -c -f -q -U calls,name -o "$dir/calls" -p "$proxy" 2>/dev/null &
    tracer=$!
    for task in /proc/"$proxy"/task/*/status; do
        until grep -qE '^TracerPid:\s+[1-9]' "$task"; do
            if [ $SECONDS -ge $end ]; then
                echo 'strace may not attach'
                kill "$tracer" 2>/dev/null
                return 1
            fi
            sleep 0.05
        done
    done
    "$@" || status=$?
    kill -INT "$tracer"
    wait "$tracer"
    return "$status"
}

# at_most LIMIT UNITS: each unit took at most so many of the counted calls
at_most() {
    cat "$dir/calls"
    awk -v limit="$1" -v units="$2" '
        NF == 2 && $1 ~ /^[0-9]+$/ && $2 != "total" { calls += $1 }
        END {
            printf "%.3f calls each, at most %s\n", calls / units, limit
            exit !(calls >= 3 * units && calls / units <= limit)
        }' "$dir/calls"
}

# The client prints READY when all its connections are open and warm, and waits.
run_requests() {
    local result
    echo >&"${client[1]}"
    read -r -t 60 result <&"${client[0]}" && [[ $result == *"$requests"* ]]
}
calls_of_a_request() {
    local ready
    coproc client {
        "$NETLOAD" reqs "127.0.0.1:$through" -c $connections -n $requests
    }
    children+=("$client_PID")
    read -r -t 30 ready <&"${client[0]}" && [ "$ready" = READY ] &&
        count_calls run_requests && at_most 4.05 $requests
}

short_connections() {
    "$NETLOAD" rate "127.0.0.1:$through" -c 64 -n 3000 -s 8 | tee "$dir/rate"
    grep -q '"n": 3000, .*"errors": 0, "stuck": 0' "$dir/rate"
}
calls_of_a_short_connection() {
    count_calls short_connections && at_most 15 3000
}

pipes() {
    find "/proc/$proxy/fd" -lname 'pipe:*' | wc -l
}

# nothing_is_held CONNECTIONS: so many are open, and within 10 s no block is
# lent and only the pipes of the start are open, as unused ones are closed
nothing_is_held() {
    local end=$((SECONDS + 10))
    while [ $SECONDS -lt $end ]; do
        kill -USR1 "$proxy"
        sleep 0.2
        grep 'stats uptime' "$dir/evproxy.log" | tail -n 1 >"$dir/stats"
        if grep -q " active=$1 .* buffers_lent=0 " "$dir/stats" &&
            [ "$(pipes)" -eq "$pipes_at_start" ]; then
            return 0
        fi
    done
    echo "$(pipes) ends of pipes, at the start $pipes_at_start"
    cat "$dir/stats"
    return 1
}

# fetch FD: receives a large answer on a connection that stays open
fetch() {
    local line
    printf 'GET /large HTTP/1.1\r\nHost: bench\r\n\r\n' >&"$1"
    while read -r line <&"$1" && [ "$line" != $'\r' ]; do
        :
    done
    [ "$(head -c $bulk_bytes <&"$1" | wc -c)" -eq $bulk_bytes ]
}
bulk_goes_through_pipes() {
    local i fd most=0
    for ((i = 0; i < bulk_connections; i++)); do
        { exec {fd}<>"/dev/tcp/127.0.0.1/$through" && fetch "$fd"; } || return 1
        [ "$(pipes)" -le "$most" ] || most=$(pipes)
    done
    echo "at most $most ends of pipes, at the start $pipes_at_start"
    [ "$most" -gt "$pipes_at_start" ]
}

# Locking the receive buffer costs a call: five for a connection, and one for
# every 50 reads.
fetch_many() {
    local i fd
    for ((i = 0; i < 4; i++)); do
        { exec {fd}<>"/dev/tcp/127.0.0.1/$through" && fetch "$fd"; } || return 1
        exec {fd}>&-
    done
}
buffers_are_locked_seldom() {
    local tracer reads locks
    strace -f -q -e trace=setsockopt,recvfrom,splice -o "$dir/trace" \
        -p "$proxy" 2>/dev/null &
    tracer=$!
    sleep 1
    fetch_many || return 1
    kill -INT "$tracer"
    wait "$tracer"
    reads=$(grep -cE '(recvfrom|splice)\(.* = [1-9]' "$dir/trace")
    locks=$(grep -cE 'SO_RCVBUF|SO_BUF_LOCK|SOL_SOCKET, (72|0x48)' "$dir/trace")
    echo "$locks calls to lock in $reads reads and writes"
    [ "$reads" -gt 500 ] && [ "$locks" -le $((4 * 5 + reads / 2 / 50)) ]
}

hang_up() {
    echo >&"${client[1]}"
    nothing_is_held 0
}

start_nginx "$port" <<TEXT
    server { listen 127.0.0.1:$port backlog=4096; }
TEXT
start_proxy "$port"
pipes_at_start=$(pipes)

check 'a request takes at most 4.05 system calls' calls_of_a_request
check 'connections that were busy hold no block and no pipe' \
    nothing_is_held $connections
check 'they leave nothing behind' hang_up
check 'a short connection takes at most 15 system calls' \
    calls_of_a_short_connection
check 'bulk goes through pipes' bulk_goes_through_pipes
check 'bulk locks the receive buffer at most once in 50 reads' \
    buffers_are_locked_seldom
check 'connections that moved bulk hold no block and no pipe' \
    nothing_is_held $bulk_connections
for fd in "/proc/$$/fd/"*; do
    fd=${fd##*/}
    if [ "$fd" -ge 10 ] && [[ $(readlink "/proc/$$/fd/$fd") == socket:* ]]; then
        exec {fd}>&-
    fi
done
stop_proxy
