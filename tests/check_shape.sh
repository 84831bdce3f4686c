#!/bin/bash
# A line has 80 columns, a function fits one screen, and a file has one subject.
#
# Functions in tests may be a little longer. clang-format puts the braces of a
# function, and no others, alone in column one.
#
#   tests/check_shape.sh FILE...
set -euo pipefail
export LC_ALL=C.UTF-8

file_lines=500
function_lines=50
test_function_lines=60
status=0

if grep -nHE '^.{81,}$' "$@" >&2; then
    echo 'lines of more than 80 columns' >&2
    status=1
fi
if grep -nHP '\t| +$' "$@" >&2; then
    echo 'tabs, or spaces at the end of a line' >&2
    status=1
fi

awk -v file_lines=$file_lines -v function_lines=$function_lines \
    -v test_function_lines=$test_function_lines '
    function report(sentence) {
        print sentence >"/dev/stderr"
        failed = 1
    }

    function check_file(path, lines) {
        if (lines > file_lines) {
            report(path ": has " lines " lines, more than " file_lines)
        }
    }

    FNR == 1 {
        check_file(path, lines)
        path = FILENAME
        allowed = path ~ /^tests\// ? test_function_lines : function_lines
        begin = 0
    }
    { lines = FNR }

    /^[a-z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    $0 == "{" { begin = FNR }
    $0 == "}" && begin {
        length_of = FNR - begin - 1
        print length_of
        if (length_of > allowed) {
            report(path ":" begin ": " name " has " length_of \
                " lines, more than " allowed)
        }
        begin = 0
    }

    END {
        check_file(path, lines)
        exit failed
    }
' "$@" | sort -n | awk '
    { lines[NR] = $1 }
    END { if (NR) printf "%d functions, median %d lines, longest %d\n", NR,
              lines[int((NR + 1) / 2)], lines[NR] }
' || status=1

exit $status
