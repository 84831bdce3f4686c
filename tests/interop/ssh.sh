#!/bin/bash
# ssh and scp through evproxy to a temporary sshd: a command, 1 GB in each
# direction.
. "${0%/*}/lib.sh"
need ssh scp ssh-keygen sha256sum
sshd=$(PATH=$PATH:/usr/sbin command -v sshd)
need "${sshd:-sshd}"

port=$(free_port)
ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$dir/client_key"
cp "$dir/client_key.pub" "$dir/authorized_keys"
cat >"$dir/sshd_config" <<TEXT
ListenAddress 127.0.0.1
Port $port
HostKey $dir/host_key
AuthorizedKeysFile $dir/authorized_keys
PidFile none
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
UsePAM $([ $EUID -eq 0 ] && echo yes || echo no)
Subsystem sftp internal-sftp
TEXT
if [ $EUID -eq 0 ]; then
    mkdir -p /run/sshd
fi

options=(-F none -i "$dir/client_key" -o BatchMode=yes
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
    -o LogLevel=ERROR -c aes128-gcm@openssh.com)

remote() {
    ssh "${options[@]}" -p "$through" "$(id -un)@127.0.0.1" "$@"
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
    scp "${options[@]}" -P "$through" "$dir/file" \
        "$(id -un)@127.0.0.1:$dir/copy" && [ "$(sum_of "$dir/copy")" = "$sum" ]
}

copy_down() {
    [ "$(remote "cat '$dir/copy'" | sum_of /dev/stdin)" = "$sum" ]
}

head -c 1073741824 /dev/urandom >"$dir/file"
sum=$(sum_of "$dir/file")
start sshd "$sshd" -D -e -f "$dir/sshd_config"
wait_for sshd "$port"
start_proxy "$port"

check 'ssh carries a command, its output and its status' command_status
check 'scp carries 1 GB up; its sha256 is the same' copy_up
check 'ssh carries 1 GB down; its sha256 is the same' copy_down
stop_proxy
