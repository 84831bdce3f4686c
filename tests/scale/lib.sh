# What the tests of conf/scale-out share. Source this file first: it begins the
# script anew in namespaces that nobody else sees and that end with it, without
# a way out: a network, with more of them inside, and its mounts and processes.

if [ -z "${SCALE_INSIDE-}" ]; then
    own=(--mount --net --pid --fork --kill-child --mount-proc)
    if [ $EUID -ne 0 ] || ! unshare "${own[@]}" true 2>/dev/null; then
        echo '# skipped: no root, or no namespaces of its own'
        exit 0
    fi
    SCALE_INSIDE=1 exec unshare "${own[@]}" "$0"
fi
cd "$(dirname "$0")" || exit 1
. ../interop/lib.sh
PATH=$PATH:/usr/sbin:/sbin
scale_out=../../conf/scale-out
need ip curl python3

mount -t tmpfs none /run
mkdir /run/netns /run/bird

declare -A pid # of what start_in has started, by NETWORK-NAME

# evproxy is not asked to drain.
cleanup() {
    local i
    for i in "${!pid[@]}"; do
        [[ $i == *-evproxy ]] && kill -KILL "${pid[$i]}" 2>/dev/null
    done
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill "${children[i]}" 2>/dev/null
        wait "${children[i]}" 2>/dev/null
    done
    rm -rf "$dir"
}

# skip REASON
skip() {
    echo "# skipped: $1"
    exit 0
}

# at NETWORK COMMAND...: in that network. The process is the command's.
at() {
    nsenter --net="/run/netns/$1" -- "${@:2}"
}

# start_in NETWORK NAME COMMAND...: as start, with the log NETWORK-NAME.log
start_in() {
    start "$1-$2" nsenter --net="/run/netns/$1" -- "${@:3}"
    pid["$1-$2"]=${children[-1]}
}

# end NETWORK-NAME [SIGNAL]: what start_in has started
end() {
    kill "-${2:-TERM}" "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null
    unset "pid[$1]"
}

# network NAME ADDRESS/BITS...: a network with a cable, eth0, to the switch
network() {
    local name=$1 address
    shift
    ip netns add "$name"
    at "$name" ip link set lo up
    ip link add "to-$name" type veth peer name eth0 netns "$name"
    ip link set "to-$name" master switch up
    at "$name" ip link set eth0 up
    for address; do
        at "$name" ip address add "$address" dev eth0
    done
}

# switch: what network plugs cables into
switch() {
    ip link set lo up
    ip link add switch type bridge 2>/dev/null ||
        skip 'the kernel has no bridge'
    ip link set switch up
}

# within SECONDS COMMAND...: waits until it succeeds
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >"$dir/last" 2>&1; do
        if [ $SECONDS -ge $end ]; then
            cat "$dir/last"
            return 1
        fi
        sleep 0.1
    done
}

fails() {
    ! "$@"
}
