#!/bin/sh
# Once, on a Linux router, as root: use the tables that BIRD writes.
set -eu

# A connection has one host by addresses and ports; by addresses alone all
# connections of a client would have one.
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1

# A connection that pin.nft knows has its host while that is announced; if it is
# dead, another one answers with a reset, and the client knows at once.
for host in 11 12 13; do
    ip rule add pref 1000 fwmark $host lookup $host
done
ip rule add pref 1001 lookup 100

# It takes an entry for each connection: net.netfilter.nf_conntrack_max.
nft -f "$(dirname "$0")/pin.nft"
