#!/bin/bash
# Two nginx sites with TLS behind one address of evproxy, which selects the site
# by the server name (SNI) and decrypts nothing.
. "${0%/*}/lib.sh"
need nginx openssl curl

a=$(free_port)
b=$(free_port)
through=$(free_port)

certificate a.example
certificate b.example
start_nginx "$a" "$b" <<TEXT
    server {
        listen 127.0.0.1:$a ssl;
        ssl_certificate $dir/a.example.pem;
        ssl_certificate_key $dir/a.example.key;
        location / { return 200 "site a\n"; }
    }
    server {
        listen 127.0.0.1:$b ssl;
        ssl_certificate $dir/b.example.pem;
        ssl_certificate_key $dir/b.example.key;
        location / { return 200 "site b\n"; }
    }
TEXT
cat >"$dir/evproxy.ini" <<TEXT
[service a]
listen = 127.0.0.1:$through
upstream = 127.0.0.1:$a
sni = a.example
[service b]
listen = 127.0.0.1:$through
upstream = 127.0.0.1:$b
sni = b.example
TEXT

# curl_reaches NAME: the site of that name answers, with its own certificate
curl_reaches() {
    curl -sS --max-time 10 --cacert "$dir/$1.pem" \
        --resolve "$1:$through:127.0.0.1" "https://$1:$through/" |
        grep -x "site ${1%.example}"
}

# subject NAME OPTION...: openssl receives the certificate of that name
subject() {
    local name=$1
    shift
    openssl s_client -connect "127.0.0.1:$through" -servername "$name" \
        -CAfile "$dir/$name.pem" -verify_return_error "$@" </dev/null |
        grep "subject=CN = $name"
}

# refused NAME: the connection fails
refused() {
    ! openssl s_client -connect "127.0.0.1:$through" -servername "$1" \
        </dev/null
}

start_services "$through"

check 'curl gets site a' curl_reaches a.example
check 'curl gets site b' curl_reaches b.example
check 'openssl s_client, TLS 1.3, sees the certificate of a' \
    subject a.example -tls1_3
check 'openssl s_client, TLS 1.2, sees the certificate of b' \
    subject b.example -tls1_2
check 'a name of no service is refused' refused c.example
check 'a client without a name is refused' refused ''
stop_proxy
