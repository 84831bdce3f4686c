#!/bin/bash
# Names of upstreams from dnsmasq and the hosts file: both families, SRV records,
# answers that are too long for UDP, a server that goes and comes back changed.
#
# It runs in a network of its own, and with files of its own in /etc.
if [ -z "${SRV_INSIDE-}" ]; then
    own=(--mount --net)
    [ $EUID -eq 0 ] || own+=(--map-root-user)
    if ! unshare "${own[@]}" true 2>/dev/null; then
        echo '# skipped: no namespaces of its own'
        exit 0
    fi
    SRV_INSIDE=1 exec unshare "${own[@]}" "$0"
fi
. "${0%/*}/lib.sh"
need dnsmasq nginx curl ip

ip link set lo up
port=$(free_port)
through=$(free_port)
by_srv=$(free_port)
many=$(free_port)

# instead_of PATH: the text of standard input takes the place of that file
instead_of() {
    cat >"$dir/${1##*/}"
    mount --bind "$dir/${1##*/}" "$1"
}

echo 'nameserver 127.0.0.1' | instead_of /etc/resolv.conf
echo 'hosts: files dns' | instead_of /etc/nsswitch.conf
instead_of /etc/hosts <<TEXT
127.1.0.3 in-hosts.example
TEXT

# site NAME ADDRESS...: an nginx server that answers with its name
site() {
    local name=$1 address
    shift
    echo 'server {'
    for address; do
        echo "listen $address:$port;"
    done
    echo "location / { return 200 \"$name\\n\"; } }"
}

start_nginx "$port" < <(site four 127.1.0.1 && site six '[::1]' &&
    site hosts 127.1.0.3 && site two 127.1.0.2)

# start_dnsmasq OPTION...: the name server, with these records
start_dnsmasq() {
    start dnsmasq dnsmasq --no-daemon --conf-file=/dev/null \
        --no-hosts --no-resolv --local=/example/ --bind-interfaces \
        --listen-address=127.0.0.1 --local-ttl=1 \
        --pid-file="$dir/dnsmasq.pid" \
        --host-record=both.example,127.1.0.1,::1 \
        --host-record=two.example,127.1.0.2 \
        --host-record=four.example,127.1.0.1 "$@"
    dnsmasq=${children[-1]}
    wait_for dnsmasq 53
}

# Longer than 512 bytes, so that it comes by TCP.
long=()
for i in $(seq 100); do
    long+=(--srv-host="_many._tcp.example,two.example,$((20000 + i)),1,$i")
done
start_dnsmasq "${long[@]}" \
    --srv-host="_web._tcp.example,four.example,$port,10,3" \
    --srv-host="_web._tcp.example,in-hosts.example,$port,10,0" \
    --srv-host="_web._tcp.example,two.example,$port,20,5"

cat >"$dir/evproxy.ini" <<TEXT
[service name]
listen = 127.0.0.1:$through
upstream = both.example:$port
upstream = in-hosts.example:$port
balance = roundrobin
resolve_interval = 1s
[service srv]
listen = 127.0.0.1:$by_srv
upstream = srv:_web._tcp.example
balance = roundrobin
resolve_interval = 1s
[service many]
listen = 127.0.0.1:$many
upstream = srv:_many._tcp.example
TEXT

# logged PATTERN: within 15 s a line of the log fits
logged() {
    local end=$((SECONDS + 15))
    until grep -Eq "$1" "$dir/evproxy.log"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# answers PORT COUNT: who answers so many connections, as "four:2 hosts:2"
answers() {
    local i
    for i in $(seq "$2"); do
        curl -sS --max-time 10 "http://127.0.0.1:$1/"
    done | sort | uniq -c | awk '{ printf "%s%s:%s", s, $2, $1; s = " " }'
}

# gives PORT COUNT ANSWERS: within 15 s these answers come
gives() {
    local end=$((SECONDS + 15)) given
    until given=$(answers "$1" "$2") && [ "$given" = "$3" ]; do
        echo "$given"
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# upstreams SERVICE COUNT: within 15 s the stats list so many
upstreams() {
    local end=$((SECONDS + 15)) listed
    until [ "${listed-}" = "$2" ]; do
        [ $SECONDS -lt $end ] || return 1
        : >"$dir/evproxy.log"
        kill -USR1 "$proxy"
        sleep 0.2
        listed=$(grep -c "stats service=$1 upstream=" "$dir/evproxy.log")
        echo "$listed"
    done
}

start evproxy "$EVPROXY" -c "$dir/evproxy.ini"
proxy=${children[-1]}
for at in "$through" "$by_srv" "$many"; do
    wait_for evproxy "$at"
done

check 'a name has both families, and the hosts file counts' \
    gives "$through" 6 'four:2 hosts:2 six:2'
check 'SRV: weights, weight 0, and no backup while others are up' \
    gives "$by_srv" 8 'four:6 hosts:2'
check 'an answer of 100 SRV records comes by TCP' \
    logged '^resolve name=_many._tcp.example records=100 '
check 'all 100 are upstreams' upstreams many 100

kill "$dnsmasq"
wait "$dnsmasq"
check 'a name server that is gone is told' \
    logged '^resolve name=_web._tcp.example error='
check 'the last good records stay' gives "$by_srv" 4 'four:3 hosts:1'
check 'the last good addresses stay' gives "$through" 3 'four:1 hosts:1 six:1'

start_dnsmasq --srv-host="_web._tcp.example,two.example,$port,5,1"
check 'other records are used when it is back' gives "$by_srv" 4 'two:4'
check 'and evproxy answers for the rest as before' \
    gives "$through" 3 'four:1 hosts:1 six:1'

curl -sS --max-time 10 "http://127.0.0.1:$many/" 2>/dev/null # nobody is there
unset 'children[-1]' 'children[-1]'
children+=("$dnsmasq" "$proxy") # stop_proxy takes evproxy for the last one
stop_proxy
