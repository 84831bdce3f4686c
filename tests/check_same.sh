#!/bin/bash
# A build in another folder makes the same bytes, and the compiler has no warning.
# make calls it, so that the other build has the same options.
#
#   MAKE=make tests/check_same.sh BINARY
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export CCACHE_DISABLE=1

# build FOLDER: into FOLDER/out
build() {
    mkdir -p "$1"
    cp -r Makefile conf include src tests "$1"
    $MAKE -s -C "$1" BUILD=out WERROR=1 out/evproxy >/dev/null
}

build "$folder/of/another/name"
if ! cmp -s "$1" "$folder/of/another/name/out/evproxy"; then
    # A compiler cache that several folders share gives what another folder has
    # made, with its name: two builds without one decide.
    build "$folder/third"
    cmp "$folder/third/out/evproxy" "$folder/of/another/name/out/evproxy" >&2 ||
        { echo 'builds in two folders give two binaries' >&2 && exit 1; }
fi
