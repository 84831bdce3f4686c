#!/bin/bash
# Runs fuzz targets, one after the other, each for FUZZ_SECONDS.
#
#   tests/fuzz/run.sh PROGRAM...        last line: "N passed, N failed"
#
# Seeds are in tests/fuzz/corpus/NAME. What is found on the way is kept beside
# the programs, in corpus/NAME, and the next run goes on from there; an input
# that fails is found/NAME-...
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

seconds=${FUZZ_SECONDS:-60}
passed=0
failed=0

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"

for program in "$@"; do
    name=${program##*/fuzz_}
    work=$(dirname "$program")
    log=$work/$name.log
    mkdir -p "$work/corpus/$name" "$work/found"
    echo "---- $name, $seconds s"
    if "$program" -max_total_time="$seconds" -timeout=10 -verbosity=1 \
        -artifact_prefix="$work/found/$name-" -print_final_stats=1 \
        "$work/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
        sed -n 's/^stat::number_of_executed_units: */inputs: /p' "$log"
        passed=$((passed + 1))
    else
        tail -n 60 "$log"
        failed=$((failed + 1))
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
