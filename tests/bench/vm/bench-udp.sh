#!/bin/bash
# The memory of very many UDP sessions, in a virtual machine.
#
#   vm/bench-udp.sh EVPROXY TOOLS OUT
#
# The folder TOOLS has netload. OUT receives the machine and udp.jsonl, to which
# each result is added. From the environment:
#   N        sessions (100000)
#   PEERS    to compare with: nginx (none)
#   MEMORY   of the machine, in MB (8192; only what it uses is allocated)
#   KERNEL   the kernel's path (the newest in /boot)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

evproxy=$(realpath "${1:?the evproxy to measure}")
tools=$(realpath "${2:?where netload is}")
mkdir -p "${3:?where to put results}/vm"
out=$(realpath "$3")
PATH=$tools:$PATH:/usr/sbin

kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | sort -V |
    tail -n 1)}
for program in qemu-system-x86_64 busybox netload ${PEERS:+"$PEERS"}; do
    if ! command -v "$program" >/dev/null; then
        echo "not installed: $program" >&2
        exit 1
    fi
done
if [ ! -e "$kernel" ]; then
    echo 'no kernel: install linux-image-cloud-amd64, or set KERNEL' >&2
    exit 1
fi

work=$(mktemp -d "$out/vm/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
KERNEL=$kernel "$here/build.sh" "$out/vm"

failed=0
for name in evproxy ${PEERS:-}; do
    rm -rf "$work/payload"
    mkdir "$work/payload"
    "$here/payload.sh" "$work/payload" netload
    case $name in
    evproxy)
        "$here/payload.sh" "$work/payload" "$evproxy"
        command="evproxy -c /payload/udp.ini"
        ;;
    nginx)
        "$here/payload.sh" "$work/payload" nginx \
            /usr/share/nginx/modules/ngx_stream_module.so
        command='nginx -p /tmp/ -e stderr -c /payload/nginx-udp.conf'
        ;;
    *)
        echo "no such peer: $name" >&2
        exit 1
        ;;
    esac
    cp "$here/udp.ini" "$here/nginx-udp.conf" "$work/payload/"
    cp "$here/inside-udp.sh" "$work/payload/run.sh"
    echo "N=${N:-100000} NAME='$name' COMMAND='$command'" \
        >"$work/payload/settings"
    echo "== ${N:-100000} UDP sessions, $name"
    "$here/run.sh" "$out/vm" "$work/payload" "${MEMORY:-8192}" 1800 |
        tee "$work/log" | sed -u '/^RESULT /d' || failed=1
    sed -n 's/^RESULT //p' "$work/log" | tee -a "$out/udp.jsonl"
done
exit $failed
