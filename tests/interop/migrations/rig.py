"""What drive.py drives with: a configuration of conf/examples/migrations moved to
loopback, evproxy with it, servers in threads, clients, and checks.

The move is a rule, so that a file is tested as it stands but for this:

    10.A.B.C        127.A.B.C, networks too; this machine has them all
    :PORT           20000 + PORT, if it is below 10000
    listen :PORT    127.77.0.N, N being the example's number, in place of any
                    host; names of files are in the folder of the test
    health_interval ten times as often; slow_start and drain_* shortened too
    health_timeout  2 s, so that a slow machine fails no check
    user, group     those who run the test
"""

import grp
import os
import pwd
import re
import signal
import socket
import struct
import subprocess
import threading
import time

DEADLINE = 20


def port_of(port):
    return port if port >= 10000 else 20000 + port


def moved_ports(text):
    def one(match):
        last = match[2]
        return ":%d%s" % (
            port_of(int(match[1])), "-%d" % port_of(int(last)) if last else "")

    return re.sub(r":(\d+)(?:-(\d+))?\b", one, text)


def moved_value(key, value, host, folder):
    if key == "listen":
        return moved_ports(host + ":" + value.rpartition(":")[2])
    if key == "user":
        return pwd.getpwuid(os.geteuid()).pw_name
    if key == "group":
        return grp.getgrgid(os.getegid()).gr_name
    if key == "health_port":
        return str(port_of(int(value)))
    if key in ("health_interval", "slow_start", "drain_delay", "drain_timeout"):
        return re.sub(r"^(\d+)(s|m)$",
                      lambda m: "%d00ms" % (int(m[1]) if m[2] == "s" else 6),
                      value)
    if "/etc/" in value:
        return re.sub(r"/etc/.*/", folder + "/", value)
    if key in ("upstream", "metrics_listen"):
        value = moved_ports(value)
    if re.match(r"(upstream|source_address|allow|deny)$", key):
        value = re.sub(r"(?<![\d.])10\.", "127.", value)
    return value


def moved(text, host, folder):
    """The text of a configuration of evproxy on loopback."""
    lines = []
    for line in text.splitlines():
        match = re.match(r"(\w+) = (.*)", line)
        if match and match[1] == "health_timeout":
            continue
        if match and match[1] == "health_check":
            lines.append("health_timeout = 2s")
        if match:
            line = "%s = %s" % (
                match[1], moved_value(match[1], match[2], host, folder))
        lines.append(line)
    return "\n".join(lines) + "\n"


def wait(condition, deadline=DEADLINE):
    """Whether the condition comes true in time."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# ---- servers ----


def read_until(sock, end, limit=65536):
    data = b""
    while not data.endswith(end) and len(data) < limit:
        byte = sock.recv(1)
        if not byte:
            break
        data += byte
    return data


def read_count(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            break
        data += more
    return data


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def split_header(data):
    """A datagram's PROXY header of version 2: (client, the rest)."""
    if not data.startswith(SIGNATURE):
        return None, data
    length = struct.unpack("!H", data[14:16])[0]
    body, rest = data[16:16 + length], data[16 + length:]
    if data[12] & 15 == 0:
        return "LOCAL", rest
    return socket.inet_ntoa(body[:4]), rest


def read_header(sock):
    """The client in the PROXY header of a connection, 1 or 2; None: no header."""
    first = read_count(sock, 1)
    if first == b"P":
        words = read_until(sock, b"\r\n").decode().split()
        return words[2] if words[1].startswith("TCP") else words[1]
    head = first + read_count(sock, 15)
    if not head.startswith(SIGNATURE):
        return None
    rest = read_count(sock, struct.unpack("!H", head[14:16])[0])
    return split_header(head + rest)[0]


