"""A network namespace with loopback and known settings. Needs root."""

import fcntl
import os
import socket
import struct
import sys

# Under /proc/sys/net; the first value that is accepted.
SETTINGS = {
    "ipv4/tcp_congestion_control": ["cubic", "reno"],
    "ipv4/tcp_rmem": ["4096 131072 6291456"],
    "ipv4/tcp_wmem": ["4096 16384 4194304"],
    "ipv4/ip_local_port_range": ["24000 65000"],
    "ipv4/tcp_max_syn_backlog": ["16384"],
    "ipv4/tcp_max_tw_buckets": ["20000"],
    "core/somaxconn": ["16384"],
}

# For the stalled readers: all namespaces share the kernel's memory for TCP.
SMALL_BUFFERS = {
    "ipv4/tcp_rmem": ["4096 65536 131072"],
    "ipv4/tcp_wmem": ["4096 16384 131072"],
}

INSIDE = "EVPROXY_BENCH_NAMESPACE"


def apply(settings):
    for key, values in settings.items():
        for value in values:
            try:
                with open("/proc/sys/net/" + key, "w") as file:
                    file.write(value)
                break
            except OSError:
                pass


def set_loopback(request, form, value):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, request, struct.pack(form, b"lo", value))


def loopback_up():
    set_flags, up, loopback = 0x8914, 0x1, 0x8
    set_loopback(set_flags, "16sH14x", up | loopback)


def set_mtu(mtu):
    set_loopback(0x8922, "16si12x", mtu)


def enter():
    """Starts this program again in a namespace; False if not permitted."""
    if os.geteuid() != 0:
        return False
    if os.environ.get(INSIDE) != "1":
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable] + sys.argv)
    loopback_up()
    apply(SETTINGS)
    return True
