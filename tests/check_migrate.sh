#!/bin/bash
# The manual page for those who come from HAProxy or nginx: its table is that of
# the hints for unknown keys, what it has on our side are keys, and it tells of
# each example.
set -euo pipefail
cd "$(dirname "$0")/.."

page=conf/evproxy-migrate.7
sample=conf/evproxy.ini
examples=conf/examples/migrations
status=0

bad() {
    echo "$*" >&2
    status=1
}

in_page=$(sed -nE 's/^\.It Ic (.*) Ta (HAProxy|nginx|both) Ta Cm (.*)/\1 -> \3/p' \
    $page | sort)
in_hints=$(sed -nE '/^static const struct word keys\[\]/,/^};/ {
    s/^ *\{"([^"]*)", *"([^"]*)"\},/\1 -> \2/p
}' src/config/hint.c | sort)
if ! diff <(echo "$in_page") <(echo "$in_hints") >&2; then
    bad "$page (<) and src/config/hint.c (>) have different tables"
fi
[ "$(echo "$in_page" | wc -l)" -gt 50 ] || bad "$page: no table was found"

while read -r key; do
    grep -qE "^(# )?$key =" $sample || bad "$page: '$key' is no key"
done < <(echo "$in_page" | sed 's/.* -> //; s/ .*//' | sort -u)

for file in "$examples"/*.ini; do
    name=$(basename "$file" .ini)
    compgen -G "$examples/$name.haproxy.cfg" >/dev/null ||
        compgen -G "$examples/$name.nginx.conf" >/dev/null ||
        bad "$file: no original is beside it"
    grep -q "^\.It Pa $name\$" $page || bad "$page: '$name' is missing"
done
exit $status
