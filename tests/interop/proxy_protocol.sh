#!/bin/bash
# PROXY headers in both directions: from HAProxy and curl to evproxy, from
# evproxy to nginx and HAProxy. nginx answers with the addresses in the header,
# HAProxy with those and with the unique ID.
. "${0%/*}/lib.sh"
need haproxy nginx curl

plain=$(free_port)
with_header=$(free_port)
start_nginx "$plain" "$with_header" <<TEXT
    server {
        listen 127.0.0.1:$plain;
        return 200 "plain\n";
    }
    server {
        listen 127.0.0.1:$with_header proxy_protocol;
        return 200 "\$proxy_protocol_addr \$proxy_protocol_server_addr \$proxy_protocol_server_port\n";
    }
TEXT

# The first three services receive headers. All but the first send them, to nginx
# or to HAProxy; relay and relay_id send what they received.
inlet=$(free_port)
relay=$(free_port)
relay_id=$(free_port)
outlet1=$(free_port)
outlet2=$(free_port)
haproxy1=$(free_port)
haproxy2=$(free_port)
accepting=$(free_port)
accepting_id=$(free_port)
cat >"$dir/evproxy.ini" <<TEXT
[global]
access_log = yes
[service inlet]
listen = 127.0.0.1:$inlet
upstream = 127.0.0.1:$plain
proxy_protocol = on
proxy_protocol_from = 127.0.0.0/8
[service relay]
listen = 127.0.0.1:$relay
upstream = 127.0.0.1:$with_header proxy_protocol=v2
proxy_protocol = on
proxy_protocol_from = 127.0.0.0/8
[service relay_id]
listen = 127.0.0.1:$relay_id
upstream = 127.0.0.1:$accepting_id proxy_protocol=v2
proxy_protocol = on
proxy_protocol_from = 127.0.0.0/8
[service outlet1]
listen = 127.0.0.1:$outlet1
listen = [::1]:$outlet1
upstream = 127.0.0.1:$with_header proxy_protocol=v1
[service outlet2]
listen = 127.0.0.1:$outlet2
listen = [::1]:$outlet2
upstream = 127.0.0.1:$with_header proxy_protocol=v2
[service haproxy1]
listen = 127.0.0.1:$haproxy1
upstream = 127.0.0.1:$accepting proxy_protocol=v1
[service haproxy2]
listen = 127.0.0.1:$haproxy2
upstream = 127.0.0.1:$accepting proxy_protocol=v2
TEXT

# Each frontend of HAProxy sends another kind of header to inlet or to relay;
# its name says which. The addresses in the header are those of the connection
# to HAProxy. Two more frontends accept headers and answer the request.
front_of=()
sender() {
    local name=$1 to=$2 options=$3 port
    port=$(free_port)
    front_of+=("$name" "$port")
    cat <<TEXT
frontend $name
    bind 127.0.0.1:$port
    unique-id-format id-of-$name
    default_backend $name
backend $name
    server evproxy 127.0.0.1:$to $options
TEXT
}
{
    cat <<TEXT
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend accepting
    mode http
    bind 127.0.0.1:$accepting accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[dst] %[dst_port]\n"
frontend accepting_id
    mode http
    bind 127.0.0.1:$accepting_id accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[fc_pp_unique_id]\n"
TEXT
    sender v1 "$inlet" send-proxy
    sender v2 "$inlet" send-proxy-v2
    sender v2_crc "$inlet" \
        'send-proxy-v2 proxy-v2-options crc32c'
    sender v2_all "$inlet" \
        'send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn'
    sender relay_v1 "$relay" send-proxy
    sender relay_v2 "$relay" \
        'send-proxy-v2 proxy-v2-options crc32c,unique-id'
    sender id "$relay_id" 'send-proxy-v2 proxy-v2-options unique-id'
} >"$dir/haproxy.cfg"
start haproxy haproxy -db -f "$dir/haproxy.cfg"
wait_for haproxy "$accepting"

start_services "$inlet" "$relay" "$relay_id" "$outlet1" "$outlet2" \
    "$haproxy1" "$haproxy2"

# fetch URL [OPTION...]: prints the answer
fetch() {
    curl -sS --max-time 10 --noproxy '*' "$@"
}

# answer_is TEXT URL [OPTION...]
answer_is() {
    local want=$1 got
    shift
    got=$(fetch "$@")
    echo "'$got', expected '$want'"
    [ "$got" = "$want" ]
}

# client_of SERVICE ADDRESS: the log has a connection of that client
client_of() {
    local end=$((SECONDS + 5))
    until grep -Eq "conn service=$1 client=$2:[0-9]+ .*cause=(client|upstream)_fin" \
        "$dir/evproxy.log"; do
        if [ $SECONDS -ge $end ]; then
            return 1
        fi
        sleep 0.05
    done
}

# from_haproxy PORT SOURCE: evproxy logs the address that HAProxy sends
from_haproxy() {
    answer_is plain --interface "$2" "http://127.0.0.1:$1/" &&
        client_of inlet "${2//./\\.}"
}

# many_from_haproxy PORT: 50 connections with a header, none of them fails
many_from_haproxy() {
    local i
    for ((i = 0; i < 50; i++)); do
        answer_is plain "http://127.0.0.1:$1/" || return 1
    done
}

number=1
for ((i = 0; i < ${#front_of[@]}; i += 2)); do
    name=${front_of[i]}
    port=${front_of[i + 1]}
    case $name in
    relay_*)
        check "from HAProxy to nginx, passed on ($name)" answer_is \
            "127.7.0.1 127.0.0.1 $port" \
            --interface 127.7.0.1 "http://127.0.0.1:$port/"
        ;;
    id)
        check 'the unique ID from HAProxy to HAProxy' answer_is \
            '127.7.0.1 id-of-id' \
            --interface 127.7.0.1 "http://127.0.0.1:$port/"
        ;;
    *)
        number=$((number + 1))
        check "behind HAProxy ($name)" from_haproxy "$port" "127.7.0.$number"
        check "behind HAProxy ($name), 50 times" many_from_haproxy "$port"
        ;;
    esac
done

behind_curl() {
    answer_is plain --haproxy-protocol --interface 127.7.1.1 \
        "http://127.0.0.1:$inlet/" && client_of inlet '127\.7\.1\.1'
}
check 'behind curl --haproxy-protocol' behind_curl

without_a_header() {
    ! fetch "http://127.0.0.1:$inlet/" &&
        grep -q 'bad header service=inlet' "$dir/evproxy.log"
}
check 'curl without a header is refused' without_a_header

for version in 1 2; do
    outlet=outlet$version
    through_haproxy=haproxy$version
    check "in front of nginx, v$version" answer_is \
        "127.7.2.$version 127.0.0.1 ${!outlet}" \
        --interface "127.7.2.$version" "http://127.0.0.1:${!outlet}/"
    check "in front of nginx, v$version, over IPv6" answer_is \
        "::1 ::1 ${!outlet}" "http://[::1]:${!outlet}/"
    check "in front of HAProxy, v$version" answer_is \
        "127.7.3.$version 127.0.0.1 ${!through_haproxy}" \
        --interface "127.7.3.$version" "http://127.0.0.1:${!through_haproxy}/"
done
stop_proxy
