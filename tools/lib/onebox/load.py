"""Load on an HTTP server from a few threads over kept connections; a request costs this side some 50 microseconds."""
import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from onebox.settings import SetupError

TIMEOUT = 60


class Request:
    """A request as bytes: its answer's status must be one of ``accepted``."""

    def __init__(self, method, url, headers, body=b"", accepted=range(200, 300)):
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.accepted = accepted
        self.line = f"{method} {parts.path}"
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}",
                 *(f"{name}: {value}" for name, value in headers.items())]
        self.content = "\r\n".join([*lines, "", ""]).encode() + body


class _Connection:
    def __init__(self, request):
        self._request = request
        self._socket = socket.create_connection(request.address, TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request=None):
        self._socket.sendall((request or self._request).content)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n")
                   if line.startswith(b"content-length:")]
        while len(body) < (lengths[0] if lengths else 0):
            body += self._more()
        if int(head.split(b" ", 2)[1]) not in self._request.accepted:
            raise SetupError(f"{self._request.line}: {head.splitlines()[0].decode()} {body[:300].decode()}")

    def _more(self):
        received = self._socket.recv(1 << 18)
        if not received:
            raise SetupError(f"{self._request.line}: the server closed the connection")
        return received

    def close(self):
        self._socket.close()


def once(request):
    """Make the request once."""
    connection = _Connection(request)
    connection.ask()
    connection.close()


def closed(request, clients, seconds):
    """Let ``clients`` threads ask again as soon as they are answered; returns (requests per second, [seconds])."""
    begun = time.monotonic()

    def run(_number):
        connection, taken = _Connection(request), []
        while (sent := time.monotonic()) < begun + seconds:
            connection.ask()
            taken.append(time.monotonic() - sent)
        connection.close()
        return taken
    with ThreadPoolExecutor(clients) as pool:
        taken = [value for values in pool.map(run, range(clients)) for value in values]
    return len(taken) / (time.monotonic() - begun), taken


def paced(requests, rate, clients, seconds):
    """Ask ``rate`` times a second, whether answers come or not as long as one of ``clients`` threads is free.

    requests: one Request, or several of the same server, which are made in turn.

    Returns the seconds from when each request was due to its answer: what waits here counts, too.
    """
    requests = [requests] if isinstance(requests, Request) else requests
    begun, numbers, lock = time.monotonic(), itertools.count(), threading.Lock()

    def run(_number):
        connection, taken = _Connection(requests[0]), []
        while True:
            with lock:
                number = next(numbers)
            due = begun + number / rate
            if due > begun + seconds:
                connection.close()
                return taken
            time.sleep(max(0.0, due - time.monotonic()))
            connection.ask(requests[number % len(requests)])
            taken.append(time.monotonic() - due)
    with ThreadPoolExecutor(clients) as pool:
        return [value for values in pool.map(run, range(clients)) for value in values]
