#!/usr/bin/python3
"""Clients with addresses of 198.18.0.0/16, which must be local here.

  clients.py map FILE COUNT ADDRESS:PORT...
      COUNT clients connect to each of these. Fails unless all got their server's
      greeting, and each client the same server everywhere: here, and in FILE if
      that exists, else it is written.
  clients.py watch FOLDER COUNT ADDRESS:PORT
      Keeps COUNT connections at work, each with a byte every 200 ms, and makes
      new ones all the time. Every 200 ms FOLDER/state has lines of words:
          turn N
          held HOST ALIVE BROKEN
          new HOST OK          since it began, or FOLDER/anew was there
          failed N             new ones that were not greeted in 3 s, likewise
      Closes those that HOST has when FOLDER/close has its address.
"""
import asyncio
import collections
import os
import select
import socket
import struct
import sys
import time

DEADLINE = 5
RESET = struct.pack("ii", 1, 0)


def source(number):
    """Addresses all over the network, none twice below 40000."""
    number = number * 40503 % 65536
    return f"198.18.{number >> 8}.{number & 255}"


def client(number):
    """Returns a socket with the address of that client."""
    sock = socket.socket()
    sock.setblocking(False)
    # No TIME-WAIT: the end of a client is a reset.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.bind((source(number), 0))
    return sock


def map_to(count, to):
    """Returns a list: the server of each client. 200 connect at a time."""
    servers = ["failed: no answer"] * count
    poll = select.epoll()
    waiting = {}
    numbers = iter(range(count))

    def begin():
        for number in numbers:
            sock = client(number)
            sock.connect_ex(to)
            poll.register(sock, select.EPOLLIN)
            waiting[sock.fileno()] = number, sock
            return

    for _ in range(200):
        begin()
    while waiting:
        events = poll.poll(10 * DEADLINE)
        if not events:
            break
        for fd, _ in events:
            number, sock = waiting.pop(fd)
            try:
                servers[number] = sock.recv(100).split()[0].decode()
            except (OSError, IndexError) as error:
                servers[number] = f"failed: {error!r}"
            sock.close()
            begin()
    return servers


def map_all(file, count, *targets):
    expected = None
    if os.path.exists(file):
        with open(file) as lines:
            expected = lines.read().splitlines()
    bad = 0
    for target in targets:
        servers = map_to(int(count), target)
        expected = expected or servers
        wrong = [
            f"{source(number)} by {target[0]}: {got}, not {want}"
            for number, (got, want) in enumerate(zip(servers, expected))
            if got != want or got.startswith("failed")
        ]
        print(target[0], collections.Counter(servers).most_common(10))
        print("\n".join(wrong[:5]))
        bad += len(wrong)
    if not bad:
        with open(file, "w") as lines:
            lines.write("\n".join(expected) + "\n")
    return 1 if bad else 0


async def connect(number, to, deadline):
    """Returns a connection's socket and the words of its greeting."""
    loop = asyncio.get_running_loop()
    sock = client(number)
    try:
        async with asyncio.timeout(deadline):
            await loop.sock_connect(sock, to)
            line = await loop.sock_recv(sock, 100)
            while line and not line.endswith(b"\n"):
                line += await loop.sock_recv(sock, 100)
        if not line:
            raise ConnectionError("no greeting")
    except BaseException:
        sock.close()
        raise
    return sock, line.decode().split()


class Watch:
    def __init__(self, folder, count, to):
        self.folder = folder
        self.count = int(count)
        self.to = to
        self.held = collections.defaultdict(lambda: [0, 0])  # alive, broken
        self.socks = collections.defaultdict(set)
        self.closing = set()
        self.anew()

    def anew(self):
        self.new = collections.Counter()
        self.failed = 0

    async def hold(self, number):
        loop = asyncio.get_running_loop()
        sock, (_, host) = await connect(number, self.to, DEADLINE)
        self.held[host][0] += 1
        self.socks[host].add(sock)
        try:
            while host not in self.closing:
                async with asyncio.timeout(2 * DEADLINE):
                    await loop.sock_sendall(sock, b"x")
                    if not await loop.sock_recv(sock, 1):
                        raise ConnectionError("closed")
                await asyncio.sleep(0.2)
        except OSError as error:
            self.held[host][1] += 1
            print(time.monotonic(), host, source(number), repr(error), flush=True)
        self.held[host][0] -= 1
        sock.close()

    async def greet(self, number):
        try:
            sock, (_, host) = await connect(number, self.to, 3)
        except OSError as error:
            self.failed += 1
            print(time.monotonic(), "new", source(number), repr(error), flush=True)
        else:
            self.new[host] += 1
            sock.close()

    def asked(self, name):
        """Whether there is a file of that name, with its text."""
        path = f"{self.folder}/{name}"
        try:
            with open(path) as file:
                text = file.read()
            os.unlink(path)
        except FileNotFoundError:
            return None
        return text

    def tell(self, turn):
        lines = [f"turn {turn}"]
        lines += [f"held {host} {a} {b}" for host, (a, b) in self.held.items()]
        lines += [f"new {host} {n}" for host, n in self.new.items()]
        lines.append(f"failed {self.failed}")
        with open(f"{self.folder}/state.new", "w") as file:
            file.write("\n".join(lines) + "\n")
        os.rename(f"{self.folder}/state.new", f"{self.folder}/state")

    async def run(self):
        tasks = set()
        for number in range(self.count):
            tasks.add(asyncio.create_task(self.hold(number)))
        turn = 0
        while True:
            for step in range(10):
                tasks.add(asyncio.create_task(self.greet(20000 + turn * 10 % 20000 + step)))
                await asyncio.sleep(0.02)
            turn += 1
            if self.asked("anew") is not None:
                self.anew()
            closing = self.asked("close")
            if closing:
                self.closing.add(closing.strip())
            self.tell(turn)
            tasks = {task for task in tasks if not task.done()}


def address(text):
    host, port = text.split(":")
    return host, int(port)


def main():
    command, path, count, *targets = sys.argv[1:]
    targets = [address(target) for target in targets]
    if command == "map":
        return map_all(path, count, *targets)
    return asyncio.run(Watch(path, count, *targets).run())


sys.exit(main())
