#!/usr/bin/env python3
"""Processor time of the main thread while it checks many upstreams.

    tests/bench/checks.py [-n UPSTREAMS] [-s SECONDS] [-k KIND] build/evproxy
    tests/bench/checks.py [...] --floor build/bench/check_floor

Upstreams are addresses of 127.1.0.0/16 with one port, behind one listener in
this process (or none, with -k refused, or one that never answers, with -k
silent); each is checked once a second. --floor: the program does the same exchanges and
nothing else (check_floor.c; not for refused and silent).
"""
import argparse
import os
import select
import socket
import subprocess
import tempfile
import threading
import time

KEYS = {
    "tcp": "health_check = tcp\n",
    "http": "health_check = http\n",
    "expect": "health_check = expect\nhealth_send = PING\\r\\n\n"
              "health_expect = +PONG\n",
    "refused": "health_check = tcp\n",
    "silent": "health_check = http\n",
}
ANSWERS = {
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "expect": b"+PONG\r\n",
}


class Upstream(threading.Thread):
    """Answers each client that connects, and counts them."""

    def __init__(self, kind):
        super().__init__(daemon=True)
        self.kind = kind
        self.count = 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("0.0.0.0", 0))
        self.port = self.listener.getsockname()[1]
        if kind != "refused":
            self.listener.listen(4096)
            self.listener.setblocking(False)

    def accept(self, poll, open_ones):
        while True:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            self.count += 1
            client.setblocking(False)
            open_ones[client.fileno()] = client
            poll.register(client, select.EPOLLIN)

    def run(self):
        poll = select.epoll()
        poll.register(self.listener, select.EPOLLIN)
        open_ones = {}
        while True:
            for fd, _ in poll.poll():
                if fd == self.listener.fileno():
                    self.accept(poll, open_ones)
                    continue
                client = open_ones[fd]
                try:
                    question = client.recv(4096)
                    if question and self.kind in ANSWERS:
                        client.send(ANSWERS[self.kind])
                    if not question or self.kind == "http":
                        del open_ones[fd]
                        client.close()
                except OSError:
                    del open_ones[fd]
                    client.close()


def main_thread_s(pid):
    """Its user and system time."""
    with open(f"/proc/{pid}/task/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=5000)
    parser.add_argument("-s", type=float, default=10)
    parser.add_argument("-k", choices=KEYS, default="tcp")
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("program")
    arguments = parser.parse_args()
    upstream = Upstream(arguments.k)
    if arguments.k != "refused":
        upstream.start()
    folder = tempfile.TemporaryDirectory()
    lines = ["[global]", "workers = 1", "[service s]",
             f"listen = unix:{folder.name}/s", KEYS[arguments.k],
             "health_interval = 1s", "health_timeout = 1s"]
    lines += [f"upstream = 127.1.{i // 250}.{i % 250 + 1}:{upstream.port}"
              for i in range(arguments.n)]
    with open(f"{folder.name}/ini", "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    options = ["-c", file.name]
    if arguments.floor:
        options = [arguments.k, str(upstream.port), str(arguments.n)]
    proxy = subprocess.Popen([arguments.program, *options],
                             stderr=subprocess.DEVNULL)
    time.sleep(4)
    if proxy.poll() is not None:
        raise SystemExit(f"{arguments.program} has ended")
    count, begin = upstream.count, time.monotonic()
    used = main_thread_s(proxy.pid)
    time.sleep(arguments.s)
    took = time.monotonic() - begin
    used = main_thread_s(proxy.pid) - used
    count = upstream.count - count
    proxy.terminate()
    proxy.wait()
    print(f"{arguments.k}: {arguments.n} upstreams, {count / took:.0f} "
          f"checks/s accepted, main thread {100 * used / took:.1f} % of a "
          f"core, {1e6 * used / max(count, 1):.1f} us each")


if __name__ == "__main__":
    main()
