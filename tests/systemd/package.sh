#!/bin/bash
# What the Debian package does to a service that runs, by its own scripts.
. ./lib.sh

# Where the package has its unit, and nobody forbids starts, as containers do.
cp /usr/local/lib/systemd/system/evproxy.service /lib/systemd/system/
rm -f /usr/sbin/policy-rc.d
export DPKG_MAINTSCRIPT_PACKAGE=evproxy DPKG_MAINTSCRIPT_NAME=postinst

set_up_web
systemctl start evproxy
first=$(property MainPID)
hold

../debian/postinst configure 0.0.1 >"$dir/words" 2>&1
check 'a newer package upgrades live' grep ': upgraded live' "$dir/words"
check 'the main process is another one' fails is MainPID "$first"
check 'and was not restarted' is NRestarts 0
check 'a connection has lived through it' held_works

systemctl stop evproxy
check 'a newer package' ../debian/postinst configure 0.0.1
check 'does not start what was stopped' is ActiveState inactive
check 'a first package' ../debian/postinst configure
check 'starts it' within 5 is ActiveState active
check 'the removal' ../debian/prerm remove
check 'stops it' is ActiveState inactive
