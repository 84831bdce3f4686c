#!/usr/bin/env python3
"""Drives an example of conf/examples/migrations with traffic.

    EVPROXY=... drive.py NAME FOLDER

FOLDER takes its files. A line "ok - ..." or "not ok - ..." for each check.
"""

import os
import socket
import ssl
import sys

from rig import (Client, Http, Rig, Server, Udp, read_until, server_for,
                 split_header, udp_ask, udp_client, wait)

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "../../../conf/examples/migrations")


def servers(network, hosts, port, **options):
    return [Server("127.0.%d.%d" % (network, host), port, **options)
            for host in hosts]


def all_go_to(at, name, count=10):
    return all(server_for(at) == name for _ in range(count))


def spread(at, count):
    """The servers of so many connections at a time."""
    clients = [Client(at) for _ in range(count)]
    names = {client.ask() for client in clients}
    for client in clients:
        client.close()
    return names


def galera(rig):
    nodes = servers(1, (11, 12, 13), 3306)
    checks = [Http(node.name, 9200, {"/": 200}) for node in nodes]
    rig.start()
    writer, reader = rig.at(3306), rig.at(3307)
    one, two, three = (node.name for node in nodes)

    def fails(check, state="down"):
        check.status["/"] = 503 if state == "down" else 200
        return rig.state("writer", check.name, 3306, state)

    rig.check("all writes go to one node", all_go_to(writer, one, 20))
    rig.check("reads go to all nodes", spread(reader, 12) == {one, two, three})
    held = Client(writer)
    held.ask()
    rig.check("a node that is not synced is down", fails(checks[0]))
    rig.check("its connections are reset", held.is_reset)
    rig.check("one backup takes all writes", all_go_to(writer, two, 20))
    rig.check("the second backup waits for the first", fails(checks[1]))
    rig.check("then it takes all writes", all_go_to(writer, three))
    rig.check("the first node comes back", fails(checks[0], "up"))
    rig.check("and takes all writes", all_go_to(writer, one))
    rig.check("the metrics are where the statistics were", lambda: b"200 OK" in
              ask_http(("127.0.0.1", 28404), "/metrics"))


def ask_http(at, path):
    with socket.create_connection(at, 10) as sock:
        sock.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
        return read_until(sock, b"never")


def redis(rig):
    def handler(node):
        def handle(sock):
            while True:
                line = read_until(sock, b"\n").strip()
                if line == b"PING":
                    sock.sendall(b"+PONG\r\n")
                elif line == b"INFO replication":
                    sock.sendall(b"$9\r\nrole:%s\r\n\r\n" % node.role)
                elif line == b"QUIT":
                    sock.sendall(b"+OK\r\n")
                    return
                elif line:
                    sock.sendall(node.name.encode() + b" " + line + b"\n")
                else:
                    return
        return handle

    nodes = servers(2, (11, 12, 13), 6379)
    for node in nodes:
        node.handle, node.role = handler(node), b"slave"
    nodes[0].role = b"master"
    rig.start()
    redis_at = rig.at(6379)
    for node in nodes[1:]:
        rig.check("a replica is down: " + node.name,
                  rig.state("redis", node.name, 6379, "down"))
    rig.check("all clients reach the master", all_go_to(redis_at,
                                                       nodes[0].name))
    held = Client(redis_at)
    held.ask()
    nodes[0].role, nodes[2].role = b"slave", b"master"
    rig.check("its clients are reset when it is no master any more",
              held.is_reset)
    rig.check("the new master is up",
              rig.state("redis", nodes[2].name, 6379, "up"))
    rig.check("all clients reach the new one", all_go_to(redis_at,
                                                        nodes[2].name))


def greets(client):
    try:
        return client.sock and read_until(client.sock, b"\n")
    except OSError:
        return False


