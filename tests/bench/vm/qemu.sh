# How qemu runs a machine: sets qemu, a command without what it boots and without
# its memory, and kernel_options. Source this file.
#
# VM_ACCEL is qemu's accelerator, by default software emulation. VM_CPU is the
# CPU model, VM_SMP the number of CPUs, VM_APPEND is added to the command line of
# the kernel. The defaults turn off what is slow to emulate: "rep movsb" copies,
# mitigations, saving of vector registers. The size of a socket or of a buffer
# does not depend on them.

qemu=(qemu-system-x86_64 -accel "${VM_ACCEL:-tcg,thread=multi,tb-size=512}"
    -M q35 -cpu "${VM_CPU:-qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16}"
    -smp "${VM_SMP:-2}" -nodefaults -no-user-config -display none -no-reboot)
kernel_options='console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nopti'
kernel_options+=' init_on_alloc=0 noxsave clearcpuid=rep_good,erms tsc=reliable'
kernel_options+=" audit=0 ${VM_APPEND:-}"
