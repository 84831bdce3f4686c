#!/bin/bash
# ssh and scp through evproxy to a temporary sshd: a command, 1 GB in each
# direction.
. "${0%/*}/lib.sh"
need sha256sum

port=$(free_port)

remote() {
    ssh "${ssh_options[@]}" -p "$through" "$(id -un)@127.0.0.1" "$@"
}

sum_of() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

command_status() {
    local status=0
    remote 'echo said; exit 7' || status=$?
    [ "$status" -eq 7 ]
}

copy_up() {
    scp "${ssh_options[@]}" -P "$through" "$dir/file" \
        "$(id -un)@127.0.0.1:$dir/copy" && [ "$(sum_of "$dir/copy")" = "$sum" ]
}

copy_down() {
    [ "$(remote "cat '$dir/copy'" | sum_of /dev/stdin)" = "$sum" ]
}

head -c 1073741824 /dev/urandom >"$dir/file"
sum=$(sum_of "$dir/file")
start_sshd "$port"
start_proxy "$port"

check 'ssh carries a command, its output and its status' command_status
check 'scp carries 1 GB up; its sha256 is the same' copy_up
check 'ssh carries 1 GB down; its sha256 is the same' copy_down
stop_proxy
