#!/bin/bash
# With a socket unit: restarts refuse nobody.
. ./lib.sh
need curl

start upstream ./client.py serve 9001
wait_for upstream 9001
cat >$ini <<'TEXT'
[global]
drain_timeout = 5s
metrics_listen = 127.0.0.1:9100
[service web]
listen = 127.0.0.1:80
listen = unix:/run/evproxy-web.sock
upstream = 127.0.0.1:9001
[service dns]
mode = udp
listen = 127.0.0.1:53
upstream = 127.0.0.1:9001
udp_responses = 1
TEXT
mkdir -p /etc/systemd/system/evproxy.socket.d
cp ../evproxy.socket /etc/systemd/system/
cat >/etc/systemd/system/evproxy.socket.d/here.conf <<'TEXT'
[Socket]
ListenStream=
ListenStream=127.0.0.1:80
ListenStream=127.0.0.1:9100
ListenStream=/run/evproxy-web.sock
ListenDatagram=127.0.0.1:53
TEXT
systemctl daemon-reload

all=(127.0.0.1:80 unix:/run/evproxy-web.sock udp:127.0.0.1:53)
check 'the sockets are opened' systemctl start evproxy.socket
check 'nothing runs yet' is ActiveState inactive
check 'the first client starts it' client echo 127.0.0.1:80
check 'it is ready' within 5 is StatusText running
check 'a unix socket is served' client echo unix:/run/evproxy-web.sock
check 'datagrams are' client echo udp:127.0.0.1:53
alive() {
    curl -sS -m 5 --fail http://127.0.0.1:9100/livez
}
check 'metrics_listen is' alive
check 'every socket is in use' fails logged '^inherited'
check 'a reload finds its addresses its own' systemctl reload evproxy

start load ./client.py load "$dir/enough" "${all[@]}"
load=${children[-1]}
(
    while [ ! -e "$dir/enough" ]; do
        alive >/dev/null || echo refused
    done
) >"$dir/scrapes.log" 2>&1 &
scrapes=$!
restarts() {
    local before after
    for _ in 1 2 3 4 5; do
        before=$(property MainPID)
        systemctl restart evproxy || return 1
        after=$(property MainPID)
        [ "$before" != "$after" ] || return 1
        sleep 0.2 # of work
    done
}
check 'five restarts under load' restarts
touch "$dir/enough"
check 'refuse nobody' wait "$load"
sed 's/^/# /' "$dir/load.log"
wait "$scrapes"
check 'nor one who asks for metrics' fails grep . "$dir/scrapes.log"
check 'each was a clean stop' is Result success

systemctl kill --signal=KILL evproxy
check 'after a crash it is started again' within 10 is NRestarts 1
check 'and serves' client echo 127.0.0.1:80
