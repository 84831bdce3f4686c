#!/bin/bash
# Inside the virtual machine of vm.sh, on a Debian that is up: a part of the
# package's life. The machine switches itself off afterwards.
#
#   inside.sh first     an installation, and a configuration
#   inside.sh second    after a boot: a live upgrade, stops, removal, purge
#
# The upstream is a socket unit, so nothing is needed but what Debian has at least.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
export DEBIAN_FRONTEND=noninteractive

unit=evproxy.service
said=/run/vm-test.said

# check WHAT COMMAND...
check() {
    local what=$1
    shift
    if "$@" >$said 2>&1 </dev/null; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        tail -n 20 $said | sed 's/^/    /'
        return 1
    fi
}

# soon COMMAND...: waits until it succeeds. The machine may be a slow one.
soon() {
    local end=$((SECONDS + 120))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

fails() {
    ! "$@"
}

property() {
    systemctl show --value -p "$1" $unit
}

# is NAME VALUE: whether a property has the value
is() {
    local value
    value=$(property "$1")
    echo "$1 is '$value', '$2' expected"
    [ "$value" = "$2" ]
}

# logged REGEX: whether the service has said so since the boot
logged() {
    journalctl --sync
    journalctl -b -u $unit -o cat >/run/vm-test.journal
    grep -E -- "$1" /run/vm-test.journal || {
        tail -n 15 /run/vm-test.journal
        return 1
    }
}

# errors: shows what the journal has as errors of the service, and of those who
# started it
errors() {
    journalctl --sync
    journalctl -b -q -p err -u $unit
}

# processes: of evproxy
processes() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        readlink "$exe" | grep '^/usr/sbin/evproxy'
    done
}

# none COMMAND...: it shows nothing
none() {
    local shown
    shown=$("$@" 2>&1)
    echo "$shown"
    [ -z "$shown" ]
}

# carries FD LINE: there and back
carries() {
    local line
    echo "$2" >&"$1" && read -r -t 120 -u "$1" line && [ "$line" = "$2" ]
}

# hold: a connection through evproxy, which has carried a line
hold() {
    exec 3<>/dev/tcp/127.0.0.1/80 && carries 3 'first line'
}

# serves: whether another connection carries bytes
serves() {
    { exec 4<>/dev/tcp/127.0.0.1/80; } 2>/dev/null && carries 4 'a line' &&
        exec 4>&-
}

up() {
    systemctl is-system-running --wait ||
        { systemctl --failed --no-pager; return 1; }
}

no_port() {
    fails grep -hE '^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F:]+ (0A|07) ' \
        /proc/net/{tcp,tcp6,udp,udp6}
}

installed() {
    find / /run -xdev -path /vm-test -prune -o -iname '*evproxy*' -print
}

runs_well() {
    check 'it is enabled' systemctl is-enabled $unit
    check 'it runs' systemctl is-active $unit
    check 'and says so' soon is StatusText running
    check "it is $1" logged "^ready version=$1 "
    check 'not as root' fails test "$(stat -c %u "/proc/$(property MainPID)")" -eq 0
}

first() {
    check 'nothing has its name' none installed
    check 'dpkg installs the older one' dpkg -i older.deb
    runs_well "$older"
    check 'it takes no port' no_port
    cat >/etc/evproxy/evproxy.ini <<'TEXT'
[service web]
listen = 127.0.0.1:80
upstream = 127.0.0.1:9001
TEXT
    check 'an upstream is there' systemctl enable --now vm-echo.socket
    pid=$(property MainPID)
    check 'a configuration is taken' systemctl reload evproxy
    check 'and served' soon serves
    check 'by the same process' is MainPID "$pid"
}

installs_live() {
    local words
    words=$(dpkg -i newer.deb) || return 1
    echo "$words"
    [[ $words == *'evproxy: upgraded live'* ]]
}

upgrade() {
    pid=$(property MainPID)
    check 'a connection is held' hold
    check 'dpkg installs the newer one, live' installs_live
    check 'the main process is another one' fails is MainPID "$pid"
    check 'the former one has gone' soon test ! -e "/proc/$pid"
    check 'nothing was restarted' is NRestarts 0
    check 'the journal tells it' logged '^upgraded .*connections=1 '
    check 'the newer one runs' test "/proc/$(property MainPID)/exe" -ef \
        /usr/sbin/evproxy
    check 'the connection carries bytes' carries 3 'after the upgrade'
    check 'it serves others' serves
    check 'the configuration is kept' grep 9001 /etc/evproxy/evproxy.ini
    exec 3>&-
}

operate() {
    pid=$(property MainPID)
    check 'it is restarted' systemctl restart evproxy
    check 'as another process' fails is MainPID "$pid"
    check 'which serves' soon serves
    check 'a reload' systemctl reload evproxy
    check 'and it serves' soon serves
    check 'it is stopped' systemctl stop evproxy
    check 'as a clean stop' is Result success
    check 'nobody serves' fails serves
    check 'a package for one that is stopped' dpkg -i newer.deb
    check 'does not start it' is ActiveState inactive
    check 'it is started' systemctl start evproxy
    check 'and serves' soon serves
}

remove() {
    check 'dpkg removes it' dpkg -r evproxy
    check 'it is stopped' fails systemctl is-active $unit
    check 'no process is left' none processes
    check 'nobody serves' fails serves
    check 'no unit is left' fails systemctl cat $unit
    check 'the configuration is' grep 9001 /etc/evproxy/evproxy.ini
    check 'dpkg purges it' dpkg -P evproxy
    check 'nothing is left' none installed
    check 'no group of processes' none find /sys/fs/cgroup -name '*evproxy*'
    check 'systemd knows nothing' none systemctl list-units --all --no-legend \
        --plain 'evproxy*'
    check 'dpkg knows nothing' fails dpkg -s evproxy
}

second() {
    check 'after a boot' systemctl is-active $unit
    runs_well "$older"
    check 'it serves' soon serves
    upgrade
    runs_well "$newer"
    operate
    check 'no error is in the journal' none errors
    systemd-analyze security $unit --no-pager | sed -n 's/^→ /# /p'
    remove
}

older=$(dpkg-deb -f older.deb Version)
newer=$(dpkg-deb -f newer.deb Version)
. /etc/os-release
echo "# $PRETTY_NAME, $(uname -r), $(systemctl --version | head -n 1)"
check 'the machine is up' up
"$1"
check 'no unit has failed' none systemctl --failed --no-legend --plain
check 'no process has crashed' none grep -h 'segfault\|traps:' <(journalctl -b -k -o cat)
echo "# the end, after $SECONDS s"
