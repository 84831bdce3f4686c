#!/bin/bash
# Every include takes from its own floor or one below it.
#
# "floor/x.h" is ours and <x.h> never is; so each include line says which floor
# it takes from, and this reads those lines only. Tests may use every floor.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.."

# floor:what it may use besides itself; "main" is src/main.c
floors='
base:
wire:base
config:base wire
net:base
service:base config
proxy:base wire config net service
control:base wire config net service proxy/worker.h
main:base config control
'

status=0
complain() {
    printf '%s\n' "$1" >&2
    status=1
}

# usable FLOOR HEADER: whether a file of that floor may include that header
usable() {
    local floor=$1 header=$2 word
    local words
    words=$(sed -n "s/^$floor://p" <<<"$floors")
    for word in "$floor" $words; do
        if [ "$header" = "$word" ] || [ "${header%%/*}" = "$word" ]; then
            return 0
        fi
    done
    return 1
}

check_file() {
    local file=$1 floor=$2 number quote header
    while IFS=: read -r number quote header; do
        if [ "$quote" = '<' ]; then
            if [ -e "include/$header" ]; then
                complain "$file:$number: <$header> is ours: write it in quotes"
            fi
        elif [ ! -e "include/$header" ]; then
            complain "$file:$number: no such header: include/$header"
        elif ! usable "$floor" "$header"; then
            complain "$file:$number: $floor may not use \"$header\""
        fi
    done < <(sed -nE '/^[ \t]*#[ \t]*include/{
        s/^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]*).*/\1:\2/; =; p; }' "$file" |
        paste -d : - -)
}

while read -r file; do
    floor=${file#*/}
    if [ "$file" = src/main.c ]; then
        floor=main
    else
        floor=${floor%%/*}
    fi
    if ! grep -q "^$floor:" <<<"$floors"; then
        complain "$file: '$floor' is no floor of the house"
        continue
    fi
    check_file "$file" "$floor"
done < <(find src include -name '*.[ch]' | sort)

# A room is a header and its source of the same name, on the same floor; what
# stands in for a source that needs a library is x_absent.c, for the same x.h.
for header in include/*/*.h; do
    guard="EVPROXY_$(tr 'a-z/.' 'A-Z__' <<<"${header#include/}")"
    if ! grep -qx "#ifndef $guard" "$header"; then
        complain "$header: its guard is not $guard"
    fi
done
for source in src/*/*.c; do
    room=${source#src/}
    room=${room%.c}
    header=include/${room%_absent}.h
    if [ ! -e "$header" ]; then
        complain "$source: has no header $header"
    fi
done

exit $status
