#!/bin/bash
# Connections that move to the evproxy of the commit before, and back: it is
# built here. A tarball has no such commit, and this is skipped.
#
#   PREVIOUS=commit     another one
. "${0%/*}/lib.sh"
need make
tests=$(dirname "$EVPROXY")/tests/e2e
previous=${PREVIOUS:-HEAD~1}

# Without a repository, or in one that this tree is only a file of.
top=$(git rev-parse --show-toplevel 2>/dev/null)
if ! git cat-file -e "$previous:./upgrade.sh" 2>/dev/null; then
    echo "# skipped: there is no $previous of this tree"
    report 0 'it has no commit before'
    exit
fi
mkdir "$dir/previous"
git -C "$top" archive "$previous" | tar -x -C "$dir/previous"
check "$previous builds" \
    make -C "$dir/previous" -j2 LTO= build/evproxy || exit 1
check 'connections move there and back' env \
    EVPROXY_OTHER="$dir/previous/build/evproxy" "$tests/test_upgrade_versions"
