#!/bin/bash
# README's two commands, as they are written there, the Debian packages, the tests
# that depend on the suite's OpenSSL and systemd, and all compilers, on fresh
# Debian roots, one of which is booted. As root; make chroot-test calls it. It
# takes an hour for a suite, and 6 GB.
#
#   tests/package/chroot.sh SUITE...        last line: "N passed, N failed"
#
# A suite is bookworm or trixie. mmdebstrap makes its roots, with the packages of
# MIRROR, or of the mirror that this machine's apt uses. HEAD is tested, not what
# is uncommitted. The roots are in a new folder in CHROOTS (/var/tmp), which is
# removed at the end. What is tested runs without a network but loopback, without
# /etc/hosts, and with a soft limit of 1,024 descriptors; only packages are
# installed with the machine's network. JOBS processes build at once. STEPS are
# those of the functions below that are run, in this order:
steps=${STEPS:-readme make_deb try_deb try_vm tls systemd toolchains}
set -uo pipefail

here=$(realpath "$(dirname "$0")")
top=$here/../..

if [ "$(id -u)" -ne 0 ]; then
    echo 'skipped: chroot-test: root is needed'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi

# Mounts and processes end with their namespaces: here are only files to remove.
if [ "${1:-}" != inside ]; then
    stage=$(mktemp -d -p "${CHROOTS:-/var/tmp}" evproxy-chroots.XXXXXX)
    chmod 755 "$stage"
    unshare --mount --pid --fork --kill-child "$here/chroot.sh" inside \
        "$stage" "$@" &
    # unshare ignores SIGTERM; all that is inside ends with it.
    trap 'kill -KILL $! 2>/dev/null; wait $!; rm -rf "$stage"' EXIT
    trap 'exit 1' INT TERM
    wait $! # a signal ends a wait at once
    exit
fi
stage=$2
shift 2

passed=0
failed=0

# check WHAT COMMAND...: shows the end of the log of one that fails
check() {
    local what=$1
    shift
    if "$@" >"$stage/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok - $suite: $what"
    else
        failed=$((failed + 1))
        echo "not ok - $suite: $what"
        tail -n 60 "$stage/log" | sed 's/^/    /'
        return 1
    fi
}

# counts: the lines in which a suite of tests tells its result
counts() {
    grep -E '^((ok|skipped): .*|[0-9]+ passed, [0-9]+ failed.*)$' "$stage/log" |
        sed 's/^/#   /'
}

mirror() {
    local lists
    lists=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null)
    head -n 1 <<<"${MIRROR:-$lists}"
}

# make_root FOLDER SUITE: a root of the required packages and apt
make_root() {
    mmdebstrap --mode=root --variant=minbase "$2" "$1" "$mirror" || return 1
    rm -f "$1/etc/hosts"
}

# enter ROOT COMMAND...: in namespaces that unshare has just made. It pivots, as
# the kernel gives a process that is in a chroot no user namespace.
enter() {
    ulimit -Sn 1024
    mount --bind "$1" "$1" && mount -t proc proc "$1/proc" &&
        mount --rbind /dev "$1/dev" && cd "$1" && pivot_root . . &&
        umount -l . && cd / || exit 1
    shift
    exec env -i HOME=/root TERM=dumb DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+"http_proxy=$http_proxy"} MAKEFLAGS="-j$JOBS" "$@"
}
export -f enter
export JOBS=${JOBS:-$(nproc)}

# inside ROOT COMMAND...: with the machine's network
inside() {
    unshare --mount bash -c 'enter "$@"' enter "$@"
}

# alone ROOT COMMAND...: with loopback only
alone() {
    unshare --mount --net \
        bash -c 'ip link set lo up && enter "$@"' enter "$@"
}

install_packages() {
    local root=$1
    shift
    inside "$root" sh -c 'apt-get update -q && apt-get install -y -q \
        --no-install-recommends "$@"' install "$@"
}

# readme_line TARGET: the command of README that ends with this target
readme_line() {
    sed -n "/^\$(command -v sudo) .* && make $1\$/p" "$root/evproxy/README.md"
}

# commands WHO COMMAND...: README's commands, whose packages are there
commands() {
    local who=$1
    shift
    check "make run, by $who" alone "$root" "$@" \
        bash /evproxy/tests/package/chroot_run.sh "$(readme_line run)"
    check "make test, by $who" alone "$root" "$@" \
        bash -c "cd /evproxy && $(readme_line test)"
    counts
}

# readme: what a reader does first
readme() {
    local line
    for line in run test; do
        line=$(readme_line $line)
        check "README: ${line% && make *}" inside "$root" bash -c \
            "${line% && make *}" || return
    done
    commands root env
    check 'sudo is installed' install_packages "$root" sudo || return
    inside "$root" sh -c 'useradd -m reader && chown -R reader /evproxy &&
        echo "reader ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/reader'
    commands 'an ordinary user' runuser -u reader --
    inside "$root" chown -R root /evproxy
}

