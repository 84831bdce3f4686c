#!/bin/bash
# The manual page has every line of the log, and every key of each line.
#
# The lines are the string literals of src that hold a key: key=%s, key=\"%s\".
# A literal that begins with a space (" cause=") belongs to the line in the same
# statement, or else to any line. Of "ended_%s=" the part before %s is checked;
# "%s=" alone is not.
#
# In the manual page the section LOG has lists. The tag of an entry is how its
# line begins, as in ".It Cm stats service= Ns Ar name" or ".It Cm bad header";
# if two tags fit, the longer one counts. The keys stand in the entry, in macros:
# ".Cm service , active", or as tags of a list in the list.
set -euo pipefail
cd "$(dirname "$0")/.."

manual=conf/evproxy.8

mapfile -t files < <(find src -name '*.c' | sort)
awk -v manual=$manual '
    function report(sentence) {
        print sentence >"/dev/stderr"
        failed = 1
    }

    # ---- the manual page, which is read first ----

    FILENAME == manual && /^\.Sh / { in_log = $2 == "LOG"; depth = 0 }
    FILENAME == manual && in_log && /^\.Bl / { depth++ }
    FILENAME == manual && in_log && /^\.El/ { depth--; tag = "" }
    FILENAME == manual && in_log && /^\.It Cm / && depth == 1 {
        tag = ""
        for (i = 2; i <= NF && $i != "Pq"; i++) {
            if ($i ~ /^[A-Z][a-z]$/) {
                macro = $i
            } else if (macro == "Cm") {
                tag = tag $i " "
            }
        }
        gsub(/=/, "", tag)
        tags[tag] = FNR
    }
    FILENAME == manual && in_log && /^\./ {
        gsub(/[^a-z0-9_]+/, " ")
        in_entry[tag] = in_entry[tag] " " $0 " "
        in_section = in_section " " $0 " "
    }
    FILENAME == manual { next }
    !in_section {
        report(manual ": has no section LOG")
        exit
    }

    # ---- the source, statement by statement ----

    FNR == 1 { statement = "" }
    { sub(/\/\*.*/, ""); sub(/^ *\*([ \/].*)?$/, "") }
    /"/ && statement !~ /"/ { place = FILENAME ":" FNR }
    { statement = statement " " $0 }
    /[;{}] *$/ {
        check_statement(statement)
        statement = ""
    }

    # Joins adjacent literals; an escaped quote becomes a single one.
    function check_statement(text,  literal, n, i, line) {
        gsub(/\\"/, "\047", text)
        gsub(/" *PRI[a-zA-Z0-9]+ *"/, "", text)
        gsub(/" *"/, "", text)
        n = split(text, literal, "\"")
        for (i = 2; i <= n; i += 2) {
            if (literal[i] ~ /^[a-z]/) {
                line = check_line(literal[i])
            } else if (literal[i] ~ /^ [a-z_]+(%s)?=/) {
                check_keys(literal[i], line)
            }
        }
    }

    # Finds the entry for the line: the tag, or "".
    function check_line(format,  has_keys, text, word, n, i, begin, found) {
        has_keys = format ~ /^[a-z][^=%]* [a-z_]+=/ && format ~ /=\047?%/
        text = format
        gsub(/=\047[^\047]*\047|=[^ ]*/, "", text)
        n = split(text, word, " ")
        for (i = 1; i <= n; i++) {
            begin = begin word[i] " "
            if (begin in tags) {
                found = begin
                used[begin] = 1
            }
        }
        if (has_keys) {
            lines++
            if (found == "") {
                report(manual ": LOG lacks the line \"" format "\" of " place)
            } else {
                check_keys(format, found)
            }
        }
        return found
    }

    function check_keys(format, tag,  word, n, i) {
        gsub(/=\047[^\047]*\047/, "=", format)
        n = split(format, word, " ")
        for (i = 1; i <= n; i++) {
            if (word[i] ~ /^[a-z_]+(%s)?=/) {
                sub(/(%s)?=.*/, "", word[i])
                check_key(word[i], tag)
            }
        }
    }

    function check_key(key, tag,  where) {
        where = tag == "" ? "" : " at \"" trim(tag) "\""
        if (index(tag == "" ? in_section : in_entry[tag], " " key " ") == 0) {
            report(manual ": LOG lacks \"" key "\"" where ", a key of " place)
        }
    }

    function trim(text) {
        sub(/ +$/, "", text)
        return text
    }

    END {
        if (in_section && lines == 0) {
            report("src has no lines with keys that this check can find")
        }
        for (tag in tags) {
            if (!(tag in used)) {
                report(manual ":" tags[tag] ": no line begins with \"" \
                    trim(tag) "\"")
            }
        }
        exit failed
    }' $manual "${files[@]}"
