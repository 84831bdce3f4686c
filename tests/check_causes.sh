#!/bin/bash
# Every cause of an end is used, and the documents have it.
#
# The causes are the enumerators CAUSE_... of service/stats.h, their names the
# rows of the table in service/stats.c. Something else in the source must use
# each. In the manual page the section CAUSES has an entry ".It Cm NAME" for
# each, and none besides. A README that has a table of causes has them all.
set -euo pipefail
cd "$(dirname "$0")/.."

manual=conf/evproxy.8
readme=README.md

mapfile -t files < <(find include src -name '*.[ch]' | sort)
awk -v manual=$manual -v readme=$readme '
    function report(sentence) {
        print sentence >"/dev/stderr"
        failed = 1
    }

    # ---- the source ----

    FILENAME ~ /\.[ch]$/ {
        sub(/\/\*.*/, "") # a comment, and a later line of one
        sub(/^ *\*([ \/].*)?$/, "")
        if (/^    CAUSE_[A-Z_]+(,|$)/ && FILENAME ~ /^include/) {
            sub(/,.*/, "", $1)
            if ($1 != "CAUSE_NONE") {
                causes[++count] = $1
                place[$1] = FILENAME ":" FNR
            }
        } else if (/^ *\[CAUSE_[A-Z_]+\] = "/) {
            split($0, part, /[]["]/)
            name[part[2]] = part[4]
            is_name[part[4]] = 1
        } else {
            while (match($0, /CAUSE_[A-Z_]+/)) {
                used[substr($0, RSTART, RLENGTH)] = 1
                $0 = substr($0, RSTART + RLENGTH)
            }
        }
    }

    # ---- the documents ----

    FILENAME == manual && /^\.Sh / { in_causes = $2 == "CAUSES" }
    FILENAME == manual && in_causes && /^\.It Cm / {
        for (i = 3; i <= NF; i++) {
            if ($i ~ /^[a-z_]+$/) {
                in_manual[$i] = FNR
            }
        }
    }

    FILENAME == readme && /^\| cause / { in_table = has_table = 1 }
    FILENAME == readme && !/^\|/ { in_table = 0 }
    FILENAME == readme && in_table {
        n = split($0, part, "`")
        for (i = 2; i <= n; i += 2) {
            in_readme[part[i]] = 1
        }
    }

    function check(cause) {
        if (!(cause in name)) {
            report(place[cause] ": " cause " has no name")
            return
        }
        if (!(cause in used)) {
            report(place[cause] ": no connection ends with " cause)
        }
        if (!(name[cause] in in_manual)) {
            report(manual ": CAUSES lacks \"" name[cause] "\", " cause \
                " of " place[cause])
        }
        if (has_table && !(name[cause] in in_readme)) {
            report(readme ": the table of causes lacks \"" name[cause] \
                "\", " cause " of " place[cause])
        }
    }

    END {
        if (count == 0) {
            report("include has no enumerators CAUSE_... that this can find")
        }
        for (i = 1; i <= count; i++) {
            check(causes[i])
        }
        for (entry in in_manual) {
            if (!(entry in is_name)) {
                report(manual ":" in_manual[entry] ": \"" entry \
                    "\" is no cause")
            }
        }
        exit failed
    }' "${files[@]}" $manual $readme
