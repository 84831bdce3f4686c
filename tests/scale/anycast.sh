#!/bin/bash
# conf/scale-out/anycast: three hosts with evproxy and BIRD, a router with BIRD
# and ECMP, clients behind it.
#
#   clients ── router ──┬── switch ──┬── host11, host12, host13
#   198.18.0.0/16   .1  │            └── servers .101 to .108
#                  198.51.100.0/24
. "${0%/*}/lib.sh"
need bird birdc chrt nft

recipe=$scale_out/anycast
service=192.0.2.80
held=240
many=10000

make_networks() {
    local host
    switch
    network router 198.51.100.1/24
    network servers 198.51.100.101/24
    for host in 102 103 104 105 106 107 108; do
        at servers ip address add "198.51.100.$host/24" dev eth0
    done
    for host in 11 12 13; do
        network "host$host" "198.51.100.$host/24"
        at "host$host" ip route add default via 198.51.100.1
        at "host$host" ip address add $service/32 dev lo
    done
    ip netns add clients
    ip link add eth0 netns clients type veth peer name eth1 netns router
    at clients ip link set lo up
    at clients ip link set eth0 up
    at clients ip address add 203.0.113.2/30 dev eth0
    at clients ip route add local 198.18.0.0/16 dev lo
    at clients ip route add default via 203.0.113.1
    at router ip link set eth1 up
    at router ip address add 203.0.113.1/30 dev eth1
    at router ip route add 198.18.0.0/16 via 203.0.113.2
    at clients sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
}

# start_bird NETWORK FILE: ahead of all others, as it must answer within a second
start_bird() {
    start_in "$1" bird chrt -f 10 bird -f -c "$recipe/$2" -s "$dir/$1.ctl" -P "$dir/$1.pid"
}

start_host() {
    start_bird "$1" bird-host.conf
    start_in "$1" evproxy "$EVPROXY" -c "$dir/$1.ini"
    start_in "$1" announce env BIRDC="birdc -s $dir/$1.ctl" "$recipe/announce.sh"
}

# The hosts have the servers in different orders: that must not matter.
make_files() {
    cp $recipe/evproxy.ini "$dir/host11.ini"
    {
        grep -v '^upstream' $recipe/evproxy.ini
        grep '^upstream' $recipe/evproxy.ini | sort -r
    } >"$dir/host12.ini"
    {
        grep -v '^upstream' $recipe/evproxy.ini
        grep '^upstream' $recipe/evproxy.ini | sort -R --random-source="$0"
    } >"$dir/host13.ini"
}

# hops: the hosts to which the router sends new connections, as numbers
hops() {
    at router ip route show table 100 $service |
        sed -nE 's/.*via 198\.51\.100\.([0-9]+) .*/\1/p' | sort | xargs
}

# hops_are NUMBER...
hops_are() {
    local found
    found=$(hops)
    echo "new connections go to: $found, not $*"
    [ "$found" = "$*" ]
}

# known NUMBER: the router has a way to that host for its old connections
known() {
    at router ip route show table "$1" | grep "^$service via 198.51.100.$1 "
}

# state WORD [HOST [FIELD]]: a figure of the watching clients, 0 if there is none
state() {
    cat "$dir/watch/state" 2>/dev/null |
        awk -v word="$1" -v host="${2:+198.51.100.$2}" -v field="${3:-2}" '
            $1 == word && (host == "" || $2 == host) { found = $field }
            END { print found + 0 }'
}
alive() { state held "$1" 3; }
broken() { state held "$1" 4; }

# turns N: waits until the clients have had N more turns
turns() {
    local from
    from=$(state turn)
    within 30 test_turn $((from + $1))
}
test_turn() {
    [ "$(state turn)" -ge "$1" ]
}

start_watch() {
    rm -rf "$dir/watch"
    mkdir "$dir/watch"
    start_in clients watch ./clients.py watch "$dir/watch" $held $service:80
    within 20 all_held
}
all_held() {
    cat "$dir/watch/state"
    [ $(($(alive 11) + $(alive 12) + $(alive 13))) -eq $held ]
}

# none_broken HOST...: none of the connections of these, all of which are at work
none_broken() {
    local host
    turns 3 || return 1
    cat "$dir/watch/state"
    tail -n 5 "$dir/clients-watch.log"
    for host; do
        [ "$(alive "$host")" -gt 0 ] && [ "$(broken "$host")" -eq 0 ] || return 1
    done
}

all_broken() {
    cat "$dir/watch/state"
    [ "$(alive "$1")" -eq 0 ] && [ "$(broken "$1")" -gt 0 ]
}

# count_anew: new connections and failures are counted from now on
count_anew() {
    touch "$dir/watch/anew"
    turns 2
}

