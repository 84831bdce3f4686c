#!/bin/bash
# Very many connections through evproxy, in a virtual machine, so the limits of
# this machine do not matter. Every byte that comes back is compared.
#
#   vm/bench-200k.sh EVPROXY TOOLS OUT
#
# The folder TOOLS has echo_load and gostdnet. OUT receives the machine and
# large.jsonl, to which each result is added. From the environment:
#   N        connections (200000); several: "20000 100000 200000"
#   PEERS    to compare with: haproxy, nginx, gostdnet, comma-separated (none)
#   RATE     new connections a second, at most (3000)
#   MEMORY   of the machine, in MB (16384; only what it uses is allocated)
#   KERNEL   the kernel's path (the newest in /boot)
#   GAPS     each sends a message after a random time within it, in seconds
#            ("100 400"), for as long as
#   HOLD     so many seconds (60): above the second of GAPS, all of them send one
#   LIMIT    seconds until the machine is given up (3600)
#   UPGRADE  1: evproxy is upgraded to itself while all are idle: its log tells
#            pause_ms, which is that of an emulated machine
#
# For each N a run without a proxy is made once and kept. The memory of a proxy,
# user and kernel together, is the difference to it. Emulation is slow: 200,000
# connections take 3 to 20 minutes. Run it under nice(1).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

evproxy=$(realpath "${1:?the evproxy to measure}")
tools=$(realpath "${2:?where echo_load is}")
mkdir -p "${3:?where to put results}/vm"
out=$(realpath "$3")
PATH=$tools:$PATH:/usr/sbin

rate=${RATE:-3000}
memory=${MEMORY:-16384}
# A source has 64,512 ports for an address, and connect() gets slow when half of
# them are used. These addresses are enough for a million connections.
addresses=64
idle_s=${UPGRADE:+2}20
hold_s=${HOLD:-60}
read -r min_gap_s max_gap_s <<<"${GAPS:-100 400}"
limit_s=${LIMIT:-3600}
kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | tail -n 1)}
peers=${PEERS:-}

# need PROGRAM PACKAGE
missing=()
need() {
    command -v "$1" >/dev/null || missing+=("$2")
}
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
case ,$peers, in *,haproxy,*) need haproxy haproxy ;; esac
case ,$peers, in *,nginx,*) need nginx 'nginx libnginx-mod-stream' ;; esac
case ,$peers, in *,gostdnet,*) need gostdnet golang-go ;; esac
[ -e "$kernel" ] || missing+=(linux-image-cloud-amd64)
if [ ${#missing[@]} -gt 0 ]; then
    echo 'not installed:' >&2
    echo "    apt-get install -y --no-install-recommends ${missing[*]}" >&2
    echo '(or KERNEL=... names a kernel outside /boot)' >&2
    exit 1
fi

work=$(mktemp -d "$out/vm/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
KERNEL=$kernel "$here/build.sh" "$out/vm"

upstreams=$(printf ',127.0.1.%d:7000' $(seq "$addresses"))
upstreams=${upstreams#,}

# with_servers FILE: prints it, with a line for each server for {servers}
with_servers() {
    local line i
    while IFS= read -r line; do
        case $line in
        *'{servers}'*)
            for ((i = 1; i <= addresses; i++)); do
                case $1 in
                *.cfg) echo "    server s$i 127.0.1.$i:7000" ;;
                *.ini) echo "upstream = 127.0.1.$i:7000" ;;
                *) echo "        server 127.0.1.$i:7000;" ;;
                esac
            done
            ;;
        *) echo "$line" ;;
        esac
    done <"$1"
}

# payload NAME COMMAND [PROGRAM_OR_FILE...]: fills $work/payload
payload() {
    local name=$1 command=$2 file
    shift 2
    rm -rf "$work/payload"
    mkdir "$work/payload"
    "$here/payload.sh" "$work/payload" echo_load
    for file in "$@"; do
        case $file in
        *.conf | *.cfg | *.ini) with_servers "$file" >"$work/payload/${file##*/}" ;;
        *) "$here/payload.sh" "$work/payload" "$file" ;;
        esac
    done
    cp "$here/inside.sh" "$work/payload/run.sh"
    cat >"$work/payload/settings" <<TEXT
N=$n RATE=$rate IDLE_S=$idle_s HOLD_S=$hold_s MINGAP=$min_gap_s MAXGAP=$max_gap_s
SIZE=800 ADDRESSES=$addresses NAME='$name' COMMAND='$command'
UPGRADE=${UPGRADE:-}
TEXT
}

# boot FILE: boots the machine and writes the result to the file
boot() {
    local status=0
    "$here/run.sh" "$out/vm" "$work/payload" "$memory" "$limit_s" |
        tee "$work/log" | sed -u '/^RESULT /d' || status=$?
    sed -n 's/^RESULT //p' "$work/log" >"$1"
    if [ ! -s "$1" ]; then
        echo 'no result' >&2
        exit 1
    fi
    return "$status"
}

load_of() {
    case $1 in
    evproxy)
        payload "$1" 'evproxy -c /payload/evproxy.ini' "$evproxy" \
            "$here/evproxy.ini"
        ;;
    haproxy)
        payload "$1" 'haproxy -db -f /payload/haproxy.cfg' haproxy \
            "$here/haproxy.cfg"
        ;;
    nginx)
        payload "$1" 'nginx -p /tmp/ -e stderr -c /payload/nginx.conf' nginx \
            /usr/share/nginx/modules/ngx_stream_module.so "$here/nginx.conf"
        ;;
    gostdnet)
        payload "$1" \
            "gostdnet -listen 127.0.0.1:5201 -upstreams $upstreams" gostdnet
        ;;
    *)
        echo "no such peer: $1" >&2
        exit 1
        ;;
    esac
}

failed=0
for n in ${N:-200000}; do
    baseline=$out/vm/baseline-$n.json
    if [ ! -s "$baseline" ]; then
        echo "== $n connections, no proxy"
        payload baseline ''
        boot "$work/baseline.json"
        cp "$work/baseline.json" "$baseline"
    fi
    for name in evproxy ${peers//,/ }; do
        echo "== $n connections, $name"
        load_of "$name"
        boot "$work/result.json" || failed=1
        "$here/summary.py" add "$work/result.json" "$baseline" \
            >>"$out/large.jsonl"
    done
done
"$here/summary.py" show "$out/large.jsonl"
exit $failed
