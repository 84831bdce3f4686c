#!/bin/bash
# The two drop-ins that give the transient user a private key.
. ./lib.sh

if ! $EVPROXY -V | grep -qw tls; then
    echo '# built without TLS'
    exit 0
fi
need openssl

keys=/etc/ssl/private
mkdir -p $keys
make_pair() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days 2 -subj "/CN=$1" -keyout $keys/web.key -out /etc/ssl/web.pem \
        2>/dev/null
}
# OpenSSL 3.0 has spaces in it, 3.5 has none.
serves() {
    openssl s_client -connect 127.0.0.1:443 </dev/null 2>&1 |
        grep "subject=CN *= *$1\$"
}

start upstream ./client.py serve 9001
wait_for upstream 9001
configure() {
    cat >$ini <<TEXT
[service web]
listen = 127.0.0.1:443
upstream = 127.0.0.1:9001
tls_certificate = /etc/ssl/web.pem
tls_key = $1
TEXT
}

make_pair first
chmod 711 $keys
chmod 600 $keys/web.key
chown root:root $keys/web.key
configure $keys/web.key
check 'a key of root alone fails the start' fails systemctl start evproxy
systemctl stop evproxy
check 'and the journal says so' logged 'evproxy.ini:5: tls_key: .*denied'

groupadd -f keys
chgrp keys $keys/web.key
chmod 640 $keys/web.key
drop_in group <<'TEXT'
[Service]
SupplementaryGroups=keys
TEXT
check 'a group may read it: it starts' systemctl start evproxy
check 'and serves the pair' serves first
make_pair second
check 'a reload reads the new pair' systemctl reload evproxy
check 'and serves it' within 5 serves second
systemctl stop evproxy
rm "$drop_ins/group.conf"

chown root:root $keys/web.key
chmod 600 $keys/web.key
configure /run/credentials/evproxy.service/web.key
drop_in credential <<'TEXT'
[Service]
LoadCredential=web.key:/etc/ssl/private/web.key
TEXT
check 'a credential: it starts' systemctl start evproxy
check 'and serves the pair' serves second
# Some versions of systemd hide credentials from the check of the unit.
check 'a reload reads the copy again' systemctl reload evproxy
check 'and it is taken' within 5 logged '^reloaded generation=2 '
make_pair third
# Some versions of systemd renew the copy at a reload.
whole() {
    if journal | grep -q '^reloaded generation=3 '; then
        serves third
    else
        is StatusText 'reload refused: *evproxy.ini:5: tls_key: *' &&
            serves second
    fi
}
systemctl reload evproxy 2>/dev/null
check 'a reload takes the new pair, or the old one stays' within 5 whole
check 'a restart takes the new pair' systemctl restart evproxy
check 'and serves it' serves third
systemctl stop evproxy
