#!/bin/bash
# Inside: all tests, one after the other.
cd "$(dirname "$0")" || exit 1
while read -r name; do
    echo "# $name"
    status=0
    timeout 60 "./$name.sh" </dev/null 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        echo "not ok - $name.sh ended with status $status"
    fi
done <../names
echo '# the end'
