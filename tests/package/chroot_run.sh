#!/bin/bash
# "make run" as a person tries it: on a terminal, with a connection to the port
# that it names, and Ctrl-C. chroot.sh calls it in a root of its own, whose
# network is its own too.
#
#   tests/package/chroot_run.sh COMMAND
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

dir=$(mktemp -d)
trap 'cat "$dir/log"; rm -rf "$dir"' EXIT
mkfifo "$dir/keys"
exec 4<>"$dir/keys"
# Background jobs of bash ignore SIGINT, which the command would inherit.
env --default-signal=INT,QUIT \
    script -qefc "$1" "$dir/log" <"$dir/keys" >/dev/null 4>&- &
terminal=$!

until grep -q 'Ctrl-C stops everything' "$dir/log"; do
    kill -0 $terminal || exit 1
    [ $SECONDS -lt 900 ] || exit 1
    sleep 0.1
done

# The line for bash that it prints, with its address.
try=$(sed -n 's/\r$//; s|^ *\(exec 3<>/dev/tcp/.*\)|\1|p' "$dir/log")
greeting=$(eval "$try")
echo "greeting: $greeting"
[ -n "$greeting" ] || exit 1

printf '\003' >&4
wait $terminal
status=$?
echo "status after Ctrl-C: $status"
if grep -E '^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F:]+ 0A ' /proc/net/tcp; then
    echo 'something still listens'
    exit 1
fi
exit $status
