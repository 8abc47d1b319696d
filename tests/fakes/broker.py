"""The part of RabbitMQ's management API that is used for guests, over HTTP on loopback.

Held to the same test as the real broker: tests/functional/taskmanager/test_bus.py.
"""
import base64
import http.server
import json
import threading
from urllib.parse import parse_qs, unquote, urlsplit

USER, PASSWORD = "admin-of-tests", "password-of-tests"


class Broker:
    """A running fake: ``url``; ``users`` {name: {"password", "permissions", "topic"}}, ``queues``, ``exchanges``.

    failures: HTTP statuses to answer the next requests with.
    """

    def __init__(self):
        self.users, self.queues, self.exchanges, self.failures = {}, set(), {"trove"}, []
        broker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per answer

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = broker.answer(self.command, self.path, self.headers.get("Authorization"), body)
                data = b"" if status == 204 else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_DELETE = _serve

            def log_message(self, *_args):
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method, path, authorization, body):
        """(status, JSON-able body) for a request."""
        if self.failures:
            return self.failures.pop(0), {"error": "asked for by the test"}
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization != f"Basic {expected}":
            return 401, {"error": "not_authorised"}
        parts = [unquote(part) for part in urlsplit(path).path.split("/")[2:]]
        if method == "PUT":
            return self._put(parts, json.loads(body))
        things = {"users": self.users, "queues": self.queues, "exchanges": self.exchanges}[parts[0]]
        if method == "DELETE":
            if parts[-1] not in things:
                return 404, {"error": "Object Not Found"}
            things.pop(parts[-1]) if isinstance(things, dict) else things.remove(parts[-1])
            return 204, None
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        found = [{"name": name} for name in sorted(things) if query["name"] in name]
        start = (int(query["page"]) - 1) * int(query["page_size"])
        return 200, {"items": found[start:start + int(query["page_size"])]}

    def _put(self, parts, body):
        if parts[0] == "users":
            self.users.setdefault(parts[1], {})["password"] = body["password"]
            return 201, None
        if parts[2] not in self.users:
            return 400, {"error": "bad_request", "reason": "no such user"}
        self.users[parts[2]]["topic" if parts[0] == "topic-permissions" else "permissions"] = body
        return 201, None
