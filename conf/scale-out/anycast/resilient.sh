#!/bin/bash
# On a Linux router, instead of router.sh and its connection tracking: makes the
# route that BIRD writes into table 100 a resilient next-hop group. A host that
# goes then takes only its own connections with it. Linux 5.13, iproute2 5.12.
#
# It cannot drain: the connections of a host that is withdrawn are reset. Buckets
# stay with a host for as long as they are in use, and IDLE must be longer than
# connections are silent (evproxy's keepalive).
#
#   resilient.sh [PREFIX [BUCKETS [IDLE]]]
prefix=${1:-192.0.2.80}
buckets=${2:-4096}
idle=${3:-120}
declare -A number
last=

sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1

# hops: "ADDRESS DEVICE" of each host
hops() {
    ip -4 route show table 100 "$prefix" 2>/dev/null |
        sed -nE 's/.*via ([^ ]+) dev ([^ ]+).*/\1 \2/p'
}

follow() {
    local via dev group=
    while read -r via dev; do
        : "${number[$via]:=$((1000 + ${#number[@]}))}"
        ip nexthop replace id "${number[$via]}" via "$via" dev "$dev"
        group+=/${number[$via]}
    done < <(hops)
    if [ "$group" = "$last" ]; then
        return
    fi
    last=$group
    if [ -z "$group" ]; then
        ip route del "$prefix" 2>/dev/null
        return
    fi
    ip nexthop replace id 999 group "${group#/}" type resilient \
        buckets "$buckets" idle_timer "$idle" unbalanced_timer 0
    ip route replace "$prefix" nhid 999
}

follow
while read -r _; do
    follow
done < <(exec ip monitor route)
