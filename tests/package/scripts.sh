# What the packages' scripts do to the service, above all when something fails.
# run.sh sources this file. systemctl is a stand-in; deb-systemd-helper,
# deb-systemd-invoke and dpkg are real.

stand_in=$root/stand-in
wants=etc/systemd/system/multi-user.target.wants/evproxy.service
mkdir "$stand_in"
cp "$here/systemctl" "$stand_in"
printf '#!/bin/sh\n' >"$stand_in/sleep"
chmod +x "$stand_in/sleep"
rm -f "$root/usr/sbin/policy-rc.d"

# given PID [USR2 [FAIL...]]: the state of the service before what is tested
given() {
    : >"$stand_in/calls"
    echo "$1" >"$stand_in/pid"
    echo 0 >"$stand_in/restarts"
    echo running >"$stand_in/status"
    echo "${2:-live}" >"$stand_in/usr2"
    printf '%s\n' "${@:3}" >"$stand_in/fail"
    rm -f "$stage/words"
}

# told COMMAND...: in the copy, with the stand-in; its words and the calls are
# shown, and kept for said and asked
told() {
    local status=0
    inside env "PATH=/stand-in:$PATH" DPKG_MAINTSCRIPT_PACKAGE=evproxy "$@" \
        >"$stage/words" 2>&1 || status=$?
    cat "$stage/words"
    sed 's/^/systemctl /' "$stand_in/calls"
    return $status
}

refused() {
    ! told "$@"
}

# script NAME ARGUMENT...: a script of the installed package, by itself
script() {
    told "/var/lib/dpkg/info/evproxy.$1" "${@:2}"
}

said() {
    grep -e "$1" "$stage/words"
}

# asked REGEX: whether systemctl was called in that way; not_asked REGEX
asked() {
    grep -E -e "$1" "$stand_in/calls"
}

not_asked() {
    ! asked "$1"
}

status_is() {
    inside dpkg-query -W -f '${db:Status-Abbrev}\n' evproxy | grep -x "$1 "
}

