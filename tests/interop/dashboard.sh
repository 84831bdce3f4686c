#!/bin/bash
# The alerts of conf/prometheus-alerts.yml against series; then a real Prometheus
# that scrapes evproxy and is asked every expression of the alerts and of
# conf/grafana-dashboard.json.
. "${0%/*}/lib.sh"
need prometheus promtool jq nginx curl dig dnsmasq

alerts=$(realpath ../../conf/prometheus-alerts.yml)
dashboard=$(realpath ../../conf/grafana-dashboard.json)
check 'promtool takes the alert rules' promtool check rules "$alerts"
check 'each alert is raised by what it is for, and not by less' \
    promtool test rules dashboard/alerts.yml

port=$(free_port)
dead=$(free_port)
web=$(free_port)
refused=$(free_port)
dns=$(free_port)
names=$(free_port)
metrics=$(free_port)
server=$(free_port)
mkdir "$dir/www"
echo hello >"$dir/www/index.html"
start_nginx "$port" <<TEXT
    server { listen 127.0.0.1:$port; }
TEXT
start dnsmasq dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts \
    --listen-address=127.0.0.1 --bind-interfaces --port="$names" \
    --host-record=a.example,192.0.2.7 --user=root
wait_for dnsmasq "$names"

# "web" has an upstream that is down, "refused" one that is never taken out.
cat >"$dir/evproxy.ini" <<TEXT
[global]
metrics_listen = 127.0.0.1:$metrics
[service web]
listen = 127.0.0.1:$web
upstream = 127.0.0.1:$port
upstream = 127.0.0.1:$dead
max_connections = 100
health_check = tcp
health_interval = 500ms
[service refused]
listen = 127.0.0.1:$refused
upstream = 127.0.0.1:$dead
fail_threshold = off
[service dns]
mode = udp
listen = 127.0.0.1:$dns
upstream = 127.0.0.1:$names
udp_responses = 1
TEXT
cat >"$dir/prometheus.yml" <<TEXT
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["$alerts"]
scrape_configs:
  - job_name: evproxy
    static_configs: [{targets: ["127.0.0.1:$metrics"]}]
TEXT
start prometheus prometheus --config.file="$dir/prometheus.yml" \
    --storage.tsdb.path="$dir/data" --log.level=warn \
    --web.listen-address="127.0.0.1:$server"
start_services "$web" "$refused" "$metrics"
wait_for prometheus "$server"

traffic() {
    while :; do
        curl -s -o /dev/null "http://127.0.0.1:$web/"
        curl -s -o /dev/null "http://127.0.0.1:$refused/"
        dig +short -p "$dns" @127.0.0.1 a.example
        sleep 0.05
    done
}
traffic >/dev/null 2>&1 &
traffic_pid=$!
children=("$traffic_pid" "${children[@]}")

# answers EXPRESSION [PATTERN]: within 30 s, with at least one number; PATTERN is
# one that the answer must match
answers() {
    local end=$((SECONDS + 30))
    while [ $SECONDS -lt $end ]; do
        if promtool query instant "http://127.0.0.1:$server" "$1" 2>&1 |
            tee "$dir/answer" | grep -v NaN | grep -Eq -- "${2:-=> -?[0-9]}"
        then
            return 0
        fi
        sleep 0.3
    done
    echo "no answer to: $1"
    cat "$dir/answer"
    return 1
}

# of_dashboard: its expressions, with values for its variables
of_dashboard() {
    jq -r '.panels[] | .title as $t | .targets[]? |
        [$t, .expr] | join("\t")' "$dashboard" |
        sed 's/\$__rate_interval/10s/g; s/\$__range/1m/g
            s/\$\(job\|instance\|service\)/.*/g'
}

while IFS=$'\t' read -r title expression; do
    check "dashboard: $title" answers "$expression"
done < <(of_dashboard)
check 'the dashboard counts the upstream that is down' answers \
    'count(evproxy_upstream_up == 0) or vector(0)' '=> 1 '

# One alert of each kind: of a state, of a ratio of rates, of a counter.
echo 'not a key' >>"$dir/evproxy.ini"
kill -HUP "$proxy"
check 'every rule is evaluated without an error' bash -c "
    curl -s 127.0.0.1:$server/api/v1/rules | jq -e '
        [.data.groups[].rules[].health] | length > 10 and all(. == \"ok\")'"
check 'an upstream that is down raises its alert' answers \
    "ALERTS{alertname='EvproxyUpstreamDown', service='web'}"
check 'bad ends raise their alert, of their service alone' answers \
    "count(ALERTS{alertname='EvproxyBadEnds'}) ==
        count(ALERTS{alertname='EvproxyBadEnds', service='refused'})"
check 'a refused reload raises its alert' answers \
    "ALERTS{alertname='EvproxyReloadRefused', alertstate='firing'}"
check 'nothing else is raised' answers "count(ALERTS{alertname!~
    'Evproxy(UpstreamDown|BadEnds|ReloadRefused|ConnectsFail)'})
    or vector(0)" '=> 0 '

kill "$traffic_pid"
wait "$traffic_pid" 2>/dev/null
children=("${children[@]:1}")
stop_proxy
