#!/bin/bash
# Makes the machine that vm/run.sh boots: Debian's kernel and an initramfs with
# busybox.
#
#   vm/build.sh DIR          writes DIR/vmlinuz and DIR/initramfs.cpio
#
# KERNEL names the kernel; the default is the newest in /boot. In the machine,
# /init brings up loopback, raises the limits on files and sockets, runs
# /payload/run.sh with the serial line as its output, prints "VM-EXIT <status>"
# and powers off.
set -euo pipefail

dir=${1:?where to}
kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | sort -V |
    tail -n 1)}
mkdir -p "$dir"
cp "${kernel:?no kernel in /boot: KERNEL names one}" "$dir/vmlinuz"

root=$dir/initramfs
rm -rf "$root"
mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,run,var/log,var/lib}
cp "$(command -v busybox)" "$root/bin/busybox"
cat >"$root/etc/passwd" <<'TEXT'
root:x:0:0:root:/tmp:/bin/sh
nobody:x:65534:65534:nobody:/tmp:/bin/false
TEXT
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"

cat >"$root/init" <<'TEXT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/payload/bin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up

allow() {
    echo "$2" >"/proc/sys/$1" || echo "init: cannot set $1"
}
allow fs/nr_open 4000000
allow fs/file-max 20000000
allow net/ipv4/ip_local_port_range '1024 65535'
allow net/core/somaxconn 65535
allow net/core/netdev_max_backlog 100000
allow net/ipv4/tcp_max_syn_backlog 65535
allow net/ipv4/tcp_mem '4000000 4500000 5000000'
allow net/ipv4/tcp_tw_reuse 1
allow net/ipv4/tcp_max_tw_buckets 2000000
allow net/ipv4/tcp_max_orphans 2000000
allow vm/overcommit_memory 1
allow vm/max_map_count 4000000
ulimit -n 3000000

# The programs of the payload look for their libraries here.
for folder in lib lib64 usr; do
    [ -d /payload/$folder ] && ln -s /payload/$folder /$folder
done

cd /payload
/bin/sh /payload/run.sh
status=$?
echo
echo "VM-EXIT $status"
poweroff -f
TEXT
chmod +x "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) \
    >"$dir/initramfs.cpio"
rm -rf "$root"
