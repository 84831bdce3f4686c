#!/bin/bash
# conf/scale-out/vrrp: two machines with evproxy and keepalived, on one network
# with their clients and servers.
. "${0%/*}/lib.sh"
need keepalived

recipe=$scale_out/vrrp
service=192.0.2.80

start_evproxy() {
    start_in "$1" evproxy "$EVPROXY" -c $recipe/evproxy.ini
}

start_keepalived() {
    # A session of its own, as it sends signals to its whole process group.
    start_in "$1" keepalived setsid keepalived -n -l -P -i "$1" \
        -f $recipe/keepalived.conf -p "$dir/$1.pid" -r "$dir/$1-vrrp.pid"
}

# greeting: which server greets a client, through which machine
greeting() {
    at clients /usr/bin/python3 -c '
import socket
sock = socket.create_connection(("'$service'", 80), 1)
sock.settimeout(1)
print(sock.recv(100).decode(), end="")'
}

# answers NUMBER: a client that connects to the address gets a server through
# machine 198.51.100.NUMBER
answers() {
    local server machine
    read -r server machine < <(greeting)
    echo "$server by $machine"
    [ "$machine" = "198.51.100.$1" ] && echo "$server" >>"$dir/servers"
}

one_server() {
    sort -u "$dir/servers"
    [ "$(sort -u "$dir/servers" | wc -l)" -eq 1 ]
}

is_back() {
    local before
    before=$(head -n 1 "$dir/servers")
    : >"$dir/servers"
    answers 11 && [ "$(cat "$dir/servers")" = "$before" ] && return
    echo "$before" >"$dir/servers"
    return 1
}

has() {
    at "$1" ip -4 address show dev eth0 | grep -w $service
}

only() {
    has "$1" && fails has "$2" && answers "$3"
}

switch
network first 198.51.100.11/24
network second 198.51.100.12/24
network servers 198.51.100.{101,102,103,104}/24
network clients 192.0.2.1/24
start_in servers servers ./servers.py 80 198.51.100.{101,102,103,104}
for machine in first second; do
    start_evproxy $machine
    start_keepalived $machine
done

check 'the first machine has the address and serves it' \
    within 20 only first second 11
check 'the second one listens on it too, by freebind' \
    grep -q ready "$dir/second-evproxy.log"
check 'keepalived understands each line of the file' \
    fails grep -iE 'warning|unknown|invalid|error' "$dir/first-keepalived.log"
end first-evproxy KILL
check 'evproxy dies: the second machine serves the address' \
    within 20 only second first 12
start_evproxy first
check 'it is back: the first machine serves it again' \
    within 20 only first second 11
kill -TERM "${pid[first-evproxy]}"
check 'it drains: the second machine serves the address' \
    within 20 only second first 12
wait "${pid[first-evproxy]}"
report $? 'the one that drained ends with status 0'
start_evproxy first
check 'it is back: the first machine serves it again' \
    within 20 only first second 11
check 'the client has had one server all the time' one_server
at first ip link set eth0 down
check 'the machine dies: the second one serves the address' \
    within 20 answers 12
at first ip link set eth0 up
check 'the machine is back and serves it' within 20 only first second 11
# It had no way to the servers either, and learns one by one that they are up.
check 'which is the same one in the end' within 20 is_back
