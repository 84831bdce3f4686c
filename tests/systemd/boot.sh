#!/bin/bash
# Boots systemd as process 1 of new namespaces, on a throw-away copy of a root,
# and waits for its end. run.sh calls it, in a new namespace for mounts:
#
#   boot.sh probe STAGE ROOT                    whether all that is allowed here
#   boot.sh outer STAGE ROOT FOLDER INSTALLED   does it
#
# STAGE is an empty folder, ROOT may be the machine's. FOLDER appears inside as
# /evproxy-test, and what INSTALLED holds is laid over the root. The copy is an
# overlay in memory: no file of ROOT changes, and all mounts end with the
# namespaces. A group of control groups is made for it and removed.
set -euo pipefail

open_stage() {
    mount -t tmpfs -o mode=755 tmpfs "$stage"
    mkdir "$stage/upper" "$stage/work" "$stage/root" "$stage/groups"
    mount -t cgroup2 cgroup2 "$stage/groups"
    group=$stage/groups/evproxy-test.$$
    mkdir "$group"
    trap remove_group EXIT
}

# Processes that were killed may need a moment.
remove_group() {
    for _ in {1..50}; do
        if find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
}

mount_root() {
    mount -t overlay overlay -o \
        "lowerdir=$lower,upperdir=$stage/upper,workdir=$stage/work" "$stage/root"
}

probe() {
    open_stage
    mount_root
    unshare --cgroup --pid --net --ipc --uts --mount --fork true
}

outer() {
    local child status=0

    open_stage
    trap 'kill -KILL "$child"' INT TERM
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec unshare --cgroup --pid --net --ipc --uts --mount --fork \
            --kill-child "$0" inner "$stage" "$lower" "$folder" "$installed"
    ) &
    child=$!
    wait "$child" || status=$?
    return $status
}

make_devices() {
    local name

    mount -t tmpfs -o mode=755 tmpfs dev
    for name in null zero full random urandom tty; do
        cp -a "/dev/$name" dev/
    done
    ln -s null dev/console
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    mkdir dev/shm dev/pts
}

fill_root() {
    local place

    mount -t proc proc proc
    mount -o bind,ro proc/sys proc/sys # much of it is the whole machine's
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    make_devices
    # The root's own units, and what they leave in /run, play no part.
    for place in run tmp var/log etc/systemd/system; do
        mount -t tmpfs -o mode=755 tmpfs "$place"
    done
    chmod 1777 tmp
    tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
    cp -r "$installed/." .
    mkdir evproxy-test
    mount --bind "$folder" evproxy-test
    cp evproxy-test/systemd/units/* etc/systemd/system/
}

# Process 1 of the new namespaces.
inner() {
    umount "$stage/groups"
    mount_root
    cd "$stage/root"
    fill_root
    hostname evproxy-test
    mkdir evproxy-old
    pivot_root . evproxy-old
    umount -l /evproxy-old
    rmdir /evproxy-old
    mount --make-rshared / # so that systemd can mount for its services
    # What would reach the machine's kernel is not for it.
    exec setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog \
        --inh-caps=-all env -i container=evproxy-test \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --unit=evproxy-test.target </dev/null
}

part=$1 stage=$2 lower=$3 folder=${4:-} installed=${5:-}
"$part"