# make_deb: as a reader does, and the tests of what it has made
make_deb() {
    check 'what make deb needs' install_packages "$root" libssl-dev musl-tools \
        iproute2 lintian || return
    check 'make deb, without a warning' alone "$root" sh -c \
        'cd /evproxy && make deb WERROR=1 >/deb.log 2>&1 || { cat /deb.log; exit 1; }
         ! grep -i warning /deb.log' || return
    check 'make package-test' alone "$root" make -C /evproxy package-test
    counts
    check 'make deb, of an older version' alone "$root" make -C /evproxy deb \
        VERSION=0.0.9 BUILD=build/older
}

# files: the names of all that is in the clean root
files() {
    (cd "$clean" && find . \( -path ./proc -o -path ./dev -o -path ./tmp \
        -o -path ./var/cache -o -path ./var/log \) -prune -o -print | sort)
}

# try_deb: on a root that has only what the package depends on
try_deb() {
    local deb=/tmp/evproxy.deb
    cp "$root"/evproxy/build/deb/evproxy_*.deb "$clean$deb" || return
    check 'apt has what the package depends on' inside "$clean" sh -c \
        "apt-get update -q && apt-get satisfy -y -q --no-install-recommends \
         \"\$(dpkg-deb -f $deb Depends)\"" || return
    files >"$stage/before"
    check 'dpkg installs it' inside "$clean" dpkg -i $deb
    cp "$here/chroot_deb.sh" "$clean/tmp"
    check 'evproxy runs' alone "$clean" bash /tmp/chroot_deb.sh
    check 'dpkg removes it' inside "$clean" dpkg -r evproxy
    check 'and purges it' inside "$clean" dpkg -P evproxy
    files >"$stage/after"
    check 'nothing is left' diff "$stage/before" "$stage/after"
}

# try_vm: on the same root with a kernel and systemd, in a virtual machine
try_vm() {
    check 'a kernel and systemd are installed' install_packages "$clean" \
        "linux-image-cloud-$(dpkg --print-architecture)" systemd-sysv || return
    check 'the package in a virtual machine' "$here/vm.sh" "$clean" \
        "$root"/evproxy/build/{older,.}/deb/evproxy_*.deb
    counts
}

# tls: the tests of TLS, with the OpenSSL of the suite
tls() {
    check 'what TLS needs' install_packages "$root" gcc make libc6-dev \
        libcmocka-dev libssl-dev || return
    check 'make TLS=1 tls' alone "$root" make -C /evproxy TLS=1 tls
    counts
}

# systemd: the tests of the unit, under the systemd of the suite
systemd() {
    check 'what the tests of the unit need' install_packages "$root" gcc make \
        libc6-dev libssl-dev systemd python3 openssl procps jq curl || return
    check 'make TLS=1 install' alone "$root" make -C /evproxy TLS=1 install \
        PREFIX=/usr/local DESTDIR=build/installed || return
    check 'make TLS=1 systemd' env ROOT="$root" \
        INSTALLED="$root/evproxy/build/installed" "$here/../systemd/run.sh"
    counts
}

# toolchains: every compiler that the suite has, and that for arm64. Half of the
# time and of the space is for this; it is no less needed: what a suite's next
# compiler warns about, a machine with another Debian does not show.
toolchains() {
    local found
    inside "$root" dpkg --add-architecture arm64
    check 'apt has the packages of arm64' inside "$root" apt-get update -q ||
        return
    found=$(inside "$root" apt-cache search --names-only \
        '^(gcc|clang)-[0-9]+$' | cut -d ' ' -f 1)
    check "compilers: ${found//$'\n'/ }" install_packages "$root" $found \
        gcc make libc6-dev musl-tools libssl-dev openssl qemu-user \
        gcc-aarch64-linux-gnu libc6-dev-arm64-cross libssl-dev:arm64 \
        libcmocka-dev:arm64 || return
    check 'make toolchains' alone "$root" make -C /evproxy toolchains
    counts
}

mirror=$(mirror)
if [ -z "$mirror" ]; then
    echo 'no mirror: run apt-get update, or set MIRROR' >&2
    exit 1
fi
for suite; do
    root=$stage/$suite
    clean=$stage/$suite-clean
    if check 'mmdebstrap makes a root' make_root "$root" "$suite"; then
        cp -a "$root" "$clean"
        mkdir "$root/evproxy"
        git -C "$top" archive HEAD | tar x --no-same-owner -C "$root/evproxy"
        for step in $steps; do
            $step
        done
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