class Server:
    """Takes connections at an address, each in a thread, for handle(sock)."""

    def __init__(self, host, port, handle=None, header=False, tls=None):
        self.at = (host, port_of(port))
        self.name = host
        self.handle = handle or self.names_itself
        self.header = header
        self.tls = tls
        self.clients = []  # as the PROXY headers tell them
        self.names = []  # in ClientHellos
        self.held = 0
        self.most_held = 0
        self.lock = threading.Lock()
        self.listener = None
        self.up()

    def up(self):
        self.listener = socket.create_server(self.at, backlog=256)
        threading.Thread(target=self.accept, args=(self.listener,),
                         daemon=True).start()

    def down(self):
        """Refuses connections from now on."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        with sock:
            try:
                client = read_header(sock) if self.header else "?"
                if client not in ("LOCAL", "UNKNOWN"):
                    self.clients.append(client)
                if self.tls:
                    sock = self.tls.wrap_socket(sock, server_side=True)
                self.handle(sock)
            except OSError:
                pass
            finally:
                sock.close()

    def names_itself(self, sock):
        """Answers each line with the name of the server and the line."""
        while True:
            line = read_until(sock, b"\n")
            if not line.endswith(b"\n"):
                return
            if line == b"hold\n":
                with self.lock:
                    self.held += 1
                    self.most_held = max(self.most_held, self.held)
            sock.sendall(self.name.encode() + b" " + line)
            if line == b"hold\n":
                sock.recv(1)
                with self.lock:
                    self.held -= 1
                return


class Http(Server):
    """Answers GET with the status of the path, 503 for any other."""

    def __init__(self, host, port, status, **options):
        self.status = status
        self.asked = set()  # (path, Host)
        super().__init__(host, port, self.answer, **options)

    def answer(self, sock):
        request = read_until(sock, b"\r\n\r\n").decode()
        path = request.split(" ")[1]
        host = re.search(r"^Host: *(\S*)", request, re.M)
        self.asked.add((path, host[1] if host else ""))
        sock.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n"
                     b"Connection: close\r\n\r\n{}"
                     % self.status.get(path, 503))


class Udp:
    """Answers each datagram with the name of the server and the datagram, or
    with what answer(datagram) returns."""

    def __init__(self, host, port, answer=None):
        self.name = host
        self.answer = answer or (lambda data: host.encode() + b" " + data)
        self.clients = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, port_of(port)))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                data, sender = self.sock.recvfrom(65536)
                client, data = split_header(data)
                if client:
                    self.clients.append(client)
                self.sock.sendto(self.answer(data), sender)
            except OSError:
                if self.sock.fileno() < 0:
                    return


# ---- clients ----


class Client:
    """A connection to evproxy. One that is refused by a reset may learn it in
    the connect, and is a connection that was reset."""

    def __init__(self, at, source=None):
        self.sock = None
        try:
            self.sock = socket.create_connection(
                at, DEADLINE, source_address=(source, 0) if source else None)
        except ConnectionResetError:
            pass

    def ask(self, text="hello"):
        """The name of the server that answers; "" at an end."""
        if self.sock is None:
            return ""
        try:
            self.sock.sendall(text.encode() + b"\n")
            return read_until(self.sock, b"\n").decode().partition(" ")[0]
        except OSError:
            return ""

    def is_reset(self):
        """Whether the connection is reset in time."""
        if self.sock is None:
            return True
        try:
            while self.sock.recv(4096):
                pass
            return False
        except ConnectionResetError:
            return True
        except OSError:
            return False

    def close(self):
        if self.sock:
            self.sock.close()


def server_for(at, source=None):
    """The server that a connection of its own reaches; "" if none."""
    try:
        client = Client(at, source)
    except OSError:
        return ""
    name = client.ask()
    client.close()
    return name


def udp_client(source=None):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if source:
        sock.bind((source, 0))
    sock.settimeout(1)
    return sock


def udp_ask(sock, at, text=b"hello"):
    """The answer to a datagram, which is sent again while there is none."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            sock.sendto(text, at)
            return sock.recv(65536)
        except OSError:
            pass
    return b""


# ---- evproxy, and checks ----


class Rig:
    """evproxy with an example, and what has been found about it."""

    def __init__(self, name, number, folder, examples):
        self.name = name
        self.host = "127.77.0.%d" % number
        self.folder = folder
        self.bad = 0
        self.process = None
        with open("%s/%s.ini" % (examples, name)) as file:
            text = moved(file.read(), self.host, folder)
        self.file = "%s/%s.ini" % (folder, name)
        with open(self.file, "w") as file:
            file.write(text)
        self.log_name = "%s/%s.log" % (folder, name)

    def at(self, port):
        return self.host, port_of(port)

    def start(self):
        self.process = subprocess.Popen(
            [os.environ["EVPROXY"], "-c", self.file],
            stdin=subprocess.DEVNULL, stderr=open(self.log_name, "w"))
        if not self.check("starts", lambda: wait(self.has_started) and
                          self.process.poll() is None):
            raise RuntimeError("it has not started")

    def has_started(self):
        if self.process.poll() is not None:
            return True
        with open(self.file) as file:
            return all(self.listens(line) for line in file
                       if line.startswith("listen"))

    def listens(self, line):
        """Whether somebody does at the address of a line of the file."""
        host, port = re.match(r"listen = ([\d.]+):(\d+)", line).groups()
        want = " %s:%04X " % (
            struct.pack("<I", *struct.unpack("!I", socket.inet_aton(host)))
            .hex().upper(), int(port))
        tables = ""
        for table in "tcp", "udp":
            with open("/proc/net/" + table) as file:
                tables += file.read()
        return want in tables

    def log(self):
        with open(self.log_name) as file:
            return file.read()

    def logged(self, pattern, times=1):
        return wait(lambda: len(re.findall(pattern, self.log())) >= times)

    def state(self, service, host, port, state, times=1):
        """Whether the log says so of the upstream."""
        return self.logged(r"upstream service=%s address=%s:%d state=%s" % (
            service, re.escape(host), port_of(port), state), times)

    def check(self, what, condition):
        """condition: a value, or a function that returns one."""
        try:
            good = condition() if callable(condition) else condition
            why = ""
        except Exception as error:  # told, and the next check goes on
            good, why = False, repr(error)
        print("%sok - %s: %s" % ("" if good else "not ", self.name, what),
              flush=True)
        if not good:
            self.bad += 1
            print("# %s" % why)
            for line in self.log().splitlines()[-8:] if self.process else ():
                print("# evproxy: " + line)
        return good

    def books(self):
        """{service: (accepted, active, ended)} of the stats lines."""
        before = self.log().count("stats uptime_s=")
        self.process.send_signal(signal.SIGUSR1)
        if not wait(lambda: self.log().count("stats uptime_s=") > before, 5):
            return {}
        wait(lambda: self.log().endswith("\n"), 1)
        found = {}
        for line in self.log().splitlines():
            match = re.match(r"(?:<6>)?stats service=(\S+) active=(\d+) "
                             r"accepted=(\d+) ", line)
            if match:
                ended = sum(map(int, re.findall(r" ended_\w+=(\d+)", line)))
                found[match[1]] = int(match[3]), int(match[2]), ended
        return found

    def adds_up(self):
        books = self.books()
        return books and all(accepted == active + ended and accepted > 0
                             for accepted, active, ended in books.values())

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.check("every connection is counted, each service had some",
                   lambda: wait(self.adds_up, 5))
        # The second one does not wait for the drain.
        self.process.terminate()
        time.sleep(0.1)
        self.process.terminate()
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = None
        self.check("stops with status 0", status == 0)
