#!/bin/bash
# The examples for those who come from HAProxy or nginx: the original passes its
# program's own check, and evproxy with ours does what the original is for.
. "${0%/*}/lib.sh"
need haproxy nginx python3 openssl

here=$(realpath "${0%/*}")
examples=$here/../../conf/examples/migrations
tls=no
if "$EVPROXY" -V | grep -qw tls; then
    tls=yes
fi

# original_is_good NAME: nginx opens what it listens on, so that is moved
original_is_good() {
    if [ -e "$examples/$1.haproxy.cfg" ]; then
        sed "s|/etc/haproxy/|$dir/|" "$examples/$1.haproxy.cfg" \
            >"$dir/haproxy.cfg"
        haproxy -c -f "$dir/haproxy.cfg"
    else
        sed -E '/^ *listen/ {
            s/\b([0-9]{4})\b/2\1/g
            s/\b([0-9]{3})\b/20\1/g
            s/\b([0-9]{2})\b/200\1/g
            s/listen /&127.77.0.100:/
        }' "$examples/$1.nginx.conf" >"$dir/nginx.conf"
        nginx -t -e stderr -c "$dir/nginx.conf" -g "pid $dir/nginx.pid;"
    fi
}

for name in kubernetes.default.svc www.example stranger.example; do
    certificate "$name"
done
cp "$dir/kubernetes.default.svc.pem" "$dir/ca.crt"
cp "$dir/www.example.pem" "$dir/sites.pem"
echo 192.0.2.0/24 >"$dir/blocked"

for file in "$examples"/*.ini; do
    name=${file##*/}
    name=${name%.ini}
    check "$name: the original is good" original_is_good "$name"
    if [ $tls = no ] && grep -q '^health_tls' "$file"; then
        echo "# skipped: $name: this build has no TLS"
        continue
    fi
    python3 -B "$here/migrations/drive.py" "$name" "$dir" ||
        report 1 "$name was driven"
done
