#!/bin/bash
# Runs test programs and adds up their results. A program that fails without a
# failed test (a crash, a sanitizer's report, a leak) counts as one failure, and
# so does one that has no test or does not end within five minutes, or within
# fifteen under a sanitizer (EVPROXY_TEST_SLOW).
#
#   tests/run.sh PROGRAM...         last line: "N passed, N failed"
#
# Only what was skipped, and the whole output of a program that fails, is shown,
# both at the end; V=1 shows all of it as it comes.
#
# TEST_JOBS programs run at once, four for each processor unless it is set: most
# of their time they wait. Output comes in the order of the arguments. Those that
# take longest begin first. TEST_RUNNER is a command that runs programs of another
# architecture, such as qemu-aarch64.
set -uo pipefail

export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
here=$(realpath "$(dirname "$0")")
ours="second_deadlock_stack=1 suppressions=$here/tsan.supp"
export TSAN_OPTIONS="${TSAN_OPTIONS:-$ours}"

# ThreadSanitizer cannot map its shadow memory under strong address
# randomisation, so this is turned off where the system allows it.
prefix=()
if setarch -R true 2>/dev/null; then
    prefix=(setarch -R)
fi
prefix+=(${TEST_RUNNER:-})

limit_s=300
if [ -n "${EVPROXY_TEST_SLOW:-}" ]; then
    limit_s=900
fi

programs=("$@")
jobs=${TEST_JOBS:-$((4 * $(nproc)))}
longest='fault reload upgrade_fails accounting memory upgrade_bytes sources names_silent upgrade_left upgrade_state check'
order=()    # indices of programs, as they begin
statuses=() # by the program's index, of those that have ended
declare -A running=() # the index by the process
reported=0
passed=0
failed=0
suite=        # the folder of the programs that are being reported
suite_count=0 # how many of its programs have run
suite_good=0  # and how many of their tests have passed
bad_ones=()   # the indices of the programs that failed

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'kill "${!running[@]}" 2>/dev/null; exit 1' INT TERM HUP

# count_of PASSED|FAILED LOG: the number in "[  PASSED  ] 12 test(s).". Newer
# versions of cmocka begin such a line with the group: "tests: 12 test(s)".
count_of() {
    sed -nE "s/^\[  $1  \] (tests: )?([0-9]+) test\(s\).*/\2/p" "$2" | tail -n 1
}

# The tests of a log that were skipped, each with the reason: see skip.h.
skipped_in() {
    awk '/^skipped: / { why = substr($0, 10) }
         /^\[==========\] (tests: )?[0-9]+ test\(s\) run/ { exit }
         /^\[  SKIPPED \]/ { print $4 (why ? ": " why : ""); why = "" }' "$1"
}

# Tells of the folder whose programs have all been reported.
report_suite() {
    if [ "$suite_count" -gt 0 ]; then
        echo "$suite: $suite_count programs, $suite_good tests passed"
    fi
    suite=${1:-} suite_count=0 suite_good=0
}

# Adds the counts of the next program in order, which has ended.
report() {
    local name=${programs[reported]##*/tests/} log=$logs/$reported
    local good bad status=${statuses[reported]}
    if [ "${name%%/*}" != "$suite" ]; then
        report_suite "${name%%/*}"
    fi
    if [ "${V:-0}" = 1 ]; then
        echo "---- $name"
        cat "$log"
    fi
    good=$(count_of PASSED "$log")
    bad=$(count_of FAILED "$log")
    if [ "${bad:-0}" -eq 0 ]; then
        if [ "$status" -ne 0 ]; then
            echo "$name: ended with status $status" >>"$log"
            bad=1
        elif [ "${good:-0}" -eq 0 ] && [ -z "$(skipped_in "$log")" ]; then
            echo "$name: ran no test" >>"$log"
            bad=1
        fi
    fi
    if [ "${bad:-0}" -gt 0 ]; then
        bad_ones+=("$reported")
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
    suite_count=$((suite_count + 1))
    suite_good=$((suite_good + ${good:-0}))
    reported=$((reported + 1))
}

# Waits for any program, and reports those whose turn it is.
finish_one() {
    local pid status=0
    wait -n -p pid "${!running[@]}" || status=$?
    statuses[running[$pid]]=$status
    unset "running[$pid]"
    while [ -n "${statuses[reported]:-}" ]; do
        report
    done
}

# Background jobs of bash ignore SIGINT, which some tests would inherit.
start() {
    env --default-signal=INT,QUIT timeout "$limit_s" "${prefix[@]}" \
        "${programs[$1]}" >"$logs/$1" 2>&1 </dev/null &
    running[$!]=$1
}

rest=()
for index in "${!programs[@]}"; do
    case " $longest " in
    *" ${programs[index]##*/test_} "*) order+=("$index") ;;
    *) rest+=("$index") ;;
    esac
done
for index in "${order[@]}" "${rest[@]}"; do
    if [ ${#running[@]} -ge "$jobs" ]; then
        finish_one
    fi
    start "$index"
done
while [ ${#running[@]} -gt 0 ]; do
    finish_one
done
report_suite

for index in "${!programs[@]}"; do
    skipped_in "$logs/$index" |
        sed "s|^|skipped: ${programs[index]##*/tests/}: |"
done
for index in "${bad_ones[@]}"; do
    echo "failed: ${programs[index]##*/tests/}"
    grep -v -e '^\[ RUN ' -e '^\[       OK ' "$logs/$index"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
