#!/usr/bin/python3
"""Servers, one for each address given: servers.py PORT ADDRESS...

Each greets with a line, its address and the peer's, and echoes what comes.
"""
import select
import socket
import sys


def accept(listener, poll, peers):
    try:
        sock, (peer, _) = listener.accept()
    except BlockingIOError:
        return False
    sock.setblocking(False)
    peers[sock.fileno()] = sock
    poll.register(sock, select.EPOLLIN)
    sock.send(f"{sock.getsockname()[0]} {peer}\n".encode())
    return True


def echo(sock):
    """Returns whether the connection goes on."""
    try:
        data = sock.recv(1024)
        return bool(data) and sock.send(data) == len(data)
    except OSError:
        return False


def main():
    port, *addresses = sys.argv[1:]
    poll = select.epoll()
    listeners, peers = {}, {}
    for address in addresses:
        listener = socket.create_server((address, int(port)), backlog=4096)
        listener.setblocking(False)
        poll.register(listener, select.EPOLLIN)
        listeners[listener.fileno()] = listener
    while True:
        for fd, _ in poll.poll():
            if fd in listeners:
                while accept(listeners[fd], poll, peers):
                    pass
            elif not echo(peers[fd]):
                peers.pop(fd).close()


main()
