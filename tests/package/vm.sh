#!/bin/bash
# The package on a Debian that is booted: its own kernel, its own systemd as
# process 1, in a virtual machine. As root; chroot.sh calls it.
#
#   tests/package/vm.sh ROOT OLDER NEWER    last line: "N passed, N failed"
#
# ROOT is a root with systemd-sysv, a kernel, and what the package depends on;
# what the test needs is added to it. OLDER and NEWER are two versions of the
# package. The machine is booted twice from one disk, without a network: see
# vm_inside.sh. It is software emulation, unless VM_ACCEL names what qemu has
# (kvm): a boot takes half a minute, and ten on a machine that is busy.
set -uo pipefail

here=$(realpath "$(dirname "$0")")
root=$(realpath "$1")
older=$(realpath "$2")
newer=$(realpath "$3")
# shellcheck source=../bench/vm/qemu.sh
. "$here/../bench/vm/qemu.sh"

if [ "$(id -u)" -ne 0 ]; then
    lacks='root is needed'
elif [ "$(dpkg --print-architecture)" != amd64 ]; then
    lacks='its machine is an amd64'
elif ! command -v qemu-system-x86_64 >/dev/null; then
    lacks='qemu-system-x86 is not installed'
fi
if [ -n "${lacks:-}" ]; then
    echo "skipped: virtual machine: $lacks"
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi

stage=$(mktemp -d -p "$(dirname "$root")" vm.XXXXXX)
machine=
trap '[ -z "$machine" ] || kill "$machine"; rm -rf "$stage"' EXIT
trap 'exit 1' INT TERM

# make_disk: the root as it is after the installation of a Debian
make_disk() {
    mkdir -p "$root/vm-test" &&
        cp "$here/vm_inside.sh" "$root/vm-test/inside.sh" &&
        cp "$older" "$root/vm-test/older.deb" &&
        cp "$newer" "$root/vm-test/newer.deb" &&
        cp "$here"/units/* "$root/etc/systemd/system/" &&
        tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id" &&
        mke2fs -q -t ext4 -d "$root" "$stage/disk" 2G >"$stage/mke2fs" 2>&1
}

# boot PART: until the machine has switched itself off. The second serial line
# has the results, the first one what the kernel and systemd say.
boot() {
    echo "# boot: $1"
    : >"$stage/said"
    timeout -k 5 "${LIMIT_S:-1800}" "${qemu[@]}" -m 1024 \
        -kernel "$root"/boot/vmlinuz-* -initrd "$root"/boot/initrd.img-* \
        -append "$kernel_options root=/dev/vda rw \
            systemd.wants=vm-test@$1.service" \
        -drive "file=$stage/disk,format=raw,if=virtio,cache=unsafe" \
        -serial "file:$stage/console" -serial "file:$stage/said" \
        </dev/null >"$stage/qemu" 2>&1 &
    machine=$!
    wait "$machine"
    echo "# qemu: status $?, ${SECONDS} s" >>"$stage/qemu"
    machine=
    tr -d '\r' <"$stage/said" | tee -a "$stage/all"
    tail -n 1 "$stage/said" | grep -q '^# the end' || {
        echo "not ok - the machine ended early" | tee -a "$stage/all"
        sed 's/^/    /' "$stage/qemu"
        tail -n 40 "$stage/console" | tr -d '\r' | sed 's/^/    /'
        return 1
    }
}

if make_disk; then
    boot first && boot second
else
    echo 'not ok - there is a disk' | tee "$stage/all"
    sed 's/^/    /' "$stage/mke2fs"
fi
passed=$(grep -c '^ok ' "$stage/all")
failed=$(grep -c '^not ok ' "$stage/all")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
