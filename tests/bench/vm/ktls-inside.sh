#!/bin/sh
# Runs in the virtual machine, as /payload/run.sh: bytes through an evproxy that
# terminates TLS, without kernel TLS and then with it. ktls.sh makes the
# payload.
set -u

server=127.0.0.1:7000
proxy=127.0.0.1:5201
failed=0

cat >/tmp/evproxy.ini <<TEXT
[global]
workers = 2
[service bench]
listen = $proxy
upstream = $server
tls_certificate = /payload/certificate.pem
tls_key = /payload/key.pem
TEXT

wait_listen() { # PORT
    hex=$(printf '%04X' "$1")
    for i in $(seq 600); do
        grep -q ":$hex 00000000:0000 0A" /proc/net/tcp && return
        usleep 100000
    done
    echo "nothing listens on port $1"
    exit 3
}
stat_of() { # NAME: the kernel's counter, 0 if there is none
    awk -v name="$1" '$1 == name { n = $2 } END { print n + 0 }' \
        /proc/net/tls_stat 2>/dev/null || echo 0
}
check() { # WHAT COMMAND...
    what=$1
    shift
    tx=$(stat_of TlsTxSw) rx=$(stat_of TlsRxSw)
    if said=$("$@" 2>&1); then
        verdict=right
    else
        verdict=WRONG
        failed=1
    fi
    tx=$(($(stat_of TlsTxSw) - tx)) rx=$(($(stat_of TlsRxSw) - rx))
    echo "$kind, $what: $verdict, by the kernel: sent $tx, received $rx"
    [ $verdict = right ] || echo "$said"
}

# Streams of one record, of two and of many. The client does not use kernel TLS,
# so the counters are those of evproxy.
streams() {
    evproxy -c /tmp/evproxy.ini &
    daemon=$!
    wait_listen 5201
    for version in '' -2; do
        name="TLS 1.${version#-}"
        [ -n "$version" ] || name='TLS 1.3'
        for bytes in 1 16384 16385 5000000; do
            # shellcheck disable=SC2086 # nothing, or an option
            check "$name, 4 times $bytes bytes" \
                tls_load stream $proxy -c 4 -n $bytes $version
        done
        # shellcheck disable=SC2086
        check "$name, 100 connections" \
            tls_load rate $proxy -c 4 -n 100 -b 700 $version
        # shellcheck disable=SC2086
        check "$name, 100 connections, resumed" \
            tls_load rate $proxy -c 4 -n 100 -b 700 -r $version
    done
    kill $daemon
    wait $daemon || failed=1
}
tests() {
    while read -r test; do
        check "$test" env EVPROXY=/payload/bin/evproxy EVPROXY_TEST_SLOW=1 "$test"
    done </payload/tests
}

netload echo $server &
wait_listen 7000

kind='without kernel TLS'
streams
tests

while read -r module; do
    insmod "$module" || failed=1
done </payload/ko/order
kind='with kernel TLS'
streams
if [ "$(stat_of TlsTxSw)" -eq 0 ]; then
    echo 'the kernel has encrypted nothing'
    failed=1
fi
tests
cat /proc/net/tls_stat
exit $failed
