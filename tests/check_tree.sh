#!/bin/bash
# The top level of the tree has few entries, so that a reader sees at once what
# there is. Names that begin with a dot do not count, nor does the folder of the
# build.
#
# In a git checkout, tracked files and untracked folders that are not ignored are
# checked. The project may be a folder of a larger repository. Elsewhere, as in a
# tarball, everything is checked that .gitignore does not name.
#
#   tests/check_tree.sh BUILD
set -euo pipefail
cd "$(dirname "$0")/.."

expected=' src include tests conf Makefile README.md LICENSE '
build=${1#"$PWD"/}
build=${build#./}
status=0

# ignored NAME: whether .gitignore names it
ignored() {
    local pattern
    [ -f .gitignore ] || return 1
    while read -r pattern; do
        pattern=${pattern#/}
        # shellcheck disable=SC2053
        [[ -n "$pattern" && "$1" == ${pattern%/} ]] && return 0
    done <.gitignore
    return 1
}

# entries: all paths to check, relative to the top level, each ended by a NUL
entries() {
    local name
    # A tarball may lie in a repository that does not track it.
    if [ -n "$(git ls-files Makefile 2>/dev/null)" ]; then
        git ls-files -z
        # It ends the name of an untracked folder with a slash.
        git ls-files -z --others --exclude-standard --directory |
            grep -z '/$' || true
    else
        for name in *; do
            ignored "$name" || printf '%s\0' "$name"
        done
    fi
}

while read -r -d '' name; do
    case $name in
    .* | "${build%%/*}") ;;
    *)
        if [[ "$expected" != *" $name "* ]]; then
            echo "$name: does not belong at the top level of the tree" >&2
            status=1
        fi
        ;;
    esac
done < <(entries | sed -z 's|/.*||' | sort -zu)

exit $status
