#!/bin/bash
# A worker that stands still has the service restarted.
. ./lib.sh

start upstream ./client.py serve 9001
wait_for upstream 9001
cat >$ini <<'TEXT'
[global]
workers = 2
[service web]
listen = 127.0.0.1:80
upstream = 127.0.0.1:9001
TEXT
check 'the installed unit has a watchdog' fails is WatchdogUSec 0
drop_in short <<'TEXT'
[Service]
WatchdogSec=2s
TEXT
systemctl start evproxy
pid=$(property MainPID)
sleep 5 # more than twice WatchdogSec
check 'while all move the watchdog is content' is MainPID "$pid"

# Of the threads that wait for events all but the main one are workers.
worker=$(grep -l epoll /proc/"$pid"/task/*/wchan | cut -d/ -f5 |
    grep -vx "$pid" | head -n 1)
start debugger ./stop_thread.py "$worker"
check 'a debugger has stopped a worker' within 5 \
    grep -q stopped "$dir/debugger.log"
check 'the service is restarted' within 10 is NRestarts 1
restarted() {
    journalctl --after-cursor="$journal_from" -u evproxy.service -o cat |
        grep 'Watchdog timeout'
}
check 'because of the watchdog' restarted
check 'it serves' within 5 client echo 127.0.0.1:80
check 'and stays' is ActiveState active
