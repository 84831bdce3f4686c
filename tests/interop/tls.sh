#!/bin/bash
# TLS terminated by evproxy, and TLS from evproxy to the upstream. Clients are
# curl, wrk and openssl, the upstream is nginx. Does nothing in a build without
# TLS.
. "${0%/*}/lib.sh"
if ! "$EVPROXY" -V | grep -qw tls; then
    echo '# this build has no TLS'
    exit 0
fi
need nginx openssl curl wrk

plain=$(free_port)
secure=$(free_port)
ends=$(free_port)
begins=$(free_port)
both=$(free_port)
strict=$(free_port)
wrong=$(free_port)

certificate authority.example
sign=(-CA "$dir/authority.example.pem" -CAkey "$dir/authority.example.key")
certificate site.example "${sign[@]}"
certificate up.example "${sign[@]}"
certificate client.example "${sign[@]}"
certificate stranger.example

mkdir "$dir/www"
echo 'it is the page' >"$dir/www/index.html"
head -c 1024 /dev/urandom >"$dir/www/small"
head -c 134217728 /dev/urandom >"$dir/www/large"
start_nginx "$plain" "$secure" <<TEXT
    server { listen 127.0.0.1:$plain; }
    server {
        listen 127.0.0.1:$secure ssl http2;
        ssl_certificate $dir/up.example.pem;
        ssl_certificate_key $dir/up.example.key;
        http2_max_requests 1000000;
    }
TEXT

own="tls_certificate = $dir/site.example.pem
tls_key = $dir/site.example.key"
verified="upstream_tls = yes
upstream_tls_ca = $dir/authority.example.pem
upstream_tls_name"
cat >"$dir/evproxy.ini" <<TEXT
[service ends]
listen = 127.0.0.1:$ends
upstream = 127.0.0.1:$plain
$own
[service begins]
listen = 127.0.0.1:$begins
upstream = 127.0.0.1:$secure
$verified = up.example
[service both]
listen = 127.0.0.1:$both
upstream = 127.0.0.1:$secure
tls_alpn = h2, http/1.1
$own
$verified = up.example
[service strict]
listen = 127.0.0.1:$strict
upstream = 127.0.0.1:$plain
tls_client_ca = $dir/authority.example.pem
$own
[service wrong]
listen = 127.0.0.1:$wrong
upstream = 127.0.0.1:$secure
$verified = other.example
TEXT
start_services "$ends" "$begins" "$both" "$strict" "$wrong"

# fetch PORT FILE [OPTION...]: over TLS, with the certificate of site.example
fetch() {
    local port=$1 file=$2
    shift 2
    curl -sS --max-time 60 --noproxy '*' --cacert "$dir/authority.example.pem" \
        --resolve "site.example:$port:127.0.0.1" "$@" \
        "https://site.example:$port/$file"
}

page() {
    fetch "$@" | grep -x 'it is the page'
}

# speaks VERSION PORT OPTION...: fetches the page with that version of HTTP
speaks() {
    local version=$1 port=$2
    shift 2
    fetch "$port" '' -o "$dir/page" -w '%{http_version}\n' "$@" |
        tee "$dir/version"
    grep -qx "$version" "$dir/version" && grep -qx 'it is the page' "$dir/page"
}

# without_tls PORT FILE: from a service without TLS to its clients
without_tls() {
    curl -sS --max-time 60 --noproxy '*' "http://127.0.0.1:$1/$2"
}

# same_large COMMAND...: it prints the large file
same_large() {
    "$@" | sha256sum | cut -d ' ' -f 1 >"$dir/sum"
    sha256sum <"$dir/www/large" | cut -d ' ' -f 1 | cmp - "$dir/sum"
}

# tls_errors SERVICE: how many of its connections ended with tls_error
tls_errors() {
    kill -USR1 "$proxy"
    sleep 0.1
    grep "stats service=$1 active=" "$dir/evproxy.log" | tail -n 1 |
        sed 's/.* ended_tls_error=\([0-9]*\) .*/\1/'
}

# refused SERVICE COMMAND...: the command fails, and evproxy counts a tls_error
refused() {
    local service=$1 before end=$((SECONDS + 5))
    shift
    before=$(tls_errors "$service")
    if "$@"; then
        return 1
    fi
    until [ "$(tls_errors "$service")" -gt "$before" ]; do
        [ $SECONDS -lt $end ] || return 1
    done
}

