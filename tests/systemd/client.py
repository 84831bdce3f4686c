#!/usr/bin/python3
"""Clients and an upstream for the tests under systemd.

  client.py serve PORT         echo over TCP and UDP on 127.0.0.1
  client.py echo ADDRESS       one connection or datagram, echoed
  client.py hold ADDRESS FILE  a connection that works at once, and again when
                               FILE is there; then ends with status 0
  client.py load FILE ADDRESS...
                               echoes one after the other until FILE is there;
                               prints what became of them
ADDRESS: HOST:PORT, udp:HOST:PORT or unix:PATH.
"""
import collections
import os
import socket
import sys
import threading
import time

DEADLINE = 3


def connect(address):
    kind = socket.SOCK_STREAM
    family = socket.AF_INET
    if address.startswith("unix:"):
        family, to = socket.AF_UNIX, address[5:]
    else:
        if address.startswith("udp:"):
            kind, address = socket.SOCK_DGRAM, address[4:]
        host, port = address.split(":")
        to = (host, int(port))
    connection = socket.socket(family, kind)
    connection.settimeout(DEADLINE)
    try:
        connection.connect(to)
    except OSError:
        connection.close()
        raise
    return connection


def say(connection, word):
    connection.sendall(word)
    got = b""
    while len(got) < len(word):
        part = connection.recv(len(word) - len(got))
        if not part:
            raise EOFError("the stream ended")
        got += part
    if got != word:
        raise ValueError("other bytes came back")


def echo(address):
    with connect(address) as connection:
        say(connection, b"hello")


def serve_one(connection):
    with connection:
        while True:
            try:
                got = connection.recv(65536)
                if not got:
                    return
                connection.sendall(got)
            except OSError:
                return


def serve_datagrams(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", port))
        while True:
            got, source = bound.recvfrom(65536)
            bound.sendto(got, source)


def serve(port):
    threading.Thread(target=serve_datagrams, args=(port,), daemon=True).start()
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(
                target=serve_one, args=(connection,), daemon=True
            ).start()


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.02)


def hold(address, path):
    with connect(address) as connection:
        say(connection, b"early")
        print("held", flush=True)
        wait_for(path)
        say(connection, b"late")


def load_one(address, path, ends):
    while not os.path.exists(path):
        try:
            echo(address)
            ends[address, "good"] += 1
        except Exception as error:  # whatever it is, it is told
            ends[address, repr(error)] += 1
        time.sleep(0.002)


def load(path, addresses):
    ends = [collections.Counter() for _ in range(2 * len(addresses))]
    threads = [
        threading.Thread(
            target=load_one, args=(addresses[i // 2], path, ends[i])
        )
        for i in range(len(ends))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(ends, collections.Counter())
    for (address, end), count in sorted(total.items()):
        print(f"{address} {count} {end}")
    bad = any(end != "good" for _, end in total)
    return 1 if bad or {address for address, _ in total} != set(addresses) else 0


def main():
    command, *rest = sys.argv[1:]
    if command == "serve":
        serve(int(rest[0]))
    elif command == "echo":
        echo(rest[0])
    elif command == "hold":
        hold(*rest)
    else:
        sys.exit(load(rest[0], rest[1:]))


main()