# variant NAME VERSION [PREINST]: another version of the package in /packages,
# whose preinst is this text
variant() {
    rm -rf "$root/variant"
    inside sh -c 'dpkg-deb -R /packages/evproxy_0*.deb /variant'
    sed -i "s/^Version: .*/Version: $2/" "$root/variant/DEBIAN/control"
    if [ $# -gt 2 ]; then
        printf '%s\n' "$3" >"$root/variant/DEBIAN/preinst"
        chmod 755 "$root/variant/DEBIAN/preinst"
    fi
    inside dpkg-deb -Zgzip -z1 --root-owner-group -b /variant \
        "/packages/$1.deb" >/dev/null
}

signal='^kill .*USR2 evproxy.service$'
changes='^(--quiet )?(--system )?(start|stop|restart|kill)'

# ---- without systemd ----

given 0
check 'without systemd it is installed' told sh -c \
    'dpkg -i /packages/evproxy_0*.deb'
check 'and removed' told dpkg -r evproxy
check 'and systemd is asked nothing' not_asked .
told dpkg -P evproxy >/dev/null

# ---- installation and upgrade by dpkg ----

mkdir -p "$root/run/systemd/system"
variant newer 99.1
variant broken 99.2 '#!/bin/sh
exit 1'

given 0 live start
check 'a service that does not start: the package is installed' told sh -c \
    'dpkg -i /packages/evproxy_0*.deb'
check 'it was to start' asked ' start evproxy.service'
check 'and is configured' status_is ii

given 100
check 'a newer package' told dpkg -i /packages/newer.deb
check 'upgrades live' said ': upgraded live'
check 'by a signal' asked "$signal"
check 'and without a restart' not_asked restart

given 100
check 'a package whose unpacking fails' refused dpkg -i /packages/broken.deb
check 'leaves the one before' status_is ii
check 'which goes on untouched' not_asked "$changes"

given 100
check 'the removal' told dpkg -r evproxy
check 'stops the service' asked '^stop evproxy.service'
check 'and systemd forgets the unit' asked daemon-reload
given 0
check 'installed once more' told dpkg -i /packages/newer.deb
check 'it is started' asked ' start evproxy.service'

# ---- an upgrade that is not live ----

given 100 refused
check 'a live upgrade that is refused' script postinst configure 0.0.1
check 'was tried' asked "$signal"
check 'is a restart' asked ' restart evproxy.service'
check 'and it says so' said ': not upgraded live; it is restarted'
check 'at once' test "$(asked MainPID | wc -l)" -lt 5

given 100 silent
check 'one that says nothing' script postinst configure 0.0.1
check 'is given up' asked ' restart evproxy.service'
check 'after a while' test "$(asked MainPID | wc -l)" -gt 100

given 100 refused
echo 'upgrade failed: out of memory' >"$stand_in/status"
check 'a failure of before' script postinst configure 0.0.1
check 'is not taken for this one' test "$(asked MainPID | wc -l)" -lt 5

given 100 refused restart
check 'a restart that fails does not fail the package' script postinst \
    configure 0.0.1
check 'it was tried' asked ' restart evproxy.service'

for end in crash restart; do
    given 100 $end
    check "a live upgrade that ends in a $end" script postinst configure 0.0.1
    check 'is not called live' lacks ': upgraded live' "$stage/words"
    check 'and the service is restarted' asked ' restart evproxy.service'
done

given 100 live kill
check 'a signal that cannot be sent' script postinst configure 0.0.1
check 'is a restart too' asked ' restart evproxy.service'
given 100 live show
check 'so is a main process that is not known' script postinst configure 0.0.1
check 'without a signal' not_asked "$signal"
check 'but with a restart' asked ' restart evproxy.service'
given 100 live daemon-reload
check 'units that are not read anew' script postinst configure 0.0.1
check 'do not stop the live upgrade' said ': upgraded live'

cp "$root/etc/evproxy/evproxy.ini" "$stage/good.ini"
echo 'colour = red' >>"$root/etc/evproxy/evproxy.ini"
given 100 refused
check 'a configuration that the new one refuses' script postinst configure 0.0.1
check 'is told with its place' said 'evproxy.ini:[0-9]*: '
check 'and that the old one goes on' said 'the old one goes on'
check 'which it does' not_asked restart
given 100 crash
check 'after a crash' script postinst configure 0.0.1
check 'no old one is said to go on' said 'the old one has ended'
cp "$stage/good.ini" "$root/etc/evproxy/evproxy.ini"

printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
given 100
check 'a policy that forbids restarts' script postinst configure 0.0.1
check 'forbids live upgrades' not_asked "$changes"
check 'and the old one is said to go on' said 'the old version goes on'
rm "$root/usr/sbin/policy-rc.d"

# ---- what the administrator has done stays ----

given 0
check 'a newer package of a service that was stopped' script postinst \
    configure 0.0.1
check 'does not start it' not_asked "$changes"
rm "$root/$wants"
given 100
check 'of one that was disabled' script postinst configure 0.0.1
check 'upgrades it live' said ': upgraded live'
check 'and leaves it disabled' none "$wants"
given 0
check 'installed anew' script postinst configure
check 'it is not started' not_asked "$changes"
inside ln -s /usr/lib/systemd/system/evproxy.service "/$wants"

# ---- what dpkg takes back ----

for argument in 'abort-upgrade 99.2' \
    'abort-deconfigure in-favour other 1 removing another 1'; do
    given 100
    check "postinst $argument" script postinst $argument
    check 'touches nothing' not_asked "$changes"
done
for argument in 'abort-remove' 'abort-remove in-favour other 1'; do
    given 0
    check "postinst $argument" script postinst $argument
    check 'starts what the removal has stopped' asked ' start evproxy.service'
done
for argument in 'prerm upgrade 99.2' 'prerm failed-upgrade 0.0.1 99.1' \
    'prerm deconfigure in-favour other 1' 'postrm upgrade 99.2' \
    'postrm failed-upgrade 0.0.1 99.1' 'postrm abort-install' \
    'postrm abort-upgrade 0.0.1 99.1' 'postrm disappear other 1'; do
    given 100
    check "$argument" script $argument
    check 'touches nothing' not_asked .
done

touch "$root/run/evproxy.installed"
check 'an installation that failed' script postrm abort-install
check 'leaves no mark' none 'run/evproxy.*'

# ---- removal and purge ----

given 100 live stop daemon-reload
check 'a service that does not stop: the package is removed' told \
    dpkg -r evproxy
check 'it was to stop' asked '^stop evproxy.service'
given 0
told dpkg -i /packages/newer.deb >/dev/null
echo '# mine' >>"$root/etc/evproxy/evproxy.ini"
echo '# mine' >"$root/etc/evproxy/other.ini"
given 100
check 'the purge of an installed one' told dpkg -P evproxy
check 'stops the service' asked '^stop evproxy.service'
check 'takes a changed configuration' none etc/evproxy/evproxy.ini
check 'and leaves a file that is not its own' there etc/evproxy/other.ini
check 'no state of systemd is left' none 'etc/systemd/system/*/evproxy.service' \
    'var/lib/systemd/*/evproxy*'
check 'and no mark' none 'run/evproxy.*'
