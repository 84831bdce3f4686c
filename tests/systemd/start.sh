#!/bin/bash
# Starts, good and bad, and what systemd is told.
. ./lib.sh

set_up_web

# Type=notify: "systemctl start" returns when every listener is open.
check 'it starts' systemctl start evproxy
check 'it serves a low port as soon as it has started' client echo 127.0.0.1:80
check 'systemd knows that it runs' is ActiveState active
check 'its status says so' is StatusText running
check 'it is no root' fails test "$(stat -c %u "/proc/$(property MainPID)")" = 0

prioritised() {
    journal -o json | jq -r 'select(.MESSAGE | test("^ready ")) | .PRIORITY' |
        tee /dev/stderr | grep -qx 6
}
check 'the journal has the priority of its lines' within 5 prioritised
check 'and no prefix in them' logged '^ready version='

check 'it stops' systemctl stop evproxy
check 'and the stop is a clean one' is Result success

cat >>$ini <<'TEXT'
[service bad]
listen = 127.0.0.1:8001
upstream = 127.0.0.1:9001
balance = none
colour = red
TEXT
check 'a bad file fails the start' fails systemctl start evproxy
systemctl stop evproxy
check 'the journal has the first error' logged 'evproxy.ini:7: '
check 'and the second' logged 'evproxy.ini:8: '

cat >$ini <<'TEXT'
[global]
user = nobody-of-this-name
group = none-of-this-name
[service web]
listen = 127.0.0.1:80
upstream = 127.0.0.1:9001
TEXT
unknown() {
    ! $EVPROXY -t -c $ini >"$dir/unknown" 2>&1
    cat "$dir/unknown"
    grep -q "evproxy.ini:$1: .*$2" "$dir/unknown"
}
check '-t knows that there is no such user' unknown 2 nobody-of-this-name
sed -i '/^user/d' $ini
check '-t knows that there is no such group' unknown 2 none-of-this-name
