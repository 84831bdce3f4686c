#!/bin/bash
# wrk through evproxy to nginx: small answers on many connections, large ones.
. "${0%/*}/lib.sh"
need wrk nginx

port=$(free_port)
mkdir "$dir/www"
head -c 1024 /dev/urandom >"$dir/www/small"
head -c 4194304 /dev/urandom >"$dir/www/large"

# load FILE CONNECTIONS [OPTION...]: every answer is whole, none failed
load() {
    local file=$1 connections=$2
    shift 2
    wrk -t 2 -c "$connections" -d 3s "$@" \
        "http://127.0.0.1:$through/$file" | tee "$dir/wrk"
    grep -Eq '^ *[1-9][0-9]* requests in' "$dir/wrk" &&
        ! grep -E 'Socket errors|Non-2xx' "$dir/wrk"
}

start_nginx "$port" <<TEXT
    server { listen 127.0.0.1:$port; }
TEXT
start_proxy "$port"

check 'wrk, 64 connections, 1 KB' load small 64
check 'wrk, 16 connections, 4 MB' load large 16
check 'wrk, a connection for each request' \
    load small 16 -H 'Connection: close'
stop_proxy