# request PORT OPTION...: by openssl, which describes the handshake
request() {
    local port=$1
    shift
    printf 'GET / HTTP/1.0\r\n\r\n' |
        timeout 20 openssl s_client -connect "127.0.0.1:$port" -ign_eof \
            -servername site.example -CAfile "$dir/authority.example.pem" \
            -verify_return_error "$@" | tee "$dir/said"
    grep -q 'it is the page' "$dir/said"
}

# resumes OPTION: a second connection resumes the first one's session
resumes() {
    request "$ends" "$1" -sess_out "$dir/session" &&
        request "$ends" "$1" -sess_in "$dir/session" &&
        grep -q '^Reused, TLS' "$dir/said"
}

# load PORT FILE CONNECTIONS [OPTION...]: every answer is whole, none failed
load() {
    local port=$1 file=$2 connections=$3
    shift 3
    wrk -t 2 -c "$connections" -d 3s "$@" "https://127.0.0.1:$port/$file" |
        tee "$dir/wrk"
    grep -Eq '^ *[1-9][0-9]* requests in' "$dir/wrk" &&
        ! grep -E 'Socket errors|Non-2xx' "$dir/wrk"
}

# load_over_reloads: no connection is lost while certificates change
load_over_reloads() {
    local i loading
    load "$ends" small 32 -H 'Connection: close' &
    loading=$!
    for ((i = 0; i < 5; i++)); do
        sleep 0.4
        certificate site.example "${sign[@]}"
        kill -HUP "$proxy"
    done
    wait "$loading" && page "$ends" '' &&
        [ "$(grep -c "reloaded generation" "$dir/evproxy.log")" -ge 5 ] &&
        ! grep 'reload refused' "$dir/evproxy.log"
}

check 'curl, TLS 1.2' page "$ends" '' --tlsv1.2 --tls-max 1.2
check 'curl, TLS 1.3' page "$ends" '' --tlsv1.3
check 'curl, TLS 1.1, is refused' refused ends \
    page "$ends" '' --tlsv1.1 --tls-max 1.1 \
    --ciphers 'ALL:@SECLEVEL=0'
check 'curl, HTTP/2 by ALPN, to nginx with TLS' speaks 2 "$both" --http2
check 'curl, HTTP/1.1 by ALPN, to nginx with TLS' speaks 1.1 "$both" --http1.1
check 'curl without ALPN, to nginx with TLS' speaks 1.1 "$both" --no-alpn
check 'curl without TLS, to nginx with TLS' without_tls "$begins" ''
check 'an upstream of another name gets nothing' refused wrong \
    without_tls "$wrong" ''
check 'curl with a certificate' page "$strict" '' \
    --cert "$dir/client.example.pem" --key "$dir/client.example.key"
check 'curl without a certificate is refused' refused strict \
    page "$strict" ''
check 'curl with a certificate of another authority is refused' refused strict \
    page "$strict" '' \
    --cert "$dir/stranger.example.pem" --key "$dir/stranger.example.key"

check 'openssl s_client, TLS 1.2' request "$ends" -tls1_2
check 'openssl s_client, TLS 1.3' request "$ends" -tls1_3
check 'openssl s_client resumes, TLS 1.2' resumes -tls1_2
check 'openssl s_client resumes, TLS 1.3' resumes -tls1_3
check 'openssl s_client with a certificate' request "$strict" \
    -cert "$dir/client.example.pem" -key "$dir/client.example.key"
check 'openssl s_client without one is refused' refused strict \
    request "$strict"

check 'a large file, TLS to the client' same_large fetch "$ends" large
check 'a large file, TLS to the upstream' same_large without_tls "$begins" large
check 'a large file, TLS on both sides' same_large fetch "$both" large
check 'a large file by HTTP/1.1 and TLS 1.2' same_large \
    fetch "$both" large --http1.1 --tlsv1.2 --tls-max 1.2

check 'wrk, 64 connections, 1 KB' load "$ends" small 64
check 'wrk, 64 connections, 1 KB, TLS on both sides' load "$both" small 64
check 'wrk, a connection for each request' \
    load "$ends" small 16 -H 'Connection: close'
check 'wrk, a connection for each request, over reloads' load_over_reloads
stop_proxy
