#!/bin/bash
# Every include takes from its own floor or one below it, and every room has
# its header.
#
# "floor/x.h" is ours and <x.h> never is, so each include line says which floor
# it takes from. The floor of a file is its first folder. Tests may use every
# floor. check_circles.sh looks for circles.
set -euo pipefail
cd "$(dirname "$0")/.."

# What each floor may use besides itself: floors, or single headers of a floor.
# A floor uses only what stands above it here. Two lines of one floor add up.
# "main" is src/main.c.
floors='
base:
wire:    base
config:  base wire
net:     base
service: base config
proxy:   base wire config net service
control: base wire config net service
control: proxy/worker.h proxy/socket_options.h proxy/shared.h
control: proxy/handover.h proxy/session_record.h
main:    base config control
'

mapfile -t files < <(find include src -name '*.[ch]' | sort)
awk '
    function report(sentence) {
        print sentence >"/dev/stderr"
        failed = 1
    }

    BEGIN {
        for (i = 2; i < ARGC; i++) {
            is_file[ARGV[i]] = 1
        }
    }

    # ---- the list of floors ----

    FILENAME == "-" && NF > 0 {
        floor = $1
        sub(/:$/, "", floor)
        is_floor[floor] = 1
        usable[floor, floor] = 1
        for (i = 2; i <= NF; i++) {
            usable[floor, $i] = 1
            split($i, folder, "/")
            if (!(folder[1] in is_floor)) {
                report("tests/check_floors.sh: " floor " uses " $i \
                    ", which does not stand above it")
            }
        }
    }

    # ---- include lines ----

    FILENAME != "-" && FNR == 1 {
        floor = FILENAME
        sub(/^(include|src)\//, "", floor)
        sub(/\/.*/, "", floor)
        if (FILENAME == "src/main.c") {
            floor = "main"
        }
        if (!(floor in is_floor)) {
            report(FILENAME ": \"" floor "\" is no floor")
        }
    }

    FILENAME != "-" && /^[ \t]*#[ \t]*include[ \t]*["<]/ {
        split($0, part, /["<>]/)
        header = part[2]
        split(header, folder, "/")
        place = FILENAME ":" FNR ": "
        if (/</) {
            if (("include/" header) in is_file) {
                report(place "<" header "> is ours: write it in quotes")
            }
        } else if (!(("include/" header) in is_file)) {
            report(place "no such header: include/" header)
        } else if (!((floor, folder[1]) in usable) && \
                   !((floor, header) in usable)) {
            report(place floor " may not use \"" header "\"")
        }
    }

    # ---- rooms: a header, and mostly a source of the same name ----

    /^#ifndef / && !(FILENAME in guard) { guard[FILENAME] = $2 }

    # x_absent.c stands in for an x.c that needs a library.
    function check_source(source,  header) {
        header = source
        sub(/^src/, "include", header)
        sub(/(_absent)?\.c$/, ".h", header)
        if (!(header in is_file)) {
            report(source ": has no header " header)
        }
    }

    function check_header(header,  wanted) {
        wanted = header
        sub(/^include\//, "", wanted)
        gsub(/[\/.]/, "_", wanted)
        wanted = "EVPROXY_" toupper(wanted)
        if (guard[header] != wanted) {
            report(header ": its guard is not " wanted)
        }
    }

    END {
        for (i = 2; i < ARGC; i++) {
            if (ARGV[i] ~ /^include\//) {
                check_header(ARGV[i])
            } else if (ARGV[i] != "src/main.c") {
                check_source(ARGV[i])
            }
        }
        exit failed
    }' - "${files[@]}" <<<"$floors"
