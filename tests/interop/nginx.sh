#!/bin/bash
# wrk through evproxy to nginx: small answers on many connections, large ones.
. "${0%/*}/lib.sh"
need wrk nginx

port=$(free_port)
mkdir "$dir/www" "$dir/tmp"
head -c 1024 /dev/urandom >"$dir/www/small"
head -c 4194304 /dev/urandom >"$dir/www/large"
cat >"$dir/nginx.conf" <<TEXT
daemon off;
$([ $EUID -eq 0 ] && echo 'user root;')
worker_processes 1;
pid $dir/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $dir/tmp/body;
    proxy_temp_path $dir/tmp/proxy;
    fastcgi_temp_path $dir/tmp/fastcgi;
    uwsgi_temp_path $dir/tmp/uwsgi;
    scgi_temp_path $dir/tmp/scgi;
    keepalive_requests 1000000;
    server { listen 127.0.0.1:$port; root $dir/www; }
}
TEXT

# wrk_is_content FILE CONNECTIONS [OPTION...]: every answer whole, none failed
wrk_is_content() {
    local file=$1 connections=$2
    shift 2
    wrk -t 2 -c "$connections" -d 3s "$@" \
        "http://127.0.0.1:$through/$file" | tee "$dir/wrk"
    grep -Eq '^ *[1-9][0-9]* requests in' "$dir/wrk" &&
        ! grep -E 'Socket errors|Non-2xx' "$dir/wrk"
}

start nginx nginx -e stderr -p "$dir" -c "$dir/nginx.conf"
wait_for nginx "$port"
start_proxy "$port"

check 'wrk, 64 connections, 1 KB' wrk_is_content small 64
check 'wrk, 16 connections, 4 MB' wrk_is_content large 16
check 'wrk, a connection for each request' \
    wrk_is_content small 16 -H 'Connection: close'
stop_proxy
