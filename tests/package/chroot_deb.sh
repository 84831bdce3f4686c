#!/bin/bash
# The installed package's evproxy: with the configuration that it brings, and
# with one that carries bytes. chroot.sh calls it in a root of its own.
set -uo pipefail

log=/tmp/evproxy.log
mkdir -p /run/evproxy

# stop: ends the evproxy that runs, which is to end well
stop() {
    kill $proxy
    wait $proxy || exit 1
}
trap 'cat $log' EXIT

# run OPTION...: returns when it serves
run() {
    evproxy "$@" >$log 2>&1 &
    proxy=$!
    until grep -q '^ready ' $log; do
        kill -0 $proxy && [ $SECONDS -lt 60 ] || exit 1
        sleep 0.05
    done
}

evproxy -t || exit 1
run
stop

cat >/tmp/evproxy.ini <<'TEXT'
[global]
metrics_listen = 127.0.0.1:9100
[service web]
listen = 127.0.0.1:8080
upstream = 127.0.0.1:9100
TEXT
run -c /tmp/evproxy.ini
exec 3<>/dev/tcp/127.0.0.1/8080
printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3
head -n 1 <&3 | grep ' 200 ' || exit 1
exec 3>&-
stop
rm -rf /run/evproxy
