#!/bin/bash
# A drain that is longer than TimeoutStopSec.
. ./lib.sh

start upstream ./client.py serve 9001
wait_for upstream 9001
cat >$ini <<'TEXT'
[global]
drain_timeout = 1m
[service web]
listen = 127.0.0.1:80
upstream = 127.0.0.1:9001
TEXT
drop_in short <<'TEXT'
[Service]
TimeoutStopSec=2s
TEXT
systemctl start evproxy
hold

began=$SECONDS
systemctl stop --no-block evproxy
check 'it stops, and says who is left' within 2 \
    is StatusText 'stopping, connections: 1'
check 'nobody new comes in' fails client echo 127.0.0.1:80
sleep 5 # more than twice TimeoutStopSec
check 'it is not cut short' is ActiveState deactivating
check 'the connection ends by itself' held_works
check 'then the service ends' within 5 is ActiveState inactive
check 'by itself' is Result success
check 'and before drain_timeout' test $((SECONDS - began)) -lt 30

# A process that drains no more is not waited for.
sed -i 's/1m/2s/' $ini
systemctl start evproxy
hold
check 'at drain_timeout connections are reset' systemctl stop evproxy
check 'and the stop is a clean one' is Result success