# new_ones HOST...: new connections go to exactly these hosts, and none fails
new_ones() {
    local host hosts=" $* "
    count_anew && turns 3 || return 1
    cat "$dir/watch/state"
    for host in 11 12 13; do
        if [[ $hosts == *" $host "* ]]; then
            [ "$(state new "$host" 3)" -gt 0 ] || return 1
        else
            [ "$(state new "$host" 3)" -eq 0 ] || return 1
        fi
    done
    [ "$(state failed)" -eq 0 ]
}

# same_servers ADDRESS:PORT...
same_servers() {
    at clients ./clients.py map "$dir/map" $many "$@"
}

# power_off HOST: it is gone without a word
power_off() {
    at "$1" ip link set eth0 down
    for name in announce bird evproxy; do
        end "$1-$name" KILL
    done
}

power_on() {
    at "$1" ip link set eth0 up
    at "$1" ip route add default via 198.51.100.1
    start_host "$1"
}

make_networks
make_files
if ! at router nft -c -f $recipe/pin.nft 2>"$dir/nft"; then
    skip "the kernel has no nftables with connection tracking"
fi
start_in servers servers ./servers.py 80 198.51.100.10{1..8}
start_bird router bird-router.conf
at router $recipe/router.sh
for host in 11 12 13; do
    start_host "host$host"
done
direct=(198.51.100.{11,12,13}:8080)

check 'three hosts announce the address, the router has a path to each' \
    within 30 hops_are 11 12 13 || exit 1
check "$many clients: each host and the address lead to the same server" \
    same_servers "${direct[@]}" $service:80

# A host dies.
check "$held connections are held, new ones come" start_watch || exit 1
check 'new ones go to all hosts' new_ones 11 12 13
power_off host11
check 'a host dies: it is withdrawn' within 15 hops_are 12 13
check 'its connections break' within 20 all_broken 11
check 'and no others' none_broken 12 13
check 'new ones go to the others' within 15 new_ones 12 13
check "$many clients: the same servers without the dead host" \
    same_servers 198.51.100.{12,13}:8080
power_on host11
check 'it returns' within 30 hops_are 11 12 13
check 'no connection breaks by its return' none_broken 12 13
check 'new ones go to all hosts again' within 15 new_ones 11 12 13
end clients-watch

# A host drains.
check "$held connections are held again" start_watch
count_anew
kill -TERM "${pid[host12-evproxy]}"
check 'a host drains: it gets no new connections' within 15 hops_are 11 13
check 'the router still knows the way to it' known 12
no_refused() {
    cat "$dir/watch/state"
    tail -n 5 "$dir/clients-watch.log"
    [ "$(state failed)" -eq 0 ]
}
closed() {
    ! at host12 cat /proc/self/net/tcp /proc/self/net/tcp6 |
        grep -E ':(0050|1F90) [0:]+ 0A'
}
check 'it listens no longer' within 20 closed
check 'no connection has broken' none_broken 11 12 13
check 'no new connection has failed' no_refused
check 'new ones go to the others' new_ones 11 13
check "$many clients: the same servers while it drains" \
    same_servers 198.51.100.{11,13}:8080
echo 198.51.100.12 >"$dir/watch/close"
wait "${pid[host12-evproxy]}"
report $? 'evproxy ends with status 0 after its last connection'
check 'the router knows the way to it no longer' within 15 fails known 12
start_in host12 evproxy "$EVPROXY" -c "$dir/host12.ini"
check 'it starts and is announced' within 30 hops_are 11 12 13
check 'no connection has broken in all that' none_broken 11 13
check 'and no new one has failed' no_refused
end clients-watch

# A process dies, and the router is without pin.nft: the hash has other bounds
# when a host is gone.
at router nft delete table ip pin
check 'without connection tracking: connections are held' start_watch
end host13-evproxy KILL
check 'evproxy is killed: the host is withdrawn' within 15 hops_are 11 12
others_broken() {
    cat "$dir/watch/state"
    [ $(($(broken 11) + $(broken 12))) -gt 0 ]
}
check 'connections of the others break as well' within 20 others_broken
check 'new ones go to the others' within 15 new_ones 11 12
end clients-watch
start_in host13 evproxy "$EVPROXY" -c "$dir/host13.ini"
check 'it starts and is announced' within 30 hops_are 11 12 13
check "$many clients: the same servers after all that" \
    same_servers "${direct[@]}"

# A resilient group in its place.
if ! at router ip nexthop add id 1 blackhole ||
    ! at router ip nexthop add id 2 group 1 type resilient buckets 8; then
    skip 'the kernel has no resilient next-hop groups'
fi
at router ip rule del pref 1001
start_in router resilient $recipe/resilient.sh $service 1024 2
check 'a resilient group: connections are held' within 10 start_watch
power_off host11
check 'a host dies: its connections break' within 20 all_broken 11
check 'and no others' none_broken 12 13
power_on host11
check 'it returns' within 30 hops_are 11 12 13
check 'new ones go to it' within 20 new_ones 11 12 13
check 'no connection breaks by its return' none_broken 12 13
end clients-watch
