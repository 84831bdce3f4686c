"""Workloads of slow peers: what they cost in the kernel. One side pushes on all
connections, the other reads nothing, or 1 MB a second. What the proxy's own
sockets hold is counted, towards both sides; the load's sockets are not."""

import contextlib
import selectors
import socket
import time

import network

# Loopback's own 65,536 hides how receive windows grow.
MTU, LOOPBACK_MTU = 1500, 65536
BLOCK = bytes(65536)
PACE = 1_000_000  # bytes a second
STALL_S, CRAWL_S = 3, 10
HOST = "127.0.0.1"


def queued_bytes(listen_port, upstream_port):
    """In the queues of the proxy's sockets: towards clients and upstream."""
    total = 0
    with open("/proc/net/tcp") as file:
        next(file)
        for line in file:
            _, local, remote, state, queues = line.split()[:5]
            ports = [int(end.split(":")[1], 16) for end in (local, remote)]
            if state == "01" and (ports[0] == listen_port
                                  or ports[1] == upstream_port):
                total += sum(int(size, 16) for size in queues.split(":"))
    return total


class Transfer:
    """Connections on which a side pushes and the other takes its time."""

    def __init__(self, senders, readers, pace):
        self.readers, self.pace = readers, pace
        self.sent, self.taken = 0, [0] * len(readers)
        self.selector = selectors.DefaultSelector()
        for sender in senders:
            sender.setblocking(False)
            self.selector.register(sender, selectors.EVENT_WRITE)
        for reader in readers:
            reader.setblocking(False)

    def push(self):
        for key, _ in self.selector.select(0.005):
            with contextlib.suppress(BlockingIOError):
                self.sent += key.fileobj.send(BLOCK)

    def read(self, due):
        for number, reader in enumerate(self.readers):
            if self.taken[number] < due:
                with contextlib.suppress(BlockingIOError):
                    self.taken[number] += len(
                        reader.recv(due - self.taken[number]))

    def run(self, seconds):
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            self.push()
            if self.pace:
                self.read(int(now * self.pace))
        return now


class SlowWorkloads:
    """A base of Lab, whose methods these use."""

    @contextlib.contextmanager
    def pairs(self, name, count):
        """The sockets of the clients, of the backend, and the proxy's ports."""
        upstream = f"{HOST}:{self.free_port()}"
        port = int(upstream.rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            backend = stack.enter_context(
                socket.create_server((HOST, port), backlog=count))
            proxy, address = self.start_proxy(name, upstream, "tcp", None)
            stack.callback(proxy.stop)
            time.sleep(0.3)
            host, _, listen = address.rpartition(":")
            clients, servers = [], []
            for _ in range(count):
                client = socket.create_connection((host, int(listen)))
                clients.append(stack.enter_context(client))
                servers.append(stack.enter_context(backend.accept()[0]))
            yield clients, servers, (int(listen), port)

    def slow(self, name, count, up, pace, seconds):
        if self.isolated:
            network.set_mtu(MTU)
        try:
            with self.pairs(name, count) as (clients, servers, ports):
                senders, readers = ((clients, servers) if up
                                    else (servers, clients))
                transfer = Transfer(senders, readers, pace)
                took = transfer.run(seconds)
                return {
                    "n": count,
                    "queued_kb": round(queued_bytes(*ports) / count / 1000, 1),
                    "sent_kb": round(transfer.sent / count / 1000, 1),
                    "read_kb_s": round(sum(transfer.taken) / count / took
                                       / 1000, 1)}
        finally:
            if self.isolated:
                network.set_mtu(LOOPBACK_MTU)

    def stall(self, name, count):
        """Clients that read nothing."""
        return self.slow(name, count, False, 0, STALL_S)

    def stallU(self, name, count):
        """An upstream that reads nothing."""
        return self.slow(name, count, True, 0, STALL_S)

    def crawl(self, name, count):
        """Clients that read 1 MB a second."""
        return self.slow(name, count, False, PACE, CRAWL_S)

    def crawlU(self, name, count):
        """An upstream that reads 1 MB a second."""
        return self.slow(name, count, True, PACE, CRAWL_S)
