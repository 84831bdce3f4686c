#!/bin/bash
# Every configuration in conf is one that evproxy takes.
#
# Those that speak TLS are for a build that has it. The files that they name are
# not here: one made for the occasion, a certificate and its key, stands in.
#
#   tests/check_samples.sh EVPROXY
set -euo pipefail

evproxy=$(realpath "$1")
cd "$(dirname "$0")/.."

pem='(tls_certificate|tls_key|tls_client_ca|upstream_tls_ca)'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

speaks_tls() {
    grep -qE "^($pem|upstream_tls) *=" "$1"
}

# stand_in FILE: the same in the folder, with a file that is there
stand_in() {
    if [ ! -e "$folder/any.pem" ]; then
        openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=any.example \
            -keyout "$folder/any.key" -out "$folder/any.pem" 2>/dev/null
        cat "$folder/any.key" >>"$folder/any.pem"
    fi
    sed -E "s#^($pem *= *)/.*#\1$folder/any.pem#" "$1" >"$folder/${1##*/}"
}

with_tls=yes
if ! "$evproxy" -V | grep -qw tls; then
    with_tls=no
elif ! command -v openssl >/dev/null; then
    echo 'openssl is not installed: what speaks TLS was not checked'
    with_tls=no
fi

status=0
for file in conf/*.ini; do
    checked=$file
    if speaks_tls "$file"; then
        if [ $with_tls = no ]; then
            continue
        fi
        stand_in "$file"
        checked=$folder/${file##*/}
    fi
    if ! "$evproxy" -t -c "$checked" >/dev/null; then
        echo "$file: refused by evproxy -t" >&2
        status=1
    fi
done
exit $status
