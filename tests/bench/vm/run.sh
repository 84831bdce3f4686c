#!/bin/bash
# Boots the virtual machine of vm/build.sh with a payload and shows its output.
#
#   vm/run.sh DIR PAYLOAD [MEMORY_MB] [LIMIT_S]
#
# DIR is that of vm/build.sh. PAYLOAD is /payload in the machine, which runs
# PAYLOAD/run.sh with busybox's sh. Exit status: that of run.sh; 124 if it did
# not end within the limit, 125 if the machine died.
#
# VM_ACCEL is qemu's accelerator, by default software emulation. VM_CPU is the
# CPU model, VM_SMP the number of CPUs, VM_APPEND is added to the command line of
# the kernel. The defaults turn off what is slow to emulate: "rep movsb" copies,
# mitigations, saving of vector registers. The size of a socket or of a buffer
# does not depend on them.
set -euo pipefail

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

options='console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nopti'
options+=' init_on_alloc=0 noxsave clearcpuid=rep_good,erms tsc=reliable'
options+=" audit=0 ${VM_APPEND:-}"

mkfifo "$work/console"
sed -u 's/\r//g' <"$work/console" | tee "$work/log" |
    sed -u '/^VM-EXIT /d' &
show=$!
timeout -k 5 "$limit" qemu-system-x86_64 \
    -accel "${VM_ACCEL:-tcg,thread=multi,tb-size=512}" -M q35 \
    -cpu "${VM_CPU:-qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16}" \
    -smp "${VM_SMP:-2}" -m "$memory" -nodefaults -no-user-config \
    -display none -serial stdio -no-reboot -kernel "$dir/vmlinuz" \
    -initrd "$work/initrd" -append "$options" \
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
