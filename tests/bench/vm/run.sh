#!/bin/bash
# Boots the virtual machine of vm/build.sh with a payload and shows its output.
#
#   vm/run.sh DIR PAYLOAD [MEMORY_MB] [LIMIT_S]
#
# DIR is that of vm/build.sh. PAYLOAD is /payload in the machine, which runs
# PAYLOAD/run.sh with busybox's sh. Exit status: that of run.sh; 124 if it did
# not end within the limit, 125 if the machine died.
#
# qemu.sh says what VM_ACCEL, VM_CPU, VM_SMP and VM_APPEND change.
set -euo pipefail

. "$(dirname "$0")/qemu.sh"

dir=${1:?the folder of vm/build.sh}
payload=${2:?the folder to run}
memory=${3:-2048}
limit=${4:-600}

work=$(mktemp -d "$dir/run.XXXXXX")
machine=
trap 'rm -rf "$work"' EXIT
trap '[ -z "$machine" ] || kill "$machine"; exit 130' INT TERM

mkdir "$work/payload"
cp -a "$payload/." "$work/payload/"
(cd "$work" && find payload | busybox cpio -o -H newc 2>/dev/null) \
    >"$work/payload.cpio"
cat "$dir/initramfs.cpio" "$work/payload.cpio" >"$work/initrd"
rm -rf "$work/payload" "$work/payload.cpio"

mkfifo "$work/console"
sed -u 's/\r//g' <"$work/console" | tee "$work/log" |
    sed -u '/^VM-EXIT /d' &
show=$!
timeout -k 5 "$limit" "${qemu[@]}" -m "$memory" -serial stdio \
    -kernel "$dir/vmlinuz" -initrd "$work/initrd" -append "$kernel_options" \
    </dev/null >"$work/console" 2>&1 &
machine=$!
status=0
wait "$machine" || status=$?
wait "$show"

if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    echo "vm: no end within $limit s" >&2
    exit 124
fi
exit "$(sed -n 's/^VM-EXIT \([0-9]*\)$/\1/p' "$work/log" | tail -n 1 |
    grep . || echo 125)"
