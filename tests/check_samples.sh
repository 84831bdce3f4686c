#!/bin/bash
# evproxy accepts every configuration in conf.
#
# Those with TLS are checked by a build with TLS. The certificates and keys that
# they name do not exist here, so a temporary one replaces them. Nor does this
# machine have their addresses, so each port is replaced by another of loopback,
# with a 2 before its number if that is below 10000. Their user is who runs this.
#
# Each key that conf/evproxy.ini names is used in one of the examples.
#
#   tests/check_samples.sh EVPROXY
set -euo pipefail

evproxy=$(realpath "$1")
cd "$(dirname "$0")/.."

pem='((upstream_)?tls_(certificate|key)|tls_client_ca|upstream_tls_ca)'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

uses_tls() {
    grep -qE "^($pem|(upstream|health)_tls) *=" "$1"
}

# of_this_machine FILE: its text with addresses and files that are here
of_this_machine() {
    sed -E -e "s#^(tls_ticket_keys *= *)/.*#\1$folder/any.tickets#" \
        -e "s#^(listen *= *)[^ /]*:([0-9]+)#\1127.77.0.2:\2#" \
        -e "/^listen/s#([:-])([0-9]{1,4})\b#\12\2#g" \
        -e "s#^($pem *= *)/.*#\1$folder/any.pem#" \
        -e "s#file:/.*#file:$folder/networks#" \
        -e "s#^(user *= *).*#\1$(id -un)#;s#^(group *= *).*#\1$(id -gn)#" "$1"
}

make_certificate() {
    if [ ! -e "$folder/any.pem" ]; then
        openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=any.example \
            -keyout "$folder/any.key" -out "$folder/any.pem" 2>/dev/null
        cat "$folder/any.key" >>"$folder/any.pem"
        head -c 160 /dev/urandom >"$folder/any.tickets"
    fi
}

with_tls=yes
if ! "$evproxy" -V | grep -qw tls; then
    with_tls=no
elif ! command -v openssl >/dev/null; then
    echo 'skipped: samples with TLS: openssl is not installed'
    with_tls=no
fi

examples=(conf/example-*.ini conf/scale-out/*/*.ini conf/examples/*/*.ini)
echo 192.0.2.0/24 >"$folder/networks"
status=0
for file in conf/*.ini conf/scale-out/*/*.ini conf/examples/*/*.ini; do
    checked=$folder/${file##*/}
    if uses_tls "$file"; then
        if [ $with_tls = no ]; then
            continue
        fi
        make_certificate
    fi
    of_this_machine "$file" >"$checked"
    if ! "$evproxy" -t -c "$checked" >/dev/null; then
        echo "$file: refused by evproxy -t" >&2
        status=1
    fi
done

while read -r key; do
    if ! grep -qE "^$key *=" "${examples[@]}"; then
        echo "conf: no example uses '$key'" >&2
        status=1
    fi
done < <(sed -nE 's/^(# )?([a-z_0-9]+) = .*/\2/p' conf/evproxy.ini | sort -u)
exit $status
