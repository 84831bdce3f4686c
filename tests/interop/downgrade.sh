#!/bin/bash
# Connections that move to the evproxy of the commit before, and back: it is
# built here. A tarball has no such commit, and this is skipped.
#
#   PREVIOUS=commit     another one
. "${0%/*}/lib.sh"
need make
tests=$(dirname "$EVPROXY")/tests/e2e
previous=${PREVIOUS:-HEAD~1}

# Without a repository, or in one that this tree is only a file of. The tree may
# be a folder of a larger repository: git takes the paths of where it runs.
root=$(dirname "$0")/../..
if ! git -C "$root" cat-file -e "$previous:./tests/interop/upgrade.sh" \
    2>/dev/null; then
    echo "# skipped: there is no $previous of this tree"
    report 0 'it has no commit before'
    exit
fi
mkdir "$dir/previous"
git -C "$root" archive "$previous" | tar -x -C "$dir/previous"
check "$previous builds" \
    env -u MAKEFLAGS make -C "$dir/previous" -j2 TLS= EXTRA= LTO= BUILD=build \
    build/evproxy || exit 1
check 'connections move there and back' env \
    EVPROXY_OTHER="$dir/previous/build/evproxy" "$tests/test_upgrade_versions"
