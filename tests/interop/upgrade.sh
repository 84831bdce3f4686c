#!/bin/bash
# Programs that live through three upgrades of evproxy: a pg_dump of 1 GB, an
# open transaction of psql, a subscriber of redis, an scp.
. "${0%/*}/lib.sh"
need_postgresql pg_dump
need redis-server redis-cli

pg=$(free_port)
redis=$(free_port)
ssh=$(free_port)
pg_through=$(free_port)
redis_through=$(free_port)
ssh_through=$(free_port)

start_postgresql "$pg"
psql -qAt -p "$pg" -c "create unlogged table big as select i,
    repeat(md5(i::text), 32) t from generate_series(1, 1048576) i" \
    >"$dir/big.log" 2>&1
psql -qAt -p "$pg" -c 'create table one (i int)'

start redis redis-server --port "$redis" --bind 127.0.0.1 --save '' \
    --appendonly no --dir "$dir"
wait_for redis "$redis"

start_sshd "$ssh"
head -c 1073741824 /dev/urandom >"$dir/file"

cat >"$dir/evproxy.ini" <<TEXT
[service pg]
listen = 127.0.0.1:$pg_through
upstream = 127.0.0.1:$pg
rate_down = 200M
[service redis]
listen = 127.0.0.1:$redis_through
upstream = 127.0.0.1:$redis
[service ssh]
listen = 127.0.0.1:$ssh_through
upstream = 127.0.0.1:$ssh
rate_up = 200M
TEXT
start_services "$pg_through" "$redis_through" "$ssh_through"

# ---- what lives through it ----

coproc transaction { psql -qAt -p "$pg_through" 2>&1; }
# asks TEXT: sends a line to the transaction, and shows the next of its answers
asks() {
    echo "$1" >&"${transaction[1]}"
    read -r -t 10 -u "${transaction[0]}" answer
    echo "$answer"
}
check 'a transaction begins' [ "$(asks 'begin; insert into one values (1);
    select count(*) from one;')" = 1 ]
start subscriber redis-cli -p "$redis_through" subscribe news
subscriber=${children[-1]}
pg_dump -p "$pg_through" -t big >"$dir/dump" 2>"$dir/dump.log" &
dump=$!
scp "${ssh_options[@]}" -P "$ssh_through" "$dir/file" \
    "$(id -un)@127.0.0.1:$dir/copy" >"$dir/scp.log" 2>&1 &
scp=$!

# upgrade N: the process is the N-th that was handed over to
upgrade() {
    local end=$((SECONDS + 10))
    kill -USR2 "$proxy"
    until [ "$(grep -c '^handed over' "$dir/evproxy.log")" -eq "$1" ]; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
    proxy=$(sed -n 's/^handed over .* pid=\([0-9]*\) .*/\1/p' \
        "$dir/evproxy.log" | tail -n 1)
}
for n in 1 2 3; do
    sleep 1
    upgrade "$n"
    report $? "upgrade $n works"
    check "the transaction answers after upgrade $n" \
        [ "$(asks 'select count(*) from one;')" = 1 ]
    redis-cli -p "$redis_through" publish news "number $n" >/dev/null
done

check 'the dump had not ended before' kill -0 "$dump"
wait "$dump"
report $? 'pg_dump ends well'
pg_dump -p "$pg" -t big >"$dir/direct"
same() {
    cmp <(grep -v '^.\(un\)\?restrict ' "$1") \
        <(grep -v '^.\(un\)\?restrict ' "$2")
}
check 'its 1 GB is what the server has' same "$dir/dump" "$dir/direct"
wait "$scp"
report $? 'scp ends well'
check 'its 1 GB is what was sent' cmp "$dir/file" "$dir/copy"
check 'the transaction commits' [ "$(asks 'commit; select 2;')" = 2 ]
check 'and is in the table' \
    [ "$(psql -qAt -p "$pg" -c 'select count(*) from one')" = 1 ]
check 'the subscriber has all three messages' \
    [ "$(grep -c '^number' "$dir/subscriber.log")" = 3 ]
eval "exec ${transaction[1]}>&-"
kill "$subscriber"
check 'every connection has ended with a cause, no buffer is lent' \
    every_connection_ended
kill -TERM "$proxy"
ended() {
    local end=$((SECONDS + 10))
    while kill -0 "$proxy" 2>/dev/null; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
check 'evproxy stops' ended
proxy=
