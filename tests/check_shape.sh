#!/bin/bash
# A function fits one screen and a line 80 columns.
#
# The format puts a function's braces, and no others, alone in column one.
#
#   tests/check_shape.sh FILE...
set -euo pipefail
export LC_ALL=C.UTF-8

longest_allowed=60
status=0

if grep -nHE '^.{81,}$' "$@" >&2; then
    echo 'lines of more than 80 columns' >&2
    status=1
fi
if grep -nHP '\t| +$' "$@" >&2; then
    echo 'tabs, or spaces at the end of a line' >&2
    status=1
fi

awk -v allowed=$longest_allowed '
    FNR == 1 { begin = 0 }
    /^[a-z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    $0 == "{" { begin = FNR }
    $0 == "}" && begin {
        lines = FNR - begin - 1
        print lines
        if (lines > allowed) {
            printf "%s:%d: %s has %d lines, more than %d\n", FILENAME, begin,
                name, lines, allowed >"/dev/stderr"
            failed = 1
        }
        begin = 0
    }
    END { exit failed }
' "$@" | sort -n | awk '
    { lines[NR] = $1 }
    END { if (NR) printf "%d functions, median %d lines, longest %d\n", NR,
              lines[int((NR + 1) / 2)], lines[NR] }
' || status=1

exit $status