def smtp(rig):
    def handle(sock):
        sock.sendall(b"220 mx ESMTP\r\n")
        while True:
            line = read_until(sock, b"\n").upper()
            if line.startswith(b"EHLO"):
                sock.sendall(b"250-mx\r\n250 PIPELINING\r\n")
            elif line.startswith(b"QUIT"):
                sock.sendall(b"221 bye\r\n")
                return
            elif not line:
                return
            else:
                sock.sendall(b"500 what\r\n")

    with open(rig.folder + "/blocked", "w") as file:
        file.write("# spammers\n127.66.0.0/16\n")
    nodes = servers(3, (11, 12), 10025, header=True, handle=handle)
    rig.start()
    mail = rig.at(25)

    def talk(source):
        client = Client(mail, source)
        with client.sock as sock:
            greeting = read_until(sock, b"\n")
            sock.sendall(b"EHLO client.example\r\nQUIT\r\n")
            rest = read_until(sock, b"221 bye\r\n")
        return greeting.startswith(b"220") and rest.endswith(b"221 bye\r\n")

    sources = ["127.3.3.%d" % i for i in range(1, 9)]
    rig.check("mail is taken", all(list(map(talk, sources))))
    rig.check("the servers learn the clients' addresses", wait(
        lambda: sorted(sum((node.clients for node in nodes), []))
        == sources))
    rig.check("both had some", all(node.clients for node in nodes))
    rig.check("checks pass with a PROXY header",
              "state=down" not in rig.log())
    rig.check("who is in the file is reset",
              Client(mail, "127.66.1.1").is_reset)
    many = []

    def refused_by(cause):
        many.append(Client(mail, "127.3.4.1"))
        return rig.books() and " ended_%s=0 " % cause not in rig.log(
        ).rpartition("stats service=smtp active=")[2]

    rig.check("a source has 20 connections at most",
              wait(lambda: refused_by("limit_source")))
    rig.check("and has them", len(list(filter(greets, many))) == 20)
    for _ in range(300):
        Client(mail, "127.3.5.1").close()
    rig.check("a source that is too quick is reset",
              wait(lambda: refused_by("limit_rate")))
    nodes[0].down()
    rig.check("a server that is gone is down",
              rig.state("smtp", nodes[0].name, 10025, "down"))
    rig.check("the other takes all mail", all(list(map(talk, sources))))


