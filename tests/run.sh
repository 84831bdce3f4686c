#!/bin/bash
# Runs test programs one after the other and adds up what cmocka says of each.
# A program that fails without a failed test (a crash, a sanitizer's report, a
# leak) counts as one failure, and so does one that runs no test, or never ends.
#
#   tests/run.sh PROGRAM...         last line: "N passed, N failed"
set -uo pipefail

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-second_deadlock_stack=1}"

# ThreadSanitizer cannot place its shadow where address randomisation is at its
# strongest, so randomisation is off where the system allows that.
prefix=()
if setarch -R true 2>/dev/null; then
    prefix=(setarch -R)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The number in cmocka's line "[  PASSED  ] 12 test(s).", 0 if there is none.
count_of() {
    sed -n "s/^\[  $1  \] \([0-9]*\) test(s).*/\1/p" "$log" | tail -n 1
}

passed=0
failed=0
for program in "$@"; do
    printf -- '---- %s\n' "${program##*/tests/}"
    status=0
    timeout 300 "${prefix[@]}" "$program" 2>&1 | tee "$log" || status=$?
    good=$(count_of PASSED)
    bad=$(count_of FAILED)
    if [ "${bad:-0}" -eq 0 ]; then
        if [ "$status" -ne 0 ]; then
            printf '%s: exit status %d\n' "$program" "$status"
            bad=1
        elif [ "${good:-0}" -eq 0 ]; then
            printf '%s: ran no test\n' "$program"
            bad=1
        fi
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
done

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
