#!/bin/bash
# UDP through evproxy: dig and dnsperf to dnsmasq, iperf3 -u.
. "${0%/*}/lib.sh"
need dig dnsperf dnsmasq iperf3

# start_udp PORT KEY...: evproxy in front of that port, for UDP and TCP
start_udp() {
    local port=$1
    shift
    through=$(free_port)
    {
        printf '[global]\ndrain_timeout = 100ms\n'
        printf '[service udp]\nmode = udp\n'
        printf 'listen = 127.0.0.1:%s\nupstream = 127.0.0.1:%s\n' \
            "$through" "$port"
        printf '%s\n' "$@"
        printf '[service tcp]\n'
        printf 'listen = 127.0.0.1:%s\nupstream = 127.0.0.1:%s\n' \
            "$through" "$port"
    } >"$dir/udp.ini"
    start evproxy "$EVPROXY" -c "$dir/udp.ini"
    proxy=${children[-1]}
    wait_for evproxy "$through"
}

# ask NAME TYPE ANSWER [OPTION...]: dig gets that answer
ask() {
    local name=$1 type=$2 answer=$3
    shift 3
    dig @127.0.0.1 -p "$through" +short +tries=1 "$@" "$name" "$type" |
        tee "$dir/answer"
    grep -qxF "$answer" "$dir/answer"
}

# nothing_lost: every query of dnsperf was answered
nothing_lost() {
    dnsperf -s 127.0.0.1 -p "$through" -d "$dir/queries" -l 2 -c 100 -Q 5000 |
        tee "$dir/dnsperf"
    grep -Eq 'Queries lost: +0 ' "$dir/dnsperf" &&
        grep -Eq 'Queries completed: +[1-9][0-9]{3,} ' "$dir/dnsperf"
}

# iperf_udp OPTION...: the test ends without an error, and almost all arrives.
# On a busy machine a process may not run for the 20 ms in which the buffer of a
# socket is full: the kernel then drops, not evproxy (see udp_adds_up).
iperf_udp() {
    iperf3 -u -c 127.0.0.1 -p "$through" -t 2 -b 50M -l 1400 "$@" |
        tee "$dir/iperf"
    [ "${PIPESTATUS[0]}" -eq 0 ] && grep 'receiver' "$dir/iperf" |
        grep -Eq ' [0-9]+/[1-9][0-9]{3,} \([0-9](\.[0-9]+)?(e-[0-9]+)?%\)'
}

# udp_adds_up: every session has ended, and no datagram was dropped
udp_adds_up() {
    kill -USR1 "$proxy"
    sleep 0.2
    grep 'stats service=udp active=' "$dir/evproxy.log" | tail -n 1 |
        tee "$dir/line" | grep -q ' dropped=0$' &&
        grep -q ' active=0 ' "$dir/line"
}

port=$(free_port)
start dnsmasq dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts \
    --listen-address=127.0.0.1 --bind-interfaces --port="$port" \
    --host-record=a.example,192.0.2.7 --txt-record=t.example,"$(
        printf 'x%.0s' {1..200})" --user=root
wait_for dnsmasq "$port"
for i in {1..100}; do
    echo 'a.example A'
done >"$dir/queries"

start_udp "$port" 'udp_responses = 1'
check 'dig asks for an address' ask a.example A 192.0.2.7
check 'dig asks for a long text' \
    ask t.example TXT "\"$(printf 'x%.0s' {1..200})\""
check 'dig asks by TCP on the same port' ask a.example A 192.0.2.7 +tcp
check 'dnsperf, 100 clients, 5000 queries a second: none is lost' nothing_lost
check 'every session has ended with its reply, nothing was dropped' udp_adds_up
stop_proxy

port=$(free_port)
start iperf3 iperf3 -s -B 127.0.0.1 -p "$port"
wait_for iperf3 "$port"
start_udp "$port" 'idle_timeout = 1s'
check 'iperf3 -u up, 50 Mbit/s' iperf_udp
check 'iperf3 -u down, 50 Mbit/s' iperf_udp -R
sleep 1.5
check 'every idle session has ended, nothing was dropped' udp_adds_up
stop_proxy
