#!/bin/bash
# The status page in Chromium: what page/driver.js tests, in a frame, on figures
# of page/fixture.js; then as evproxy serves it, on its own.
. "${0%/*}/lib.sh"
need chromium nginx curl

port=$(free_port)
mkdir "$dir/www"
cp page/driver.* page/fixture.js ../../src/control/page/status.html "$dir/www"
echo '{"time": 1, "history": {"interval_s": 1}}' >"$dir/www/status.json"

start_nginx "$port" <<TEXT
    types { text/html html; text/javascript js; application/json json; }
    log_format arguments '\$args';
    server {
        listen 127.0.0.1:$port;
        location = /report {
            access_log $dir/reports arguments;
            return 204;
        }
    }
TEXT

# decoded TEXT: of a query string
decoded() {
    local text=${1//+/ }
    printf '%b' "${text//%/\\x}"
}

# A browser without a window.
browser=(env HOME="$dir" chromium --headless=new --disable-gpu
    --disable-dev-shm-usage --no-first-run --disable-extensions
    --user-data-dir="$dir/profile" --window-size=1700,1000)
if [ $EUID -eq 0 ]; then
    browser+=(--no-sandbox)
fi

start chromium "${browser[@]}" \
    "http://127.0.0.1:$port/driver.html?slow=${EVPROXY_TEST_SLOW:+10}"
end=$((SECONDS + 90))
until grep -q '^done=1' "$dir/reports" 2>/dev/null; do
    if [ $SECONDS -ge $end ]; then
        report 1 'the tests end within 90 s'
        tail -n 20 "$dir/chromium.log" | sed 's/^/# /'
        exit 1
    fi
    sleep 0.1
done
while IFS='&' read -r what error; do
    if [ "$what" != done=1 ]; then
        error=$(decoded "${error#error=}")
        [ -z "$error" ]
        report $? "$(decoded "${what#what=}")${error:+: $error}"
    fi
done <"$dir/reports"
kill "${children[-1]}" # two browsers cannot use one profile
wait "${children[-1]}" 2>/dev/null
unset 'children[-1]'

# ---- the page as evproxy serves it ----

port=$(free_port)
metrics=$(free_port)
cat >"$dir/evproxy.ini" <<TEXT
[global]
metrics_listen = 127.0.0.1:$metrics
[service web]
listen = 127.0.0.1:$port
upstream = 127.0.0.1:$(free_port)
health_check = tcp
health_interval = 100ms
TEXT
start_services "$port" "$metrics"
curl -s "http://127.0.0.1:$port/" # ends as no_upstream

# page_says WORDS: within 20 s
page_says() {
    local end=$((SECONDS + 20))
    while [ $SECONDS -lt $end ]; do
        timeout 20 "${browser[@]}" --virtual-time-budget=3000 --dump-dom \
            "http://127.0.0.1:$metrics/" 2>>"$dir/chromium.log" >"$dir/dom"
        if grep -q "$1" "$dir/dom"; then
            return 0
        fi
    done
    echo "the page does not say: $1"
    cat "$dir/dom"
    return 1
}

check 'the page is in the binary as it is' bash -c "
    curl -s http://127.0.0.1:$metrics/ | cmp - ../../src/control/page/status.html"
check 'it shows a service without upstream, with the cause' page_says \
    '<bdi>127.0.0.1:[0-9]*</bdi>.*connect_refused · '
check 'its verdict says so' page_says '>1 service without upstream</button>'
check 'it shows how a connection ended' page_says \
    'no_upstream</dt><dd><span>1</span>\|connect_refused</dt><dd><span>1</span>'
stop_proxy
