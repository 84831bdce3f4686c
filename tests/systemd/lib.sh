# What the tests inside share. Source this file: it begins anew, with the
# installed unit, no drop-in, and no service that runs.

EVPROXY=/usr/local/sbin/evproxy
. ../interop/lib.sh

ini=/etc/evproxy/evproxy.ini
drop_ins=/etc/systemd/system/evproxy.service.d

systemctl stop evproxy.socket evproxy.service 2>/dev/null
rm -rf /etc/systemd/system/evproxy.service.d /etc/systemd/system/evproxy.socket*
systemctl daemon-reload
systemctl reset-failed 2>/dev/null
journal_from=$(journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
# A test starts the service more often than an operator would.
mkdir -p "$drop_ins"
printf '[Unit]\nStartLimitIntervalSec=0\n' >"$drop_ins/often.conf"

# drop_in NAME <<TEXT: for evproxy.service
drop_in() {
    cat >"$drop_ins/$1.conf"
    systemctl daemon-reload
}

# property NAME
property() {
    systemctl show --value -p "$1" evproxy.service
}

# is NAME VALUE: whether a property has the value
is() {
    local value
    value=$(property "$1")
    echo "$1 is '$value', '$2' expected"
    [[ $value == $2 ]]
}

# within SECONDS COMMAND...: waits until it succeeds
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >"$dir/last" 2>&1; do
        if [ $SECONDS -ge $end ]; then
            cat "$dir/last"
            return 1
        fi
        sleep 0.05
    done
}

# journal [OPTION...]: what the service has written since the test began
journal() {
    journalctl --sync
    journalctl --after-cursor="$journal_from" -u evproxy.service -o cat "$@"
}

# logged REGEX
logged() {
    journal >"$dir/journal"
    grep -E -- "$1" "$dir/journal" || {
        tail -n 15 "$dir/journal"
        return 1
    }
}

fails() {
    ! "$@"
}

client() {
    ./client.py "$@"
}

# set_up_web: an upstream that echoes, and a configuration with port 80 in front
# of it
set_up_web() {
    start upstream ./client.py serve 9001
    wait_for upstream 9001
    cat >$ini <<'TEXT'
[service web]
listen = 127.0.0.1:80
upstream = 127.0.0.1:9001
TEXT
}

# hold: opens a connection through port 80, which has worked when this returns
hold() {
    rm -f "$dir/go" "$dir/held.log"
    start held ./client.py hold 127.0.0.1:80 "$dir/go"
    holder=${children[-1]}
    within 5 grep -q held "$dir/held.log"
}

# held_works: whether that connection still works; this ends it
held_works() {
    touch "$dir/go"
    wait "$holder"
}
