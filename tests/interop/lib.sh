# What the interop scripts share: a directory, ports, children, and checks.
#
# Source this file. Everything is on loopback. When the script ends, the
# programs that it started are stopped by their process ids, the last one first.

set -uo pipefail

: "${EVPROXY:?names the evproxy to test}"

dir=$(mktemp -d)
chmod 711 "$dir"
children=()
proxy=
checks=0

cleanup() {
    local i
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        kill "${children[i]}" 2>/dev/null
        wait "${children[i]}" 2>/dev/null
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# report STATUS WHAT: one line of the result
report() {
    checks=$((checks + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $checks - $2"
    else
        echo "not ok $checks - $2"
    fi
}

# check WHAT COMMAND...: passes if the command succeeds, else shows its output
check() {
    local what=$1 status=0
    shift
    "$@" >"$dir/output" 2>&1 || status=$?
    report "$status" "$what"
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$dir/output" | sed 's/^/# /'
        if [ -n "$proxy" ]; then
            tail -n 5 "$dir/evproxy.log" | sed 's/^/# evproxy: /'
        fi
    fi
    return "$status"
}

# need PROGRAM...: fails and ends the script if one is not installed
need() {
    local program
    for program in "$@"; do
        if ! command -v "$program" >/dev/null; then
            report 1 "$program is installed"
            exit 1
        fi
    done
}

# listens PORT: whether a program listens there. It reads /proc, as some servers
# would take a connection for a client.
listens() {
    grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf '%04X' "$1") [0-9A-F:]+ 0A " \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# free_port: an unused port below the ephemeral ones
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        if ! listens "$port"; then
            echo "$port"
            return
        fi
    done
}

# start NAME COMMAND...: in the background, its output in $dir/NAME.log
start() {
    local name=$1
    shift
    "$@" >"$dir/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# wait_for NAME PORT: waits until it listens, at most 10 s
wait_for() {
    local end=$((SECONDS + 10))
    until listens "$2"; do
        if [ $SECONDS -ge $end ]; then
            report 1 "$1 starts"
            sed 's/^/# /' "$dir/$1.log"
            exit 1
        fi
        sleep 0.05
    done
}

# start_nginx PORT... <<TEXT: nginx with the servers of the text, which listen
# on these ports. Its files are in $dir/www and $dir/tmp.
start_nginx() {
    local port
    mkdir -p "$dir/www" "$dir/tmp"
    {
        cat <<TEXT
daemon off;
$([ $EUID -eq 0 ] && echo 'user root;')
worker_processes 1;
pid $dir/nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path $dir/tmp/body;
    proxy_temp_path $dir/tmp/proxy;
    fastcgi_temp_path $dir/tmp/fastcgi;
    uwsgi_temp_path $dir/tmp/uwsgi;
    scgi_temp_path $dir/tmp/scgi;
    keepalive_timeout 600s;
    keepalive_requests 1000000;
    root $dir/www;
    ssl_protocols TLSv1.2 TLSv1.3;
TEXT
        cat
        echo '}'
    } >"$dir/nginx.conf"
    start nginx nginx -e stderr -p "$dir" -c "$dir/nginx.conf"
    for port; do
        wait_for nginx "$port"
    done
}

# need_postgresql PROGRAM...: the server and these programs are installed
need_postgresql() {
    local bin
    for bin in /usr/lib/postgresql/*/bin; do
        PATH=$bin:$PATH
    done
    need initdb postgres psql "$@"
}

# start_postgresql PORT: a fresh cluster in $dir/pg, the environment that its
# clients need, and the working directory that its user may enter
start_postgresql() {
    local as_owner=()
    mkdir "$dir/pg"
    # PostgreSQL refuses to run as root.
    if [ $EUID -eq 0 ]; then
        chown postgres: "$dir/pg"
        as_owner=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    fi
    export PGUSER=postgres PGDATABASE=postgres PGHOST=127.0.0.1
    export PGCONNECT_TIMEOUT=10
    cd "$dir/pg" || exit 1
    "${as_owner[@]}" "$(command -v initdb)" -D "$dir/pg/data" -U postgres \
        -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1
    start postgresql "${as_owner[@]}" "$(command -v postgres)" \
        -D "$dir/pg/data" -p "$1" -h 127.0.0.1 -k "$dir/pg" -F
    wait_for postgresql "$1"
    until psql -qAt -p "$1" -c 'select 1' >/dev/null 2>&1; do
        sleep 0.1
    done
}

# start_sshd PORT: it lets this user in. Sets ssh_options, for ssh and scp.
start_sshd() {
    local sshd
    sshd=$(PATH=$PATH:/usr/sbin command -v sshd)
    need ssh scp ssh-keygen "${sshd:-sshd}"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/client_key"
    cp "$dir/client_key.pub" "$dir/authorized_keys"
    cat >"$dir/sshd_config" <<TEXT
ListenAddress 127.0.0.1
Port $1
HostKey $dir/host_key
AuthorizedKeysFile $dir/authorized_keys
PidFile none
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
UsePAM $([ $EUID -eq 0 ] && echo yes || echo no)
Subsystem sftp internal-sftp
TEXT
    if [ $EUID -eq 0 ]; then
        mkdir -p /run/sshd
    fi
    ssh_options=(-F none -i "$dir/client_key" -o BatchMode=yes
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
        -o LogLevel=ERROR -c aes128-gcm@openssh.com)
    start sshd "$sshd" -D -e -f "$dir/sshd_config"
    wait_for sshd "$1"
}

# certificate NAME [OPTION...]: makes $dir/NAME.key and $dir/NAME.pem for that
# name and 127.0.0.1. It is self-signed unless options of openssl req say
# otherwise.
certificate() {
    local name=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days 2 -subj "/CN=$name" \
        -addext "subjectAltName=DNS:$name,IP:127.0.0.1" \
        -keyout "$dir/$name.key" -out "$dir/$name.pem" "$@" 2>/dev/null
}

# start_proxy PORT [OPTION...]: evproxy in front of that port; it listens on
# $through
start_proxy() {
    local port=$1
    shift
    through=$(free_port)
    start evproxy "$EVPROXY" -l "127.0.0.1:$through" -u "127.0.0.1:$port" "$@"
    proxy=${children[-1]}
    wait_for evproxy "$through"
}

# start_services PORT...: evproxy with $dir/evproxy.ini, which listens on these
start_services() {
    local port
    start evproxy "$EVPROXY" -c "$dir/evproxy.ini"
    proxy=${children[-1]}
    for port; do
        wait_for evproxy "$port"
    done
}

# stats_add_up: in the last stats lines every service has had connections, all
# have ended, each is counted under one cause, and no buffer is lent
stats_add_up() {
    awk '
        /^(<6>)?stats service=[^ ]+ active=/ {
            ended = 0
            for (i = 1; i <= NF; i++) {
                split($i, pair, "=")
                count[pair[1]] = pair[2]
                if (pair[1] ~ /^ended_/) {
                    ended += pair[2]
                }
            }
            bad[count["service"]] = count["accepted"] == 0 ||
                count["active"] > 0 || count["accepted"] != ended
        }
        /^(<6>)?stats uptime_s=/ { idle = / buffers_lent=0 / }
        END {
            for (service in bad) {
                failed = failed || bad[service]
            }
            exit !(idle && length(bad) > 0 && !failed)
        }' "$dir/evproxy.log"
}

# every_connection_ended: within 5 s
every_connection_ended() {
    local end=$((SECONDS + 5))
    while [ $SECONDS -lt $end ]; do
        kill -USR1 "$proxy" || return 1
        sleep 0.2
        if stats_add_up; then
            return 0
        fi
    done
    return 1
}

# stop_proxy: checks that every connection has ended and that evproxy stops with
# status 0. evproxy must be the last child.
stop_proxy() {
    check 'every connection has ended with a cause, no buffer is lent' \
        every_connection_ended
    kill -TERM "$proxy"
    wait "$proxy"
    report $? 'evproxy stops with status 0'
    proxy=
    unset 'children[-1]'
}
