#!/bin/bash
# Copies programs and their libraries into a payload.
#
#   vm/payload.sh DIR PROGRAM...
#
# A program (a path, or a name in $PATH) goes to DIR/bin; a shared object, such
# as a module of nginx, to DIR/modules. Libraries and the loader keep their
# absolute paths under DIR; /init of the machine links them into place.
set -euo pipefail

dir=${1:?where to}
shift
for program in "$@"; do
    path=$(command -v "$program" || echo "$program")
    case $path in
    *.so) to=$dir/modules ;;
    *) to=$dir/bin ;;
    esac
    mkdir -p "$to"
    cp -L "$path" "$to/"
    # "name => /path (address)" and, for the loader, "/path (address)"
    { ldd "$path" 2>/dev/null || true; } |
        sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' |
        while read -r library; do
            mkdir -p "$dir$(dirname "$library")"
            cp -L "$library" "$dir$library"
        done
done
