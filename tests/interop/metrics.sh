#!/bin/bash
# Prometheus and promtool read what metrics_listen serves; curl and jq too.
source "${0%/*}/lib.sh"
need promtool prometheus curl jq

mkdir -p "$dir/www"
port=$(free_port)
web=$(free_port)
http=$(free_port)
dns=$(free_port)
start_nginx "$port" <<TEXT
    server { listen 127.0.0.1:$port; }
TEXT
echo hello >"$dir/www/index.html"

cat >"$dir/evproxy.ini" <<TEXT
[global]
metrics_listen = 127.0.0.1:$http
[service web]
listen = 127.0.0.1:$web
upstream = 127.0.0.1:$port
upstream = unix:$dir/a"b\\c backup
health_check = tcp
health_interval = 200ms
max_connections = 100
[service dns]
mode = udp
listen = 127.0.0.1:$dns
idle_timeout = 200ms
upstream = 127.0.0.1:$port
TEXT
start_services "$web" "$http"
for _ in 1 2 3; do
    curl -sf -o /dev/null "http://127.0.0.1:$web/" || report 1 'curl gets a page'
done
echo hello >"/dev/udp/127.0.0.1/$dns"

clean() {
    curl -sf "http://127.0.0.1:$http/metrics" >"$dir/metrics" &&
        promtool check metrics <"$dir/metrics" >"$dir/lint" 2>&1
    local status=$?
    cat "$dir/lint"
    [ $status -eq 0 ] && [ ! -s "$dir/lint" ]
}
check 'promtool check metrics finds nothing' clean

check 'curl gets metrics with HTTP/1.0 too' \
    curl -sf --http1.0 -o /dev/null "http://127.0.0.1:$http/metrics"
check 'curl gets the page' \
    curl -sf -o /dev/null "http://127.0.0.1:$http/"
check 'curl gets the health of a service' \
    curl -sf -o /dev/null "http://127.0.0.1:$http/healthz/web"

status() {
    curl -sf "http://127.0.0.1:$http/status.json" | jq -e "$1"
}
check 'status.json is JSON with the services' status \
    '[.services[].service] == ["web", "dns"]'
check 'its upstreams are numbers and words' status \
    '.services[0].upstreams[1].upstream | endswith("/a\"b\\c")'
check 'its stats are numbers' status \
    '[.stats, .services[].stats, .services[].upstreams[].stats | .[]] |
        all(type == "number")'
check 'connections add up' status \
    '.services[0].stats | .accepted == .active +
        ([to_entries[] | select(.key | startswith("ended_")) | .value] | add)'

# ---- a Prometheus that scrapes it ----

prometheus=$(free_port)
cat >"$dir/prometheus.yml" <<TEXT
global: { scrape_interval: 500ms, scrape_timeout: 400ms }
scrape_configs:
  - job_name: evproxy
    static_configs: [{ targets: ['127.0.0.1:$http'] }]
TEXT
start prometheus prometheus --config.file="$dir/prometheus.yml" \
    --storage.tsdb.path="$dir/data" --web.listen-address="127.0.0.1:$prometheus"
wait_for prometheus "$prometheus"

# answers QUERY VALUE: within 20 s
answers() {
    local end=$((SECONDS + 20)) got
    while [ $SECONDS -lt $end ]; do
        got=$(curl -sfG "http://127.0.0.1:$prometheus/api/v1/query" \
            --data-urlencode "query=$1" |
            jq -r '.data.result[0].value[1]' 2>/dev/null)
        if [ "$got" = "$2" ]; then
            return 0
        fi
        sleep 0.2
    done
    echo "$1 is $got, not $2"
    return 1
}
check 'Prometheus scrapes it' answers 'up{job="evproxy"}' 1
check 'Prometheus knows the connections' \
    answers 'evproxy_accepted_total{service="web"}' 3
check 'Prometheus knows that they ended' \
    answers 'sum by (service) (evproxy_ended_total{service="web"})' 3
check 'Prometheus knows an upstream that is down' \
    answers 'evproxy_upstream_up{upstream=~"unix:.*"}' 0
check 'Prometheus makes quantiles of the histograms' \
    answers 'histogram_quantile(1, evproxy_connect_seconds_bucket{service="web"})
        <= bool 10' 1
kill "${children[-1]}"
wait "${children[-1]}" 2>/dev/null
unset 'children[-1]'
stop_proxy
