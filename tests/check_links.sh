#!/bin/bash
# Every path that the README links to exists.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
while read -r path; do
    if [ ! -e "$path" ]; then
        echo "README.md: no such file: $path" >&2
        status=1
    fi
done < <(grep -oE '\]\([^):#]+\)' README.md | sed 's/^](//; s/)$//' | sort -u)
exit $status
