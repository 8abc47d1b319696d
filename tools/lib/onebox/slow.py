"""Slow clients for tests and benchmarks: they send a request, or read an answer, one byte now and then.

As a program: reads JSON from standard input (arguments of ``Crowd``), prints "open" when all are connected, and goes on
until it is ended.
"""
import json
import socket
import sys
import time

HEADERS, BODIES, READERS = KINDS = ("headers", "bodies", "readers")
_BODY = 100_000  # bytes that a slow body announces


class Crowd:
    """``count`` connections of one kind. A connection that the server closes is opened again at the next ``step``.

    kind: of KINDS; path: what readers ask for, and bodies are sent to; token: the caller's; source: local address.
    """

    def __init__(self, host, port, kind, count, path="/", token="", source="127.0.0.1"):
        self._address, self._source = (host, port), source
        request = f"{'POST' if kind == BODIES else 'GET'} {path} HTTP/1.1\r\nHost: slow\r\nX-Auth-Token: {token}\r\n"
        if kind == HEADERS:
            self._first, self._next = request.encode(), b"X-More: a\r\n"
        elif kind == BODIES:
            self._first = f"{request}Content-Type: application/json\r\nContent-Length: {_BODY}\r\n\r\n{{".encode()
            self._next = b" "
        else:
            self._first, self._next = f"{request}\r\n".encode(), b""
        self._reads = kind == READERS
        self._count = count
        self._open = []
        self.closed = 0

    def _connect(self):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.bind((self._source, 0))
        connection.settimeout(10)
        connection.connect(self._address)
        connection.sendall(self._first)
        connection.setblocking(False)
        return connection

    def _lives(self, connection, number):
        try:
            if self._reads:
                return bool(connection.recv(1))
            byte = self._next[number % len(self._next):][:1]
            connection.send(byte)
            return bool(connection.recv(1))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def step(self, number=0):
        """Move each connection by one byte, and open those that are missing. number: which step this is."""
        for connection in list(self._open):
            if not self._lives(connection, number):
                self._open.remove(connection)
                connection.close()
                self.closed += 1
        while len(self._open) < self._count:
            self._open.append(self._connect())

    def close(self):
        """End all connections."""
        for connection in self._open:
            connection.close()
        self._open.clear()


def main():
    """Run the crowds that standard input describes."""
    crowds = [Crowd(**arguments) for arguments in json.load(sys.stdin)]
    number = 0
    while True:
        for crowd in crowds:
            crowd.step(number)
        if not number:
            print("open", flush=True)
        number += 1
        time.sleep(0.5)


if __name__ == "__main__":
    main()
