#!/bin/bash
# conf/scale-out/kubernetes: the manifests against the schemas of Kubernetes, and
# evproxy with the configuration in them against its probes. There is no cluster:
# scheduling, endpoints and balancers are not tested.
#
# SCHEMAS: a folder with node_modules of schemas.mjs and typescript; see .ci/run.
. "${0%/*}/lib.sh"
if ! /usr/bin/python3 -c 'import yaml' 2>/dev/null; then
    report 1 'python3-yaml is installed'
    exit 1
fi

files=($scale_out/kubernetes/*.yaml)
ip link set lo up

as_types() {
    node "$modules/typescript/lib/tsc.js" --noEmit --strict --skipLibCheck \
        --target es2022 --module nodenext --moduleResolution nodenext "$1"
}

# changed SED: the objects with that change
changed() {
    sed -s '1i ---' "${files[@]}" >"$dir/all.yaml"
    sed "$1" "$dir/all.yaml" >"$dir/changed.yaml"
    ! cmp -s "$dir/all.yaml" "$dir/changed.yaml"
}

refused() {
    changed "$1" && fails ./manifests.py check "$dir/changed.yaml" >"$dir/said" &&
        grep 'not so' "$dir/said"
}

probe() {
    curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:9180$1"
}

answers() {
    [ "$(probe "$1")" = "$2" ]
}

draining() {
    answers /healthz 503 && answers /livez 200
}

check 'the manifests fit together and the configuration' \
    ./manifests.py check "${files[@]}"
check 'too short a grace is found' refused 's/Seconds: 90/Seconds: 75/'
check 'a probe of another path is found' refused 's,/livez,/healthz,'

./manifests.py ini "${files[@]}" >"$dir/evproxy.ini"
check 'evproxy takes the configuration' "$EVPROXY" -t -c "$dir/evproxy.ini"
start evproxy "$EVPROXY" -c "$dir/evproxy.ini"
proxy=${children[-1]}
check 'it becomes ready' within 10 answers /healthz 200
check 'it is alive' answers /livez 200
kill -TERM "$proxy"
check 'while it drains it is alive and not ready' within 5 draining
kill -TERM "$proxy"
wait "$proxy" 2>/dev/null
proxy=

modules=$(realpath "${SCHEMAS:-../../build/schemas}/node_modules" 2>/dev/null)
if ! command -v node >/dev/null || [ ! -d "${modules:-/none}" ]; then
    skip 'the schemas of Kubernetes: no node, or no packages of npm'
fi
ln -s "$modules" "$dir/node_modules"
echo '{"type": "module"}' >"$dir/package.json"
# with_schemas FILE...
with_schemas() {
    ./manifests.py json "$@" >"$dir/objects.json" &&
        node ./schemas.mjs "$modules" "$dir/objects.json" "$dir/objects.ts"
}
types_refused() {
    changed "$1" && with_schemas "$dir/changed.yaml" &&
        fails as_types "$dir/objects.ts" >"$dir/said" && cat "$dir/said" &&
        grep honourLabels "$dir/said"
}
schemas_refuse() {
    changed "$1" && fails with_schemas "$dir/changed.yaml"
}
check 'the schemas of Kubernetes take the manifests' with_schemas "${files[@]}"
check 'so do its types, without unknown fields' as_types "$dir/objects.ts"
check 'the types refuse an unknown field' types_refused \
    's/honorLabels/honourLabels/'
check 'the schemas refuse a wrong type' schemas_refuse \
    's/periodSeconds: 2$/periodSeconds: two/'
