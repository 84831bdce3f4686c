#!/bin/bash
# Reloads, good and bad.
. ./lib.sh

set_up_web
start other ./client.py serve 9002
wait_for other 9002
systemctl start evproxy
pid=$(property MainPID)
hold

cp $ini "$dir/good.ini"
sed 's/:80$/:81/' "$dir/good.ini" >$ini
check 'a good file is taken' systemctl reload evproxy
check 'its address is served' within 5 client echo 127.0.0.1:81
check 'the one before is not' within 5 fails client echo 127.0.0.1:80
check 'the status says that it runs' within 5 is StatusText running

cat >>$ini <<'TEXT'
[service bad]
listen = 127.0.0.1:8001
upstream = 127.0.0.1:9001
balance = none
colour = red
TEXT
check 'a bad file fails "systemctl reload"' fails systemctl reload evproxy
check 'the journal has the first error' logged 'evproxy.ini:7: '
check 'and the second' logged 'evproxy.ini:8: '
check 'the service goes on' is ActiveState active
check 'with what it had' client echo 127.0.0.1:81
check 'it has heard of nothing' fails logged '^reload refused'

# Past the check of the unit.
systemctl kill --kill-whom=main --signal=HUP evproxy
check 'SIGHUP with a bad file is refused' within 5 \
    is StatusText 'reload refused: *evproxy.ini:7: *'
check 'the service still goes on' is ActiveState active
cp "$dir/good.ini" $ini
check 'a good file is taken afterwards' systemctl reload evproxy
check 'its address is served again' within 5 client echo 127.0.0.1:80
check 'and the status says so' within 5 is StatusText running

sed 's/:80$/:9002/' "$dir/good.ini" >$ini
check 'an address in use fails the reload' fails systemctl reload evproxy
check 'and the journal says which' logged 'cannot listen on 127.0.0.1:9002'

check 'a connection has lived through it all' held_works
check 'the process is the same' is MainPID "$pid"
