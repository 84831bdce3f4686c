#!/bin/bash
# Health checks that find the primary: Redis with a replica, by its answer, and
# PostgreSQL with a standby, by HTTP at another port, as Patroni serves it.
. "${0%/*}/lib.sh"
need redis-server redis-cli psql python3
for bin in /usr/lib/postgresql/*/bin; do
    PATH=$bin:$PATH
done
need initdb postgres pg_basebackup pg_ctl

redis=$(free_port)
replica=$((redis + 1))
pg=$(free_port)
health=$((pg + 1))
to_redis=$(free_port)
to_pg=$((to_redis + 1))

export PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=10

# logged REGEX: evproxy writes such a line within 20 s
logged() {
    local end=$((SECONDS + 20))
    until grep -qE "$1" "$dir/evproxy.log"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# until_succeeds COMMAND...: within 20 s
until_succeeds() {
    local end=$((SECONDS + 20))
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# ---- Redis ----

start_redis() {
    start "redis-$1" redis-server --port "$1" --bind 127.0.0.1 --save '' \
        --appendonly no --dir "$dir" "${@:2}"
    wait_for "redis-$1" "$1"
}

# writes_arrive N: all go to the primary, which alone takes them
writes_arrive() {
    local i
    for ((i = 0; i < $1; i++)); do
        [ "$(redis-cli -p "$to_redis" set "key$i" "$i")" = OK ] || return 1
    done
}

redis_linked() {
    redis-cli -p "$1" info replication | grep -q master_link_status:up
}

# ---- PostgreSQL ----

mkdir "$dir/pg"
as_owner=()
if [ $EUID -eq 0 ]; then
    chown postgres: "$dir/pg"
    as_owner=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

# start_postgres HOST: its data is in $dir/pg/HOST
start_postgres() {
    start "postgres-$1" "${as_owner[@]}" "$(command -v postgres)" \
        -D "$dir/pg/$1" -p "$pg" -h "$1" -k "$dir/pg" \
        -c unix_socket_directories= -F
    until_succeeds psql -h "$1" -p "$pg" -qAt -c 'select 1' >/dev/null 2>&1
}

# A responder for each host: 200 if it is the primary, else 503.
cat >"$dir/primary.py" <<'TEXT'
import http.server
import subprocess
import sys

host, port, health = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = subprocess.run(
            ["psql", "-h", host, "-p", port, "-qAt", "-c",
             "select pg_is_in_recovery()"], capture_output=True, text=True)
        primary = asked.stdout.strip() == "f"
        self.send_response(200 if primary and self.path == "/primary" else 503)
        self.end_headers()
        self.wfile.write(b"{}\n" * 1000)


http.server.ThreadingHTTPServer((host, health), Handler).serve_forever()
TEXT

primary_of_postgres() {
    [ "$(psql -h 127.0.0.1 -p "$to_pg" -qAt -c \
        'select pg_is_in_recovery()')" = f ] &&
        psql -h 127.0.0.1 -p "$to_pg" -qAt -c \
            'create table if not exists t (i int); insert into t values (1)'
}

start_redis "$redis"
start_redis "$replica" --replicaof 127.0.0.1 "$redis"
cd "$dir/pg" || exit 1
"${as_owner[@]}" "$(command -v initdb)" -D "$dir/pg/127.0.0.1" -U postgres \
    -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1
start_postgres 127.0.0.1
"${as_owner[@]}" "$(command -v pg_basebackup)" -h 127.0.0.1 -p "$pg" \
    -D "$dir/pg/127.0.0.2" -R -X stream --no-sync >"$dir/basebackup.log" 2>&1
start_postgres 127.0.0.2
for host in 127.0.0.1 127.0.0.2; do
    start "primary-$host" python3 "$dir/primary.py" "$host" "$pg" "$health"
done
wait_for "primary-127.0.0.2" "$health"
check 'the replica of Redis follows' until_succeeds redis_linked "$replica"

cat >"$dir/evproxy.ini" <<TEXT
[service redis]
listen = 127.0.0.1:$to_redis
upstream = 127.0.0.1:$redis
upstream = 127.0.0.1:$replica
balance = roundrobin
on_down = reset
health_check = expect
health_send = PING\r\n
health_expect = +PONG\r\n
health_send = INFO replication\r\n
health_expect = role:master\r\n
health_interval = 200ms
health_timeout = 500ms
health_fall = 1
[service postgresql]
listen = 127.0.0.1:$to_pg
upstream = 127.0.0.1:$pg
upstream = 127.0.0.2:$pg
balance = roundrobin
on_down = reset
health_check = http
health_path = /primary
health_port = $health
health_status = 200
health_interval = 300ms
health_timeout = 2s
health_fall = 1
TEXT
start_services "$to_redis" "$to_pg"

check 'the replica of Redis is down: no match' \
    logged "address=127.0.0.1:$replica state=down cause=\"no match\""
check '50 writes to Redis reach the primary' writes_arrive 50
check 'the standby of PostgreSQL is down: status=503' \
    logged "address=127.0.0.2:$pg state=down cause=status=503"
for _ in 1 2 3 4 5 6; do
    primary_of_postgres >>"$dir/psql.log" 2>&1 || echo failed >>"$dir/psql.log"
done
check 'PostgreSQL is the primary each time' \
    eval '! grep -q failed "$dir/psql.log"'

# Both change places.
redis-cli -p "$replica" replicaof no one >/dev/null
redis-cli -p "$redis" replicaof 127.0.0.1 "$replica" >/dev/null
check 'the new primary of Redis is up' \
    logged "address=127.0.0.1:$replica state=up"
check 'the former one is down' \
    logged "address=127.0.0.1:$redis state=down cause=\"no match\""
check '50 writes to Redis reach the new primary' writes_arrive 50
"${as_owner[@]}" "$(command -v pg_ctl)" -D "$dir/pg/127.0.0.1" -m fast stop \
    >/dev/null
"${as_owner[@]}" "$(command -v pg_ctl)" -D "$dir/pg/127.0.0.2" promote \
    >/dev/null
check 'the new primary of PostgreSQL is up' \
    logged "address=127.0.0.2:$pg state=up"
check 'the former one is down' \
    logged "address=127.0.0.1:$pg state=down cause="
check 'psql writes to the new primary' until_succeeds primary_of_postgres
check 'no responder has seen a reset' \
    eval '! grep -E "BrokenPipe|ConnectionReset" "$dir"/primary-*.log'
stop_proxy