def tls_server(rig, name, alpn=()):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("%s/%s.pem" % (rig.folder, name),
                            "%s/%s.key" % (rig.folder, name))
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def ask_tls(at, name, alpn=(), ask=b"hello\n"):
    """The certificate's bytes, and the answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    with socket.create_connection(at, 10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as sock:
            sock.sendall(ask)
            return sock.getpeercert(True), read_until(sock, b"\n").decode()


def server_of_name(at, name, alpn=()):
    try:
        return ask_tls(at, name, alpn)[1].partition(" ")[0]
    except OSError as error:
        return repr(error)


def kubernetes(rig):
    good = tls_server(rig, "kubernetes.default.svc")
    stranger = tls_server(rig, "stranger.example")
    ready = {"/readyz": 200}
    nodes = [Http("127.0.4.%d" % host, 6443, dict(ready), tls=good)
             for host in (11, 12, 13)]
    nodes[2].tls = stranger
    for node in nodes:
        node.status["/who"] = 200 + int(node.name[-2:])
    rig.start()
    api = rig.at(6443)

    def reached():
        cert, answer = ask_tls(api, "api.example", ask=b"GET /who HTTP/1.1\r\n"
                               b"Host: api.example\r\n\r\n")
        return cert, "127.0.4.%d" % (int(answer.split()[1]) - 200)

    rig.check("a server whose certificate is wrong is down",
              rig.state("apiserver", nodes[2].name, 6443, "down"))
    reached_by = [reached() for _ in range(10)]
    rig.check("clients reach the others, and see their certificate",
              {name for _, name in reached_by} <=
              {nodes[0].name, nodes[1].name} and
              {cert for cert, _ in reached_by} ==
              {ssl.PEM_cert_to_DER_cert(open(
                  rig.folder + "/kubernetes.default.svc.pem").read())})
    nodes[0].status["/readyz"] = 500
    rig.check("one whose /readyz fails is down",
              rig.state("apiserver", nodes[0].name, 6443, "down"))
    rig.check("clients reach the last one",
              {reached()[1] for _ in range(6)} == {nodes[1].name})
    nodes[2].tls = good
    rig.check("one with a good certificate is up",
              rig.state("apiserver", nodes[2].name, 6443, "up"))
    rig.check("the checks of HTTP name the host that they ask",
              ("/readyz", nodes[1].name + ":26443") in nodes[1].asked)


def mqtt(rig):
    nodes = servers(5, (11, 12, 13), 1883, header=True)
    rig.start()
    broker_at = rig.at(1883)
    devices = ["127.5.%d.1" % i for i in range(16)]

    def broker_of(device):
        """Asked alone: the bound of a few connections is one for each broker."""
        name = server_for(broker_at, device)
        wait(lambda: rig.books()["mqtt"][1] == 0)
        return name

    first = {device: broker_of(device) for device in devices}
    rig.check("each device meets its broker again", first == {
        device: broker_of(device) for device in devices})
    rig.check("the devices meet all brokers",
              set(first.values()) == {node.name for node in nodes})
    rig.check("the addresses of one network have one", {
        broker_of("127.5.7.%d" % i) for i in (1, 77, 200)}
        == {first["127.5.7.1"]})
    rig.check("the brokers learn the devices' addresses", wait(
        lambda: set(devices) <= set(sum((node.clients for node in nodes),
                                        []))))
    # 40 connections of one address: each broker has at most
    # ceil(1.25 * 40 / 3), and one more for each worker.
    held = [Client(broker_at, "127.5.7.1") for _ in range(40)]
    names = [client.ask() for client in held]
    rig.check("a gateway with many devices is spread", max(
        names.count(node.name) for node in nodes) <= 17 + os.cpu_count())
    rig.check("its own broker has a third of them at least",
              names.count(first["127.5.7.1"]) >= 13)
    for client in held:
        client.close()
    wait(lambda: rig.books()["mqtt"][1] == 0)
    gone = next(node for node in nodes if node.name == first[devices[0]])
    gone.down()
    rig.check("a broker that is gone is down",
              rig.state("mqtt", gone.name, 1883, "down"))
    now = {device: broker_of(device) for device in devices}
    rig.check("only its devices have moved", all(
        now[device] == first[device] or first[device] == gone.name
        for device in devices) and gone.name not in now.values())


def rdp(rig):
    nodes = servers(6, (11, 12, 13), 3389)
    rig.start()
    desk = rig.at(3389)
    offices = ["127.6.0.%d" % i for i in range(1, 31)]
    first = {office: server_for(desk, office) for office in offices}
    rig.check("each client comes back to its server", first == {
        office: server_for(desk, office) for office in offices})
    rig.check("both servers have clients, that in maintenance none",
              set(first.values()) == {node.name for node in nodes[:2]})
    held = [Client(desk, "127.6.1.1") for _ in range(60)]
    rig.check("an address has 50 connections at most",
              sum(client.ask() != "" for client in held) == 50)
    nodes[0].down()
    rig.check("a server that is gone is down",
              rig.state("rdp", nodes[0].name, 3389, "down"))
    rig.check("its clients have the other", all(
        server_for(desk, office) == nodes[1].name for office in offices))


ROOT_QUESTION = b"EV\1\0\0\1\0\0\0\0\0\0\0\0\2\0\1"


def wireguard_dns(rig):
    for host in (11, 12):
        Udp("127.0.7.%d" % host, 51820)

    def resolver():
        state = {"code": 0x80}

        def answer(data):
            return data[:2] + b"\x81" + bytes([state["code"]]) + data[4:]
        return state, answer

    states, resolvers = [], []
    for host in (21, 22):
        state, answer = resolver()
        states.append(state)
        resolvers.append(Udp("127.0.7.%d" % host, 53, answer))
        Server("127.0.7.%d" % host, 53, header=True)
    rig.start()
    vpn, dns = rig.at(51820), rig.at(53)

    peers = {i: udp_ask(udp_client("127.7.0.%d" % i), vpn)
             for i in range(1, 16)}
    rig.check("packets of the VPN are answered, by both servers",
              len({answer.split()[0] for answer in peers.values()}) == 2)
    rig.check("a client with a new port stays with its server", peers == {
        i: udp_ask(udp_client("127.7.0.%d" % i), vpn) for i in peers})
    sock = udp_client("127.7.0.1")
    rig.check("so do all its packets", {
        udp_ask(sock, vpn) for _ in range(20)} == {peers[1]})

    def answers(count=8):
        return all(udp_ask(udp_client("127.7.1.%d" % i), dns,
                           b"Q%d\1\0question" % i)[:2] == b"Q%d" % i
                   for i in range(1, count + 1))

    rig.check("questions are answered", answers())
    rig.check("both resolvers learn the clients' addresses", all(
        any(client.startswith("127.7.1.") for client in node.clients)
        for node in resolvers))
    sock = udp_client("127.7.3.1")
    for _ in range(10):
        sock.sendto(b"Qx\1\0question", dns)
    rig.check("in each datagram of a client that asks ten at once", wait(
        lambda: sum(node.clients.count("127.7.3.1")
                    for node in resolvers) == 10))
    states[0]["code"] = 0x82  # SERVFAIL
    rig.check("a resolver that answers with an error is down",
              rig.state("dns", resolvers[0].name, 53, "down"))
    before = len(resolvers[0].clients)
    rig.check("the other answers all", answers() and
              len(resolvers[0].clients) == before)
    rig.check("questions by TCP are answered",
              server_for(dns, "127.7.2.1").startswith("127.0.7."))


def sni(rig):
    www = tls_server(rig, "www.example")
    other = tls_server(rig, "stranger.example", ["acme-tls/1", "http/1.1"])
    site = Server("127.0.8.11", 443, header=True, tls=www)
    site_healthy = [True]
    passed = []

    def web(sock):
        line = read_until(sock, b"\n")
        if line.startswith(b"GET "):
            head = read_until(sock, b"\r\n\r\n")
            good = (site_healthy[0] and line.startswith(b"GET /health ") and
                    b"Host: www.example\r\n" in head)
            sock.sendall(b"HTTP/1.1 %d X\r\nConnection: close\r\n\r\n"
                         % (200 if good else 503))
            passed.append(good)
        else:
            sock.sendall(site.name.encode() + b" " + line)

    site.handle = web
    shops = servers(8, (21, 22), 443, header=True, tls=other)
    acme = Server("127.0.8.40", 10443, header=True, tls=other)
    rest = Server("127.0.8.90", 443, header=True)

    def either(sock):
        """TLS, or a line in clear."""
        if sock.recv(1, socket.MSG_PEEK) == b"\x16":
            sock = other.wrap_socket(sock, server_side=True)
        rest.names_itself(sock)

    rest.handle = either
    rig.start()
    at = rig.at(443)
    acme_only = ["acme-tls/1"]
    for name, alpn, want, what in (
            ("www.example", (), {site.name}, "a site by its name"),
            ("WWW.Example", ["http/1.1"], {site.name}, "in capitals too"),
            ("a.shop.example", (), {shop.name for shop in shops},
             "a wildcard"),
            ("www.example", acme_only, {acme.name}, "ACME of a site"),
            ("b.shop.example", acme_only, {acme.name}, "ACME of a wildcard"),
            ("other.example", (), {rest.name}, "any other name"),
            (None, (), {rest.name}, "no name")):
        rig.check(what, lambda n=name, a=alpn, w=want:
                  server_of_name(at, n, a) in w)
    rig.check("what is not TLS", server_for(at) == rest.name)
    rig.check("each server learns the client's address", wait(lambda: all(
        set(node.clients) == {"127.0.0.1"}
        for node in (site, acme, rest))))
    rig.check("checks by the site's name pass", wait(lambda: passed) and
              all(passed) and "state=down" not in rig.log())
    site_healthy[0] = False
    rig.check("a site whose /health fails is down",
              rig.state("www", site.name, 443, "down"))


def patroni(rig):
    nodes = servers(9, (11, 12, 13), 5432)
    leader, replica = {"/primary": 200}, {"/replica?lag=16MB": 200}
    checks = [Http(node.name, 8008, dict(replica)) for node in nodes]
    checks[1].status = dict(leader)
    rig.start()
    primary, replicas = rig.at(5000), rig.at(5001)
    one, two, three = (node.name for node in nodes)
    rig.check("the replicas are down for the primary's clients",
              rig.state("primary", one, 5432, "down") and
              rig.state("primary", three, 5432, "down"))
    rig.check("all of those reach the primary", all_go_to(primary, two))
    rig.check("the primary is down for those of the replicas",
              rig.state("replicas", two, 5432, "down"))
    rig.check("those reach both replicas", {
        server_for(replicas) for _ in range(20)} == {one, three})

    held = [Client(primary) for _ in range(100)]
    rig.check("the primary takes 100 connections",
              {client.ask() for client in held} == {two})
    late = Client(primary)
    late.sock.sendall(b"late\n")
    rig.check("one more waits", wait(
        lambda: rig.books()["primary"][1] == 101))
    late.sock.settimeout(0.2)
    try:
        early = late.sock.recv(1)
    except TimeoutError:
        early = None
    late.sock.settimeout(20)
    rig.check("and has no answer meanwhile", early is None)
    held.pop().close()
    rig.check("until a place is free", lambda: read_until(
        late.sock, b"\n") == two.encode() + b" late\n")

    checks[1].status, checks[2].status = dict(replica), dict(leader)
    rig.check("a primary that becomes a replica loses its clients",
              held[0].is_reset)
    rig.check("all of them", all(client.is_reset() for client in held[1:]))
    rig.check("the new primary is up",
              rig.state("primary", three, 5432, "up"))
    rig.check("all clients reach it", all_go_to(primary, three))


def ports(rig):
    for port in (27015, 27022, 27030):
        Udp("127.0.10.11", port,
            lambda data, port=port: b"%d " % port + data)
    for port in (1935, 1937, 1940):
        Server("127.0.10.21", port,
               handle=lambda sock, port=port: sock.sendall(
                   b"%d " % port + read_until(sock, b"\n")))
    control = Server("127.0.10.21", 8080)
    rig.start()
    for port in (27015, 27022, 27030):
        rig.check("match on port %d" % port, udp_ask(
            udp_client("127.10.0.1"), rig.at(port)).startswith(b"%d " % port))
    for port in (1935, 1937, 1940):
        rig.check("channel on port %d" % port,
                  server_for(rig.at(port)) == str(port))
    # 127.10.0.1 has three sessions already.
    players = [udp_client("127.10.0.1") for _ in range(2)]
    udp_ask(players[0], rig.at(27022))
    players[1].sendto(b"hello", rig.at(27022))
    rig.check("a home has 4 sessions at most", lambda: wait(
        lambda: "limit_source=1 " in rig.log() or
        rig.books()["game"][2] == 1))
    control.down()
    rig.check("the control port decides for all channels", rig.logged(
        r"upstream service=rtmp address=127.0.10.21:\S+ state=down"))
    rig.check("none is reached then", server_for(rig.at(1937)) == "")


DRIVERS = [galera, redis, smtp, kubernetes, mqtt, rdp, wireguard_dns, sni,
           patroni, ports]


def main():
    name, folder = sys.argv[1:]
    names = [driver.__name__.replace("_", "-") for driver in DRIVERS]
    number = names.index(name)
    rig = Rig(name, number + 1, folder, EXAMPLES)
    try:
        DRIVERS[number](rig)
    except Exception as error:
        rig.check("was driven to the end: %r" % error, False)
    rig.stop()
    os._exit(rig.bad > 0)


main()
