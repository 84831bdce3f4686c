#!/bin/bash
# Kernel TLS, end to end, in a virtual machine: Debian's kernel has it as a
# module, and this machine may not have it.
#
#   vm/ktls.sh EVPROXY TOOLS OUT [TEST...]
#
# The folder TOOLS has netload and tls_load, built with TLS=1. OUT receives the
# machine. Each TEST is an end-to-end test that runs in the machine as well.
# Everything runs twice, without the module and with it. From the environment:
#   KERNEL   the kernel's path (the newest in /boot)
#   MODULES  its modules (those of the same version in /lib/modules)
#
# Exit status: 0 if every byte and every end was right, both times, and the
# kernel's counters show that it encrypted.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

evproxy=$(realpath "${1:?the evproxy to test}")
tools=$(realpath "${2:?where tls_load is}")
mkdir -p "${3:?where to put the machine}/vm"
out=$(realpath "$3")
shift 3

kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | sort -V |
    tail -n 1)}
modules=${MODULES:-/lib/modules/${kernel##*/vmlinuz-}}

missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
command -v busybox >/dev/null || missing+=(busybox-static)
command -v openssl >/dev/null || missing+=(openssl)
if [ ! -e "$kernel" ] || [ ! -e "$modules/kernel/net/tls/tls.ko" ]; then
    missing+=(linux-image-cloud-amd64)
fi
if [ ${#missing[@]} -gt 0 ]; then
    echo 'not installed:' >&2
    echo "    apt-get install -y --no-install-recommends ${missing[*]}" >&2
    echo '(or KERNEL=... and MODULES=... name a kernel elsewhere)' >&2
    exit 1
fi

payload=$(mktemp -d "$out/vm/ktls.XXXXXX")
trap 'rm -rf "$payload"' EXIT
KERNEL=$kernel "$here/build.sh" "$out/vm"

"$here/payload.sh" "$payload" "$evproxy" "$tools/netload" "$tools/tls_load" "$@"
mkdir "$payload/ko"
# In this order: each needs those before it.
for name in crypto/gf128mul crypto/ghash-generic crypto/ctr crypto/gcm \
    crypto/cryptd crypto/crypto_simd arch/x86/crypto/aesni-intel \
    net/tls/tls; do
    cp "$modules/kernel/$name.ko" "$payload/ko/"
    echo "/payload/ko/${name##*/}.ko" >>"$payload/ko/order"
done
: >"$payload/tests"
for test in "$@"; do
    echo "${test##*/}" >>"$payload/tests"
done
openssl req -x509 -nodes -days 30 -subj /CN=bench.test -newkey ec \
    -pkeyopt ec_paramgen_curve:P-256 -keyout "$payload/key.pem" \
    -out "$payload/certificate.pem" 2>/dev/null
cp "$here/ktls-inside.sh" "$payload/run.sh"

# Encryption on an emulated CPU is too slow without these instructions.
VM_CPU='qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+aes,+pclmulqdq,+rdrand' \
    "$here/run.sh" "$out/vm" "$payload" 1024 "${LIMIT_S:-900}"
