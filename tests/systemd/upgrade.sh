#!/bin/bash
# Upgrades, under the eyes of the service manager.
. ./lib.sh

set_up_web
drop_in short <<'TEXT'
[Service]
WatchdogSec=2s
TEXT
systemctl start evproxy
first=$(property MainPID)
hold

upgrade() {
    systemctl kill --kill-whom=main --signal=USR2 evproxy
}

is_other() {
    local pid
    pid=$(property MainPID)
    echo "MainPID is $pid"
    [ "$pid" != 0 ] && [ "$pid" != "$1" ]
}

upgrade
check 'the main process is another one' within 5 is_other "$first"
second=$(property MainPID)
check 'and says that it was upgraded' within 5 logged '^upgraded .*connections=1 '
check 'the old one has gone' within 5 test ! -e "/proc/$first"
check 'it serves' client echo 127.0.0.1:80
sleep 5 # more than twice WatchdogSec
check 'it feeds the watchdog' is MainPID "$second"
check 'and was not restarted' is NRestarts 0
check 'a reload works' systemctl reload evproxy
check 'and is answered' within 5 is StatusText running

upgrade
check 'a second upgrade works' within 5 is_other "$second"
third=$(property MainPID)
check 'a connection has lived through both' held_works

mv "$EVPROXY" "$dir/binary"
printf '#!/bin/sh\nexit 7\n' >"$EVPROXY"
chmod 755 "$EVPROXY"
upgrade
check 'one that fails shows in the status' within 5 is StatusText \
    'upgrade failed: it has ended'
check 'and the process goes on' is MainPID "$third"
mv "$dir/binary" "$EVPROXY"
check 'the connection too' held_works

check 'the old one has gone too' within 5 test ! -e "/proc/$second"
kill -KILL "$third"
check 'a crash restarts the service' within 10 is NRestarts 1
check 'and it serves' within 5 client echo 127.0.0.1:80

fourth=$(property MainPID)
upgrade
check 'a stop at once stops it' systemctl stop evproxy
check 'the service is dead' is ActiveState inactive
check 'and no process is left' fails pgrep -x evproxy
systemctl start evproxy
fourth=$(property MainPID)
upgrade
within 5 is_other "$fourth"
check 'a stop afterwards stops it' systemctl stop evproxy
check 'the service is dead again' is ActiveState inactive
check 'as a clean stop' is Result success
