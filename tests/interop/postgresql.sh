#!/bin/bash
# psql and pgbench through evproxy to a temporary PostgreSQL cluster.
. "${0%/*}/lib.sh"
need_postgresql pgbench

port=$(free_port)

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

start_postgresql "$port"
start_proxy "$port"

check 'psql gets the same 500,000 rows' rows_are_the_same
check 'pgbench fills its tables' pgbench -p "$through" -i -s 5 -q
check 'pgbench, read and write: no failed transaction' bench
check 'pgbench, read only: no failed transaction' bench -S
check 'pgbench, a connection for each transaction' bench -S -C
stop_proxy
