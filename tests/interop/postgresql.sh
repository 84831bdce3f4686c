#!/bin/bash
# psql and pgbench through evproxy to a temporary PostgreSQL cluster.
. "${0%/*}/lib.sh"
need psql
for bin in /usr/lib/postgresql/*/bin; do
    PATH=$bin:$PATH
done
need initdb postgres pgbench

port=$(free_port)
mkdir "$dir/pg"

# PostgreSQL refuses to run as root.
as_owner=()
if [ $EUID -eq 0 ]; then
    chown postgres: "$dir/pg"
    as_owner=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

export PGUSER=postgres PGDATABASE=postgres PGHOST=127.0.0.1
export PGCONNECT_TIMEOUT=10

# rows_are_the_same: directly and through the proxy
rows_are_the_same() {
    local rows='copy (select i, md5(i::text) from generate_series(1, 500000) i)
                to stdout'
    psql -qAt -p "$port" -c "$rows" >"$dir/direct" &&
        psql -qAt -p "$through" -c "$rows" | cmp - "$dir/direct"
}

# pgbench [OPTION...]: no transaction failed
bench() {
    pgbench -p "$through" -c 8 -j 2 -T 5 "$@" | tee "$dir/bench"
    [ "${PIPESTATUS[0]}" -eq 0 ] &&
        grep -q '^number of failed transactions: 0 ' "$dir/bench"
}

cd "$dir/pg" || exit 1
"${as_owner[@]}" "$(command -v initdb)" -D "$dir/pg/data" -U postgres -A trust \
    -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1
start postgresql "${as_owner[@]}" "$(command -v postgres)" -D "$dir/pg/data" \
    -p "$port" -h 127.0.0.1 -k "$dir/pg" -F
wait_for postgresql "$port"
until psql -qAt -p "$port" -c 'select 1' >/dev/null 2>&1; do
    sleep 0.1
done
start_proxy "$port"

check 'psql gets the same 500,000 rows' rows_are_the_same
check 'pgbench fills its tables' pgbench -p "$through" -i -s 5 -q
check 'pgbench, read and write: no failed transaction' bench
check 'pgbench, read only: no failed transaction' bench -S
check 'pgbench, a connection for each transaction' bench -S -C
stop_proxy
